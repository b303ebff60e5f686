"""Training regions for the landmark network: a face seen through a jittered region, or a region without one.

Geometry is one warp per region; what happens to the colours afterwards is `landmark_degrade.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from alignment.landmarks import roi_from_landmarks
from alignment.points import MESH, Points, five_points
from alignment.warp import compose, transform_points

from .landmark_data import MIRROR, LabelledFace, Picture
from .landmark_degrade import degrade, occlude

_Floats = npt.NDArray[np.float64]

_BORDERS = (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101)
FACELESS_IN_TRAINING = (
    "coffee",
    "hubble_deep_field",
    "retina",
    "brick",
    "grass",
    "gravel",
    "page",
    "text",
    "moon",
    "immunohistochemistry",
    "colorwheel",
)
"""Names of scikit-image pictures without a face that regions are cut from."""
FACELESS_HELD_OUT = ("chelsea", "rocket", "clock")
"""Names of scikit-image pictures without a face that training never sees."""


@dataclass(frozen=True)
class RegionConfig:
    """How training regions are drawn."""

    size_px: int = 128
    """Side of a region."""
    negative_share: float = 0.25
    """Share of regions that show no face."""
    follow_share: float = 0.5
    """Share of the faces seen nearly as their own landmarks would have it; the rest stands for detectors' boxes."""
    max_angle_deg: float = 45.0
    """Largest roll of a face in a detector's region."""


@dataclass(frozen=True)
class Batch:
    """N training regions."""

    regions: Tensor
    """NxSxSx3 uint8 RGB."""
    landmarks: Tensor
    """NxKx2 float32, fractions of the side (pixel i at (i + 0.5) / S); zeros where there is no face."""
    presence: Tensor
    """N float32: 1 with a face, 0 without."""


class RegionBatches(IterableDataset[Batch]):
    """Batches numbered from `first`; batch i depends on the seed and i alone, so a resumed run sees the same."""

    def __init__(
        self,
        faces: Sequence[LabelledFace],
        *,
        batch_size: int,
        first: int,
        last: int,
        seed: int = 0,
        config: RegionConfig | None = None,
    ) -> None:
        """Draw batches first ... last - 1 of `batch_size` regions from `faces`."""
        super().__init__()
        self.sampler = RegionSampler(faces, config or RegionConfig())
        self.batch_size, self.first, self.last, self.seed = batch_size, first, last, seed

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches in order."""
        cv2.setNumThreads(1)
        for index in range(self.first, self.last):
            yield self.sampler.batch(np.random.default_rng((self.seed, index)), self.batch_size)


class RegionSampler:
    """Draws regions with and without faces."""

    def __init__(
        self, faces: Sequence[LabelledFace], config: RegionConfig, faceless: Sequence[str] = FACELESS_IN_TRAINING
    ) -> None:
        """Prepare to draw from `faces` (rare poses and faces more often than their share) and `faceless`."""
        self.faces, self.config = faces, config
        weights = np.array([_weight(face) for face in faces])
        self._chances = np.cumsum(weights / weights.sum())
        self._faceless = [faceless_picture(name) for name in faceless]
        self._rois = [roi_from_landmarks(face.landmarks, config.size_px) for face in faces]

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """Draw `count` regions; occluding patches come from the batch's own regions."""
        size = self.config.size_px
        regions = np.zeros((count, size, size, 3), np.uint8)
        landmarks = np.zeros((count, len(MIRROR), 2), np.float32)
        presence = np.ones(count, np.float32)
        for i in range(count):
            if rng.random() < self.config.negative_share:
                region, presence[i] = self.negative(rng), 0
            else:
                region, landmarks[i] = self.positive(rng)
            if rng.random() < 0.3:
                region = occlude(region, regions[rng.integers(i)] if i else region[::-1], rng)
            regions[i] = degrade(region, rng)
        return Batch(torch.from_numpy(regions), torch.from_numpy(landmarks), torch.from_numpy(presence))

    def positive(self, rng: np.random.Generator) -> tuple[Picture, Points]:
        """A face in a jittered region, undegraded, and its landmarks as fractions of the side."""
        index = min(int(np.searchsorted(self._chances, rng.random())), len(self.faces) - 1)
        face, size = self.faces[index], self.config.size_px
        source_to_roi = compose(self._jitter(rng), self._rois[index])
        is_mirrored = rng.random() < 0.5
        if is_mirrored:
            source_to_roi = compose([[-1, 0, size - 1], [0, 1, 0]], source_to_roi)
        landmarks = transform_points(source_to_roi, face.landmarks)
        region = _warp(face.picture, source_to_roi, size, rng)
        landmarks = landmarks[MIRROR] if is_mirrored else landmarks
        return region, np.asarray((landmarks + 0.5) / size, np.float32)

    def _jitter(self, rng: np.random.Generator) -> _Floats:
        size = self.config.size_px
        if rng.random() < self.config.follow_share:
            angle, log_scale = rng.normal(0, 5), rng.normal(0, 0.06)
            shift = rng.normal(0, 0.03, 2)
        else:
            limit = self.config.max_angle_deg
            angle = rng.uniform(-limit, limit) if rng.random() < 0.6 else rng.normal(0, 10)
            log_scale, shift = rng.uniform(-0.35, 0.3), rng.uniform(-0.15, 0.15, 2)
        return _about_centre(size, np.deg2rad(angle), np.exp(log_scale + rng.normal(0, 0.025, 2)), shift * size)

    def negative(self, rng: np.random.Generator) -> Picture:
        """A region without a face, or so far off one that a follower should give up."""
        size, draw = self.config.size_px, rng.random()
        if draw < 0.12:
            return _texture(size, rng)
        if draw < 0.3:
            return _random_square(self._faceless[rng.integers(len(self._faceless))], size, rng)
        for _ in range(20):
            face = self.faces[int(rng.integers(len(self.faces)))]
            square = _square_off_face(face, rng)
            if square is not None:
                centre, side = square
                return _cut_square(face.picture, centre, side, size, rng)
        return _texture(size, rng)


