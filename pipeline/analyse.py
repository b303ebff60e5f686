"""Pass 1: decode a video once, find its scene cuts and follow its faces into tracks. It changes no pixel."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from alignment.cuts import CutDetector
from alignment.faces import Face, suppress_duplicates
from alignment.tracking import TrackingConfig, link_faces

from .analysis import Analysis
from .errors import UnreadableInputError
from .finder import RGB, FaceFinder, contains
from .frames import Frame

LOOK_BACK_FRAMES = 8
"""A new face is followed backwards over at most so many frames, to where it came in between two detections."""

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
    follower, pts = _Follower(finder, config.detect_every), []
    for frame in frames:
        pts.append(frame.pts)
        follower.update(frame)
        on_frame(len(follower.faces[-1]))
    if not pts:
        raise UnreadableInputError("the video holds no frame that can be decoded.")
    stamps = np.array(pts, np.int64)
    times = np.asarray((stamps - stamps[0]) * float(time_base), np.float64)
    tracking = TrackingConfig(min_track_secs=config.min_track_secs, max_gap_secs=config.max_gap_secs)
    tracks = link_faces(follower.faces, times, frozenset(follower.cuts), tracking)
    return Analysis(stamps, time_base, frozenset(follower.cuts), tuple(tracks), finder.detector.name)


class _Follower:
    """The running state of pass 1: faces of every frame so far, and the last frames themselves."""

    def __init__(self, finder: FaceFinder, detect_every: int) -> None:
        self.faces: list[list[Face]] = []
        self.cuts: list[int] = []
        self._finder = finder
        self._detect_every = detect_every
        self._cut_detector = CutDetector()
        self._recent: deque[Frame] = deque(maxlen=min(detect_every - 1, LOOK_BACK_FRAMES))

    def update(self, frame: Frame) -> None:
        """Take the next frame in."""
        index, is_cut = len(self.faces), self._cut_detector.update(_grey(frame.thumbnail(CUT_THUMBNAIL_PX)))
        if is_cut and index > 0:
            self.cuts.append(index)
            self._recent.clear()
        before = self.faces[-1] if self.faces and not is_cut else []
        followed = [face for face in self._finder.follow(frame, before) if face is not None]
        faces = suppress_duplicates(followed)  # where one passed behind another, both may have ended on the same
        if is_cut or index % self._detect_every == 0 or len(faces) < len(before):
            new = self._finder.find(frame, known=faces)
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


def _grey(rgb: RGB) -> RGB:
    return np.asarray(rgb.mean(axis=2), np.uint8)
