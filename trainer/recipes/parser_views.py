"""Training views of heads: one scene (mirrored, before another background, behind an occluder), seen twice.

The two views of a scene differ by a small movement and by what the camera does to them; `between` says how, so that a
loss can ask for the same answer. Colours are `landmark_degrade.py`'s work, occluders `parser_occluders.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from alignment.warp import compose, invert
from faceseg.parts import FacePart

from .landmark_degrade import degrade
from .landmark_faceless import faceless_picture
from .parser_cleaning import IGNORED, Labels, Picture
from .parser_data import CROP_PX, MARGIN_PX, Heads
from .parser_occluders import OCCLUDER_PX, paste_occluder

OCCLUDED = 100
"""Label of a pixel that an occluder covers: background, known as such."""
_BACKDROPS = ("coffee", "hubble_deep_field", "retina", "brick", "grass", "gravel", "page", "moon", "rocket", "chelsea")

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ViewConfig:
    """How scenes and views are drawn."""

    max_angle_deg: float = 20.0
    """Largest roll that is left after alignment."""
    scale_sigma: float = 0.09
    """Of the natural logarithm of the scale; views go from tight to wide."""
    shift_share: float = 0.035
    """Standard deviation of the shift, as a share of the side."""
    occluded_share: float = 0.55
    """Share of scenes with one or two occluders."""
    backdrop_share: float = 0.2
    """Share of scenes before another background."""
    styled_share: float = 0.3
    """Share of scenes drawn by the generator, where there are drawings."""
    is_degraded: bool = True
    """Whether the camera does anything to the colours."""
    early_size_px: int = 160
    """Side of the views during the first part of a run: the same heads, smaller, at a third of the cost."""
    early_share: float = 0.55
    """That part, as a share of the run."""


@dataclass(frozen=True)
class ViewPair:
    """N scenes, each seen twice."""

    pictures: Tensor
    """2NxSxSx3 uint8 RGB: the first views, then the second ones."""
    labels: Tensor
    """2NxSxS uint8: `FacePart` numbers, OCCLUDED, IGNORED."""
    between: Tensor
    """Nx2x3 float32: from the second view's pixels to the first's, both in [-1, 1], for `affine_grid`."""


@dataclass(frozen=True)
class SceneMaterial:
    """What scenes are made of."""

    heads: Heads
    """Training heads."""
    indices: npt.NDArray[np.int64]
    """Those of them that are used."""
    occluders: npt.NDArray[np.uint8]
    """MxSxSx4 uint8 premultiplied RGBA."""
    drawn: npt.NDArray[np.uint8] | None = None
    """KxSxSx3 uint8 RGB canvases drawn by the generator, of the heads `drawn_indices`; None without."""
    drawn_indices: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """(K,) which heads were drawn."""


class ViewPairs(IterableDataset[ViewPair]):
    """Batches numbered from `first`; batch i depends on the seed and i alone, so a resumed run sees the same."""

    def __init__(
        self, material: SceneMaterial, config: ViewConfig, *, num_scenes: int, first: int, last: int, seed: int = 0
    ) -> None:
        """Draw batches first ... last - 1 of `num_scenes` scenes."""
        super().__init__()
        self.sampler = SceneSampler(material, config)
        self.num_scenes, self.first, self.last, self.seed = num_scenes, first, last, seed

    def __iter__(self) -> Iterator[ViewPair]:
        """Yield the batches in order."""
        cv2.setNumThreads(1)
        for index in range(self.first, self.last):
            is_early = index < self.sampler.config.early_share * self.last
            size_px = self.sampler.config.early_size_px if is_early else CROP_PX
            yield self.sampler.pair(np.random.default_rng((self.seed, index)), self.num_scenes, size_px)


class SceneSampler:
    """Draws scenes and views of them."""

    def __init__(self, material: SceneMaterial, config: ViewConfig) -> None:
        """Prepare to draw from `material`."""
        self.material, self.config = material, config
        self._backdrops = [faceless_picture(name) for name in _BACKDROPS]

    def pair(self, rng: np.random.Generator, count: int, size_px: int = CROP_PX) -> ViewPair:
        """Draw `count` scenes, each seen twice, in views of `size_px` that show what a head crop shows."""
        pictures = np.zeros((2 * count, size_px, size_px, 3), np.uint8)
        labels = np.zeros((2 * count, size_px, size_px), np.uint8)
        between = np.zeros((count, 2, 3), np.float32)
        for i in range(count):
            picture, label_map = self.scene(rng)
            first = self._jitter(rng)
            second = compose(_nudge(rng), first)
            for row, to_view in ((i, first), (count + i, second)):
                pictures[row], labels[row] = _look(picture, label_map, to_view, size_px)
            between[i] = _normalised(compose(first, invert(second)))
            if self.config.is_degraded:
                pictures[i], pictures[count + i] = _degrade_twice(pictures[i], pictures[count + i], rng)
        return ViewPair(torch.from_numpy(pictures), torch.from_numpy(labels), torch.from_numpy(between))

    def scene(self, rng: np.random.Generator) -> tuple[Picture, Labels]:
        """A canvas with its labels, undegraded."""
        material, config = self.material, self.config
        if material.drawn is not None and rng.random() < config.styled_share:
            row = int(rng.integers(len(material.drawn)))
            index, picture = int(material.drawn_indices[row]), material.drawn[row]
        else:
            index = int(material.indices[rng.integers(len(material.indices))])
            picture = material.heads.pictures[index]
        labels = np.array(material.heads.labels[index])
        if rng.random() < config.backdrop_share:
            picture = self._exchange_backdrop(picture, labels, material.heads.persons[index], rng)
        if rng.random() < 0.5:
            picture, labels = np.ascontiguousarray(picture[:, ::-1]), mirror_labels(labels)
        if rng.random() < config.occluded_share:
            for _ in range(1 + int(rng.random() < 0.25)):
                picture, labels = self.occlude(picture, labels, rng)
        return picture, labels

    def occlude(self, picture: Picture, labels: Labels, rng: np.random.Generator) -> tuple[Picture, Labels]:
        """Lay a random occluder over the head and label its pixels OCCLUDED."""
        occluder = self.material.occluders[rng.integers(len(self.material.occluders))]
        picture, covered = paste_occluder(picture, occluder, placement(len(picture), rng), rng)
        return picture, np.where(covered, np.uint8(OCCLUDED), labels)

    def _exchange_backdrop(
        self, picture: Picture, labels: Labels, person: npt.NDArray[np.uint8], rng: np.random.Generator
    ) -> Picture:
        """Put the person before another picture; the soft edge is the person mask's where labels agree with it."""
        side, heads = len(picture), self.material.heads
        if rng.random() < 0.5:
            other = int(self.material.indices[rng.integers(len(self.material.indices))])
            behind = np.array(heads.pictures[other])
            is_far = (heads.labels[other] == FacePart.BACKGROUND) & (heads.persons[other] < 40)
            behind[~is_far] = behind[is_far].mean(0) if is_far.any() else 128
            behind = np.asarray(cv2.GaussianBlur(behind, (0, 0), rng.uniform(0.5, 5)), np.uint8)
        elif rng.random() < 0.3:
            behind = np.full_like(picture, rng.uniform(0, 255, 3).astype(np.uint8))
        else:
            behind = _square(self._backdrops[rng.integers(len(self._backdrops))], side, rng)
        solid = cv2.GaussianBlur(
            ((labels != FacePart.BACKGROUND) & (labels != IGNORED)).astype(np.float32), (0, 0), 1.0
        )
        alpha = np.where(labels == IGNORED, person.astype(np.float32) / 255, solid)
        alpha = np.clip((alpha - 0.25) / 0.6, 0, 1)[..., None]  # a little tighter: no rim of the old background
        return np.asarray(np.rint(picture * alpha + behind * (1 - alpha)), np.uint8)

    def _jitter(self, rng: np.random.Generator) -> _Floats:
        config = self.config
        angle = rng.normal(0, 4) if rng.random() < 0.6 else rng.uniform(-1, 1) * config.max_angle_deg
        scale = np.exp(rng.normal(0, config.scale_sigma) + rng.normal(0, 0.03, 2))
        shift = rng.normal(0, config.shift_share, 2) * CROP_PX
        return np.asarray(
            compose(_about_centre(np.deg2rad(angle), scale, shift), [[1, 0, -MARGIN_PX], [0, 1, -MARGIN_PX]]),
            np.float64,
        )


