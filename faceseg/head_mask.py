"""Soft masks of the whole head, drawn from the landmarks alone: no network, no weights.

The head is taken as the convex hull of the face's outline and of an ellipse for skull, ears and hair that stands in
the face's own axes. A convex shape is known by its support function h(u), the distance of its border from the
origin along u, and the signed distance of a pixel p is the largest u . p - h(u) over directions u. Both are
continuous in the landmarks, so a mask never flickers, and need no rasterising, so its edge is smooth at any size.
Knows no pixels of the picture; hair that stands far off the head is left to the parser (masks.py).
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]
Mask = npt.NDArray[np.float32]

# The ellipse for skull, ears and hair, in half widths of the face's outline where not said otherwise. Fitted to the
# 19-class label maps of 1,227 synthetic faces in all poses (hair above the mouth and hats count as head), least
# absolute difference with a missed pixel counted 1.15 times a surplus one.
_MIDDLE_BY_OUTLINE = 1.21
"""Sideways place of the ellipse: so many times the middle of the outline, from the eyes' middle ..."""
_MIDDLE_BY_NOSE = -0.66
"""... plus so many times the nose tip's sideways place: a nose that points left has its skull to the right."""
_CENTRE_UP = 0.39
"""Height of the ellipse's centre above the eyes."""
_SEMI_RIGHT = 1.31
"""Horizontal semi-axis, for the ears and the hair beside them ..."""
_SEMI_RIGHT_BY_NOSE = 2.28
"""... and in quadrature so many times the nose's sideways place: a turned head is longer than it is wide."""
_SEMI_UP = 1.0
"""Vertical semi-axis, for skull and hair ..."""
_SEMI_UP_BY_NOSE = 1.12
"""... plus so many times the nose's drop below the eyes: a face that looks up shows less of its crown.

On the 300 faces held out: IoU 0.82 with the labels, 91 % of the head covered, 90 % of the mask on the head
(tests/faceseg/test_head_mask.py checks a part of them).
"""
_OUTLINE_MARGIN = 0.04
"""The outline and the five points (a profile's nose is one) grow by this part of the eye-to-chin length."""

_NUM_DIRECTIONS = 120
_GRID = 48
"""Distances are computed on at most this many columns and rows, then interpolated: they are nearly linear."""
_BORDER_MARGIN = 0.02
"""Part of the crop's side along its border where every mask is zero."""
_BORDER_FADE = 0.10
"""Part of the side over which a head that is larger than the crop fades towards that margin."""
_CORNER_RADIUS = 0.30
"""Radius of the box's corners, as a part of the side."""


def landmark_head_mask(outline: Points, five_points: Points, size_px: int, feather: float = 0.25) -> Mask:
    """Draw a soft mask of the whole head: face, forehead, ears and hair, without the neck.

    Args:
        outline: Nx2 float32 (x, y), the face's outline in pixels of the crop, with or without forehead
            (`alignment.points.outline`).
        five_points: 5x2 float32 in pixels of the crop: eye, eye, nose tip, mouth corner, mouth corner
            (`alignment.points.five_points`).
        size_px: side of the square crop.
        feather: width of the soft edge as a part of the eye-to-chin length; half of it lies outside the head.

    Returns:
        size_px x size_px float32 in [0, 1]; zero along the crop's border.

    Raises:
        ValueError: the landmarks have another shape.
    """
    outline, five_points = _checked("outline", outline, None), _checked("five_points", five_points, 5)
    head, face_length = _support(outline, five_points)
    return _drawn(head, size_px, max(feather * face_length, 1.0))


def landmark_face_mask(outline: Points, five_points: Points, size_px: int, feather: float = 0.25) -> Mask:
    """Draw a soft mask of the inside of the face: from hairline to chin, without ears and hair.

    Args:
        outline: as in `landmark_head_mask`.
        five_points: likewise.
        size_px: side of the square crop.
        feather: width of the soft edge as a part of the eye-to-chin length; all of it lies inside the outline.

    Returns:
        size_px x size_px float32 in [0, 1]; zero along the crop's border.

    Raises:
        ValueError: the landmarks have another shape.
    """
    outline, five_points = _checked("outline", outline, None), _checked("five_points", five_points, 5)
    up, _ = _face_axes(five_points)
    face_length = max(float(((five_points[:2].mean(axis=0) - outline) @ up).max()), 0.0)
    width_px = max(feather * face_length, 1.0)
    face = (_directions() @ outline.T).max(axis=1).astype(np.float32) - np.float32(width_px / 2)
    return _drawn(face, size_px, width_px)


def _drawn(support: Mask, size_px: int, width_px: float) -> Mask:
    """The soft mask of the convex shape with a support function, inside the crop."""
    distance = (_projections(size_px) - support[:, None]).max(axis=0).reshape(_grid_size(size_px), -1)
    if len(distance) != size_px:
        distance = cv2.resize(distance, (size_px, size_px), interpolation=cv2.INTER_LINEAR)
    return _fade(distance, width_px) * box_mask(size_px, _BORDER_FADE)


