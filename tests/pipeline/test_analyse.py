"""Pass 1: faces are found, followed, and looked for only as often as needed."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.analyse import AnalyseConfig, analyse
from pipeline.analysis import Analysis
from pipeline.errors import UnreadableInputError
from pipeline.finder import FaceFinder

from .faces import BrightDetector, BrightLandmarker, ScriptedPicture, analysis, track


def run(pictures: list[ScriptedPicture], detector: BrightDetector | None = None, **config: Any) -> Analysis:
    for i, picture in enumerate(pictures):
        picture.pts = i
    finder = FaceFinder(detector or BrightDetector(), BrightLandmarker())
    return analyse(pictures, Fraction(1, 25), finder, AnalyseConfig(**config))  # type: ignore[arg-type]


def test_a_moving_face_becomes_one_track_with_few_detector_calls() -> None:
    detector = BrightDetector()
    found = run([ScriptedPicture((60 + 2 * i, 100)) for i in range(40)], detector, detect_every=5)
    [only] = found.tracks
    assert list(only.frames) == list(range(40))
    assert np.abs(only.landmarks.mean(1)[:, 0] - (59.5 + 2 * np.arange(40))).max() < 1.5
    assert detector.calls == 8


def test_a_face_that_comes_in_between_two_detections_is_followed_back_to_its_first_frame() -> None:
    pictures = [ScriptedPicture() for _ in range(12)] + [ScriptedPicture((60 + i, 100)) for i in range(20)]
    [only] = run(pictures, detect_every=5).tracks
    assert only.frames[0] == 12


def test_two_faces_keep_to_themselves() -> None:
    found = run([ScriptedPicture((60 + i, 100), (240 - i, 100)) for i in range(20)])
    assert [len(t.frames) for t in found.tracks] == [20, 20]
    assert (np.diff([t.landmarks.mean((0, 1))[0] for t in found.tracks]) > 90).all()


def test_a_short_gap_is_bridged_and_a_glimpse_is_dropped() -> None:
    there, gone = ScriptedPicture, lambda: ScriptedPicture()
    pictures = (
        [there((100, 100)) for _ in range(20)] + [gone() for _ in range(6)] + [there((100, 100)) for _ in range(20)]
    )
    [only] = run(pictures, detect_every=1).tracks
    assert list(np.flatnonzero(only.is_bridged)) == list(range(20, 26))
    glimpse = [gone() for _ in range(20)] + [there((100, 100)) for _ in range(2)] + [gone() for _ in range(20)]
    assert run(glimpse, detect_every=1).tracks == ()


def test_no_frame_at_all_is_an_error() -> None:
    with pytest.raises(UnreadableInputError, match="no frame"):
        run([])


def test_an_analysis_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    before = analysis(30, track(3, range(5, 20)), track(7, range(30)), cuts=[5])
    before.save(tmp_path / "a.npz")
    after = Analysis.load(tmp_path / "a.npz")
    assert (after.pts == before.pts).all()
    assert (after.time_base, after.cuts, after.detector) == (before.time_base, before.cuts, before.detector)
    assert [t.track_id for t in after.tracks] == [3, 7]
    assert (after.tracks[0].landmarks == before.tracks[0].landmarks).all()
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_a_damaged_analysis_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(ValueError, match="no analysis"):
        Analysis.load(tmp_path / "a.npz")


def test_two_faces_that_become_one_are_followed_as_one() -> None:
    pictures = [ScriptedPicture((100, 80), (max(160 - 4 * i, 100), 80), pts=i) for i in range(30)]
    finder, counts = FaceFinder(BrightDetector(), BrightLandmarker()), list[int]()
    config = AnalyseConfig(detect_every=1000)
    analyse(pictures, Fraction(1, 25), finder, config, on_frame=counts.append)  # type: ignore[arg-type]
    assert (counts[0], counts[-1]) == (2, 1)
