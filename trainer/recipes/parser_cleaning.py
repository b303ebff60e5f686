"""Clean a label map where it disagrees with the person mask and the landmarks of its picture.

The label maps come from a parser that guesses left and right, frays edges and leaves holes. What two sources settle is
corrected; what they leave open becomes `IGNORED`. Works on one aligned canvas; reads no files.
"""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import MESH, Points
from faceseg.parts import FacePart

Labels = npt.NDArray[np.uint8]
Picture = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
_Floats = npt.NDArray[np.floating]

IGNORED = 255
"""Label of a pixel that nobody knows; no loss and no figure counts it."""

_SURE = 0.8
"""Person probability from which on a pixel counts as person ..."""
_SURELY_NOT = 0.15
"""... and up to which it counts as background."""
_EDGE_PX = 3
"""The outline of the person moves by at most so many canvas pixels towards the picture's own edge."""
_AGREEING = 0.35
"""IoU of a part's landmark polygon and its labels from which on the polygon is believed."""
_WIDE_OPEN = 1.3
"""A mouth seen so many times larger than its landmarks is wide open: the landmarks fall short there."""
_HOLE_SHARE = 0.01
"""Holes in the face up to this share of its area are filled with skin, larger ones are left open."""
_SIDES = (
    (FacePart.LEFT_BROW, FacePart.RIGHT_BROW),
    (FacePart.LEFT_EYE, FacePart.RIGHT_EYE),
    (FacePart.LEFT_EAR, FacePart.RIGHT_EAR),
)
_BARE = (FacePart.SKIN, FacePart.NOSE)
_LIPS = (FacePart.MOUTH, FacePart.UPPER_LIP, FacePart.LOWER_LIP)
_OUTSIDE_FACE = (FacePart.CLOTH, FacePart.HAIR, FacePart.HAT, FacePart.NECK, FacePart.NECKLACE)


def clean_labels(
    labels: Labels, picture: Picture, person: npt.NDArray[np.float32], five: Points, landmarks: Points | None
) -> Labels:
    """Return a cleaned copy of a label map.

    Left and right are the person's own afterwards, as in `alignment.points`.

    Args:
        labels: HxW uint8, the 19 classes of `FacePart`, 255 where unknown.
        picture: HxWx3 uint8 RGB.
        person: HxW float32 in [0, 1], probability that a pixel shows a person.
        five: 5x2 float32 px, the alignment points.
        landmarks: 152x2 float32 px, or None where they are not to be trusted.
    """
    labels = labels.copy()
    _tell_sides(labels, five)
    _settle_unknown(labels, person, five)
    if landmarks is not None:
        _close_holes(labels, person, landmarks)
        for side in ("left", "right"):
            _redraw(labels, landmarks[MESH[f"{side}_eye"]], FacePart[f"{side.upper()}_EYE"], is_drawn_anew=True)
            _redraw(labels, landmarks[MESH[f"{side}_brow"]], FacePart[f"{side.upper()}_BROW"], is_drawn_anew=False)
        _redraw_lips(labels, landmarks)
    _snap_outline(labels, picture, person)
    return labels


def _is_any(labels: Labels, parts: Collection[FacePart]) -> Flags:
    return np.asarray(np.isin(labels, list(parts)))


def _tell_sides(labels: Labels, five: Points) -> None:
    """Name paired parts by the side of the face's axis they lie on; a profile's one ear by where the nose is not."""
    right, left = five[0], five[1]
    eyes, mouth = five[:2].mean(0), five[3:].mean(0)
    across = left - right
    down = mouth - eyes
    if np.linalg.norm(across) < 0.35 * np.linalg.norm(down):  # a profile: the axis of the face is not its middle
        across = np.array([down[1], -down[0]]) * np.sign(down[1] * across[0] - down[0] * across[1] or 1)
    for left_part, right_part in _SIDES:
        ys, xs = np.nonzero(_is_any(labels, (left_part, right_part)))
        origin = eyes if left_part is not FacePart.LEFT_EAR else _ears_origin(five)
        is_left = (xs - origin[0]) * across[0] + (ys - origin[1]) * across[1] > 0
        labels[ys, xs] = np.where(is_left, left_part, right_part)


def _ears_origin(five: Points) -> Points:
    """Between the ears: the eyes' middle, moved away from where the nose points."""
    eyes = five[:2].mean(0)
    return np.asarray(eyes - 1.0 * (five[2] - (eyes + five[3:].mean(0)) / 2), np.float32)