def faceless_picture(name: str) -> Picture:
    """A picture of scikit-image as HxWx3 uint8 RGB; name is that of a function in `skimage.data`."""
    picture = np.asarray(getattr(skimage.data, name)())
    if picture.dtype != np.uint8:
        picture = (picture * 255.0).round().astype(np.uint8)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    return np.ascontiguousarray(picture[..., :3])


def _weight(face: LabelledFace) -> float:
    """How often a face is drawn: 1 for a calm frontal one, up to 7 for what the pictures show seldom."""
    five = five_points(face.landmarks)
    height = max(float(np.linalg.norm(five[3:].mean(0) - five[:2].mean(0))), 1e-6)
    lips = face.landmarks[MESH["lips_inner"]]
    mouth_gap = float(np.linalg.norm(lips[5] - lips[15])) / height
    eye_gap = (
        max(
            float(np.linalg.norm(eye[4] - eye[12]))
            for eye in (face.landmarks[MESH["right_eye"]], face.landmarks[MESH["left_eye"]])
        )
        / height
    )
    is_turned = np.clip((0.85 - float(np.linalg.norm(five[1] - five[0])) / height) / 0.15, 0, 2)
    is_open_mouthed = np.clip((mouth_gap - 0.08) / 0.15, 0, 2.5)
    is_blinking = np.clip((0.12 - eye_gap) / 0.03, 0, 1.5)
    return float((1.5 if face.group == "portraits" else 1.0) + is_turned + is_open_mouthed + is_blinking)


def _about_centre(size: int, angle: float, scale_xy: _Floats, shift: _Floats) -> _Floats:
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) * scale_xy
    middle = (size - 1) / 2
    return np.concatenate([linear, (middle + shift - linear @ (middle, middle))[:, None]], axis=1)


def _warp(picture: Picture, source_to_roi: _Floats | Points, size: int, rng: np.random.Generator) -> Picture:
    border = _BORDERS[rng.integers(3)]
    colour = tuple(float(v) for v in rng.integers(0, 256, 3)) if rng.random() < 0.5 else (0.0, 0.0, 0.0)
    return np.asarray(
        cv2.warpAffine(
            picture,
            source_to_roi.astype(np.float64),
            (size, size),
            flags=cv2.INTER_LINEAR,
            borderMode=border,
            borderValue=colour,
        ),
        np.uint8,
    )


def _cut_square(picture: Picture, centre: _Floats, side: float, size: int, rng: np.random.Generator) -> Picture:
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < 0.3 else rng.normal(0, 0.3)
    scale = size / side
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    linear = np.array([[cos, -sin], [sin, cos]])
    shift = (size - 1) / 2 - linear @ centre
    return _warp(picture, np.concatenate([linear, shift[:, None]], axis=1), size, rng)


def _random_square(picture: Picture, size: int, rng: np.random.Generator) -> Picture:
    height, width = picture.shape[:2]
    side = float(np.exp(rng.uniform(np.log(24), np.log(min(height, width)))))
    return _cut_square(picture, rng.uniform((0, 0), (width, height)), side, size, rng)


def _square_off_face(face: LabelledFace, rng: np.random.Generator) -> tuple[_Floats, float] | None:
    """Centre and side of a square that shows no face as a whole; None if the dice fell on one."""
    low, high = face.landmarks.min(0), face.landmarks.max(0)
    extent, middle = float((high - low).max()), (low + high) / 2
    height, width = face.picture.shape[:2]
    side = extent * float(np.exp(rng.uniform(np.log(0.5), np.log(2.2))))
    draw = rng.random()
    if draw < 0.35 and len(face.nearby):
        centre = face.nearby[rng.integers(len(face.nearby))]
    elif draw < 0.6:
        turn = rng.uniform(0, 2 * np.pi)
        centre = middle + extent * rng.uniform(0.6, 1.2) * np.array([np.cos(turn), np.sin(turn)])
    elif draw < 0.7:  # a detail of the face fills the region
        return middle + rng.uniform(-0.3, 0.3, 2) * extent, extent * rng.uniform(0.15, 0.4)
    else:
        centre = rng.uniform((0, 0), (width, height))
    boxes = np.concatenate([np.concatenate([low, high])[None], face.boxes_xyxy[1 if face.is_box_of_face else 0 :]])
    return None if _largest_share(centre, side, boxes) > 0.35 else (np.asarray(centre), side)


def _largest_share(centre: _Floats, side: float, boxes: _Floats | Points) -> float:
    inner_low = np.maximum(boxes[:, :2], centre - side / 2)
    inner_high = np.minimum(boxes[:, 2:], centre + side / 2)
    inside = np.maximum(inner_high - inner_low, 0).prod(1)
    return float((inside / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1e-6)).max())


def _texture(size: int, rng: np.random.Generator) -> Picture:
    """Smooth noise, white noise, a ramp or one colour."""
    kind, base = rng.integers(4), rng.uniform(0, 255, 3)
    if kind == 0:
        return np.full((size, size, 3), base).astype(np.uint8)
    if kind == 1:
        ramp = np.linspace(0, 1, size)[:, None, None] * (rng.uniform(0, 255, 3) - base) + base
        return np.ascontiguousarray(np.broadcast_to(ramp, (size, size, 3)).astype(np.uint8))
    cells = size if kind == 2 else int(rng.integers(2, 24))
    coarse = np.clip(rng.normal(base, rng.uniform(5, 80), (cells, cells, 3)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
