"""Smoothing takes jitter away and leaves motion: against known truth, at any frame rate, without lag."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from alignment.local_fit import estimate_noise
from alignment.points import MESH, NUM_LANDMARKS, eye_distance, five_points
from alignment.smoothing import jitter_percent, smooth_track
from alignment.tracking import Track

Floats = npt.NDArray[np.float64]

NOISE_PX = 0.5
"""White noise on each landmark of the synthetic tracks; the eyes are 60 px apart."""
COMMON_NOISE_PX = 0.7
"""White noise that moves all landmarks of a frame together."""


def mesh_face() -> Floats:
    """152 points with the five alignment points where a face has them, about (0, 0), eyes 60 px apart."""
    rng = np.random.default_rng(5)
    points = rng.uniform(-50, 60, (NUM_LANDMARKS, 2))
    for name, centre in (("right_eye", (-30.0, -10.0)), ("left_eye", (30.0, -10.0))):
        ring = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        points[MESH[name]] = np.array(centre) + 9 * np.stack([np.cos(ring), 0.5 * np.sin(ring)], 1)
    lips, nose = points[MESH["lips_outer"]], points[MESH["nose"]]
    lips[0], lips[10], nose[6] = (-22.0, 42.0), (22.0, 42.0), (0.0, 15.0)
    points[MESH["lips_outer"]], points[MESH["nose"]] = lips, nose
    return points


FACES = {"152": mesh_face(), "5": five_points(mesh_face().astype(np.float32)).astype(np.float64)}
TIMES = {
    "25 fps": np.arange(125) / 25,
    "60 fps": np.arange(300) / 60,
    "12 fps": np.arange(60) / 12,
    "vfr": np.cumsum(np.random.default_rng(2).choice([1 / 60, 1 / 30, 1 / 24, 0.08], 150, p=[0.3, 0.4, 0.25, 0.05])),
}


def move(face: Floats, x: Floats, angle: Floats | float = 0.0, scale: Floats | float = 1.0) -> Floats:
    """Txkx2: the face turned, scaled and carried to (300 + x, 200)."""
    x = np.asarray(x, np.float64)
    cos, sin = np.cos(angle) * scale * np.ones_like(x), np.sin(angle) * scale * np.ones_like(x)
    linear = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    return np.einsum("tij,kj->tki", linear, face) + np.stack([300 + x, np.full_like(x, 200)], -1)[:, None]


def add_noise(truth: Floats, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return truth + rng.normal(0, NOISE_PX, truth.shape) + rng.normal(0, COMMON_NOISE_PX, (len(truth), 1, 2))


def to_track(landmarks: Floats, bridged: list[int] | None = None) -> Track:
    count = len(landmarks)
    is_bridged = np.zeros(count, bool)
    is_bridged[bridged or []] = True
    boxes = np.concatenate([landmarks.min(1), landmarks.max(1)], axis=1)
    return Track(
        3,
        np.arange(10, 10 + count),
        landmarks.astype(np.float32),
        boxes.astype(np.float32),
        np.full(count, 0.9, np.float32),
        is_bridged,
    )


def place_of(landmarks: npt.ArrayLike) -> Floats:
    """(T, 3): centre x, y of the five points, and the eyes' angle times 60 px."""
    five = np.stack([five_points(points) for points in np.asarray(landmarks, np.float32)]).astype(np.float64)
    across = five[:, 1] - five[:, 0]
    return np.column_stack([five.mean(1), 60 * np.unwrap(np.arctan2(across[:, 1], across[:, 0]))])


def measure_jitter(track: Track) -> float:
    return jitter_percent(track.landmarks)


