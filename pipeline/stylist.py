"""Restyle the faces of one picture: cut the crops, run the generator, make the masks. Time is render.py's concern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
from torch import Tensor

from alignment.points import Points
from alignment.warp import compose, invert, transform_points, warp_crop
from model.engine import Engine
from model.images import to_pictures, to_tensor

from .blending import calm_backdrop
from .finder import FaceSource
from .guard import is_blank
from .masks import Mask, MaskMaker
from .plan import Placement

Crop = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class StyledFace:
    """A face of one frame before and after the generator."""

    placement: Placement
    """Whose face it is and where it lies."""
    source: Crop
    """SxSx3 uint8 RGB, as cut from the frame."""
    head: Mask
    """SxS float32 in [0, 1], what shall change of it."""
    styled: Crop | None
    """SxSx3 uint8 RGB from the generator; None where that was not finite or blank."""


class Stylist:
    """A generator with the masks that belong to its crops."""

    def __init__(self, engine: Engine, make_mask: MaskMaker, size_px: int) -> None:
        self.engine = engine
        self.make_mask = make_mask
        self.size_px = size_px

    @property
    def batch_size(self) -> int:
        """Pictures that it likes to be given at once."""
        return self.engine.batch_size

    def stylise(self, pictures: Sequence[tuple[FaceSource, Sequence[Placement]]]) -> list[list[StyledFace]]:
        """Cut and restyle all faces of some pictures in one go; one list of faces per picture, in order."""
        faces = [(source, placement) for source, placements in pictures for placement in placements]
        if not faces:
            return [[] for _ in pictures]
        crops = [cut(source, placement.source_to_crop, self.size_px) for source, placement in faces]
        heads = [self.make_mask(crop, placement.landmarks) for (_, placement), crop in zip(faces, crops, strict=True)]
        calm = [calm_backdrop(crop, head) for crop, head in zip(crops, heads, strict=True)]
        outputs = self.engine(to_tensor(np.stack(calm)))
        styled = iter(
            StyledFace(placement, crop, head, _good_picture(output, crop))
            for (_, placement), crop, head, output in zip(faces, crops, heads, outputs, strict=True)
        )
        return [list(islice(styled, len(placements))) for _, placements in pictures]


def _good_picture(output: Tensor, crop: Crop) -> Crop | None:
    """The generator's output (3xSxS) as a picture, None where it is broken."""
    if not bool(output.isfinite().all()):
        return None
    picture = to_pictures(output[None])[0]
    return None if is_blank(picture, crop) else picture


def cut(source: FaceSource, source_to_crop: Points, size_px: int) -> Crop:
    """Cut an aligned crop, SxSx3 uint8 RGB, converting only the part of the picture that it shows."""
    width, height = source.size_wh
    corners = np.array([[0, 0], [size_px, 0], [0, size_px], [size_px, size_px]], np.float32)
    seen = transform_points(invert(source_to_crop), corners)
    low = np.clip(np.floor(seen.min(0)).astype(int) - 2, 0, (width - 2, height - 2))
    high = np.clip(np.ceil(seen.max(0)).astype(int) + 3, low + 2, (width, height))
    shift = np.array([[1, 0, low[0]], [0, 1, low[1]]], np.float32)
    region = source.to_rgb(int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    return np.asarray(warp_crop(region, compose(source_to_crop, shift), size_px))
