"""The measures of a landmark predictor: known errors, unrest, slip and vanishing give known figures."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from click.testing import CliRunner

from alignment.faces import Face
from alignment.landmarks import LandmarkResult, load_landmark_predictor
from alignment.points import MESH, Points, eye_distance, five_points
from alignment.warp import transform_points
from trainer.recipes import landmark_vanishing
from trainer.recipes.landmark_clips import evaluate_clip, noise_percent
from trainer.recipes.landmark_conditions import evaluate_conditions, evaluate_unrest, moving_still, unrest_percent
from trainer.recipes.landmark_data import LabelledFace, Picture
from trainer.recipes.landmark_report import main
from trainer.recipes.landmark_slip import face_motion, slip_percent
from trainer.recipes.landmark_vanishing import covered, follow_until_lost, leaving

from .test_landmark_recipe import made_up_face, made_up_landmarks, write_data


class Oracle:
    """Knows a face's landmarks in its picture at any size, off by a shift in eye distances."""

    num_landmarks, roi_size_px = 152, 128

    def __init__(self, face: LabelledFace, off_eyes: float = 0.0) -> None:
        self.face, self.off_eyes = face, off_eyes

    def predict(self, frame: Picture, rois: Sequence[Points]) -> list[LandmarkResult]:
        scale = frame.shape[1] / self.face.picture.shape[1]
        shifted = self.face.landmarks + np.float32([self.off_eyes * eye_distance(self.face.landmarks), 0])
        return [LandmarkResult((shifted + 0.5) * scale - 0.5, 0.9) for _ in rois]


class Script:
    """Says presences from a list, always at the same landmarks."""

    num_landmarks, roi_size_px = 152, 128

    def __init__(self, presences: Sequence[float]) -> None:
        self.presences = iter([1.0, *presences])

    def predict(self, frame: Picture, rois: Sequence[Points]) -> list[LandmarkResult]:
        return [LandmarkResult(made_up_landmarks((225, 105), 38), next(self.presences)) for _ in rois]


# Conditions


@pytest.mark.parametrize("off_eyes", [0.0, 0.05])
def test_every_condition_shows_a_known_error(off_eyes: float) -> None:
    face = made_up_face()
    figures = evaluate_conditions(Oracle(face, off_eyes), [face])
    for condition in figures["conditions"].values():
        assert condition["percent"] == pytest.approx(100 * off_eyes, abs=0.6)  # small pictures have whole sizes
    np.testing.assert_allclose(list(figures["parts"].values()), 100 * off_eyes, atol=1e-3)
    np.testing.assert_allclose(list(figures["gaps"].values()), 0, atol=1e-3)
    assert figures["poses"]["frontal"]["num_faces"] == 1
    assert figures["mouths"]["open"]["num_faces"] + figures["mouths"]["shut"]["num_faces"] == 1


def test_an_eye_seen_shut_is_off_by_its_gap() -> None:
    face = made_up_face()
    oracle = Oracle(face)
    seen = face.landmarks.copy()
    seen[MESH["right_eye"].start + 4] = seen[MESH["right_eye"].start + 12]
    oracle.face = LabelledFace(face.name, face.picture, seen, face.boxes_xyxy, True, face.nearby)
    gaps = evaluate_conditions(oracle, [face])["gaps"]
    assert gaps["right eye"] == pytest.approx(16, abs=0.1)  # twice 0.08 eye distances
    assert gaps["left eye"] == pytest.approx(0, abs=1e-3)


# Unrest


def test_landmarks_that_stand_still_have_no_unrest_and_trembling_ones_what_they_tremble() -> None:
    still = np.repeat(made_up_landmarks((100, 100), 40)[None], 10, axis=0)
    np.testing.assert_allclose(unrest_percent(still, 40), 0, atol=1e-4)
    still[::2] += (1, 0)
    np.testing.assert_allclose(unrest_percent(still, 40), (1.25, 1.25, 5, 5), rtol=1e-4)


def test_the_landmarks_of_a_moving_still_are_where_its_transform_says() -> None:
    face = made_up_face(picture=np.zeros((220, 240, 3), np.uint8))
    centre = face.landmarks[MESH["nose"].start]
    cv2.circle(face.picture, tuple(int(v) for v in centre.round()), 4, (255, 255, 255), -1)
    ys, xs = np.nonzero(face.picture[..., 0])
    dot = np.float32([[xs.mean(), ys.mean()]])
    places = []
    for frame, to_frame in moving_still(face, 5, 0):
        ys, xs = np.nonzero(frame.mean(-1) > 128)
        places.append(transform_points(to_frame, dot)[0])
        assert np.hypot(xs.mean() - places[-1][0], ys.mean() - places[-1][1]) < 0.5
    assert np.ptp(np.stack(places), axis=0).max() > 0.5


def test_the_unrest_of_faces_is_averaged() -> None:
    face = made_up_face()
    figures = evaluate_unrest(Oracle(face), [face, face], num_frames=5)
    assert figures["num_faces"] == 2
    assert figures["percent"] > 0  # the oracle does not follow the motion


# Clips