def rms(values: npt.ArrayLike) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(values, np.float64)))))


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("rate", TIMES)
@pytest.mark.parametrize("motion", ["still", "slow", "walk"])
def test_error_and_jitter_fall(face: str, rate: str, motion: str) -> None:
    # Given a known motion and its noisy track
    t = TIMES[rate]
    x = {"still": 0 * t, "slow": 30 * np.sin(2 * np.pi * 0.3 * t), "walk": 150 * t}[motion]
    slow = motion == "slow"
    truth = move(FACES[face], x, 0.1 * slow * np.sin(1.3 * t), 1 + 0.1 * slow * np.sin(0.6 * t))
    track = to_track(add_noise(truth))
    # When
    smooth = smooth_track(track, t)
    # Then the place is nearer to the truth and its jitter, beyond the truth's own, is at most half
    place, before, after = (place_of(p) for p in (truth, track.landmarks, smooth.landmarks))
    assert rms(after - place) < 0.75 * rms(before - place)
    assert rms(np.diff(after - place, 2, axis=0)) < 0.5 * rms(np.diff(before - place, 2, axis=0))
    assert rms(smooth.landmarks - truth) < 0.9 * rms(track.landmarks - truth)


def test_jitter_of_a_still_face_falls_to_a_quarter() -> None:
    t = TIMES["25 fps"]
    track = to_track(add_noise(move(FACES["152"], 0 * t)))
    assert jitter_percent(smooth_track(track, t).landmarks) < 0.25 * jitter_percent(track.landmarks)


@pytest.mark.parametrize("rate", ["25 fps", "60 fps", "vfr"])
@pytest.mark.parametrize("hertz", [1.5, 2.5])
def test_a_head_shake_keeps_its_amplitude_and_its_timing(rate: str, hertz: float) -> None:
    # Given a shake of 40 px for 1.2 s between stillness
    t = TIMES[rate]
    is_shaking = (t > 1) & (t < 2.2)
    x = np.where(is_shaking, 40 * np.sin(2 * np.pi * hertz * (t - 1)), 0)
    truth = move(FACES["152"], x)
    # When
    after = place_of(smooth_track(to_track(add_noise(truth)), t).landmarks)[:, 0]
    # Then the smooth curve is the true one times 0.95 to 1.05 while it shakes
    gain = (after - 300)[is_shaking] @ x[is_shaking] / (x[is_shaking] @ x[is_shaking])
    assert 0.95 < gain < 1.05
    assert np.ptp(after) > 0.95 * np.ptp(x)
    # And it neither lags nor leads: the error is not along the velocity
    velocity = np.gradient(x, t)[is_shaking]
    lag_secs = -((after - place_of(truth)[:, 0])[is_shaking] @ velocity) / (velocity @ velocity)
    assert abs(lag_secs) < 0.002


def test_a_shake_as_fast_as_the_frames_allow_is_no_jitter() -> None:
    """A dancer at 3 Hz in a 12 fps video: the place alone looks like noise, the face's own frame does not."""
    t = TIMES["12 fps"]
    truth = move(FACES["152"], 40 * np.sin(2 * np.pi * 3 * t))
    after = smooth_track(to_track(add_noise(truth)), t).landmarks
    assert rms(place_of(after) - place_of(truth)) < 1.5


def test_a_stop_does_not_overshoot() -> None:
    t = TIMES["25 fps"]
    x = np.minimum(100 * t, 200)  # stops dead at 2 s
    after = place_of(smooth_track(to_track(add_noise(move(FACES["152"], x), 4)), t).landmarks)[:, 0]
    resting = t > 2.4
    assert np.abs(after[resting] - place_of(move(FACES["152"], x))[resting, 0]).max() < 1.0
    assert (after - place_of(move(FACES["152"], x))[:, 0]).max() < 2.0


@pytest.mark.parametrize("rate", TIMES)
def test_the_ends_of_a_track_are_not_pulled(rate: str) -> None:
    t = TIMES[rate]
    errors = []
    for seed in range(5):
        truth = move(FACES["152"], 60 * t)
        after = smooth_track(to_track(add_noise(truth, seed)), t).landmarks
        errors.append((place_of(after) - place_of(truth))[[0, -1], 0])
    assert np.abs(np.mean(errors, axis=0)).max() < COMMON_NOISE_PX
    assert rms(errors) < 1.2 * COMMON_NOISE_PX


