"""Source and result in one picture, for `--compare side`."""

from __future__ import annotations

import numpy as np

from .frames import Frame


def beside(source: Frame, result: Frame) -> Frame:
    """Put two frames of the same kind side by side as displayed: source left, result right.

    Where the width is odd and chroma is subsampled, the source loses its last column, so that the planes still fit.
    """
    orientation, layout = source.orientation, source.layout
    step_x = 1 << (layout.chroma_shift_y if orientation.rotation_degrees % 180 else layout.chroma_shift_x)
    kept = source.size_wh[0] // step_x * step_x
    planes = []
    for left, right in zip(source.planes, result.planes, strict=True):
        shown_left, shown_right = orientation.to_display(left), orientation.to_display(right)
        is_subsampled = shown_left.shape[1] < source.size_wh[0]
        shown_left = shown_left[:, : kept // step_x if is_subsampled else kept]
        planes.append(np.ascontiguousarray(orientation.to_coded(np.concatenate([shown_left, shown_right], axis=1))))
    return Frame(tuple(planes), layout, source.colour, source.pts, orientation)
