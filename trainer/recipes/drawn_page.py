"""What every drawn feature needs: the enlarged painting, its sitter and the geometry between them.

Used by the styles' own features; paints nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from alignment.points import MESH

from .drawn_brush import Array, Canvas, coverage, smoothstep, vector
from .drawn_data import CANVAS_PX, CROP_PX, Sitter

UNIT_PX = 0.2088 * CROP_PX
"""Distance between the eyes in a frontal crop."""


@dataclass
class Page:
    """What every feature needs: the painting, the face and the scale between them."""

    canvas: Canvas
    sitter: Sitter
    regions: dict[str, Array]
    skin: Array
    scale: int

    def __post_init__(self) -> None:
        self.unit = UNIT_PX * self.scale
        self.picture = self.sitter.picture.astype(np.float32) / 255
        size = self.canvas.size_px
        skin_like = self.regions["face"] + 0.5 * self.regions["ear"] + 0.5 * self.regions["neck"]
        self.clip = smoothstep(0.25, 0.6, skin_like)
        self.shape = (size, size)

    def points(self, name: str) -> Array:
        """One landmark group in pixels of the painting (centres of the enlarged pixels)."""
        return (self.sitter.landmarks[MESH[name]] + 0.5) * self.scale - 0.5

    def enlarge(self, field: Array) -> Array:
        """A sitter-sized map at the size of the painting."""
        return np.asarray(cv2.resize(field, self.shape, interpolation=cv2.INTER_CUBIC), np.float32)

    def sample(self, polygon: Array, share: float = 0.5) -> Array:
        """The colour at a share of the brightness order of the photograph inside a polygon of the painting."""
        mask = coverage(((polygon + 0.5) / self.scale - 0.5).astype(np.float32), CANVAS_PX) > 0.5
        if mask.sum() < 4:
            return self.skin
        colours = self.picture[mask]
        order = np.argsort(colours.sum(1))
        low = int(len(order) * max(share - 0.2, 0))
        return np.asarray(colours[order[low : int(len(order) * min(share + 0.2, 1)) + 1]].mean(0), np.float32)

    def mean_in(self, field: Array, polygon: Array) -> float:
        """Mean of an enlarged map inside a polygon."""
        mask = coverage(polygon, self.canvas.size_px)
        return float((field * mask).sum() / max(float(mask.sum()), 1.0))

    @property
    def dim(self) -> float:
        """Factor on everything white, so that eyes and teeth do not glow in the dark."""
        return 0.62 + 0.38 * float(smoothstep(0.1, 0.5, self.skin.mean()))

    @property
    def line_colour(self) -> Array:
        """Ink of lines inside the face: a dark relative of the skin."""
        return np.asarray(self.skin * vector(0.34, 0.22, 0.22) + 0.02, np.float32)