def test_a_track_without_noise_stays_as_it_is() -> None:
    t = TIMES["25 fps"]
    truth = move(FACES["152"], 20 * np.sin(5 * t), 0.2 * np.sin(3 * t))
    np.testing.assert_allclose(smooth_track(to_track(truth), t).landmarks, truth, atol=0.05)


def test_a_blink_stays() -> None:
    # Given a still face whose right eye shuts for 0.16 s
    t = TIMES["25 fps"]
    truth = move(FACES["152"], 0 * t)
    eye = truth[60:64, MESH["right_eye"]]
    truth[60:64, MESH["right_eye"], 1] = eye[..., 1].mean(1, keepdims=True)
    # When
    after = smooth_track(to_track(add_noise(truth)), t).landmarks

    # Then it is still seen to shut
    def height(points: npt.NDArray[np.floating]) -> Floats:
        return np.asarray(
            np.sort(points[:, MESH["right_eye"], 1])[:, -3:].mean(1)
            - np.sort(points[:, MESH["right_eye"], 1])[:, :3].mean(1)
        )

    assert height(after)[60:64].min() < 0.4 * np.median(height(after))


def test_a_glitch_of_one_frame_is_taken_out() -> None:
    t = TIMES["25 fps"]
    truth = move(FACES["152"], 40 * np.sin(2 * t))
    noisy = add_noise(truth)
    noisy[50] += (25.0, -10.0)
    after = smooth_track(to_track(noisy), t).landmarks
    assert np.abs(place_of(after) - place_of(truth))[48:53].max() < 1.5


def test_bridged_frames_follow_the_seen_ones() -> None:
    # Given a face on a curve, unseen for six frames, and a bridge that cuts the corner
    t = TIMES["25 fps"]
    truth = move(FACES["152"], 400 * (t - 2.5) ** 2)
    noisy = add_noise(truth)
    gap = list(range(60, 66))
    share = (np.arange(60, 66) - 59)[:, None, None] / 7
    noisy[gap] = noisy[59] * (1 - share) + noisy[66] * share
    # When
    after = smooth_track(to_track(noisy, gap), t).landmarks
    # Then the bridge is bent to the curve
    raw, smooth = (np.abs(place_of(p) - place_of(truth))[gap, 0].max() for p in (noisy, after))
    assert raw > 6
    assert smooth < 0.4 * raw


def test_the_boxes_move_with_their_faces() -> None:
    t = TIMES["25 fps"]
    truth = move(FACES["152"], 30 * np.sin(2 * t))
    track = to_track(add_noise(truth))
    smooth = smooth_track(track, t)
    true_boxes = to_track(truth).boxes
    assert rms(np.diff(smooth.boxes - true_boxes, 2, axis=0)) < rms(np.diff(track.boxes - true_boxes, 2, axis=0))
    assert rms(smooth.boxes.mean(1) - true_boxes.mean(1)) < rms(track.boxes.mean(1) - true_boxes.mean(1))


def test_all_but_places_is_left_alone() -> None:
    t = TIMES["25 fps"]
    track = to_track(add_noise(move(FACES["152"], 0 * t)), [5, 6])
    before = replace(track, landmarks=track.landmarks.copy())
    smooth = smooth_track(track, t)
    assert smooth.track_id == 3
    for name in ("frames", "scores", "is_bridged"):
        np.testing.assert_array_equal(getattr(smooth, name), getattr(track, name))
    np.testing.assert_array_equal(track.landmarks, before.landmarks)
    assert smooth.landmarks.dtype == np.float32
    assert smooth.boxes.dtype == np.float32


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 9])
def test_short_tracks_are_smoothed_as_far_as_they_can_be(face: str, count: int) -> None:
    t = np.arange(count) / 25
    truth = move(FACES[face], 0 * t)
    track = to_track(add_noise(truth))
    smooth = smooth_track(track, t)
    assert smooth.landmarks.shape == truth.shape
    assert np.isfinite(smooth.landmarks).all()
    assert rms(smooth.landmarks - truth) <= 1.05 * rms(track.landmarks - truth)