def moving_astronaut(num_frames: int) -> tuple[list[Picture], Points, Points]:
    """Frames of a real face that drifts and turns, its 152 landmarks (made up, at its place), and its motion."""
    picture, start = skimage.data.astronaut(), made_up_landmarks((225, 105), 38)
    frames, landmarks = [], []
    for i in range(num_frames):
        angle = 0.02 * i
        cos, sin = np.cos(angle), np.sin(angle)
        shift = np.array([225 + 2 * i, 105 + i]) - np.array([[cos, -sin], [sin, cos]]) @ (225, 105)
        transform = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])
        frames.append(np.asarray(cv2.warpAffine(picture, transform, (512, 512)), np.uint8))
        landmarks.append(transform_points(transform.astype(np.float32), start))
    return frames, np.stack(landmarks), np.stack([five_points(points) for points in landmarks])


def test_landmarks_that_move_with_the_face_do_not_slip_and_others_slip_by_what_they_miss() -> None:
    frames, landmarks, five = moving_astronaut(6)
    motion = face_motion(frames, landmarks)
    assert slip_percent(landmarks, motion) < 0.3
    assert slip_percent(five, motion) < 0.3
    trembling = landmarks + np.where(np.arange(6) % 2, 1.0, -1.0)[:, None, None] * np.float32([1, 0])
    assert slip_percent(trembling, motion) == pytest.approx(100 * 2 / 38, rel=0.1)


def test_white_noise_is_told_from_steady_motion() -> None:
    rng = np.random.default_rng(0)
    path = np.arange(200)[:, None, None] * np.float32([3, 1])
    noisy = made_up_landmarks((0, 0), 40) + path + rng.normal(0, 0.4, (200, 152, 2))
    assert noise_percent(noisy.astype(np.float32)) == pytest.approx(np.sqrt(2), rel=0.05)


class Spotter:
    """Finds the moving astronaut in frames by their order."""

    name = "spotter"

    def __init__(self, five: Points) -> None:
        self.five = iter(five)

    def detect(self, frame: Picture) -> list[Face]:
        points = next(self.five)
        return [Face(np.concatenate([points.min(0) - 20, points.max(0) + 20]), points, 0.9)]


def test_a_clip_s_figures_set_the_landmarks_beside_the_detector_s() -> None:
    frames, _, five = moving_astronaut(8)
    still = Script([0.9] * 7 + [0.1])
    figures = evaluate_clip(still, frames, 25.0, Spotter(five))
    assert (figures["num_frames"], figures["seen"]) == (8, 7)
    assert figures["all"]["jitter"] == 0
    assert figures["slip"]["all"] > 3  # landmarks that stand still slip over a face that moves
    assert figures["slip"]["detector"] < 1


# Vanishing


@pytest.mark.parametrize("make", [leaving, covered])
def test_a_vanishing_face_is_whole_at_first_and_gone_at_last(make: object) -> None:
    box = np.array([183.5, 53.1, 274.9, 181.8], np.float32)
    for kind in ("left", "up") if make is leaving else ("skin", "clock"):
        shares = [share for _, share in make(skimage.data.astronaut(), box, kind)]  # type: ignore[operator]
        assert shares[0] == pytest.approx(1, abs=0.02)
        assert shares[-1] == 0
        assert all(a >= b - 1e-6 for a, b in itertools.pairwise(shares))


def frames_with_shares(shares: Sequence[float]) -> Iterator[tuple[Picture, float]]:
    return ((np.zeros((200, 200, 3), np.uint8), share) for share in shares)


@pytest.mark.parametrize(
    ("presences", "expected"),
    [([0.9, 0.9, 0.9, 0.9, 0.1], (2, 0.0)), ([0.9, 0.1, 0.9, 0.9, 0.9], (-1, 0.5)), ([0.9] * 5, (None, 0.0))],
)
def test_how_late_a_face_is_given_up_counts_from_when_it_was_gone(
    presences: list[float], expected: tuple[int | None, float]
) -> None:
    picture, box = np.zeros((200, 200, 3), np.uint8), np.float32([60, 60, 140, 160])
    shares = frames_with_shares([1.0, 0.5, 0.1, 0.0, 0.0])
    assert follow_until_lost(Script(presences), picture, box, shares) == expected


@pytest.mark.parametrize("cover", ["flat", "dark", "skin", "chelsea", "clock"])
def test_the_built_in_follower_lets_go_of_a_covered_face_within_two_frames(cover: str) -> None:
    picture, box = skimage.data.astronaut(), np.array([183.5, 53.1, 274.9, 181.8], np.float32)
    late, seen = follow_until_lost(load_landmark_predictor(), picture, box, covered(picture, box, cover))
    assert late is not None
    assert late <= 2
    assert seen < 0.5


@pytest.mark.parametrize("direction", ["left", "right", "up", "down"])
def test_the_built_in_follower_lets_go_of_a_face_that_leaves_the_frame(direction: str) -> None:
    picture, box = skimage.data.astronaut(), np.array([183.5, 53.1, 274.9, 181.8], np.float32)
    late, seen = follow_until_lost(load_landmark_predictor(), picture, box, leaving(picture, box, direction))
    assert late is not None
    assert late <= 2
    assert seen < 0.6


# The command


def test_the_report_holds_every_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmark_vanishing, "_NUM_FRAMES", 3)
    data = write_data(tmp_path / "data", num_portraits=1, num_faces=1)
    output = tmp_path / "figures.json"
    result = CliRunner().invoke(main, [str(data), "-o", str(output), "--presence-regions", "2"])
    assert result.exit_code == 0, result.output
    figures = json.loads(output.read_text(encoding="utf-8"))
    assert set(figures) >= {
        "errors",
        "conditions",
        "poses",
        "mouths",
        "parts",
        "gaps",
        "unrest",
        "vanishing",
        "presence",
    }
    assert figures["conditions"]["24 px"]["num_faces"] == 2
