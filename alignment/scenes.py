"""Scenes with known faces: cut-outs of people pasted onto backgrounds, for training and measuring face detectors.

Keeps account of where every face came to lie and how much of it is still to be seen. Which faces, where and how large
is the caller's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .points import Points
from .warp import transform_points

Picture = npt.NDArray[np.uint8]

_SMALLEST_FACE_PX = 14.0


@dataclass(frozen=True, eq=False)
class CutOut:
    """A picture of one person, ready to be pasted at any size."""

    levels: tuple[tuple[Picture, Picture], ...]
    """Picture (HxWx3 uint8 RGB) and opacity (HxW uint8), each level half the size of the one before."""
    box_xyxy: Points
    """(4,) float32 box of the face, hairline to chin, in pixels of level 0."""
    points: Points
    """5x2 float32 (x, y) in pixels of level 0."""
    name: str = ""
    """Where it comes from."""
    has_points: bool = True
    """False where the points are a guess."""

    @property
    def face_size_px(self) -> float:
        """Square root of the box's area on level 0."""
        return float(np.sqrt(np.prod(self.box_xyxy[2:] - self.box_xyxy[:2])))


@dataclass(eq=False)
class SceneFace:
    """One face of a scene, in pixels of the scene."""

    box_xyxy: Points
    """(4,) float32, the box around the pasted face; outside the scene where the face is."""
    points: Points
    """5x2 float32, the eye left in the upright face first."""
    name: str
    """The cut-out's."""
    has_points: bool
    """The cut-out's."""
    seen: npt.NDArray[np.float32]
    """Share of every pixel of the box that nothing hides; outside the scene 0."""

    @property
    def size_px(self) -> float:
        """Square root of the box's area."""
        return float(np.sqrt(np.prod(self.box_xyxy[2:] - self.box_xyxy[:2])))

    @property
    def visible(self) -> float:
        """Share of the box that is to be seen, 0 to 1."""
        return float(self.seen.mean()) if self.seen.size else 0.0