def test_strength_mixes_from_untouched_to_smooth() -> None:
    t = TIMES["25 fps"]
    track = to_track(add_noise(move(FACES["152"], 0 * t)))
    assert smooth_track(track, t, 0.0) is track
    jitters = [jitter_percent(smooth_track(track, t, s).landmarks) for s in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert all(np.diff(jitters) < 0)
    half = (track.landmarks + smooth_track(track, t).landmarks) / 2
    np.testing.assert_allclose(smooth_track(track, t, 0.5).landmarks, half, atol=1e-3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: np.zeros_like(t),
        lambda t: np.where(np.arange(len(t)) == 40, t[39], t),
        lambda t: np.where(np.arange(len(t)) == 40, t[35], t),
    ],
    ids=["all the same", "twice the same", "backwards"],
)
def test_broken_times_do_no_harm(spoil: Callable[[Floats], Floats]) -> None:
    t = TIMES["25 fps"]
    truth = move(FACES["152"], 0 * t)
    track = to_track(add_noise(truth))
    smooth = smooth_track(track, spoil(t))
    assert rms(smooth.landmarks - truth) < 0.9 * rms(track.landmarks - truth)


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    track = to_track(move(FACES["5"], np.zeros(5)))
    with pytest.raises(ValueError, match=f"strength '{strength}' is not between 0 and 1"):
        smooth_track(track, np.arange(5.0), strength)


def test_times_must_be_one_per_frame() -> None:
    with pytest.raises(ValueError, match="track of 5 frames came with 9 times"):
        smooth_track(to_track(move(FACES["5"], np.zeros(5))), np.arange(9.0))


def test_jitter_is_the_rms_second_difference_in_percent_of_the_eye_distance() -> None:
    # Given a face that hops 3 px to the right in every other frame: second differences of 6 px
    hop = move(FACES["152"], 3.0 * (np.arange(20) % 2)).astype(np.float32)
    assert eye_distance(hop[0]) == pytest.approx(60, abs=0.01)
    assert jitter_percent(hop) == pytest.approx(100 * 6 / 60, rel=1e-4)


def test_steady_motion_has_no_jitter_nor_have_two_frames() -> None:
    assert jitter_percent(move(FACES["5"], 7.0 * np.arange(20)).astype(np.float32)) == pytest.approx(0, abs=1e-3)
    assert jitter_percent(add_noise(move(FACES["5"], np.zeros(2))).astype(np.float32)) == 0.0


@pytest.mark.parametrize("rate", ["25 fps", "60 fps", "vfr"])
def test_noise_is_told_from_motion(rate: str) -> None:
    t = TIMES[rate]
    rng = np.random.default_rng(0)
    values = np.column_stack([40 * np.sin(2 * np.pi * t), 200 * t, 0 * t]) + rng.normal(0, [0.5, 2.0, 1.0], (len(t), 3))
    np.testing.assert_allclose(estimate_noise(values, t), [0.5, 2.0, 1.0], rtol=0.35)


@pytest.mark.parametrize(("work", "limit"), [(lambda t: smooth_track(t, t.frames / 25), 6), (measure_jitter, 3)])
def test_a_long_track_needs_a_few_times_its_own_memory(work: Callable[[Track], object], limit: float) -> None:
    track = to_track(add_noise(move(FACES["152"], np.zeros(2000))))
    tracemalloc.start()
    work(track)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < limit * track.landmarks.nbytes