def mirror_labels(labels: Labels) -> Labels:
    """Mirror a label map (HxW uint8); left and right parts change names."""
    table = np.arange(256, dtype=np.uint8)
    for left, right in ((2, 3), (4, 5), (7, 8)):
        table[[left, right]] = right, left
    return np.asarray(table[labels[:, ::-1]], np.uint8)


def placement(side_px: int, rng: np.random.Generator) -> _Floats:
    """Where an occluder goes: anywhere over the head, most often over its lower half, from below more than above."""
    scale = np.exp(rng.uniform(np.log(0.35), np.log(1.25)))
    angle = rng.normal(0, 0.7) if rng.random() < 0.75 else rng.uniform(-np.pi, np.pi)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    target = side_px * (0.5 + np.array([rng.normal(0, 0.13), rng.normal(0.06, 0.14)]))
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    linear = np.array([[cos * flip, -sin], [sin * flip, cos]])
    anchor = np.array([0.5, rng.uniform(0.2, 0.6)]) * OCCLUDER_PX
    return np.concatenate([linear, (target - linear @ anchor)[:, None]], axis=1)


def _about_centre(angle: float, scale: npt.ArrayLike, shift: npt.ArrayLike) -> _Floats:
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) * np.asarray(scale)
    middle = CROP_PX / 2 + MARGIN_PX - 0.5  # on the canvas
    return np.concatenate([linear, (middle + np.asarray(shift) - linear @ (middle, middle))[:, None]], axis=1)


