"""Draws the sketch: a graphite portrait on warm paper. Contours with pressure, combed hair, soft shade, bright paper.

The target domain of the built-in style `sketch`, made by rules from a labelled photograph. All texture comes from the
picture itself, combed along its own direction, so that neighbouring frames get neighbouring drawings. Reads no files.
"""

from __future__ import annotations

import cv2
import numpy as np

from .drawn_brush import Array, Canvas, borders, smoothstep, vector
from .drawn_data import CANVAS_PX, SCALE, Picture, Sitter, enlarge
from .drawn_page import Page
from .drawn_portrait import Palette, draw_portrait
from .drawn_tones import blur, comb, flow_of, grain, hair_flow, masked_blur, masked_quantiles, to_lab
from .drawn_zones import all_skin, bare_face, smooth_regions

PAPER, GRAPHITE = vector(0.975, 0.962, 0.935), vector(0.125, 0.12, 0.135)
PENCIL_WIDTHS = {"background": 1.7, "face": 1.4, "ear": 1.2, "neck": 1.3, "hair": 1.1, "hat": 1.6, "cloth": 1.4}
"""Widest line along a region's border, canvas px."""
_CONTOURS = ((0.7, 0.055, 0.62), (1.15, 0.085, 0.8))
"""Lines inside the parts: sigma in canvas px, contrast that counts, weight."""


