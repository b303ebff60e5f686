"""Which pixels of a crop are restyled: the choice behind `--mask`. The masks themselves are made in faceseg/."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from alignment.errors import LandmarkSetError
from alignment.points import Points, five_points, outline

Crop = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.float32]
MaskMaker = Callable[[Crop, Points], Mask]
"""(crop SxSx3 uint8 RGB, landmarks Kx2 px of the crop) -> SxS float32 in [0, 1]."""

logger = logging.getLogger(__name__)

FEATHER = 0.35
"""Width of a parsed mask's soft edge, as a share of the eye distance."""


def build_mask_maker(
    name: str, *, group: str = "head", parser_weights: Path | None = None, device: str = "cpu"
) -> tuple[str, MaskMaker]:
    """Choose how masks are made.

    Args:
        name: `auto` (face parser where its weights are, else landmarks), `parser`, `landmarks` or `box`.
        group: name of the face parts that a parsed mask holds (faceseg/parts.py).
        parser_weights: BiSeNet weights; None looks into the user's cache.
        device: where a parser runs.

    Returns:
        The name that was chosen and the function that makes a mask.

    Raises:
        ParserUnavailableError: `parser` was asked for and its weights are not there.
        UnknownPartGroupError: there is no such group.
    """
    from faceseg.errors import ParserUnavailableError

    if name in ("auto", "parser"):
        try:
            return "parser", _parser_masks(group, parser_weights, device)
        except ParserUnavailableError:
            if name == "parser" or parser_weights is not None:
                raise
            logger.info("No face parser weights here: masks are drawn from the landmarks.")
    return ("box", _box_mask) if name == "box" else ("landmarks", _landmark_mask)


def _parser_masks(group: str, weights: Path | None, device: str) -> MaskMaker:
    from faceseg.masks import feather, part_mask
    from faceseg.parser import load_face_parser
    from faceseg.parts import part_group

    parts, parser = part_group(group), load_face_parser(weights, device)

    def make(crop: Crop, landmarks: Points) -> Mask:
        probabilities = parser.parse(crop[None])
        five = five_points(landmarks)
        soft_px = FEATHER * float(np.linalg.norm(five[1] - five[0]))
        mask = feather(part_mask(probabilities, parts), soft_px / 2)[0, 0].cpu().numpy()
        # The head may leave the crop (long hair): never show the crop's own border.
        return np.asarray(mask * _box_mask(crop, landmarks), np.float32)

    return make


def _landmark_mask(crop: Crop, landmarks: Points) -> Mask:
    from faceseg.head_mask import landmark_head_mask

    try:
        polygon = outline(landmarks)
    except LandmarkSetError:
        return _box_mask(crop, landmarks)
    return landmark_head_mask(polygon, five_points(landmarks), crop.shape[0])  # feathered by the face's length


def _box_mask(crop: Crop, landmarks: Points) -> Mask:
    from faceseg.head_mask import box_mask

    return box_mask(crop.shape[0], 0.15)
