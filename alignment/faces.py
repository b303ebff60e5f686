"""A face found in a frame, and the box arithmetic that detectors and tracks share.

Holds values only: finding faces is the detectors' work, following them over time is tracking.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .points import Points

Boxes = npt.NDArray[np.float32]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Face:
    """One face in one frame, in source-frame pixels (pixel centres at integer coordinates)."""

    box_xyxy: Boxes
    """(4,) float32: left, top, right, bottom, hairline to chin; outside the frame where the face is."""
    landmarks: Points | None
    """Kx2 float32 (x, y), K in {5, 68, 152}, or None where the detector finds boxes only."""
    score: float
    """How sure the detector is, 0 to 1. Comparable within one detector only."""
    signature: npt.NDArray[np.float16] | None = None
    """What the face looks like (appearance.py), or None where nobody looked."""


def iou(a: Boxes, b: Boxes) -> Boxes:
    """Intersection over union of every box of `a` with every box of `b`.

    Args:
        a: Nx4 float boxes (x, y, x, y) in any frame.
        b: Mx4 float boxes in the same frame.

    Returns:
        NxM float32 in [0, 1]; 0 where either box is empty.
    """
    overlap, area_a, area_b = _areas(a, b)
    union = area_a[:, None] + area_b[None, :] - overlap
    return (overlap / np.maximum(union, np.finfo(np.float32).tiny)).astype(np.float32)


def box_from_square(square_xyxy: npt.ArrayLike) -> Boxes:
    """Turn the square that some detectors draw from the brows to the chin into a box from the hairline to the chin.

    Factors: medians over 343 pictures of shared/data for dlib's and BlazeFace's squares against YuNet's boxes; the two
    kinds of square agree within 1 %, and the boxes within 3 % of their side (median absolute deviation).

    Args:
        square_xyxy: (4,) left, top, right, bottom.

    Returns:
        (4,) float32 box of the same frame.
    """
    left, top, right, bottom = np.asarray(square_xyxy, np.float64)
    side = (right - left + bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2 - 0.09 * side
    half_width, half_height = 0.44 * side, 0.62 * side
    return np.array([x - half_width, y - half_height, x + half_width, y + half_height], np.float32)


def crowded(boxes_xyxy: Boxes, margin: float) -> npt.NDArray[np.bool_]:
    """Tell which of the faces of a frame are close to another one, so that one may stand in front of the other.

    Args:
        boxes_xyxy: Nx4 boxes of one frame.
        margin: by how much of its width and height each box is made larger on every side before they are compared: hair
            reaches beyond a face's box.

    Returns:
        (N,) bool, True where a larger box touches another one.
    """
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    grown = boxes + np.tile((boxes[:, 2:] - boxes[:, :2]) * margin, (1, 2)) * (-1, -1, 1, 1)
    overlap, _, _ = _areas(grown.astype(np.float32), grown.astype(np.float32))
    np.fill_diagonal(overlap, 0)
    return np.asarray((overlap > 0).any(axis=1))


def suppress_duplicates(faces: Sequence[Face], max_iou: float = 0.4, max_inside: float = 0.8) -> list[Face]:
    """Keep the best of the boxes that stand on the same face (greedy non-maximum suppression).

    Args:
        faces: faces of one frame, in any order.
        max_iou: overlap (IoU) above which two boxes are the same face.
        max_inside: share of the smaller box that may lie inside the larger one. Looked at only where the
            smaller has over a sixth of the larger's area: a small face beside a big head is someone behind.

    Returns:
        The kept faces, best score first.
    """
    ranked = sorted(faces, key=lambda face: -face.score)
    kept: list[Face] = []
    for face in ranked:
        if not kept or not _is_duplicate(face, kept, max_iou, max_inside):
            kept.append(face)
    return kept


def _is_duplicate(face: Face, kept: Sequence[Face], max_iou: float, max_inside: float) -> bool:
    box, boxes = face.box_xyxy[None], np.stack([other.box_xyxy for other in kept])
    overlap, area, areas = _areas(box, boxes)
    smaller, larger = np.minimum(area, areas), np.maximum(area, areas)
    is_inside = (overlap[0] > max_inside * smaller) & (smaller * 6 > larger)
    return bool(np.any(is_inside | (iou(box, boxes)[0] > max_iou)))


def _areas(a: Boxes, b: Boxes) -> tuple[_Floats, _Floats, _Floats]:
    """Return the NxM overlaps, the N areas and the M areas."""
    one, other = np.asarray(a, np.float64).reshape(-1, 4), np.asarray(b, np.float64).reshape(-1, 4)
    starts = np.maximum(one[:, None, :2], other[None, :, :2])
    sides = np.minimum(one[:, None, 2:], other[None, :, 2:]) - starts  # NxMx2
    area_a, area_b = (np.maximum(box[:, 2:] - box[:, :2], 0).prod(1) for box in (one, other))
    return np.maximum(sides, 0).prod(2), area_a, area_b
