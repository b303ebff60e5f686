"""Masks from a face parser: which pixels of a crop are restyled, seen in the source and in what became of it.

Four questions in order. Which pixels are head (the parser on the source crop)? Which of them belong to this face and
not to a neighbour's? Where has the drawn head another outline (the parser on the restyled crop)? What stands in front?
The answers are continuous in what the parser says, so that a mask moves and does not jump.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from alignment.points import Points
from faceseg.parts import COVERED_HEAD, EARS, FACE, HAIR, HEADWEAR, NECK, FacePart, PartGroup

from .geometry import face_geometry
from .matting import guided, resized, smoothstep, soft
from .views import GROUND_SIDE_PX, Crop, Floats, HeadView, Mask, inside

_SKIN, _COVER = FACE | EARS | NECK, HAIR | HEADWEAR
_BACKGROUND, _CLOTH = frozenset({FacePart.BACKGROUND}), frozenset({FacePart.CLOTH})

_SEEN_LOW, _SEEN_HIGH = 0.2, 0.5
"""Share of the face that the parser must see: below the first the mask is drawn from the landmarks, between mixed."""
_CUT_LEVEL = 0.4
"""Probability from which neighbouring pixels hang together."""
_FRONT_LOW, _FRONT_HIGH = 0.3, 0.7
"""Within the face what is head with less than the first probability stands in front of it; in between it is both."""
_AGREED_LOW, _AGREED_HIGH = 0.15, 0.45
"""Nor is it head, whatever the source seemed to show, where it is so improbable in what the generator made of it."""
_NECK_FROM, _NECK_TO = 0.05, 0.75
"""Below the chin, in face lengths: where the neck begins to turn back into the photograph, and where it has."""
_SHARE_SIGMA_PX, _TINY = 1.5, 1e-3
_REACH = 0.30
"""How far the drawn head may reach beyond the filmed one, in eye distances."""
_EDGE_PX, _EDGE_LEVELS = 8, 12.0
"""Window in which the mask takes over the picture's edges, and the contrast that counts as one."""
_FEATHER = 0.025
"""Standard deviation of the last softening, in eye distances."""


class GroupsOfParts(Protocol):
    """A parser that tells groups of parts."""

    def parse_groups(self, pictures: npt.NDArray[np.uint8], groups: Sequence[PartGroup]) -> Tensor:
        """Compute the probability of each group in NxSxSx3 uint8 RGB pictures: NGhw in [0, 1]."""
        ...


class ParsedMasks:
    """Makes masks of some parts of the head with a parser."""

    name = "parser"

    def __init__(
        self,
        parser: GroupsOfParts,
        parts: PartGroup,
        draw: Callable[[Crop, Points], Mask],
        *,
        drawing_parser: GroupsOfParts | None = None,
    ) -> None:
        """Choose the parts.

        Args:
            parser: labels crops.
            parts: what is restyled.
            draw: makes a mask from the landmarks (crop, landmarks) where the parser sees no face.
            drawing_parser: labels restyled crops; None takes the same.
        """
        self._parser, self._drawing_parser = parser, drawing_parser or parser
        self._draw = draw
        self._groups = (parts - NECK, parts & NECK, FACE, _COVER, _SKIN, _CLOTH, _BACKGROUND)
        self._drawn_groups = (parts & COVERED_HEAD,)

    def before(self, crops: Sequence[Crop], landmarks: Sequence[Points]) -> list[HeadView]:
        """Look at crops before the generator does: see `MaskMaker`."""
        maps = _shares(self._parser, crops, self._groups)
        return [self._view(*each) for each in zip(crops, landmarks, maps, strict=True)]

    def after(self, views: Sequence[HeadView], crops: Sequence[Crop], styled: Sequence[Crop]) -> list[Mask]:
        """Make the masks to paste with: see `MaskMaker`."""
        maps = _shares(self._drawing_parser, styled, self._drawn_groups)
        return [_mask(view, crop, shares[0]) for view, crop, shares in zip(views, crops, maps, strict=True)]

    def _view(self, crop: Crop, landmarks: Points, maps: Floats) -> HeadView:
        head, neck, *_, background = maps
        size, face = crop.shape[0], face_geometry(landmarks)
        half, area = size // 2, face.area(GROUND_SIDE_PX, size)
        small_head, small_neck, small_inner, *ground = (resized(of, GROUND_SIDE_PX) for of in maps)
        own = resized(_own(small_head + small_neck, small_inner, area), half)
        shown, keeps = resized(np.minimum(head + neck, 1), half) * own, resized(1 - background, half)
        seen = float(((1 - ground[-1]) * area).sum() / max(float(area.sum()), 1.0))
        trust = float(smoothstep(np.array([seen], np.float32), _SEEN_LOW, _SEEN_HIGH)[0])
        if trust < 1:
            drawn = resized(self._draw(crop, landmarks), half)
            shown, keeps = trust * shown + (1 - trust) * drawn, trust * keeps + (1 - trust) * drawn
        below = smoothstep(face.below_chin(GROUND_SIDE_PX, size), _NECK_FROM, _NECK_TO)
        fade = inside(half) * resized(1 - below * _neck_share(small_head, small_neck), half)
        small_ground = np.asarray(cv2.merge(ground), np.float32)
        return HeadView(resized(soft(keeps, 0.5), size), shown, fade, small_ground, soft(area, 1.5), face, trust)


