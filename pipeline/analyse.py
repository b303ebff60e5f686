"""Pass 1: decode a video once, find its scene cuts and follow its faces into tracks. It changes no pixel."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from alignment.cuts import CutDetector
from alignment.faces import Face, suppress_duplicates
from alignment.tracking import TrackingConfig, link_faces

from .analysis import Analysis
from .errors import UnreadableInputError
from .finder import FaceFinder, contains
from .frames import Frame
from .prefetch import prefetch
from .samples import SampleTaker

LOOK_BACK_FRAMES = 8
"""A new face is followed backwards over at most so many frames, to where it came in between two detections."""

LOOK_AHEAD_BYTES = 200_000_000
"""Frames read ahead so that some can be searched together fill at most so much memory (at three bytes a pixel)."""

SEARCHED_AHEAD_FRAMES = 8
"""Frames that were searched and wait to be followed: the two are done at the same time, by two threads."""

CUT_THUMBNAIL_PX = 64
"""Short side of the pictures in which cuts are looked for."""


@dataclass(frozen=True)
class AnalyseConfig:
    """How faces are looked for and what counts as a track."""

    detect_every: int = 5
    """Look for new faces every so many frames; known ones are followed in between."""
    min_track_secs: float = 0.2
    """Shorter tracks are dropped as false."""
    max_gap_secs: float = 0.5
    """A face lost for no longer than this is bridged."""
    num_samples: int = 0
    """Pictures of every face that are kept, see samples.py."""


def analyse(
    frames: Iterable[Frame],
    time_base: Fraction,
    finder: FaceFinder,
    config: AnalyseConfig,
    on_frame: Callable[[int], None] = lambda faces: None,
) -> Analysis:
    """Run pass 1 over all frames of a video.

    Args:
        frames: the decoded frames in display order.
        time_base: seconds per unit of their pts.
        finder: looks for faces and follows them.
        config: see there.
        on_frame: called after every frame with the number of faces in it.

    Returns:
        The analysis; tracks are bridged and filtered, not smoothed.

    Raises:
        UnreadableInputError: there was no frame at all.
    """
    follower, samples, pts = _Follower(finder, config.detect_every), SampleTaker(config.num_samples), list[int]()
    ahead = prefetch(
        _look_ahead(frames, finder, config),
        SEARCHED_AHEAD_FRAMES,
        max_bytes=LOOK_AHEAD_BYTES // 4,
        bytes_of=lambda seen: _num_bytes(seen.frame),
        name="search",
    )
    with closing(ahead):
        for seen in ahead:
            follower.update(seen)
            samples.update(len(pts), seen.frame, follower.faces[-1])
            pts.append(seen.frame.pts)
            on_frame(len(follower.faces[-1]))
    if not pts:
        raise UnreadableInputError("the video holds no frame that can be decoded.")
    stamps = np.array(pts, np.int64)
    times = np.asarray((stamps - stamps[0]) * float(time_base), np.float64)
    tracking = TrackingConfig(min_track_secs=config.min_track_secs, max_gap_secs=config.max_gap_secs)
    tracks = link_faces(follower.faces, times, frozenset(follower.cuts), tracking)
    return Analysis(
        stamps,
        time_base,
        frozenset(follower.cuts),
        tuple(tracks),
        finder.detector.name,
        samples=samples.samples_of(tracks) if config.num_samples else {},
    )


@dataclass(frozen=True, eq=False)
class _SeenFrame:
    """A frame with what was found out before its turn."""

    frame: Frame
    is_cut: bool
    """It starts a new scene."""
    detections: list[Face] | None
    """What the detector finds in it; None where that was not due."""


def _look_ahead(frames: Iterable[Frame], finder: FaceFinder, config: AnalyseConfig) -> Iterator[_SeenFrame]:
    """Search the frames that are due for it in groups: every so many, and where a scene begins.

    As many at once as the detector likes and LOOK_AHEAD_BYTES allow. A frame's detections do not depend on its group,
    so neither does anything else.
    """
    cuts, waiting = CutDetector(), list[tuple[Frame, bool, bool]]()
    for index, frame in enumerate(frames):
        is_cut = cuts.update(frame.grey_thumbnail(CUT_THUMBNAIL_PX))
        waiting.append((frame, is_cut, is_cut or index % config.detect_every == 0))
        num_due = sum(is_due for _, _, is_due in waiting)
        is_full = _num_bytes(frame) * (len(waiting) + 1) > LOOK_AHEAD_BYTES
        if num_due in (0, finder.detector.batch_size) or is_full:
            yield from _searched(waiting, finder)
            waiting = []
    yield from _searched(waiting, finder)


def _searched(waiting: list[tuple[Frame, bool, bool]], finder: FaceFinder) -> Iterator[_SeenFrame]:
    due = [frame for frame, _, is_due in waiting if is_due]
    found = iter(finder.detect(due, is_series=True) if due else [])
    for frame, is_cut, is_due in waiting:
        yield _SeenFrame(frame, is_cut, next(found) if is_due else None)


class _Follower:
    """The running state of pass 1: faces of every frame so far, and the last frames themselves."""

    def __init__(self, finder: FaceFinder, detect_every: int) -> None:
        self.faces: list[list[Face]] = []
        self.cuts: list[int] = []
        self._finder = finder
        self._recent: deque[Frame] = deque(maxlen=min(detect_every - 1, LOOK_BACK_FRAMES))

    def update(self, seen: _SeenFrame) -> None:
        """Take the next frame in."""
        frame, index = seen.frame, len(self.faces)
        if seen.is_cut and index > 0:
            self.cuts.append(index)
            self._recent.clear()
        before = self.faces[-1] if self.faces and not seen.is_cut else []
        followed = [face for face in self._finder.follow(frame, before) if face is not None]
        faces = suppress_duplicates(followed)  # where one passed behind another, both may have ended on the same
        detections = seen.detections
        if detections is None and len(faces) < len(before):
            [detections] = self._finder.detect([frame], is_series=True)
        if detections is not None:
            new = self._finder.find(frame, faces, detections)
            self._look_back(new)
            faces += new
        self.faces.append(faces)
        self._recent.append(frame)

    def _look_back(self, new: list[Face]) -> None:
        """Follow new faces backwards: they came in at some frame since the last detection."""
        current = new
        for back, frame in enumerate(reversed(self._recent), 1):
            current = [face for face in self._finder.follow(frame, current) if face is not None]
            current = [face for face in current if not _is_known(face, self.faces[-back])]
            if not current:
                return
            self.faces[-back] += current


def _is_known(face: Face, others: list[Face]) -> bool:
    centre = (face.box_xyxy[:2] + face.box_xyxy[2:]) / 2
    return any(contains(other, centre) for other in others)


def _num_bytes(frame: Frame) -> int:
    width, height = frame.size_wh
    return 3 * width * height
