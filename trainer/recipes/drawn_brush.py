"""Vector brushes of the toon recipe: smooth curves, tapered strokes and soft fills on a float picture.

Knows nothing of faces; `toon_features` says what to draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

Array = npt.NDArray[Any]
"""Float arrays of this recipe: float32 unless a docstring says otherwise."""

_SHIFT = 4  # cv2's fractional bits: sixteenths of a pixel


def vector(*values: float) -> Array:
    """A point or colour as a float32 array; float64 ones would make pictures float64 too."""
    return np.array(values, np.float32)


def smoothstep(low: float, high: float, value: Any) -> Array:
    """0 below `low`, 1 above `high`, smooth between; any shape, float32."""
    t = np.clip((np.asarray(value, np.float32) - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def curve(points: Array, num_points: int = 48, closed: bool = False) -> Array:
    """Resample a polyline as a smooth curve: Kx2 (x, y) -> num_points x 2, same frame."""
    knots = np.concatenate([points, points[:1]]) if closed else np.asarray(points)
    steps = np.sqrt(np.maximum(np.linalg.norm(np.diff(knots, axis=0), axis=1), 1e-3))
    at = np.concatenate([[0], np.cumsum(steps)])
    spline = CubicSpline(at, knots, bc_type="periodic" if closed else "natural")
    return np.asarray(spline(np.linspace(0, at[-1], num_points, endpoint=not closed)), np.float32)


def coverage(polygon: Array, size_px: int) -> Array:
    """Share of each pixel inside a polygon, Nx2 (x, y) px -> size_px x size_px float32 in [0, 1]."""
    mask = np.zeros((size_px, size_px), np.uint8)
    cv2.fillPoly(mask, [_fixed(polygon)], (255,), cv2.LINE_AA, _SHIFT)
    return mask.astype(np.float32) / 255


def _fixed(polygon: Array) -> npt.NDArray[np.int32]:
    """Points in cv2's fixed point numbers; far ones clipped, they would overflow."""
    fixed: npt.NDArray[np.int32] = np.round(np.clip(polygon, -4096, 4096) * 2**_SHIFT).astype(np.int32)
    return fixed


def stroke_outline(line: Array, widths_px: Array) -> Array:
    """Outline of a stroke: Nx2 (x, y) centre line and its N widths -> 2N x 2 polygon."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-6)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) * widths_px[:, None] / 2
    return np.concatenate([line + normal, (line - normal)[::-1]]).astype(np.float32)


def taper(num_points: int, width_px: float, peak: float = 0.5, tip: float = 0.1) -> Array:
    """Widths of a stroke that is thin at both ends and widest at `peak` (0..1 along it)."""
    t = np.linspace(0, 1, num_points, dtype=np.float32)
    rise = np.where(t < peak, t / max(peak, 1e-3), (1 - t) / max(1 - peak, 1e-3))
    return np.asarray(width_px * (tip + (1 - tip) * np.sin(rise * np.pi / 2)), np.float32)


@dataclass
class Canvas:
    """A square picture being painted: size x size x 3 float32 RGB in [0, 1], changed in place."""

    rgb: Array

    @property
    def size_px(self) -> int:
        """Side of the picture."""
        return int(self.rgb.shape[0])

    def blend(self, mask: Array, colour: Array) -> None:
        """Mix `colour` (3 or HxWx3, RGB in [0, 1]) in where `mask` (HxW in [0, 1]) says."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            return
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        painted = self.rgb[window]
        painted += mask[window][..., None] * ((colour if colour.ndim == 1 else colour[window]) - painted)

    def fill(self, polygon: Array, colour: Array, clip: Array | float = 1.0) -> None:
        """Fill a polygon (Nx2 px) with one colour, times `clip` (HxW or a number in [0, 1])."""
        x0, y0 = np.clip(np.floor(polygon.min(0)) - 2, 0, self.size_px).astype(int)
        x1, y1 = np.clip(np.ceil(polygon.max(0)) + 3, 0, self.size_px).astype(int)
        if x1 <= x0 or y1 <= y0:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [_fixed(polygon - vector(x0, y0))], (255,), cv2.LINE_AA, _SHIFT)
        share = mask.astype(np.float32) / 255 * (clip[y0:y1, x0:x1] if isinstance(clip, np.ndarray) else clip)
        window = self.rgb[y0:y1, x0:x1]
        window += share[..., None] * (colour - window)

    def stroke(self, points: Array, widths_px: Array, colour: Array, clip: Array | float = 1.0) -> None:
        """Draw a smooth line through `points` (Kx2 px) whose width follows `widths_px` (N)."""
        line = curve(points, len(widths_px))
        self.fill(stroke_outline(line, widths_px), colour, clip)


def ellipse(centre: Array, radius_px: float, aspect: float = 1.0, num_points: int = 40) -> Array:
    """An ellipse as a polygon: radius along x, radius * aspect along y."""
    angle = np.linspace(0, 2 * np.pi, num_points, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle) * aspect], axis=1) * radius_px
    return np.asarray(ring + centre, np.float32)


def borders(regions: Mapping[str, Array], widths_px: Mapping[str, Array | float]) -> Array:
    """Lines along the borders of regions, thicker on the side away from the light (above left).

    Args:
        regions: maps HxW in [0, 1] that sum to 1; `background` lies outside of what is drawn.
        widths_px: widest line of each region, a number or HxW.

    Returns:
        Ink, HxW float32 in [0, 1].
    """
    fields = np.stack(list(regions.values()))
    ink = np.zeros(fields.shape[1:], np.float32)
    for index, name in enumerate(regions):
        if fields[index].max() >= 0.3:
            others = np.max(np.delete(fields, index, axis=0), axis=0)
            ink = np.maximum(ink, _border(fields[index] - others, widths_px[name], name == "background"))
    return ink


def _border(margin: Array, width_px: Array | float, is_outside: bool) -> Array:
    """Line along the zero of a margin field: its distance in pixels against a width that follows direction."""
    gx, gy = cv2.Sobel(margin, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(margin, cv2.CV_32F, 0, 1, scale=0.125)
    slope = np.hypot(gx, gy)
    away = (gx * 0.45 + gy * 0.9) / (slope + 1e-6) * (1 if is_outside else -1)
    width = width_px * (0.62 + 0.38 * np.clip(away, -1, 1)) * smoothstep(0.004, 0.03, slope)
    distance = np.abs(margin) / (slope + 1e-6)
    return np.asarray(np.clip(width / 2 - distance + 0.5, 0, 1) * smoothstep(0.0, 1.0, width), np.float32)
