"""Source and result in one picture, for `--compare side`."""

from __future__ import annotations

import numpy as np

from .frames import Frame, PixelLayout
from .orientation import Orientation
from .planes import FrameShape


def beside_wh(shape: FrameShape) -> tuple[int, int]:
    """Width and height of the planes of two frames of this shape side by side as displayed."""
    width, height = shape.orientation.display_wh(shape.width, shape.height)
    both = width + _kept_columns(shape.orientation, shape.layout, width), height
    return shape.orientation.display_wh(*both)


def _kept_columns(orientation: Orientation, layout: PixelLayout, width: int) -> int:
    """Columns of the left picture that fill whole chroma samples."""
    shift = layout.chroma_shift_y if orientation.rotation_degrees % 180 else layout.chroma_shift_x
    return width >> shift << shift


def beside(source: Frame, result: Frame) -> Frame:
    """Put two frames of the same kind side by side as displayed: source left, result right.

    Where the width is odd and chroma is subsampled, the source loses its last column, so that the planes still fit.
    """
    orientation, layout = source.orientation, source.layout
    width = source.size_wh[0]
    kept = _kept_columns(orientation, layout, width)
    planes = []
    for left, right in zip(source.planes, result.planes, strict=True):
        shown_left, shown_right = orientation.to_display(left), orientation.to_display(right)
        shown_left = shown_left[:, : kept * shown_left.shape[1] // width]
        planes.append(np.ascontiguousarray(orientation.to_coded(np.concatenate([shown_left, shown_right], axis=1))))
    return Frame(tuple(planes), layout, source.colour, source.pts, orientation)
