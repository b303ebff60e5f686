"""Training regions for the landmark network: faces seen through jittered regions, most of them twice, and none.

Two views of one face differ as two frames of a video do; what a network says of both must agree. What happens to the
colours is `landmark_degrade.py`, bending faces `landmark_shapes.py`, regions without a face `landmark_faceless.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from alignment.landmarks import roi_from_landmarks
from alignment.points import MESH, Points, five_points
from alignment.warp import compose, invert, transform_points

from .landmark_covers import cover, cut_off
from .landmark_data import MIRROR, LabelledFace, Picture
from .landmark_degrade import degrade, occlude, shake
from .landmark_faceless import FACELESS_IN_TRAINING, FacelessSampler, draw_border, texture, warp
from .landmark_shapes import Bend, bend_maps, draw_bend

_Floats = npt.NDArray[np.float64]

_MOST_HIDDEN_FACE = 0.5
"""Share of its landmarks hidden up to which a face is to be seen."""
_LEAST_HIDDEN_NO_FACE = 0.8
"""Share from which it is to be given up; what lies between trains neither."""
_DOUBT_SOME, _DOUBT_NONE = 0.13, 0.2
"""`LabelledFace.doubt` from which a face is drawn less often (one in twenty), and never."""


@dataclass(frozen=True)
class RegionConfig:
    """How training regions are drawn."""

    size_px: int = 128
    """Side of a region."""
    negative_share: float = 0.28
    """Share of draws that show no face."""
    gone_share: float = 0.5
    """Share of those that show where a face was: one hidden, or left by the frame's edge."""
    pair_share: float = 0.5
    """Share of the drawn faces that are seen twice."""
    bend_share: float = 0.4
    """Share of the faces turned, or with a mouth or eyes changed."""
    follow_share: float = 0.5
    """Share of the faces seen nearly as their own landmarks would have it; the rest stands for detectors' boxes."""
    max_angle_deg: float = 60.0
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
    partners: Tensor
    """N int64: for the second view of a face the place of the first; -1 for all others."""


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


@dataclass(frozen=True)
class _View:
    """A face about to be cut out: where from, and what was done to it."""

    picture: Picture
    landmarks: Points
    """152x2 in the face's own region, bent."""
    own_to_source: _Floats
    bend: Bend | None
    is_mirrored: bool