def draw(sitter: Sitter) -> Picture:
    """Draw a sitter in pencil: -> CANVAS_PX x CANVAS_PX x 3 uint8 RGB, aligned with its picture."""
    light, regions = to_lab(sitter.picture)[..., 0], smooth_regions(sitter)
    levels, flow = _skin_levels(light, sitter, regions), flow_of(light)
    shade = _shade(light, regions, levels) + _hair(light, regions["hair"])
    shade = shade * (1 - 0.42 * grain(light, flow) * (1 - regions["hair"]) * (1 - 0.6 * regions["background"]))
    large = {name: enlarge(field) for name, field in regions.items()}
    paper_left = 1 - np.clip(enlarge(shade), 0, 1)
    paper_left *= 1 - _contours(light, flow, regions, levels)
    paper_left *= 1 - 0.72 * _silhouettes(large)
    paper_left *= 1 - enlarge(_wash(light, regions, levels))
    canvas = Canvas(_graphite(1 - paper_left))
    draw_portrait(Page(canvas, sitter, large, _graphite(0.2), SCALE), PALETTE)
    small = cv2.resize(np.clip(canvas.rgb, 0, 1), (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_AREA)
    return np.round(small * 255).astype(np.uint8)


def _graphite(dark: Array | float) -> Array:
    """Pencil on paper, RGB: 0 is bare paper, 1 is all the pencil gives."""
    return np.asarray(PAPER + np.asarray(dark, np.float32)[..., None] * (GRAPHITE - PAPER), np.float32)


def _iris(photo: Array) -> Array:
    return _graphite(float(np.clip(0.82 - 0.55 * photo.mean(), 0.45, 0.82)))


def _brow(photo: Array) -> Array:
    return _graphite(float(np.clip(1.10 - 0.75 * photo.mean(), 0.4, 0.92)))


PALETTE = Palette(
    white=_graphite(0.05),
    iris=_iris,
    ring=_graphite(0.88),
    pupil=_graphite(0.98),
    gleam=_graphite(0.0),
    lash=_graphite(0.96),
    line=_graphite(0.72),
    shade=_graphite(0.85),
    brow=_brow,
    lips=_graphite(0.42),
    upper_lip=_graphite(0.55),
    lip_opacity=(0.30, 0.40),
    mouth=_graphite(0.85),
    seam=_graphite(0.88),
    teeth=_graphite(0.02),
)
"""The features' tones."""


def _skin_levels(light: Array, sitter: Sitter, regions: dict[str, Array]) -> tuple[float, float, float]:
    """Lightness of the face's shade, middle and light, L in [0, 100]."""
    bare = bare_face(sitter, regions)
    low, middle, high = masked_quantiles(masked_blur(light, bare + 0.05, 2.5), bare**2, (0.1, 0.6, 0.93))
    return float(low), float(middle), float(high)


def _shade(light: Array, regions: dict[str, Array], levels: tuple[float, float, float]) -> Array:
    """Soft graphite: skin against its own lit tone, clothes and background lighter than life."""
    low, middle, high = levels
    soft = cv2.bilateralFilter(cv2.bilateralFilter(light, 9, 10, 4), 9, 8, 4)
    depth = (middle - soft) / max(high - low, 8.0, 0.25 * middle)
    tint = 0.05 + 0.20 * float(1 - smoothstep(18, 62, middle))
    skin = tint * (1 - smoothstep(0.05, 0.55, -depth))
    for start, end, tone in ((-0.1, 0.55, 0.30), (0.45, 1.3, 0.24), (1.1, 2.4, 0.16)):
        skin = skin + tone * smoothstep(start, end, depth)
    dark = (1 - soft / 100) ** 1.3
    cloth = 0.60 * (regions["cloth"] + regions["hat"]) + 0.24 * regions["background"]
    return np.asarray(np.clip(all_skin(regions) * skin + cloth * dark, 0, 1), np.float32)


def _wash(light: Array, regions: dict[str, Array], levels: tuple[float, float, float]) -> Array:
    """An even tone over dark skin, lights left out, so that everyone keeps their own complexion."""
    low, middle, high = levels
    lit = smoothstep(0.1, 1.0, (blur(light, 2.0) - middle) / max(high - low, 8.0, 0.25 * middle))
    depth = 0.30 * float(1 - smoothstep(20, 60, middle))
    return np.asarray(all_skin(regions) * depth * (1 - 0.75 * lit), np.float32)


def _hair(light: Array, weight: Array) -> Array:
    """Hair as masses of its own darkness, with wide and thin strands combed out of the picture."""
    core = smoothstep(0.3, 0.8, weight)
    fine = masked_blur(light, core + 0.02, 0.6)
    flow = hair_flow(masked_blur(light, core + 0.02, 1.0), core)
    wide = comb(fine, flow, 8, 2)
    low, middle, high = masked_quantiles(wide, core, (0.03, 0.5, 0.95))
    span = max(float(high - low), 9.0)
    depth = 0.22 + 0.50 * float(1 - smoothstep(8, 68, middle))
    mass = depth * (1.35 - 1.25 * np.clip((blur(wide, 1.0) - low) / span, 0, 1.1))
    strands = _even_out(wide, core, 2.6, 0.045 * span + 0.5)
    threads = _even_out(comb(fine, flow, 5, 1), core, 1.1, 0.02 * span + 0.3)
    tone = mass - strands * (0.20 + 0.10 * depth) - threads * (0.10 + 0.12 * depth)
    return np.asarray(np.clip(tone, 0.0, 0.95) * core, np.float32)


def _even_out(field: Array, core: Array, sigma: float, floor: float) -> Array:
    """What stands out of its surroundings, as strong in dark hair as in light: about -1..1."""
    detail = field - masked_blur(field, core + 0.02, sigma)
    spread = np.sqrt(masked_blur(detail * detail, core + 0.02, 7)) + floor
    return np.asarray(np.tanh(0.9 * detail / spread), np.float32)


def _contours(light: Array, flow: Array, regions: dict[str, Array], levels: tuple[float, float, float]) -> Array:
    """Lines of the picture: differences of Gaussians combed along the flow, at two widths; painting-sized.

    After Kang, Lee and Chui, "Coherent line drawing", 2007, and Winnemoeller, "XDoG", 2011, simplified.
    """
    low, middle, high = levels
    span = max(high - low, 0.3 * middle, 10.0)
    calm = cv2.bilateralFilter(light, 5, 6, 2)
    heard = 1 - 0.7 * regions["background"] - 0.45 * regions["hair"]
    lines = np.zeros((CANVAS_PX * SCALE, CANVAS_PX * SCALE), np.float32)
    for sigma, contrast, weight in _CONTOURS:
        edge = blur(calm, sigma * 1.6) - blur(calm, sigma)
        strength = (0.65 * comb(edge, flow, 5, 1) + 0.35 * edge) / (contrast * span)
        lines = np.maximum(lines, weight * smoothstep(0.2, 1.2, enlarge(strength * (0.4 + 0.6 * heard))))
    return np.asarray(lines * enlarge(heard), np.float32)


def _silhouettes(regions: dict[str, Array]) -> Array:
    """A line around head, hair and clothes; hardly one where hair grows out of the skin."""
    line = borders(regions, {name: width * SCALE for name, width in PENCIL_WIDTHS.items()})
    hairline = np.minimum(1, 4 * np.minimum(regions["hair"], regions["face"]))
    return blur(line * (1 - 0.6 * hairline), 0.7)
