"""Faces with known truth for the tests of the pipeline: tracks, analyses, and pictures that follow a script."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from alignment.detectors import FaceDetector
from alignment.faces import Face
from alignment.landmarks import Landmarker, LandmarkResult
from alignment.points import NUM_LANDMARKS, Points
from alignment.tracking import Track
from pipeline.analysis import Analysis
from pipeline.crops import crop_of_region

FIVE = np.float32([[-15, -12], [15, -12], [0, 4], [-11, 18], [11, 18]])
"""Five points of a face with eyes 30 px apart, around its middle."""


def track(track_id: int, frames: Sequence[int], centre: tuple[float, float] = (100, 80), size: float = 1.0) -> Track:
    """A face that stands still."""
    n = len(frames)
    points = np.repeat((FIVE * size + np.float32(centre))[None], n, axis=0).astype(np.float32)
    box = np.float32([*(np.float32(centre) - 30 * size), *(np.float32(centre) + 30 * size)])
    return Track(
        track_id,
        np.asarray(frames, np.int64),
        points,
        np.repeat(box[None], n, axis=0),
        np.ones(n, np.float32),
        np.zeros(n, bool),
    )


def analysis(num_frames: int, *tracks: Track, cuts: Sequence[int] = (), frame_rate: int = 25) -> Analysis:
    """A constant-rate video with these tracks."""
    pts = np.arange(num_frames, dtype=np.int64)
    return Analysis(pts, Fraction(1, frame_rate), frozenset(cuts), tuple(tracks), "fake")


class ScriptedPicture:
    """A black picture in which faces stand at known places."""

    def __init__(self, *centres: tuple[float, float], size_wh: tuple[int, int] = (320, 240), pts: int = 0) -> None:
        self.centres = [np.float32(c) for c in centres]
        self.size_wh = size_wh
        self.pts = pts

    def to_rgb(self, x0: int, y0: int, x1: int, y1: int) -> npt.NDArray[np.uint8]:
        picture = np.zeros((self.size_wh[1], self.size_wh[0], 3), np.uint8)
        for x, y in self.centres:
            picture[int(y) - 20 : int(y) + 20, int(x) - 20 : int(x) + 20] = 255
        return picture[y0:y1, x0:x1]

    def thumbnail(self, short_side: int) -> npt.NDArray[np.uint8]:
        return self.to_rgb(0, 0, *self.size_wh)

    def grey_thumbnail(self, short_side: int) -> npt.NDArray[np.uint8]:
        return self.thumbnail(short_side)[..., 0]

    def crop(self, source_to_crop: Points, size_px: int) -> npt.NDArray[np.uint8]:
        return crop_of_region(self, source_to_crop, size_px)


class BrightDetector(FaceDetector):
    """Takes bright squares of 40 px for faces; counts its calls."""

    name = "bright"

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, frame: npt.NDArray[np.uint8]) -> list[Face]:
        import cv2

        self.calls += 1
        _, _, stats, _ = cv2.connectedComponentsWithStats((frame[..., 0] > 128).astype(np.uint8))
        return [Face(np.float32([x, y, x + w, y + h]), None, 1.0) for x, y, w, h, area in stats[1:] if area > 100]


class BrightLandmarker(Landmarker):
    """Puts all landmarks around the middle of what is bright in a region; no face where nothing is."""

    num_landmarks = NUM_LANDMARKS
    roi_size_px = 64

    def look(self, views: Sequence[npt.NDArray[np.uint8]]) -> list[LandmarkResult]:
        return [self._look_at(view) for view in views]

    def _look_at(self, view: npt.NDArray[np.uint8]) -> LandmarkResult:
        rows, columns = np.nonzero(view[..., 0] > 128)
        if rows.size < view[..., 0].size / 9:
            return LandmarkResult(np.zeros((NUM_LANDMARKS, 2), np.float32), 0.0)
        ring = np.linspace(0, 2 * np.pi, NUM_LANDMARKS, endpoint=False)
        radius = (rows.max() - rows.min() + 1) / 2
        points = (columns.mean(), rows.mean()) + radius * np.stack([np.cos(ring), np.sin(ring)], axis=1)
        return LandmarkResult(points.astype(np.float32), 0.9)