class RegionSampler:
    """Draws regions with and without faces."""

    def __init__(
        self, faces: Sequence[LabelledFace], config: RegionConfig, faceless: Sequence[str] = FACELESS_IN_TRAINING
    ) -> None:
        """Prepare to draw from `faces` (rare poses and faces more often than their share) and `faceless`."""
        self.faces, self.config = faces, config
        weights = np.array([_weight(face) for face in faces])
        self._chances = np.cumsum(weights / weights.sum())
        self._faceless = FacelessSampler(faces, config.size_px, faceless)
        self._rois = [roi_from_landmarks(face.landmarks, config.size_px) for face in faces]

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """Draw `count` regions; occluding patches come from the batch's own regions."""
        size = self.config.size_px
        regions = np.zeros((count, size, size, 3), np.uint8)
        landmarks = np.zeros((count, len(MIRROR), 2), np.float32)
        presence, partners = np.ones(count, np.float32), np.full(count, -1)
        i = 0
        while i < count:
            other = regions[rng.integers(i)] if i else texture(size, rng)
            if rng.random() < self.config.negative_share:
                regions[i], presence[i] = self._no_face(other, rng), 0
            elif i + 1 < count and rng.random() < self.config.pair_share:
                regions[i : i + 2], landmarks[i : i + 2] = self._pair(other, rng)
                partners[i + 1] = i
                i += 1
            else:
                region, landmarks[i] = self.positive(rng)
                regions[i] = degrade(_obstruct(region, landmarks[i], other, rng), rng)
            i += 1
        return Batch(*(torch.from_numpy(array) for array in (regions, landmarks, presence, partners)))

    def positive(self, rng: np.random.Generator) -> tuple[Picture, Points]:
        """A face in a jittered region, undegraded, and its landmarks as fractions of the side."""
        return self._cut(self._view(rng), self._jitter(rng), rng)

    def negative(self, rng: np.random.Generator) -> Picture:
        """A region without a face, or so far off one that a follower should give up; undegraded."""
        return self._faceless.draw(rng)

    def gone(self, other: Picture, rng: np.random.Generator) -> Picture:
        """A region where a face was: behind something now (of `other`, a region), or beyond the frame's edge."""
        share = rng.uniform(_LEAST_HIDDEN_NO_FACE, 1.2)
        jitter = np.asarray(compose(self._slip(rng), self._jitter(rng)), np.float64)
        if rng.random() < 0.3:
            return self._cut(self._view(rng, min(share, 1.0)), jitter, rng)[0]
        region, landmarks = self._cut(self._view(rng), jitter, rng)
        return cover(region, landmarks * len(region) - 0.5, share, _filling(other, rng), rng)

    def _no_face(self, other: Picture, rng: np.random.Generator) -> Picture:
        if rng.random() < self.config.gone_share:
            return degrade(self.gone(other, rng), rng)
        region = self.negative(rng)
        return degrade(occlude(region, other, rng) if rng.random() < 0.3 else region, rng)

    def _pair(self, other: Picture, rng: np.random.Generator) -> tuple[Picture, Points]:
        """Two views of one face: 2xSxSx3 and 2xKx2."""
        view, jitter, seeds = self._view(rng), self._jitter(rng), rng.integers(1 << 62, size=3)
        is_one_scene = rng.random() < 0.6
        views = []
        for nth, transform in enumerate((jitter, compose(self._tremble(rng), jitter))):
            region, landmarks = self._cut(view, np.asarray(transform, np.float64), np.random.default_rng(seeds[0]))
            region = _obstruct(region, landmarks, other, np.random.default_rng(seeds[1]))
            region = degrade(region, np.random.default_rng(seeds[2] + (0 if is_one_scene else nth)))
            views.append((shake(region, rng), landmarks))
        return np.stack([region for region, _ in views]), np.stack([landmarks for _, landmarks in views])

    def _view(self, rng: np.random.Generator, hidden_share: float | None = None) -> _View:
        """Choose a face, perhaps bend it, perhaps let the frame's edge hide a share of it."""
        index = min(int(np.searchsorted(self._chances, rng.random())), len(self.faces) - 1)
        face, roi = self.faces[index], self._rois[index]
        if hidden_share is None and rng.random() < 0.06:
            hidden_share = rng.uniform(0.05, _MOST_HIDDEN_FACE)
        picture, own_to_source = face.picture, invert(roi).astype(np.float64)
        if hidden_share is not None:
            picture, first = cut_off(picture, face.landmarks, hidden_share, rng)
            own_to_source[:, 2] -= first
        landmarks, bend = transform_points(roi, face.landmarks), None
        if rng.random() < self.config.bend_share:
            bend = draw_bend(landmarks, self.config.size_px, rng)
            landmarks = np.asarray(landmarks + bend.shift(landmarks.astype(np.float64)), np.float32)
        return _View(picture, landmarks, own_to_source, bend, bool(rng.random() < 0.5))

    def _cut(self, view: _View, jitter: _Floats, rng: np.random.Generator) -> tuple[Picture, Points]:
        size = self.config.size_px
        own_to_region = jitter
        if view.is_mirrored:
            own_to_region = np.asarray(compose([[-1, 0, size - 1], [0, 1, 0]], jitter), np.float64)
        landmarks = transform_points(np.asarray(own_to_region, np.float32), view.landmarks)
        if view.bend is None:
            own_to_source = np.vstack([view.own_to_source, [0, 0, 1]])
            source_to_own = np.linalg.inv(own_to_source)[:2]
            region = warp(view.picture, compose(own_to_region, source_to_own), size, rng)
        else:
            region_to_own = np.linalg.inv(np.vstack([own_to_region, [0, 0, 1]]))[:2]
            maps = bend_maps(view.bend, region_to_own, view.own_to_source, size)
            region = _remap(view.picture, maps, rng)
        landmarks = landmarks[MIRROR] if view.is_mirrored else landmarks
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

    def _slip(self, rng: np.random.Generator) -> _Floats:
        """How far a follower has slipped off while the face went, along with what hid it: up to the face's size."""
        size, much = self.config.size_px, rng.uniform(0, 1)
        scale = np.exp(rng.normal(0, 0.25 * much)) * np.ones(2)
        return _about_centre(size, rng.normal(0, 0.3 * much), scale, rng.normal(0, 0.2 * much, 2) * size)

    def _tremble(self, rng: np.random.Generator) -> _Floats:
        """What a follower's region does from frame to frame: a little, seldom more."""
        size, much = self.config.size_px, 4.0 if rng.random() < 0.25 else 1.0
        scale = np.exp(rng.normal(0, 0.01 * much)) * np.ones(2)
        return _about_centre(size, np.deg2rad(rng.normal(0, 1.2 * much)), scale, rng.normal(0, 0.01 * much, 2) * size)