def cut_out(
    picture: Picture, opacity: Picture, box_xyxy: Points, points: Points, *, name: str = "", has_points: bool = True
) -> CutOut:
    """Prepare a cut-out with the smaller sizes that pasting needs.

    Args:
        picture: HxWx3 uint8 RGB.
        opacity: HxW uint8, 255 where the person is.
        box_xyxy: (4,) box of the face in the picture.
        points: 5x2 in the picture.
        name: where it comes from.
        has_points: False where the points are a guess.
    """
    levels = [(picture, opacity)]
    size = float(np.sqrt(np.prod(np.asarray(box_xyxy)[2:] - np.asarray(box_xyxy)[:2])))
    while size >= 2 * _SMALLEST_FACE_PX and min(levels[-1][1].shape) >= 4:
        size_wh = (levels[-1][1].shape[1] // 2, levels[-1][1].shape[0] // 2)
        smaller = tuple(np.asarray(cv2.resize(x, size_wh, interpolation=cv2.INTER_AREA), np.uint8) for x in levels[-1])
        levels.append((smaller[0], smaller[1]))
        size /= 2
    box, five = np.asarray(box_xyxy, np.float32), np.asarray(points, np.float32)
    return CutOut(tuple(levels), box, five, name, has_points)


class Scene:
    """A picture under construction and the faces in it."""

    def __init__(self, background: Picture) -> None:
        """Start from a background without faces, HxWx3 uint8 RGB; it is copied."""
        self.picture = background.copy()
        self.faces: list[SceneFace] = []

    def paste(self, source: CutOut, source_to_scene: Points, *, opacity: Picture | None = None) -> SceneFace:
        """Paste a cut-out and note its face; what it covers of other faces is no longer seen.

        Args:
            source: what to paste.
            source_to_scene: 2x3 affine from pixels of its level 0; may mirror.
            opacity: another opacity than its own, HxW uint8 on level 0; costs more time.

        Returns:
            The new face, also the last of `faces`.
        """
        affine = np.asarray(source_to_scene, np.float64)
        scale = np.sqrt(abs(np.linalg.det(affine[:, :2])))
        level = int(np.clip(np.floor(-np.log2(max(scale, 1e-6))), 0, len(source.levels) - 1))
        picture, mask = source.levels[level]
        if opacity is not None:
            mask = np.asarray(cv2.resize(opacity, mask.shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        shrink = np.array(mask.shape[::-1]) / source.levels[0][1].shape[::-1]
        self.cover(picture, mask, _from_level(affine, shrink))
        face = self._face(source, affine)
        self.faces.append(face)
        return face

    def cover(self, picture: Picture, opacity: Picture, source_to_scene: npt.NDArray[np.floating]) -> None:
        """Paste something that is no face.

        Args:
            picture: HxWx3 uint8 RGB.
            opacity: HxW uint8.
            source_to_scene: 2x3 affine from the picture's pixels; enlarge or shrink by less than half.
        """
        height, width = opacity.shape
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float32) - 0.5
        placed = transform_points(np.asarray(source_to_scene, np.float32), corners)
        low = np.maximum(np.floor(placed.min(0)), 0).astype(int)
        high = np.minimum(np.ceil(placed.max(0)) + 1, self.picture.shape[1::-1]).astype(int)
        if (high <= low).any():
            return
        moved = np.array(source_to_scene, np.float64)
        moved[:, 2] -= low
        size_wh = (int(high[0] - low[0]), int(high[1] - low[1]))
        colours = cv2.warpAffine(picture, moved, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        alpha = np.asarray(
            cv2.warpAffine(opacity, moved, size_wh, flags=cv2.INTER_LINEAR) / np.float32(255), np.float32
        )
        region = self.picture[low[1] : high[1], low[0] : high[0]]
        region[...] = np.rint(region + alpha[..., None] * (colours.astype(np.float32) - region))
        for face in self.faces:
            _hide(face, alpha, low)

    def _face(self, source: CutOut, affine: npt.NDArray[np.float64]) -> SceneFace:
        box = place_box(source.box_xyxy, affine)
        points = transform_points(affine.astype(np.float32), source.points)
        if np.linalg.det(affine[:, :2]) < 0:
            points = points[[1, 0, 2, 4, 3]]
        low, high = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
        xs, ys = np.arange(low[0], high[0]), np.arange(low[1], high[1])
        height, width = self.picture.shape[:2]
        seen = ((ys >= 0) & (ys < height))[:, None] & ((xs >= 0) & (xs < width))[None]
        return SceneFace(box, points, source.name, source.has_points, seen.astype(np.float32))


def place_box(box_xyxy: Points, affine: npt.NDArray[np.floating]) -> Points:
    """The box of a face after an affine: around the ellipse that fills the first box.

    Args:
        box_xyxy: (4,).
        affine: 2x3.

    Returns:
        (4,) float32.
    """
    box = np.asarray(box_xyxy, np.float64)
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    moved = affine[:, :2] @ centre + affine[:, 2]
    reach = np.linalg.norm(affine[:, :2] * half, axis=1)
    return np.concatenate([moved - reach, moved + reach]).astype(np.float32)


def placement(
    source: CutOut,
    centre_xy: Sequence[float],
    size_px: float,
    *,
    roll_deg: float = 0.0,
    is_mirrored: bool = False,
    narrowing: float = 1.0,
    shear: float = 0.0,
) -> Points:
    """The affine that brings a cut-out's face to a place in a scene.

    Args:
        source: the cut-out.
        centre_xy: where the middle of its box comes to lie.
        size_px: square root of its box's area there, before rolling.
        roll_deg: clockwise in the picture.
        is_mirrored: turn left and right round first.
        narrowing: width of the face over what it was; the size stays.
        shear: shift in x per y.

    Returns:
        2x3 float32 `source_to_scene`.
    """
    scale, turn = size_px / source.face_size_px, np.deg2rad(roll_deg)
    stretch = np.array([[(-1 if is_mirrored else 1) * np.sqrt(narrowing), shear], [0, 1 / np.sqrt(narrowing)]])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = scale * rotation @ stretch
    middle = (source.box_xyxy[:2] + source.box_xyxy[2:]) / 2
    shift = np.asarray(centre_xy, np.float64) - linear @ middle
    return np.concatenate([linear, shift[:, None]], axis=1).astype(np.float32)


def _from_level(affine: npt.NDArray[np.float64], shrink: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The same affine from a level that is `shrink` (x, y) times level 0; pixel centres at integers in both."""
    linear = affine[:, :2] / shrink
    shift = affine[:, 2] + affine[:, :2] @ (0.5 / shrink - 0.5)
    return np.concatenate([linear, shift[:, None]], axis=1)


def _hide(face: SceneFace, alpha: npt.NDArray[np.float32], low: npt.NDArray[np.int_]) -> None:
    origin = np.floor(face.box_xyxy[:2]).astype(int)
    start = np.maximum(low, origin)
    stop = np.minimum(low + alpha.shape[::-1], origin + face.seen.shape[::-1])
    if (stop <= start).any():
        return
    (x0, y0), (x1, y1) = start - origin, stop - origin
    (u0, v0), (u1, v1) = start - low, stop - low
    face.seen[y0:y1, x0:x1] *= 1 - alpha[v0:v1, u0:u1]
