"""Draws the painting: planes of warm colour laid in strokes along the forms, edges lost and found, a bristle's relief.

The target domain of the built-in style `paint`, made by rules from a labelled photograph. Strokes and relief come from
the picture's own structure, so that neighbouring frames get neighbouring paintings. Reads no files.
"""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np

from .drawn_brush import Array, Canvas, smoothstep, vector
from .drawn_data import CANVAS_PX, SCALE, Picture, Sitter, enlarge
from .drawn_page import Page
from .drawn_portrait import Palette, draw_portrait
from .drawn_tones import angles, blur, grain, masked_quantiles, structure, to_lab, to_rgb
from .drawn_zones import all_skin, bare_face, cheeks, feature_mask, smooth_regions

REACH_PX = {"background": 11.0, "face": 7.6, "ear": 5.0, "neck": 9.0, "hair": 8.5, "hat": 8.5, "cloth": 10.0}
"""Radius of a stroke in each region, canvas px; smaller over eyes and mouth."""
_SECTORS, _RINGS, _SPOKES = 8, (0.5, 1.0), (-0.25, 0.25)
_TENSOR_WEIGHTS = (1.0, 1.0, 0.7)  # of L, a and b


def draw(sitter: Sitter) -> Picture:
    """Paint a sitter: -> CANVAS_PX x CANVAS_PX x 3 uint8 RGB, aligned with its picture."""
    lab, regions = to_lab(sitter.picture), smooth_regions(sitter)
    painted = _paint(lab, sitter, regions)
    canvas = Canvas(np.clip(enlarge(to_rgb(blur(painted, 0.55))), 0, 1).astype(np.float32))
    skin = _skin_colour(painted, bare_face(sitter, regions))
    page = Page(canvas, sitter, {name: enlarge(field) for name, field in regions.items()}, skin, SCALE)
    draw_portrait(page, _palette(page))
    small = cv2.resize(np.clip(canvas.rgb, 0, 1), (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_AREA)
    return np.round(small * 255).astype(np.uint8)


def _paint(lab: Array, sitter: Sitter, regions: dict[str, Array]) -> Array:
    """Everything but the features, in Lab."""
    angle, pull = _orientation(lab)
    reach = sum((regions[name] * radius for name, radius in REACH_PX.items()), np.zeros_like(angle))
    reach = blur(reach * (1 - 0.62 * feature_mask(sitter)), 2)
    flat = _strokes(_strokes(lab, angle, pull, reach), angle, pull, reach * np.float32(0.7))
    painted = _recolour(flat, sitter, regions)
    painted[..., 0] += _relief(lab[..., 0], flat[..., 0], angle, regions["face"])
    return painted


def _skin_colour(painted: Array, bare: Array) -> Array:
    """The middle skin tone of a painting, RGB in [0, 1]."""
    return to_rgb(np.array([masked_quantiles(painted[..., c], bare**2, (0.55,))[0] for c in range(3)], np.float32))


def _orientation(lab: Array) -> tuple[Array, Array]:
    """Direction of the strokes, radians, and how clear it is, 0..1. Flat places follow strong edges nearby."""
    terms = [structure(blur(lab[..., c], 0.8)) for c in range(3)]
    weighted = [np.tensordot(_TENSOR_WEIGHTS, [term[i] for term in terms], 1).astype(np.float32) for i in range(3)]
    xx, yy, xy = (blur(term, 2.0) + 0.25 * blur(term, 7.0) for term in weighted)
    pull = np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (xx + yy + 1e-3)
    return angles(xx, yy, xy), np.asarray(pull, np.float32)


def _strokes(lab: Array, angle: Array, pull: Array, reach: Array) -> Array:
    """Anisotropic Kuwahara filter: each place takes the calmest of eight sectors of an ellipse along the stroke.

    Kyprianidis, Kang and Doellner, "Image and video abstraction by anisotropic Kuwahara filtering", 2009, with a few
    samples per sector.

    Args:
        lab: HxWx3.
        angle: HxW, direction of the stroke, radians.
        pull: HxW in [0, 1], how long it is.
        reach: HxW, radius in px.
    """
    long, short = reach * (1 + 0.9 * pull), reach / (1 + 0.9 * pull)
    along = np.cos(angle) * long, np.sin(angle) * long
    across = -np.sin(angle) * short, np.cos(angle) * short
    ramp = np.arange(CANVAS_PX, dtype=np.float32)
    total, weights = np.zeros_like(lab), np.zeros_like(reach)
    for sector in range(_SECTORS):
        mean, square = lab.copy(), lab[..., 0] ** 2
        for ring, spoke in product(_RINGS, _SPOKES):
            turn = 2 * np.pi * (sector + spoke) / _SECTORS
            u, v = np.float32(ring * np.cos(turn)), np.float32(ring * np.sin(turn))
            x, y = (along[i] * u + across[i] * v for i in (0, 1))
            x += ramp
            y += ramp[:, None]
            seen = cv2.remap(lab, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            cv2.add(mean, seen, mean)
            square += seen[..., 0] ** 2
        count = 1 + len(_RINGS) * len(_SPOKES)
        mean /= count
        calm = (0.5 + np.maximum(square / count - mean[..., 0] ** 2, 0)) ** -3
        mean *= calm[..., None]
        total += mean
        weights += calm
    return total / weights[..., None]


def _recolour(flat: Array, sitter: Sitter, regions: dict[str, Array]) -> Array:
    """Planes of light; a palette with warm lights and cool, ruddy shadows. Lab -> Lab."""
    skin = all_skin(regions)
    low, middle, high = masked_quantiles(flat[..., 0], bare_face(sitter, regions) ** 2, (0.1, 0.55, 0.93))
    span = max(float(high - low), 8.0)
    light = _planes(flat[..., 0], float(middle), np.where(skin > 0.5, np.clip(span / 3, 7, 14), 14))
    chroma = np.hypot(flat[..., 1], flat[..., 2])
    colourful = smoothstep(1.5, 6.0, chroma)
    gain = 1.6 / (1 + np.maximum(chroma - 22, 0) * 0.012)
    lit = np.clip((light - middle) / span, -1, 1)
    warm, other = skin * colourful, (1 - skin) * colourful
    a = flat[..., 1] * gain + warm * (4 + 7 * np.maximum(-lit, 0) + 7 * _blush(sitter))
    b = flat[..., 2] * gain + warm * (5 + 12 * np.maximum(lit, 0) - 30 * np.maximum(-lit, 0))
    b = b + other * 16 * np.clip((light - 50) / 45, -1, 0.6)
    bright = 100 * np.clip(light / 100, 0, 1) ** 0.82
    bright = bright + 0.2 * (bright - 50) * smoothstep(0, 30, np.abs(bright - 50))
    return np.stack([np.clip(bright, 4, 97), a, b], axis=-1).astype(np.float32)


def _planes(light: Array, middle: float, step: Array) -> Array:
    """Soft steps of lightness, one of them on the skin's middle tone."""
    return np.asarray(light - 0.92 * step / (2 * np.pi) * np.sin(2 * np.pi * (light - middle) / step), np.float32)


def _blush(sitter: Sitter) -> Array:
    yy, xx = np.mgrid[:CANVAS_PX, :CANVAS_PX].astype(np.float32)
    glows = [np.exp(-(((xx - x) / 11) ** 2 + ((yy - y) / 8) ** 2)) for x, y in cheeks(sitter.landmarks)]
    return np.asarray(sum(glows), np.float32)


def _relief(light: Array, flat: Array, angle: Array, face: Array) -> Array:
    """Marks of the bristles and their ridges, lit from above left: what they add to the lightness."""
    marks = grain(light, np.stack([np.cos(angle), np.sin(angle)], axis=-1), 6)
    height = 0.7 * marks + 0.06 * (flat - blur(flat, 3))
    slope = cv2.Sobel(height, cv2.CV_32F, 1, 0) + cv2.Sobel(height, cv2.CV_32F, 0, 1)
    return np.asarray(np.clip(marks * 4.6 * (1 - 0.15 * face) + slope * 1.2, -11, 11), np.float32)


def _palette(page: Page) -> Palette:
    """Eyes in their own light, lips redder than the skin, lines in its dark relatives."""
    skin, lips = page.skin, _lips(page)

    def iris(photo: Array) -> Array:
        hue = photo / max(float(photo.max()), 0.08)
        return np.asarray(np.clip(hue**1.6 * 0.36 + 0.38 * photo, 0.03, 0.85), np.float32)

    def brow(photo: Array) -> Array:
        return np.asarray(np.clip(photo * 0.75, 0, skin * 0.7), np.float32)

    return Palette(
        white=_eye_white(page),
        iris=iris,
        ring=vector(0.09, 0.06, 0.07),
        pupil=vector(0.03, 0.02, 0.03),
        gleam=vector(1, 0.99, 0.96),
        lash=vector(0.10, 0.055, 0.06),
        line=skin * vector(0.42, 0.24, 0.24) + vector(0.01, 0.01, 0.01),
        shade=skin * vector(0.35, 0.26, 0.3),
        brow=brow,
        lips=lips,
        upper_lip=lips * np.float32(0.78),
        lip_opacity=(0.55, 0.55),
        mouth=vector(0.26, 0.07, 0.08),
        seam=skin * vector(0.30, 0.16, 0.16) + vector(0.02, 0.012, 0.02),
        teeth=vector(0.95, 0.92, 0.87) * np.float32(page.dim),
        eye_gain=(1.13, 1.30),
        brow_width=0.03,
        glow=0.16,
        mouth_opacity=0.72,
    )


def _eye_white(page: Page) -> Array:
    """No brighter than the photographed eyes allow: in the dark nothing glows."""
    white = (vector(0.70, 0.68, 0.66) + 0.25 * page.skin) * page.dim
    seen = np.mean([page.sample(page.points(f"{side}_eye"), 0.85) for side in ("right", "left")], axis=0)
    return np.asarray(np.clip(0.45 * white + 0.55 * np.clip(seen * 1.25, 0, white), 0, 1), np.float32)


def _lips(page: Page) -> Array:
    """Between a red relative of the skin and the photographed lips; grey pictures stay grey."""
    skin = page.skin
    photo = page.sample(page.points("lips_outer"), 0.5)
    seen = photo / max(float(photo.max()), 0.1) * float(skin.max()) * vector(0.98, 0.85, 0.85)
    mixed = np.clip(0.5 * skin * vector(0.92, 0.58, 0.56) + 0.5 * np.clip(seen, 0, 1), 0, 1)
    return np.asarray(skin * 0.75 if float(np.ptp(skin)) < 0.04 else mixed, np.float32)