@lru_cache(maxsize=8)
def box_mask(size_px: int, feather: float = 0.10) -> Mask:
    """Draw a soft box with round corners that fills the crop but for a margin; the array is shared and read-only.

    Args:
        size_px: side of the square crop.
        feather: width of the soft edge as a part of the side; all of it lies inside the box.

    Returns:
        size_px x size_px float32 in [0, 1]; zero along the crop's border.
    """
    width_px = max(feather * size_px, 1.0)
    mask = _fade(_box_distance(size_px) + np.float32(width_px / 2), width_px)
    mask.setflags(write=False)
    return mask


def _support(outline: Points, five_points: Points) -> tuple[Mask, float]:
    """Support function of the head in each direction, and the face's length from eyes to chin, in pixels."""
    up, right = _face_axes(five_points)
    eyes = five_points[:2].mean(axis=0)
    face_length = max(float(((eyes - outline) @ up).max()), 0.0)
    centre, semi_right, semi_up = _skull(outline @ right - eyes @ right, five_points[2] - eyes, up, right)
    directions = _directions()
    skull = directions @ (eyes + centre) + np.hypot(directions @ semi_right, directions @ semi_up)
    face = (directions @ np.concatenate([outline, five_points]).T).max(axis=1) + _OUTLINE_MARGIN * face_length
    return np.maximum(skull, face).astype(np.float32), face_length


def _skull(outline_x: Mask, nose: Points, up: Points, right: Points) -> tuple[Points, Points, Points]:
    """Centre from the eyes' middle and the two semi-axes of the ellipse, as vectors in pixels."""
    half_width, middle = (outline_x.max() - outline_x.min()) / 2, (outline_x.max() + outline_x.min()) / 2
    nose_right, nose_drop = nose @ right, -(nose @ up)
    centre_right = _MIDDLE_BY_OUTLINE * middle + _MIDDLE_BY_NOSE * nose_right
    semi_right = np.hypot(_SEMI_RIGHT * half_width, _SEMI_RIGHT_BY_NOSE * nose_right)
    semi_up = _SEMI_UP * half_width + _SEMI_UP_BY_NOSE * nose_drop
    return centre_right * right + _CENTRE_UP * half_width * up, semi_right * right, semi_up * up


def _face_axes(five_points: Points) -> tuple[Points, Points]:
    """Unit vectors up the face and to its right in the picture.

    The eyes' line and the line from mouth to eyes vote with their lengths, so that a profile, whose eyes coincide,
    stands as firm as a frontal face.
    """
    between_eyes = five_points[1] - five_points[0]
    from_mouth = five_points[:2].mean(axis=0) - five_points[3:].mean(axis=0)
    up = from_mouth + np.array([between_eyes[1], -between_eyes[0]], np.float32)
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    return up, np.array([-up[1], up[0]], np.float32)


def _fade(distance: Mask, width_px: float) -> Mask:
    """Smoothstep from 1 at half a width inside to 0 at half a width outside."""
    ramp: Mask = np.clip(np.float32(0.5) - distance * np.float32(1 / width_px), 0, 1)
    return ramp * ramp * (np.float32(3) - np.float32(2) * ramp)


@lru_cache(maxsize=1)
def _directions() -> Points:
    angles = np.arange(_NUM_DIRECTIONS) * (2 * np.pi / _NUM_DIRECTIONS)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def _grid_size(size_px: int) -> int:
    return min(size_px, _GRID)


@lru_cache(maxsize=8)
def _projections(size_px: int) -> Mask:
    """Every grid point projected on every direction: directions x grid points, in pixels of the crop."""
    num = _grid_size(size_px)
    axis = ((np.arange(num) + 0.5) * (size_px / num) - 0.5).astype(np.float32)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    projections: Mask = _directions() @ points.T
    return projections


def _box_distance(size_px: int) -> Mask:
    """Signed distance from the rounded box inside the border's margin; negative inside."""
    half_side, radius = size_px * (0.5 - _BORDER_MARGIN), size_px * _CORNER_RADIUS
    axis = np.abs(np.arange(size_px, dtype=np.float32) - np.float32((size_px - 1) / 2)) - (half_side - radius)
    x, y = np.meshgrid(axis, axis)
    distance: Mask = np.hypot(np.maximum(x, 0), np.maximum(y, 0)) + np.minimum(np.maximum(x, y), 0) - radius
    return distance.astype(np.float32)


def _checked(name: str, points: Points, count: int | None) -> Points:
    points = np.asarray(points, np.float32)
    is_right = points.ndim == 2 and points.shape[1] == 2 and (len(points) == count if count else len(points) >= 3)
    if not is_right:
        raise ValueError(f"{name} must be {count or 'N'}x2 (x, y), got shape {points.shape}.")
    return points