def _nudge(rng: np.random.Generator) -> _Floats:
    """What a frame's alignment may differ by from the one before."""
    angle, scale, shift = rng.normal(0, 0.012), np.exp(rng.normal(0, 0.012)), rng.normal(0, 1.5, 2)
    cos, sin, middle = np.cos(angle) * scale, np.sin(angle) * scale, CROP_PX / 2 - 0.5
    linear = np.array([[cos, -sin], [sin, cos]])
    return np.concatenate([linear, (middle + shift - linear @ (middle, middle))[:, None]], axis=1)


def _look(picture: Picture, labels: Labels, to_view: npt.NDArray[np.floating], size_px: int) -> tuple[Picture, Labels]:
    scale, size_wh = size_px / CROP_PX, (size_px, size_px)
    shrink = [[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2]]
    matrix = np.asarray(compose(shrink, to_view), np.float64)
    if scale < 0.8:
        picture = np.asarray(cv2.GaussianBlur(picture, (3, 3), 0.5), np.uint8)
    view = cv2.warpAffine(picture, matrix, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.warpAffine(labels, matrix, size_wh, flags=cv2.INTER_NEAREST, borderValue=(IGNORED,) * 4)
    return np.asarray(view, np.uint8), np.asarray(seen, np.uint8)


def _normalised(transform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A transform between two crops' pixels as one between their [-1, 1] frames (`align_corners=False`)."""
    to_pixels = np.array([[CROP_PX / 2, 0, CROP_PX / 2 - 0.5], [0, CROP_PX / 2, CROP_PX / 2 - 0.5]])
    return np.asarray(compose(invert(to_pixels.astype(np.float32)), compose(transform, to_pixels)), np.float32)


def _degrade_twice(first: Picture, second: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    """The same camera twice: mostly the same light and colours, always other noise and another frame's compression."""
    seed, draw = int(rng.integers(1 << 30)), rng.random()
    if draw < 0.25:
        return degrade(first, rng), degrade(second, rng)
    if draw < 0.5:
        return _flutter(first, rng), _flutter(second, rng)
    views = [degrade(view, np.random.default_rng(seed)) for view in (first, second)]
    return _flutter(views[0], rng), _flutter(views[1], rng)


def _flutter(view: Picture, rng: np.random.Generator) -> Picture:
    """Noise, exposure and compression of one frame."""
    noise = np.empty(view.shape, np.int16)
    cv2.setRNGSeed(int(rng.integers(1 << 30)))
    cv2.randn(noise, np.full((4, 1), rng.normal(0, 2)), np.full((4, 1), rng.uniform(0.5, 5)))
    view = np.asarray(cv2.add(view, noise, dtype=cv2.CV_8U), np.uint8)
    if rng.random() < 0.4:
        _, packed = cv2.imencode(".jpg", view, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 92))])
        view = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return view


def _square(picture: Picture, side: int, rng: np.random.Generator) -> Picture:
    height, width = picture.shape[:2]
    cut = int(rng.uniform(0.4, 1.0) * min(height, width))
    y, x = int(rng.integers(height - cut + 1)), int(rng.integers(width - cut + 1))
    piece = cv2.resize(picture[y : y + cut, x : x + cut], (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(piece, (0, 0), rng.uniform(0.3, 3)), np.uint8)
