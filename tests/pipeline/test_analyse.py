"""Pass 1: faces are found, followed, and looked for only as often as needed."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from alignment.faces import Face
from pipeline.analyse import AnalyseConfig, analyse
from pipeline.analysis import Analysis
from pipeline.errors import UnreadableInputError
from pipeline.finder import FaceFinder

from .faces import FIVE, BrightDetector, BrightLandmarker, ScriptedPicture, analysis, track


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


@pytest.mark.parametrize("batch_size", [2, 4, 100])
def test_frames_searched_together_give_what_frames_searched_one_by_one_give(batch_size: int) -> None:
    # Given a face that comes, one that goes, and one lost between two searches
    pictures = [ScriptedPicture((60 + i, 100)) for i in range(13)]
    pictures += [ScriptedPicture((60 + i, 100), (240 - i, 100)) for i in range(13, 24)] + [ScriptedPicture((230, 60))]
    pictures += [ScriptedPicture((220, 100)) for _ in range(10)]
    alone, together = BrightDetector(), BrightDetector()
    together.batch_size = batch_size
    # When the detector likes groups
    one, other = (run(pictures, detector, min_track_secs=0) for detector in (alone, together))
    # Then the tracks are the same, and no search is made twice
    assert len(one.tracks) >= 2
    assert [list(t.frames) for t in one.tracks] == [list(t.frames) for t in other.tracks]
    assert all((a.landmarks == b.landmarks).all() for a, b in zip(one.tracks, other.tracks, strict=True))
    assert alone.calls == together.calls


def test_looking_ahead_holds_no_more_frames_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a limit of six frames and a detector that would like a hundred searches at once
    monkeypatch.setattr("pipeline.analyse.LOOK_AHEAD_BYTES", 6 * 3 * 320 * 240)
    detector, taken, done = BrightDetector(), list[int](), list[int]()
    detector.batch_size = 100
    pictures = [ScriptedPicture((60 + i, 100), pts=i) for i in range(40)]

    def feed() -> Iterator[ScriptedPicture]:
        for picture in pictures:
            taken.append(len(done))
            yield picture

    finder = FaceFinder(detector, BrightLandmarker())
    analyse(feed(), Fraction(1, 25), finder, AnalyseConfig(), on_frame=done.append)  # type: ignore[arg-type]
    # Then never more than six wait to be searched, and a few to be followed
    assert max(i - handled for i, handled in enumerate(taken)) <= 6 + 3
    assert len(done) == 40


def test_a_detection_with_points_is_looked_at_about_its_points_turned_as_they_are() -> None:
    # Given a detector whose box is far off but whose points are right, turned by 50 degrees
    turn = np.deg2rad(50)
    points = (FIVE @ np.float32([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + 150).astype(np.float32)

    class Pointing(BrightDetector):
        def detect(self, frame: np.ndarray) -> list[Face]:  # type: ignore[type-arg]
            return [Face(np.float32([10, 10, 20, 20]), points, 1.0)]

    class Noting(BrightLandmarker):
        rois: ClassVar[list[np.ndarray]] = []  # type: ignore[type-arg]

        def view_of(self, roi: Any) -> Any:
            self.rois.append(roi)
            return super().view_of(roi)

    # When the face is looked for
    FaceFinder(Pointing(), Noting()).find(ScriptedPicture((150, 150)))
    # Then the first look is turned likewise
    (a, b), (c, d) = Noting.rois[0][:, :2]
    assert np.rad2deg(np.arctan2(c, a)) == pytest.approx(-50, abs=2)
    assert (b, d) == (pytest.approx(-c), pytest.approx(a))
