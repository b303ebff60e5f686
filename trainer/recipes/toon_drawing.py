"""Draws the toon: flat tones per part, tapering ink along the parts' borders, redrawn features.

The target domain of the built-in style `toon`, made by rules from a labelled photograph. Every threshold is a soft
function of smoothed fields, so that neighbouring frames get neighbouring drawings. Reads no files.
"""

from __future__ import annotations

import cv2
import numpy as np

from .drawn_brush import Array, Canvas, borders, smoothstep, vector
from .drawn_data import CANVAS_PX, SCALE, Picture, Sitter, enlarge
from .drawn_tones import (
    blur,
    brighten,
    comb,
    hair_flow,
    masked_blur,
    masked_quantiles,
    to_lab,
    to_rgb,
    tones,
    valleys,
)
from .drawn_zones import smooth_regions
from .toon_features import draw_features
from .toon_skin import SkinTones

INK_WIDTHS = {"background": 2.3, "face": 1.7, "ear": 1.3, "neck": 1.5, "hair": 1.9, "hat": 1.9, "cloth": 1.6}
"""Widest ink along a region's border, canvas px."""


def draw(sitter: Sitter) -> Picture:
    """Draw a sitter as a toon: -> CANVAS_PX x CANVAS_PX x 3 uint8 RGB, aligned with its picture."""
    lab = to_lab(sitter.picture)
    regions = smooth_regions(sitter, 2.6)
    skin = SkinTones(sitter, lab, regions)
    flesh = skin.paint(lab, sitter)
    layers = {
        "background": _background(lab),
        "cloth": _cloth(lab, regions["cloth"]),
        "hat": _cloth(lab, regions["hat"]),
        "hair": _hair(lab, regions["hair"]),
        "face": flesh,
        "ear": flesh,
        "neck": flesh,
    }
    large = {name: enlarge(regions[name]) for name in layers}
    owner = np.argmax(np.stack(list(large.values())), axis=0)
    canvas = Canvas(np.zeros_like(flesh))
    for index, layer in enumerate(layers.values()):
        canvas.rgb[owner == index] = layer[owner == index]
    draw_ink(canvas, large)
    draw_features(canvas, sitter, large, skin.base_rgb, SCALE)
    small = cv2.resize(np.clip(canvas.rgb, 0, 1), (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_AREA)
    return np.round(small * 255).astype(np.uint8)


def _hair(lab: Array, weight: Array) -> Array:
    """Hair as masses: strands combed out along their own direction, three tones, fine dark lines between them."""
    core = smoothstep(0.6, 0.95, weight)
    light = masked_blur(lab[..., 0], core + 0.01, 1.2)
    combed = comb(light, hair_flow(light, core))
    low, middle, high = masked_quantiles(combed, core, (0.14, 0.5, 0.88))
    span = max(float(high - low), 6.0)
    colour = np.stack([masked_blur(lab[..., c], core + 1e-3, 11) for c in (1, 2)], axis=-1)
    field = enlarge(combed)
    base_l = float(brighten(masked_quantiles(lab[..., 0], core, (0.4,))[0], 0.88)) + 2
    step = np.clip(span * 0.42, 5.5, 14)
    values = np.array([[base_l - step * 0.9, 0, 0], [base_l, 0, 0], [base_l + step * 1.15, 0, 0]], np.float32)
    edges = np.array([low + 0.22 * (middle - low), high - 0.25 * (high - middle)])
    painted = tones(field, edges, values, max(span * 0.035, 0.5))
    painted[..., 1:] = enlarge(colour) * 1.2
    lines = smoothstep(0.25, 0.8, enlarge(valleys(combed, 1.2)) / max(span * 0.04, 0.40))
    painted[..., 0] -= lines * step * 1.1
    painted[..., 0] = np.maximum(painted[..., 0], 5)
    return to_rgb(painted)


def _cloth(lab: Array, weight: Array) -> Array:
    """Clothes and head coverings: the picture smoothed to a few flat tones, folds as soft dark lines."""
    flat = lab
    for _ in range(3):
        flat = cv2.bilateralFilter(flat, 9, 9, 5)
    low, middle, high = masked_quantiles(flat[..., 0], weight**2, (0.1, 0.5, 0.9))
    field, span = enlarge(blur(flat[..., 0], 1.2)), max(float(high - low), 6.0)
    levels = np.array([low, middle, high])
    values = np.stack([brighten(levels) + 2, levels * 0, levels * 0], axis=-1).astype(np.float32)
    painted = tones(field, (levels[1:] + levels[:-1]) / 2, values, span * 0.03 + 0.4)
    painted[..., 1:] = enlarge(blur(flat[..., 1:], 1.5)) * 1.18
    return to_rgb(painted)


def _background(lab: Array) -> Array:
    """A calm backdrop: large flat patches of low contrast."""
    small = cv2.resize(lab, (CANVAS_PX // 2, CANVAS_PX // 2), interpolation=cv2.INTER_AREA)
    for _ in range(4):
        small = cv2.bilateralFilter(small, 9, 14, 5)
    light = small[..., 0]
    levels = masked_quantiles(light, np.ones_like(light), (0.08, 0.3, 0.55, 0.8, 0.95))
    stepped = tones(light, (levels[1:] + levels[:-1]) / 2, np.repeat(levels[:, None], 3, 1), 1.2)[..., 0]
    mean = float(stepped.mean())
    small[..., 0] = brighten(mean + 0.72 * (stepped - mean)) * 0.93 + 7
    small[..., 1:] = small[..., 1:] * 0.92
    return to_rgb(enlarge(blur(small, 0.8)))


def draw_ink(canvas: Canvas, regions: dict[str, Array]) -> None:
    """Ink along the borders of the regions, thicker on the side away from the light (above left)."""
    contrast = _contrast(canvas.rgb)
    widths: dict[str, Array | float] = {name: width * SCALE for name, width in INK_WIDTHS.items()}
    for name in ("neck", "cloth"):
        widths[name] = widths[name] * contrast
    ink = borders(regions, widths)
    around = cv2.resize(
        cv2.resize(canvas.rgb, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA),
        (canvas.size_px, canvas.size_px),
        interpolation=cv2.INTER_LINEAR,
    )
    canvas.blend(ink * 0.96, around * 0.16 + vector(0.055, 0.035, 0.05))


def _contrast(rgb: Array) -> Array:
    """0 where both sides of a border look alike (bare shoulders labelled as clothes), 1 where they differ."""
    small = cv2.resize(rgb, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    far = blur(small, 2.5)
    step = np.sqrt(blur(((small - far) ** 2).sum(-1), 2.5))
    return np.asarray(smoothstep(0.05, 0.11, cv2.resize(step, rgb.shape[:2], interpolation=cv2.INTER_LINEAR)))
