"""A few good pictures of every face, taken in pass 1: to see who it is, and to show it. Bounded in number and size.

Sharp, large, frontal faces are preferred, spread over time. What they are compared with is search.py's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from alignment.faces import Boxes, Face, iou
from alignment.points import Points, five_points
from alignment.templates import HEAD, source_to_crop
from alignment.tracking import Track
from alignment.warp import transform_points

from .crops import cut
from .finder import RGB, FaceSource

SAMPLE_PX = 160
"""Side of a sample: its eyes are 34 px apart, as embedders want them."""

SAMPLE_EVERY_FRAMES = 5
"""A known face is looked at so often."""

SPREAD_FRAMES = 20
"""Of the pictures of a face that are closer together than this the best is kept."""


@dataclass(frozen=True, eq=False)
class FaceSample:
    """One picture of one face."""

    frame: int
    """Index of the frame that it was cut from."""
    centre: Points
    """(2,) middle of its five points in that frame."""
    jpeg: npt.NDArray[np.uint8]
    """(B,) the crop by the head template as a JPEG file: a fifth of the memory of its pixels."""
    points: Points
    """5x2 float32, pixels of the crop."""
    quality: float
    """How sharp, large and frontal it is, for comparing the pictures of one face."""

    def picture(self) -> RGB:
        """Return the crop, SAMPLE_PX x SAMPLE_PX x 3 uint8 RGB."""
        return np.asarray(
            cv2.cvtColor(np.asarray(cv2.imdecode(self.jpeg, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB), np.uint8
        )


def take_sample(source: FaceSource, face: Face, frame: int = 0) -> FaceSample:
    """Cut a picture of a face with landmarks out of its frame."""
    if face.landmarks is None:
        raise ValueError("a face without landmarks cannot be cut out.")
    five = five_points(face.landmarks)
    transform = source_to_crop(face.landmarks, HEAD, SAMPLE_PX)
    crop, points = cut(source, transform, SAMPLE_PX), transform_points(transform, five)
    _, jpeg = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    return FaceSample(frame, five.mean(0), np.asarray(jpeg, np.uint8).ravel(), points, _quality(crop, points))


def _quality(crop: RGB, points: Points) -> float:
    """Contrast of fine detail inside the face, less where the nose stands aside."""
    low, high = points.min(0).astype(int), points.max(0).astype(int) + 1
    inside = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[max(low[1], 0) : high[1], max(low[0], 0) : high[0]]
    if inside.size == 0:
        return 0.0
    turned = abs(float(points[2, 0] - points[[0, 1, 3, 4], 0].mean())) / (SAMPLE_PX * 0.21)
    return float(cv2.Laplacian(inside, cv2.CV_32F).std()) * max(1 - turned, 0.1)


@dataclass(eq=False)
class _Person:
    """A face while it is followed."""

    box_xyxy: Boxes
    seen: int
    looked: int = -SAMPLE_EVERY_FRAMES
    samples: list[FaceSample] = field(default_factory=list)

    def offer(self, sample: FaceSample, num_samples: int) -> None:
        """Keep a picture if it is better than what it would stand for."""
        self.looked = sample.frame
        if self.samples and sample.frame - self.samples[-1].frame < SPREAD_FRAMES:
            if sample.quality > self.samples[-1].quality:
                self.samples[-1] = sample
            return
        self.samples.append(sample)
        if len(self.samples) > num_samples:
            self.samples.remove(min(self.samples, key=lambda s: s.quality))


class SampleTaker:
    """Looks at the faces of each frame in turn and keeps the best pictures of each."""

    def __init__(self, num_samples: int) -> None:
        """Args: num_samples: pictures kept per face; 0 keeps none and costs nothing."""
        self._num_samples = num_samples
        self._people: list[_Person] = []
        self._gone: list[_Person] = []

    def update(self, frame: int, source: FaceSource, faces: Sequence[Face]) -> None:
        """Take a frame in: its index, its picture, its faces."""
        if self._num_samples == 0:
            return
        self._let_go(frame)
        for face in faces:
            person = self._person(face, frame)
            person.box_xyxy, person.seen = face.box_xyxy, frame
            if frame - person.looked >= SAMPLE_EVERY_FRAMES:
                person.offer(take_sample(source, face, frame), self._num_samples)

    def _let_go(self, frame: int) -> None:
        self._gone += [p for p in self._people if frame - p.seen > SAMPLE_EVERY_FRAMES]
        self._people = [p for p in self._people if frame - p.seen <= SAMPLE_EVERY_FRAMES]

    def _person(self, face: Face, frame: int) -> _Person:
        """Who stood there a moment ago. Mistakes are harmless: tracks are asked in the end."""
        free = [p for p in self._people if p.seen < frame]
        if free:
            overlaps = iou(face.box_xyxy[None], np.stack([p.box_xyxy for p in free]))[0]
            if overlaps.max() > 0.2:
                return free[int(overlaps.argmax())]
        self._people.append(_Person(face.box_xyxy, frame))
        return self._people[-1]

    def samples_of(self, tracks: Sequence[Track]) -> dict[int, tuple[FaceSample, ...]]:
        """Return the best pictures of each track by its id; those of faces that are in no track are left out."""
        found: dict[int, list[FaceSample]] = {track.track_id: [] for track in tracks}
        for person in self._gone + self._people:
            for sample in person.samples:
                track = _track_at(tracks, sample)
                if track is not None:
                    found[track.track_id].append(sample)
        return {track_id: _best(samples, self._num_samples) for track_id, samples in found.items()}


def _best(samples: list[FaceSample], count: int) -> tuple[FaceSample, ...]:
    ranked = sorted(samples, key=lambda s: -s.quality)[:count]
    return tuple(sorted(ranked, key=lambda s: s.frame))


def _track_at(tracks: Sequence[Track], sample: FaceSample) -> Track | None:
    """The track that was seen just where a picture was taken."""
    for track in tracks:
        index = sample.frame - int(track.frames[0])
        is_seen = 0 <= index < len(track.frames) and not track.is_bridged[index]
        if is_seen and np.abs(five_points(track.landmarks[index]).mean(0) - sample.centre).max() < 1e-2:
            return track
    return None