def _shares(parser: GroupsOfParts, pictures: Sequence[Crop], groups: Sequence[PartGroup]) -> Floats:
    """Probability of each group of parts, at the parser's resolution: NGhw."""
    return parser.parse_groups(np.stack(pictures), groups).float().cpu().numpy()


def _neck_share(head: Floats, neck: Floats) -> Floats:
    """How much of the head nearby is neck; 1 where there is nothing: a soft edge around the neck fades with it."""
    near_head, near_neck = soft(head, _SHARE_SIGMA_PX), soft(neck, _SHARE_SIGMA_PX) + np.float32(_TINY)
    return np.asarray(near_neck / (near_head + near_neck), np.float32)


def _own(head: Floats, inner: Floats, area: Floats) -> Floats:
    """How far each pixel belongs to the head of this face rather than to another's: small square in [0, 1]."""
    is_head = cv2.morphologyEx((head > _CUT_LEVEL).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    num, labels = cv2.connectedComponents(is_head | (area > 0).astype(np.uint8))
    linked = np.isin(labels, np.unique(labels[area > 0])) if num > 1 else np.zeros_like(labels, bool)
    reach = cv2.dilate(linked.astype(np.float32), np.ones((5, 5), np.uint8))
    return soft(np.asarray(reach, np.float32), 0.8) * _nearer(inner, area)


def _nearer(inner: Floats, area: Floats) -> Floats:
    """1 where this face is nearer than any other face in the crop, 0 beyond the middle between them."""
    num, labels, stats, _ = cv2.connectedComponentsWithStats((inner > 0.5).astype(np.uint8))
    others = [
        i for i in range(1, num) if stats[i, cv2.CC_STAT_AREA] > 0.01 * inner.size and not area[labels == i].any()
    ]
    if not others or not area.any():
        return np.ones_like(inner)
    to_own = cv2.distanceTransform((area == 0).astype(np.uint8), cv2.DIST_L2, 3)
    to_others = cv2.distanceTransform((~np.isin(labels, others)).astype(np.uint8), cv2.DIST_L2, 3)
    return smoothstep(np.asarray(to_others - to_own, np.float32), -2.0, 2.0)


def _mask(view: HeadView, crop: Crop, drawn: Floats) -> Mask:
    """What is pasted: the filmed head up to its edges, and the drawn head where that reaches a little further."""
    size, half, eye_px = crop.shape[0], view.shown.shape[0], view.face.eye_distance_px
    in_front = resized(view.area, drawn.shape[0]) * (1 - smoothstep(drawn, _AGREED_LOW, _AGREED_HIGH)) * view.trust
    shown = view.shown * (1 - resized(in_front, half))
    guide = resized(crop, half)
    filmed = guided(guide, smoothstep(shown, _FRONT_LOW, _FRONT_HIGH), _EDGE_PX * half // size, _EDGE_LEVELS)
    filmed = smoothstep(filmed, 0.1, 0.9)
    small = soft(resized(view.shown, GROUND_SIDE_PX), _REACH * eye_px * GROUND_SIDE_PX / size)
    near = resized(smoothstep(np.minimum(2.5 * small, 1), 0.1, 0.6) * (1 - view.area), half)
    beyond = smoothstep(resized(drawn, half), _FRONT_LOW, _FRONT_HIGH) * near
    mask = soft(np.maximum(filmed, beyond), max(_FEATHER * eye_px, 0.5) * half / size)
    return resized(mask * view.fade, size)
