"""The best picture of every face in every span of a video, in one pass over its frames and with little memory.

Faces are followed as `convert` follows them, but nothing is looked up later: a face that was lost is a new person when
it comes back, and numbers count people in order of appearance. Which pictures are good enough is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from alignment.cuts import CutDetector
from alignment.faces import Face, suppress_duplicates
from alignment.templates import CropTemplate, source_to_crop

from .analyse import CUT_THUMBNAIL_PX
from .crops import cut
from .face_set.quality import Measures, complaint, measure
from .face_set.settings import QualityLimits
from .finder import RGB, FaceFinder, FaceSource
from .frames import Frame


@dataclass(frozen=True)
class CropShape:
    """How crops are cut."""

    template: CropTemplate
    """Where a face lies in its crop."""
    size_px: int
    """Side of the crops."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A crop that may become part of the data set."""

    crop: RGB
    """SxSx3 uint8 RGB."""
    measures: Measures
    """What it is worth."""
    box_xyxy: npt.NDArray[np.float32]
    """(4,) the face's box in its source."""
    number: int
    """Of the face in its source: from left to right in a picture, in order of appearance in a video; from 1."""
    frame: int = 0
    """Index of its frame in the source."""
    time_secs: float | None = None
    """Time of that frame from the video's start; None in a picture."""
    is_brief: bool = False
    """Its face was seen for less than `min_track_secs`: probably there is none."""


def cut_candidate(source: FaceSource, face: Face, shape: CropShape, number: int, measures: Measures) -> Candidate:
    """Cut the crop of a face out of a picture or frame, just as `convert` does."""
    if face.landmarks is None:
        raise ValueError("a face without landmarks cannot be cut out.")
    crop = cut(source, source_to_crop(face.landmarks, shape.template, shape.size_px), shape.size_px)
    return Candidate(crop, measures, face.box_xyxy, number)


@dataclass(frozen=True)
class SpanConfig:
    """How a video is looked through."""

    every_secs: float
    """Of every face one picture is taken in so many seconds."""
    detect_every: int
    """New faces are looked for every so many frames."""
    min_track_secs: float
    """A face that is lost again sooner counts as brief."""


def iter_candidates(
    frames: Iterable[Frame],
    time_base: Fraction,
    finder: FaceFinder,
    shape: CropShape,
    limits: QualityLimits,
    config: SpanConfig,
    on_frame: Callable[[int], None] = lambda faces: None,
) -> Iterator[Candidate]:
    """Go through a video once.

    Args:
        frames: the decoded frames in display order.
        time_base: seconds per unit of their pts.
        finder: looks for faces and follows them.
        shape: how crops are cut.
        limits: among the pictures of a span, good ones go before sharper ones that are not.
        config: see there.
        on_frame: called after every frame with the number of faces in it.

    Yields:
        Candidates, roughly in order of time: each at the end of its span.
    """
    crowd, first_pts = _Crowd(finder, config), None
    for index, frame in enumerate(frames):
        first_pts = frame.pts if first_pts is None else first_pts
        secs = float((frame.pts - first_pts) * time_base)
        for person in crowd.update(index, secs, frame):
            yield from person.taken()
        for person in crowd.people:
            if secs - person.span_start_secs >= max(config.every_secs, config.min_track_secs):
                yield from person.taken()
                person.span_start_secs = secs
            person.offer(_View(index, secs, frame), shape, limits)
        on_frame(len(crowd.people))
    for person in crowd.people:
        yield from person.taken()


@dataclass(frozen=True)
class _View:
    """A frame with its place in the video."""

    index: int
    secs: float
    frame: FaceSource


@dataclass(eq=False)
class _Person:
    """A face while it is followed, and the best picture of it in the span that is running."""

    number: int
    face: Face
    first_secs: float
    span_start_secs: float
    is_brief: bool = False
    best: Candidate | None = None
    rank: tuple[bool, float] = (False, 0.0)

    def offer(self, view: _View, shape: CropShape, limits: QualityLimits) -> None:
        """Keep this frame's picture if it is the best of the span so far."""
        measures = measure(view.frame, self.face, shape.template)
        rank = complaint(measures, limits) is None, -measures.blur
        if self.best is None or rank > self.rank:
            cut_out = cut_candidate(view.frame, self.face, shape, self.number, measures)
            self.rank, self.best = rank, replace(cut_out, frame=view.index, time_secs=round(view.secs, 3))

    def taken(self) -> Iterator[Candidate]:
        """Hand the best picture out, if there is one, and begin anew."""
        if self.best is not None:
            yield replace(self.best, is_brief=self.is_brief)
        self.best = None


class _Crowd:
    """Everybody who is in the picture now."""

    def __init__(self, finder: FaceFinder, config: SpanConfig) -> None:
        self.people: list[_Person] = []
        self._finder = finder
        self._config = config
        self._cuts = CutDetector()
        self._count = 0

    def update(self, index: int, secs: float, frame: Frame) -> list[_Person]:
        """Follow everybody into the next frame and look for new faces where that is due; return who left."""
        is_cut = self._cuts.update(_grey(frame))
        before, self.people = self.people, []
        if not is_cut:
            self._follow(frame, before)
        left = [person for person in before if person not in self.people]
        if not is_cut:
            for person in left:
                person.is_brief = secs - person.first_secs < self._config.min_track_secs
        if is_cut or left or index % self._config.detect_every == 0:
            self._welcome(self._finder.find(frame, [person.face for person in self.people]), secs)
        return left

    def _follow(self, frame: Frame, people: list[_Person]) -> None:
        followed = self._finder.follow(frame, [person.face for person in people])
        kept = {id(face) for face in suppress_duplicates([face for face in followed if face is not None])}
        for person, face in zip(people, followed, strict=True):
            if face is not None and id(face) in kept:
                person.face = face
                self.people.append(person)

    def _welcome(self, faces: list[Face], secs: float) -> None:
        for face in faces:
            self._count += 1
            self.people.append(_Person(self._count, face, secs, secs))


def _grey(frame: Frame) -> RGB:
    return np.asarray(frame.thumbnail(CUT_THUMBNAIL_PX).mean(axis=2), np.uint8)
