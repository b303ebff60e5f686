"""Which crops show the same face in the same moment, or nearly so. Who somebody is is not asked.

A crop becomes 256 grey values of its inner face, without their brightness and contrast; two are compared by their
correlation. Turning, mirroring and other people's faces make other values.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from alignment.templates import TIGHT, CropTemplate, source_to_crop
from alignment.warp import warp_crop

from ..finder import RGB

SIDE_PX = 16
"""Side of the small picture that a crop is compared by."""

_FINE = 4
_BLOCK = 1024

Descriptor = npt.NDArray[np.float32]


def describe(crop: RGB, template: CropTemplate) -> Descriptor:
    """Reduce a crop to what it is compared by.

    Args:
        crop: SxSx3 uint8 RGB.
        template: by which it was cut.

    Returns:
        (256,) float32 of mean 0 and norm 1; all 0 for a crop of one colour.
    """
    inner = source_to_crop(template.at_size(crop.shape[0]), TIGHT, SIDE_PX * _FINE)
    grey = cv2.cvtColor(np.asarray(warp_crop(crop, inner, SIDE_PX * _FINE), np.uint8), cv2.COLOR_RGB2GRAY)
    small: Any = cv2.resize(grey, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    values = small.astype(np.float32).ravel()
    values -= values.mean()
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-6), np.float32)


class SeenFaces:
    """Everything that was kept so far; 1 kB for each crop, and one pass over them for each question."""

    def __init__(self, max_likeness: float) -> None:
        """Args: max_likeness: correlation from which two crops are the same, 0 to 1; 0 lets everything through."""
        self._max_likeness = max_likeness
        self._rows: npt.NDArray[np.float32] = np.zeros((_BLOCK, SIDE_PX**2), np.float32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def is_known(self, descriptor: Descriptor) -> bool:
        """Tell whether a crop like this one was kept."""
        if self._count == 0 or self._max_likeness <= 0:
            return False
        return bool((self._rows[: self._count] @ descriptor).max() >= self._max_likeness)

    def add(self, descriptor: Descriptor) -> None:
        """Remember a crop."""
        if self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[self._count] = descriptor
        self._count += 1

    def forget_after(self, count: int) -> None:
        """Forget all but the first `count` crops: what came after was not kept after all."""
        self._count = min(self._count, count)