def _obstruct(region: Picture, landmarks: Points, other: Picture, rng: np.random.Generator) -> Picture:
    """Put something before a face, sometimes; enough of it stays in view."""
    draw = rng.random()
    if draw < 0.15:
        return occlude(region, other, rng)
    if draw < 0.3:
        share = rng.uniform(0.05, _MOST_HIDDEN_FACE)
        return cover(region, landmarks * len(region) - 0.5, share, _filling(other, rng), rng)
    return region


def _filling(other: Picture, rng: np.random.Generator) -> Picture:
    """What stands before a face: a detail or a blur of another region, or a texture."""
    size, draw = len(other), rng.random()
    if draw < 0.3:
        return texture(size, rng)
    if draw < 0.6:
        return np.asarray(cv2.GaussianBlur(other, (0, 0), size * rng.uniform(0.1, 0.3)), np.uint8)
    side = int(size * rng.uniform(0.15, 0.35))
    y, x = rng.integers(size - side, size=2)
    return np.asarray(cv2.resize(other[y : y + side, x : x + side], (size, size)), np.uint8)


def _weight(face: LabelledFace) -> float:
    """How often a face is drawn: 1 for a calm frontal one, up to 9 for what the pictures show seldom.

    Where labeller and detector disagree one of them is wrong: such a face is drawn less often, down to never.
    """
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
    is_turned = np.clip((0.85 - float(np.linalg.norm(five[1] - five[0])) / height) / 0.15, 0, 3)
    is_open_mouthed = np.clip((mouth_gap - 0.08) / 0.1, 0, 3)
    is_blinking = np.clip((0.12 - eye_gap) / 0.03, 0, 2)
    trust = float(np.clip((_DOUBT_NONE - face.doubt) / (_DOUBT_NONE - _DOUBT_SOME), 0, 1))
    return float((1.5 if face.group == "portraits" else 1.0) + is_turned + is_open_mouthed + is_blinking) * trust


def _about_centre(size: int, angle: float, scale_xy: _Floats, shift: _Floats) -> _Floats:
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) * scale_xy
    middle = (size - 1) / 2
    return np.concatenate([linear, (middle + shift - linear @ (middle, middle))[:, None]], axis=1)


def _remap(picture: Picture, maps: tuple[Points, Points], rng: np.random.Generator) -> Picture:
    border, colour = draw_border(rng)
    region = cv2.remap(picture, *maps, cv2.INTER_LINEAR, borderMode=border, borderValue=colour)
    return np.asarray(region, np.uint8)