def _settle_unknown(labels: Labels, person: npt.NDArray[np.float32], five: Points) -> None:
    """Where the parser did not look, or saw background on a sure person: the person mask decides where it can."""
    eyes, mouth = five[:2].mean(0), five[3:].mean(0)
    down = (mouth - eyes) / max(float(np.linalg.norm(mouth - eyes)), 1e-6)
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]]
    below = (x - eyes[0]) * down[0] + (y - eyes[1]) * down[1] > 2.2 * np.linalg.norm(mouth - eyes)
    unknown = labels == IGNORED
    labels[unknown & (person < _SURELY_NOT)] = FacePart.BACKGROUND
    labels[unknown & (person > _SURE) & below] = FacePart.CLOTH
    missed = (labels == FacePart.BACKGROUND) & (person > _SURE)
    labels[missed & below] = FacePart.CLOTH
    labels[cv2.erode((missed & ~below).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0] = IGNORED
    spurious = _is_any(labels, _OUTSIDE_FACE) & (person < _SURELY_NOT / 2)
    labels[cv2.erode(spurious.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0] = IGNORED


def _close_holes(labels: Labels, person: npt.NDArray[np.float32], landmarks: Points) -> None:
    """Background inside the face's outline: small holes are skin, large ones may be anything."""
    inside = _polygon(labels.shape, landmarks[MESH["outline"]])
    holes = (inside & _is_any(labels, (FacePart.BACKGROUND,)) | (inside & (labels == IGNORED))).astype(np.uint8)
    count, components, stats, _ = cv2.connectedComponentsWithStats(holes)
    limit = _HOLE_SHARE * inside.sum()
    for i in range(1, count):
        is_small = stats[i, cv2.CC_STAT_AREA] <= limit
        labels[(components == i) & (person > 0.5)] = FacePart.SKIN if is_small else IGNORED


def _polygon(shape: tuple[int, ...], points: Points) -> Flags:
    mask = np.zeros(shape[:2], np.uint8)
    shift = 4  # fractions of a pixel
    cv2.fillPoly(mask, [np.round(points * (1 << shift)).astype(np.int32)], 1, shift=shift)
    return mask > 0


def _iou(a: Flags, b: Flags) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def _redraw(labels: Labels, contour: Points, part: FacePart, *, is_drawn_anew: bool) -> None:
    """Bring one small part in line with its landmark polygon.

    Where labels and polygon agree: the polygon is taken (`is_drawn_anew`), else the labels near it are kept. Where they
    do not: unknown. Where the parser saw nothing on bare skin: the polygon.
    """
    hull = np.asarray(cv2.convexHull(contour)[:, 0], np.float32)
    polygon, seen = _polygon(labels.shape, hull), labels == part
    if part in (FacePart.LEFT_EYE, FacePart.RIGHT_EYE):
        polygon = _polygon(labels.shape, contour)
    free = _is_any(labels, (*_BARE, part))
    reach = max(2, round(0.12 * float(np.ptp(contour, axis=0).max())))
    near = cv2.dilate(polygon.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0
    labels[seen & ~near] = FacePart.SKIN
    seen = labels == part
    if seen.sum() < 0.15 * polygon.sum():
        if (free & polygon).sum() > 0.7 * polygon.sum():
            labels[polygon & free] = part if is_drawn_anew else IGNORED
    elif _iou(polygon, seen) < _AGREEING:
        labels[(polygon | seen) & free] = IGNORED
    elif is_drawn_anew:
        labels[seen] = FacePart.SKIN
        labels[polygon & free] = part


def _redraw_lips(labels: Labels, landmarks: Points) -> None:
    """Draw lips and the mouth's inside from their contours where the parser agrees that the mouth is there."""
    outer, inner = landmarks[MESH["lips_outer"]], landmarks[MESH["lips_inner"]]
    whole, opening = _polygon(labels.shape, outer), _polygon(labels.shape, inner)
    seen = _is_any(labels, _LIPS)
    free = _is_any(labels, (*_BARE, *_LIPS))
    if seen.sum() > _WIDE_OPEN * whole.sum():
        return
    if _iou(whole, seen) < _AGREEING:
        labels[(whole | seen) & free] = IGNORED
        return
    upper = _polygon(labels.shape, np.concatenate([outer[:11], inner[10::-1]]))
    lower = _polygon(labels.shape, np.concatenate([outer[10:], outer[:1], inner[:1], inner[:9:-1]]))
    labels[seen] = FacePart.SKIN
    labels[whole & free] = FacePart.UPPER_LIP
    labels[lower & free] = FacePart.LOWER_LIP
    labels[upper & free] = FacePart.UPPER_LIP
    height = float(np.linalg.norm(inner[5] - inner[15]))
    if height >= 2.0:
        labels[opening & free] = FacePart.MOUTH


def _snap_outline(labels: Labels, picture: Picture, person: npt.NDArray[np.float32]) -> None:
    """Move the outline of the person by a few pixels to the edge that the picture shows (guided filter)."""
    known = labels != IGNORED
    filled = ((labels != FacePart.BACKGROUND) & known).astype(np.float32)
    alpha = _guided_filter(picture, 0.8 * filled + 0.2 * person)
    kernel = np.ones((2 * _EDGE_PX + 1,) * 2, np.uint8)
    band = (cv2.dilate(filled, kernel) > 0) & (cv2.erode(filled, kernel) < 1) & known
    losing = band & (filled > 0) & (alpha < 0.4) & _is_any(labels, (*_OUTSIDE_FACE, FacePart.SKIN))
    gaining = band & (filled == 0) & (alpha > 0.6)
    nearest = _nearest_label(labels, filled > 0)
    labels[losing] = FacePart.BACKGROUND
    labels[gaining] = nearest[gaining]


def _nearest_label(labels: Labels, known: Flags) -> Labels:
    """Label of the nearest known pixel, everywhere."""
    _, index = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros(int(index.max()) + 1, np.uint8)
    table[index[known]] = labels[known]
    return np.asarray(table[index], np.uint8)


def _guided_filter(guide: Picture, values: npt.NDArray[np.float32], radius: int = 6) -> npt.NDArray[np.float32]:
    """He et al., "Guided Image Filtering", ECCV 2010, eq. 5, 6 and 8, with each colour channel as guide; their mean."""
    size = (2 * radius + 1, 2 * radius + 1)

    def box(x: _Floats) -> npt.NDArray[np.float32]:
        return np.asarray(cv2.blur(x, size), np.float32)

    colours = guide.astype(np.float32) / 255
    means, mean_value = box(colours), box(values)
    variance = box(colours * colours) - means * means
    covariance = box(colours * values[..., None]) - means * mean_value[..., None]
    weight = variance / (variance.sum(-1, keepdims=True) + 1e-6)
    slope = covariance / (variance + 2e-3)
    offset = mean_value[..., None] - slope * means
    return np.asarray((weight * (box(slope) * colours + box(offset))).sum(-1), np.float32)
