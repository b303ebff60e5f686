"""Restyle the faces of one picture: cut the crops, run the generator, make the masks. Time is render.py's concern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt

from model.engine import Engine
from model.images import to_sound_pictures, to_tensor

from .blending import calm_backdrop
from .crops import cut_all
from .finder import FaceSource
from .guard import is_blank
from .plan import Placement
from .tones import Tones, measure_tones
from .views import Crop, HeadView, Mask, MaskMaker

Layers = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class StyledFace:
    """A face of one frame before and after the generator."""

    placement: Placement
    """Whose face it is and where it lies."""
    source: Crop
    """SxSx3 uint8 RGB, as cut from the frame."""
    view: HeadView
    """What was seen in it."""
    layers: Layers | None
    """SxSx4 uint8: RGB from the generator and the mask to paste it with (times 255); None where that was not finite or
    blank. One array, so that picture and mask are steadied together."""
    tones: Tones | None
    """What brings it into its picture; None where the layers are."""
    blend: str = "multiband"
    """How it is fitted in, one of blending.BLENDS."""

    @property
    def styled(self) -> Crop | None:
        """SxSx3 uint8 RGB from the generator."""
        return None if self.layers is None else self.layers[..., :3]

    @property
    def mask(self) -> Mask | None:
        """SxS float32 in [0, 1], what is shown of it."""
        return None if self.layers is None else _mask_of(self.layers)


class Stylist:
    """A generator with the masks that belong to its crops.

    Args:
        engine: runs the generator.
        masks: makes the masks.
        size_px: side of the crops.
        keeps_colours: the style draws things in their own colours, so that the light on a face can be carried over.
        blend: how faces are fitted in: one of blending.BLENDS, or `auto`, which fits a style that keeps colours octave
            by octave; another would take on the source's slow colours along the edge of the head.
    """

    def __init__(
        self, engine: Engine, masks: MaskMaker, size_px: int, *, keeps_colours: bool = False, blend: str = "auto"
    ) -> None:
        self.engine = engine
        self.masks = masks
        self.size_px = size_px
        self.keeps_colours = keeps_colours
        self.blend = blend if blend != "auto" else "multiband" if keeps_colours else "feather"

    @property
    def batch_size(self) -> int:
        """Pictures that it likes to be given at once."""
        return self.engine.batch_size

    def stylise(self, pictures: Sequence[tuple[FaceSource, Sequence[Placement]]]) -> list[list[StyledFace]]:
        """Cut and restyle all faces of some pictures in one go; one list of faces per picture, in order."""
        faces = [(source, placement) for source, placements in pictures for placement in placements]
        if not faces:
            return [[] for _ in pictures]
        places = [(source, placement.source_to_crop) for source, placement in faces]
        crops = cut_all(places, self.size_px, self.engine.device)
        views = self.masks.before(crops, [placement.landmarks for _, placement in faces])
        calm = [calm_backdrop(crop, view.keeps) for crop, view in zip(crops, views, strict=True)]
        outputs = to_sound_pictures(self.engine(to_tensor(np.stack(calm), self.engine.device)))
        pictures_of = [_unless_blank(output, crop) for output, crop in zip(outputs, crops, strict=True)]
        layers = self._layers(crops, views, pictures_of)
        styled = iter(
            StyledFace(placement, crop, view, both, self._tones(crop, view, both), self.blend)
            for (_, placement), crop, view, both in zip(faces, crops, views, layers, strict=True)
        )
        return [list(islice(styled, len(placements))) for _, placements in pictures]

    def _layers(
        self, crops: Sequence[Crop], views: Sequence[HeadView], styled: Sequence[Crop | None]
    ) -> list[Layers | None]:
        """Put picture and mask together where there is a picture."""
        good = [
            (crop, view, picture)
            for crop, view, picture in zip(crops, views, styled, strict=True)
            if picture is not None
        ]
        masks = iter(self.masks.after([g[1] for g in good], [g[0] for g in good], [g[2] for g in good]) if good else ())
        return [None if picture is None else _joined(picture, next(masks)) for picture in styled]

    def _tones(self, crop: Crop, view: HeadView, layers: Layers | None) -> Tones | None:
        if layers is None:
            return None
        picture, mask = np.asarray(cv2.cvtColor(layers, cv2.COLOR_RGBA2RGB), np.uint8), _mask_of(layers)
        has_shift = self.blend != "multiband"
        return measure_tones(picture, crop, mask, view.ground, follows_light=self.keeps_colours, has_shift=has_shift)


def _joined(picture: Crop, mask: Mask) -> Layers:
    """Picture and mask as layers."""
    layers = cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA)
    return np.asarray(cv2.insertChannel(cv2.convertScaleAbs(mask, alpha=255), layers, 3), np.uint8)


def _mask_of(layers: Layers) -> Mask:
    return cv2.extractChannel(layers, 3).astype(np.float32) * np.float32(1 / 255)


def _unless_blank(picture: Crop | None, crop: Crop) -> Crop | None:
    """What the generator made of a crop, None where it is broken."""
    return None if picture is None or is_blank(picture, crop) else picture
