"""A few good pictures of every face: bounded, spread, sharp, and of the right track."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from alignment.faces import Face
from alignment.points import five_points
from pipeline.analyse import AnalyseConfig, analyse
from pipeline.analysis import Analysis
from pipeline.canvas import PictureCanvas
from pipeline.finder import FaceFinder
from pipeline.samples import SAMPLE_PX, SPREAD_FRAMES, SampleTaker, take_sample

from .faces import FIVE, BrightDetector, BrightLandmarker, ScriptedPicture

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 255, (240, 320, 3)).astype(np.uint8)


def face(x: float, y: float = 100) -> Face:
    points = FIVE + np.float32([x, y])
    return Face(np.float32([x - 30, y - 30, x + 30, y + 30]), points, 1.0)


def frame(blur: float) -> PictureCanvas:
    return PictureCanvas(cv2.GaussianBlur(NOISE, (0, 0), blur))


def test_a_sample_shows_the_face_upright_and_knows_its_points() -> None:
    sample = take_sample(frame(1.0), face(150), 7)
    assert sample.picture().shape == (SAMPLE_PX, SAMPLE_PX, 3)
    assert sample.frame == 7
    np.testing.assert_allclose(sample.centre, five_points(face(150).landmarks).mean(0))
    assert np.linalg.norm(sample.points[1] - sample.points[0]) == pytest.approx(0.21 * SAMPLE_PX, rel=0.1)


def test_the_sharper_picture_is_the_better_one_and_a_turned_face_the_worse() -> None:
    assert take_sample(frame(0.8), face(150)).quality > take_sample(frame(3.0), face(150)).quality
    turned = dataclasses.replace(
        face(150), landmarks=face(150).landmarks + np.float32([[0, 0], [0, 0], [12, 0], [0, 0], [0, 0]])
    )
    assert take_sample(frame(0.8), turned).quality < take_sample(frame(0.8), face(150)).quality


def test_pictures_of_a_face_are_few_spread_and_the_sharpest() -> None:
    # Given 400 frames of which every 40th is sharp
    taker = SampleTaker(num_samples=4)
    sharp, soft = frame(0.8), frame(3.0)
    for index in range(400):
        taker.update(index, sharp if index % 40 == 0 else soft, [face(150)])
    # Then
    [person] = taker._people
    frames = [s.frame for s in person.samples]
    assert len(frames) == 4
    assert all(f % 40 == 0 for f in frames)
    assert min(np.diff(frames)) >= SPREAD_FRAMES


def test_no_samples_are_taken_unless_they_are_asked_for() -> None:
    taker = SampleTaker(0)
    taker.update(0, frame(1.0), [face(150)])
    assert taker.samples_of([]) == {}


def test_samples_go_to_their_tracks_and_survive_the_analysis_file(tmp_path: Path) -> None:
    # Given two faces, of which one comes in later
    pictures = [ScriptedPicture((60 + i, 80), *([(240, 160)] if i > 20 else []), pts=i) for i in range(60)]
    finder, config = FaceFinder(BrightDetector(), BrightLandmarker()), AnalyseConfig(num_samples=3)
    found = analyse(pictures, Fraction(1, 25), finder, config)  # type: ignore[arg-type]
    # When
    found.save(tmp_path / "a.npz")
    loaded = Analysis.load(tmp_path / "a.npz")
    # Then each has at most three, from frames in which it was there, at its place
    assert sorted(loaded.samples) == [t.track_id for t in found.tracks] == [0, 1]
    for track in loaded.tracks:
        samples = loaded.samples[track.track_id]
        assert 1 <= len(samples) <= 3
        for sample, before in zip(samples, found.samples[track.track_id], strict=True):
            there = five_points(track.landmarks[sample.frame - track.frames[0]]).mean(0)
            np.testing.assert_allclose(sample.centre, there, atol=1e-2)
            assert (sample.jpeg == before.jpeg).all()
            assert sample.picture().max() > 200
