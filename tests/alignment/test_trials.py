"""Trials: what counts as found, and what the threshold without false positives costs."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from alignment.detectors import FaceDetector
from alignment.faces import Face
from alignment.scenes import CutOut, cut_out
from alignment.trials import (
    Trial,
    TrialSeries,
    TrueFace,
    darken,
    draw_trials,
    empty_trials,
    match,
    measure,
    recall_table,
)

RGB = npt.NDArray[np.uint8]
POINTS = np.array([[30, 35], [50, 35], [40, 45], [32, 55], [48, 55]], np.float32)
BOX = np.array([20, 15, 60, 65], np.float32)


class Told(FaceDetector):
    """Says what it is told for each picture, by its first pixel, from a score on."""

    name = "told"

    def __init__(self, answers: dict[int, list[Face]], min_score: float) -> None:
        self._answers, self._min_score = answers, min_score

    def detect(self, frame: RGB) -> list[Face]:
        return [face for face in self._answers.get(int(frame[0, 0, 0]), []) if face.score >= self._min_score]


def trial(number: int, *faces: TrueFace) -> Trial:
    return Trial(np.full((80, 80, 3), number, np.uint8), faces)


def source() -> CutOut:
    return cut_out(np.full((80, 80, 3), 200, np.uint8), np.full((80, 80), 255, np.uint8), BOX, POINTS)


def grey(rng: np.random.Generator) -> RGB:
    return np.full((360, 640, 3), int(rng.integers(10, 90)), np.uint8)


def test_a_face_is_found_once_and_what_stands_elsewhere_is_a_stray() -> None:
    other = TrueFace(BOX + 300, POINTS + 300, "b")
    here, twin, away = (
        Face(box, None, score) for box, score in ((BOX + 2, 0.9), (BOX + 1, 0.8), (BOX + np.float32(90), 0.7))
    )
    pairs = match([away, twin, here], trial(0, TrueFace(BOX, POINTS, "a"), other))
    assert pairs == {0: here}


def test_the_safe_threshold_is_the_best_score_where_nobody_is() -> None:
    # Given faces found with 0.9 and 0.5, and a wall taken for a face with 0.6
    truth = TrueFace(BOX, POINTS, "a")
    answers = {1: [Face(BOX, POINTS + 2, 0.9)], 2: [Face(BOX, POINTS, 0.5)], 3: [Face(BOX, None, 0.6)]}
    figures = measure(Told(answers, 0.4), Told(answers, 0.1), [trial(1, truth), trial(2, truth)], [trial(3), trial(4)])
    # Then both are found, one of them above the wall's score
    assert (figures.safe_score, figures.false_positives, figures.num_empty, figures.strays) == (0.6, 1, 2, 0)
    assert (figures.recall("a"), figures.recall("a", is_safe=True)) == (100, 50)
    assert figures.point_errors["a"] == pytest.approx([100 * np.sqrt(8) / 20, 0])


def test_the_table_shows_both_recalls_and_the_false_positives() -> None:
    truth = TrueFace(BOX, POINTS, "24-48 px")
    answers = {1: [Face(BOX, None, 0.9)]}
    figures = measure(Told(answers, 0.95), Told(answers, 0.1), [trial(1, truth)], [trial(4)])
    lines = recall_table({"told": figures}, ["24-48 px"]).splitlines()
    assert lines[2] == "| 24-48 px | 1 | 0.0 / 100.0 |"
    assert lines[3] == "| false positives | 1 | 0 |"
    assert "no points" in lines[4]


def test_drawn_faces_have_the_sizes_and_turns_of_their_class_and_hide_none() -> None:
    series = TrialSeries("sizes", sizes_px=((16, 24), (48, 96)))
    trials = draw_trials(series, [source()], [grey], 20)
    faces = [face for one in trials for face in one.faces]
    assert {face.group for face in faces} == {"16-24 px", "48-96 px"}
    assert len(faces) == 40
    for face in faces:
        size = np.sqrt(np.prod(face.box_xyxy[2:] - face.box_xyxy[:2]))
        low, high = (float(v) for v in face.group.removesuffix(" px").split("-"))
        assert low * 0.95 < size < high * 1.1
        assert (face.box_xyxy[:2] > -1).all()


def test_turned_faces_are_turned_both_ways_within_their_class() -> None:
    series = TrialSeries("turned", rolls_deg=((0, 15), (45, 60)))
    faces = [face for one in draw_trials(series, [source()], [grey], 30) for face in one.faces]
    turns = {group: [] for group in ("turned 0-15°", "turned 45-60°")}  # type: dict[str, list[float]]
    for face in faces:
        across = face.points[1] - face.points[0]
        turns[face.group].append(float(np.rad2deg(np.arctan2(across[1], across[0]))))
    assert max(map(abs, turns["turned 0-15°"])) <= 15.1
    assert min(map(abs, turns["turned 45-60°"])) >= 44.9
    assert min(turns["turned 45-60°"]) < 0 < max(turns["turned 45-60°"])


def test_the_same_seed_draws_the_same_trials() -> None:
    def draw(seed: int) -> list[Trial]:
        return draw_trials(TrialSeries("low light", gains=(0.1, 0.3)), [source()], [grey], 3, seed=seed)

    first, again, other = draw(1), draw(1), draw(2)
    assert all((a.picture == b.picture).all() for a, b in zip(first, again, strict=True))
    assert not all((a.picture == b.picture).all() for a, b in zip(first, other, strict=True))


def test_low_light_is_dark_and_noisy() -> None:
    dark = darken(np.full((50, 50, 3), 200, np.uint8), 0.25, 3.0, np.random.default_rng(0))
    assert dark.mean() == pytest.approx(50, abs=1)
    assert dark.std() == pytest.approx(3, abs=0.3)


def test_empty_trials_look_at_each_background_as_often_as_asked() -> None:
    views: list[Callable[[np.random.Generator], RGB]] = [grey, grey]
    trials = empty_trials(views, 3)
    assert len(trials) == 6
    assert not any(one.faces for one in trials)
