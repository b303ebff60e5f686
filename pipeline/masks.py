"""Which pixels of a crop are restyled: the choice behind `--mask` and `--parts`. They are made elsewhere."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from alignment.errors import LandmarkSetError
from alignment.points import Points, five_points, outline

from .views import Crop, DrawnMasks, Mask, MaskMaker

if TYPE_CHECKING:
    from faceseg.group_parser import NetworkCompiler

logger = logging.getLogger(__name__)

_SHOWN_FOR = {"head": "bust"}
"""A style for heads also shows what is worn on them and the neck, which fades downwards: no line at chin and hat."""


def build_mask_maker(
    name: str,
    *,
    group: str = "head",
    parts: str = "",
    parser_weights: Path | None = None,
    device: str = "cpu",
    compile_network: NetworkCompiler | None = None,
) -> MaskMaker:
    """Choose how masks are made.

    Args:
        name: `auto` (face parser, else landmarks), `parser`, `landmarks` or `box`.
        group: name of the face parts that a style is made for (faceseg/parts.py).
        parts: changes to that, see `faceseg.parts.change_parts`.
        parser_weights: a parser's weights; None takes the best that is here.
        device: where a parser runs.
        compile_network: makes it fast on a CPU; None runs it as it is.

    Raises:
        ParserUnavailableError: `parser` was asked for and its weights are not there.
        UnknownPartGroupError: there is no such group or part.
    """
    from faceseg.errors import ParserUnavailableError

    if name in ("auto", "parser"):
        try:
            return _parser_masks(group, parts, parser_weights, device, compile_network)
        except ParserUnavailableError:
            if name == "parser" or parser_weights is not None:
                raise
            logger.info("No face parser weights here: masks are drawn from the landmarks.")
    if name == "box":
        return DrawnMasks(_box_mask, "box")
    return DrawnMasks(_landmark_mask, "landmarks", draw_part=_landmark_face_mask if group == "face" else None)


def _parser_masks(
    group: str, parts: str, weights: Path | None, device: str, compile_network: NetworkCompiler | None
) -> MaskMaker:
    import torch

    from faceseg.group_parser import DRAWING_SIDE_PX, PHOTO_SIDE_PX, GroupParser
    from faceseg.parser import load_face_parser
    from faceseg.parts import change_parts, part_group
    from model.devices import fast_precision

    from .parsed_masks import ParsedMasks

    shown = change_parts(part_group(_SHOWN_FOR.get(group, group)), parts)
    parser = load_face_parser(weights, device)
    precision = fast_precision(torch.device(device)) if parser.name == "built-in" else "fp32"
    if compile_network is not None and device == "cpu":
        photos, drawings = (
            GroupParser(parser, compile_network, side_px, precision) for side_px in (PHOTO_SIDE_PX, DRAWING_SIDE_PX)
        )
        return ParsedMasks(photos, shown, _landmark_mask, drawing_parser=drawings)
    if parser.name == "built-in":  # its answers differ by less than a level of a mask
        parser = parser.to({"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision])
    return ParsedMasks(parser, shown, _landmark_mask)


def _landmark_mask(crop: Crop, landmarks: Points) -> Mask:
    from faceseg.head_mask import landmark_head_mask

    try:
        polygon = outline(landmarks)
    except LandmarkSetError:
        return _box_mask(crop, landmarks)
    return landmark_head_mask(polygon, five_points(landmarks), crop.shape[0])  # feathered by the face's length


def _landmark_face_mask(crop: Crop, landmarks: Points) -> Mask:
    from faceseg.head_mask import landmark_face_mask

    try:
        polygon = outline(landmarks)
    except LandmarkSetError:
        return _box_mask(crop, landmarks)
    return landmark_face_mask(polygon, five_points(landmarks), crop.shape[0])


def _box_mask(crop: Crop, landmarks: Points) -> Mask:
    from faceseg.head_mask import box_mask

    return box_mask(crop.shape[0], 0.15)
