"""Regions without a face: textures, pictures of things, and what lies around a face.

Drawing faces and putting batches together is `landmark_regions.py`'s work.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data

from alignment.points import Points

from .landmark_data import LabelledFace, Picture

_Floats = npt.NDArray[np.float64]

_BORDERS = (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101)
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


class FacelessSampler:
    """Draws regions without a face, or so far off one that a follower should give up."""

    def __init__(self, faces: Sequence[LabelledFace], size_px: int, names: Sequence[str]) -> None:
        """Prepare to draw regions of `size_px` from around `faces` and from scikit-image's pictures of these names."""
        self._faces, self._size_px = faces, size_px
        self._pictures = [faceless_picture(name) for name in names]

    def draw(self, rng: np.random.Generator) -> Picture:
        """One region, SxSx3 uint8 RGB."""
        size, draw = self._size_px, rng.random()
        if draw < 0.1:
            return texture(size, rng)
        if draw < 0.22:
            return _random_square(self._pictures[rng.integers(len(self._pictures))], size, rng)
        for _ in range(20):
            face = self._faces[int(rng.integers(len(self._faces)))]
            square = _square_off_face(face, rng)
            if square is not None:
                centre, side = square
                return _cut_square(face.picture, centre, side, size, rng)
        return texture(size, rng)


def faceless_picture(name: str) -> Picture:
    """A picture of scikit-image as HxWx3 uint8 RGB; name is that of a function in `skimage.data`."""
    picture = np.asarray(getattr(skimage.data, name)())
    if picture.dtype != np.uint8:
        picture = (picture * 255.0).round().astype(np.uint8)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    return np.ascontiguousarray(picture[..., :3])


def warp(picture: Picture, source_to_roi: _Floats | Points, size: int, rng: np.random.Generator) -> Picture:
    """Cut a region out of a picture by a 2x3 transform; what lies outside is drawn by dice."""
    border, colour = draw_border(rng)
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


def draw_border(rng: np.random.Generator) -> tuple[int, tuple[float, ...]]:
    """What lies outside a picture: OpenCV's border mode and its colour. Its edge drawn out, as in use, most often."""
    border = _BORDERS[rng.integers(len(_BORDERS))]
    colour = tuple(float(v) for v in rng.integers(0, 256, 3)) if rng.random() < 0.5 else (0.0, 0.0, 0.0)
    return border, colour


def _cut_square(picture: Picture, centre: _Floats, side: float, size: int, rng: np.random.Generator) -> Picture:
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < 0.3 else rng.normal(0, 0.3)
    scale = size / side
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    linear = np.array([[cos, -sin], [sin, cos]])
    shift = (size - 1) / 2 - linear @ centre
    return warp(picture, np.concatenate([linear, shift[:, None]], axis=1), size, rng)


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


def texture(size: int, rng: np.random.Generator) -> Picture:
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
