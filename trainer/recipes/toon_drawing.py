"""Draws the toon: flat tones per part, tapering ink along the parts' borders, redrawn features.

The target domain of the built-in style `toon`, made by rules from a labelled photograph. Every threshold is a soft
function of smoothed fields, so that neighbouring frames get neighbouring drawings. Reads no files.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from .toon_brush import Array, Canvas, coverage, smoothstep, vector
from .toon_data import CANVAS_PX, CROP_PX, Picture, Sitter
from .toon_features import (
    beard_zone,
    cheek_zone,
    cheeks,
    draw_features,
    face_outline,
    feature_mask,
    split_zone,
)

_NO_MAP: Any = None  # cv2 takes both coordinates in its first map; its stubs do not know

SCALE = 2
"""The drawing is made this many times larger and shrunk, for clean edges."""
EYE_DISTANCE = 0.2088 * CROP_PX
"""Distance between the eyes in an aligned frontal crop, px: the unit of all line widths."""
INK_WIDTHS = {"background": 2.3, "face": 1.7, "ear": 1.3, "neck": 1.5, "hair": 1.9, "hat": 1.9, "cloth": 1.6}
"""Widest ink along a region's border, canvas px."""


def draw(sitter: Sitter) -> Picture:
    """Draw a sitter as a toon: -> CANVAS_PX x CANVAS_PX x 3 uint8 RGB, aligned with its picture."""
    lab = to_lab(sitter.picture)
    regions = _clean_regions(sitter)
    skin = _SkinTones(sitter, lab, regions)
    flesh = skin.paint(lab, sitter)
    layers = {"background": _background(lab), "cloth": _cloth(lab, regions["cloth"]),
              "hat": _cloth(lab, regions["hat"]), "hair": _hair(lab, regions["hair"]),
              "face": flesh, "ear": flesh, "neck": flesh}
    large = {name: _enlarge(regions[name]) for name in layers}
    owner = np.argmax(np.stack(list(large.values())), axis=0)
    canvas = Canvas(np.zeros_like(flesh))
    for index, layer in enumerate(layers.values()):
        canvas.rgb[owner == index] = layer[owner == index]
    draw_ink(canvas, large)
    draw_features(canvas, sitter, large, skin.base_rgb, SCALE)
    small = cv2.resize(np.clip(canvas.rgb, 0, 1), (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_AREA)
    return np.round(small * 255).astype(np.uint8)


def to_lab(picture: Picture) -> Array:
    """CIE Lab of an RGB uint8 picture: float32, L in [0, 100]."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def to_rgb(lab: Array) -> Array:
    """RGB float32 in [0, 1] of a Lab picture or a single colour."""
    shape = lab.shape
    image = np.ascontiguousarray(lab.reshape(-1, 1, 3) if lab.ndim == 1 else lab, np.float32)
    return np.clip(cv2.cvtColor(image, cv2.COLOR_LAB2RGB), 0, 1).reshape(shape).astype(np.float32)


def _blur(field: Array, sigma: float) -> Array:
    return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma), np.float32)


def _enlarge(field: Any) -> Any:
    return cv2.resize(field, (CANVAS_PX * SCALE, CANVAS_PX * SCALE), interpolation=cv2.INTER_CUBIC)


def masked_blur(field: Array, weight: Array, sigma: float) -> Array:
    """Blur that looks only at pixels with weight: HxW or HxWxC field, HxW weight in [0, 1]."""
    total = _blur(weight, sigma) + 1e-4
    if field.ndim == 2:
        return _blur(field * weight, sigma) / total
    return _blur(field * weight[..., None], sigma) / total[..., None]


def masked_quantiles(field: Array, weight: Array, shares: tuple[float, ...]) -> Array:
    """Weighted quantiles of a field; the whole field's where there is no weight."""
    values, weights = field.ravel(), weight.ravel() + 1e-6
    order = np.argsort(values)
    rank = np.cumsum(weights[order])
    return np.asarray(np.interp(np.array(shares) * rank[-1], rank, values[order]), np.float32)


def brighten(light: Array | float, gamma: float = 0.84) -> Any:
    """Friendlier lightness: dark tones lifted, white kept. L in [0, 100]."""
    return 100 * np.clip(np.asarray(light, np.float32) / 100, 0, 1) ** gamma


def _clean_regions(sitter: Sitter) -> dict[str, Array]:
    """Region maps with smooth borders that sum to 1."""
    smooth = {name: _blur(field, 2.6) for name, field in sitter.regions.items()}
    total = np.maximum(sum(smooth.values()), 1e-3)
    return {name: np.asarray(field / total, np.float32) for name, field in smooth.items()}


def tones(field: Array, edges: Array, values: Array, softness: Array | float) -> Array:
    """Soft steps: `values[0]` below `edges[0]`, `values[1]` up to `edges[1]`, ...; values are K x 3 colours."""
    out = np.broadcast_to(values[0], (*field.shape, 3)).astype(np.float32)
    for edge, low, high in zip(edges, values[:-1], values[1:], strict=True):
        step = 1 / (1 + np.exp(-np.clip((field - edge) / softness, -30, 30)))
        out = out + step[..., None] * (high - low)
    return np.asarray(out, np.float32)


class _SkinTones:
    """Three tones of one colour family for all skin of a sitter."""

    def __init__(self, sitter: Sitter, lab: Array, regions: dict[str, Array]) -> None:
        bare = regions["face"] * (1 - feature_mask(sitter)) * (1 - _blur(sitter.details["glasses"], 2))
        self.weight = bare
        self.light = masked_blur(lab[..., 0], bare + 0.3 * (regions["ear"] + regions["neck"]), 3.2)
        low, middle, high = masked_quantiles(self.light, bare**2, (0.12, 0.6, 0.92))
        self.spread = float(np.hypot(0.07 * middle, 0.5 * (middle - low)))
        self.middle, self.high = float(middle), float(high)
        lit = bare * smoothstep(low, middle, self.light)
        a, b = (masked_quantiles(lab[..., c], lit, (0.5,))[0] for c in (1, 2))
        chroma = float(np.hypot(a, b))
        gain = 1.38 / (1 + max(chroma - 17, 0) * 0.024)
        self.warmth = min(chroma / 14, 1.0)
        a, b = a * gain, b * gain
        friendly = 0.35 * float(smoothstep(3.5, 9.0, chroma))  # coloured light off, grey pictures stay grey
        a, b = a + friendly * (15 - a), b + friendly * (20 - b)
        a += friendly * 1.6 * max(0.55 * b - a, 0.0)
        self.base = np.array([brighten(middle, 0.76) + 1.5, a, b], np.float32)

    @property
    def base_rgb(self) -> Array:
        """The middle tone, RGB in [0, 1]."""
        return to_rgb(self.base)

    def paint(self, lab: Array, sitter: Sitter) -> Array:
        """The skin layer over the whole enlarged canvas."""
        light_l = self.base[0] + 0.38 * (100 - self.base[0]) * 0.5
        shade = self.base * [0.79, 1.12, 1.0] + np.array([0, 3.2, -1.5]) * self.warmth
        light = np.array([light_l, self.base[1] * 0.80, self.base[2] * 0.86])
        rise = np.hypot(0.05 * self.middle, 0.62 * (self.high - self.middle))
        edges = np.array([self.middle - self.spread, self.middle + rise])
        field = _enlarge(self.light) - self._jaw_shadow(sitter) * self.spread * 2.2
        softness = max(self.spread * 0.10, 0.5)
        painted = tones(field, edges, np.stack([shade, self.base, light]).astype(np.float32), softness)
        painted[..., 1] += self._blush(sitter) * 8 * self.warmth
        painted[..., 0] -= _enlarge(self._wrinkles(lab)) * 0.30 * self.base[0]
        self._add_beard(painted, lab, sitter)
        return to_rgb(painted)

    def _wrinkles(self, lab: Array) -> Array:
        """The few deep lines of a face, combed along their own direction."""
        light = masked_blur(lab[..., 0], self.weight + 1e-3, 0.8)
        lines = comb(valleys(light, 1.5), hair_flow(light, self.weight), 4, 1)
        depth = smoothstep(0.016, 0.045, lines / max(self.middle, 8))
        return np.asarray(depth * smoothstep(0.6, 0.95, self.weight), np.float32)

    def _add_beard(self, painted: Array, lab: Array, sitter: Sitter) -> None:
        """Beards and moustaches: skin of the lower face that has lost its colour or is far darker than cheeks are."""
        zone = self.weight * beard_zone(sitter.landmarks)
        light, chroma = self.light, masked_blur(np.hypot(lab[..., 1], lab[..., 2]), self.weight + 1e-3, 3.2)
        cheek = self.weight * cheek_zone(sitter.landmarks)
        cheek_light, cheek_chroma = (masked_quantiles(f, cheek, (0.3,))[0] for f in (light, chroma))
        paler = 1 - (chroma / np.maximum(light, 4)) / max(cheek_chroma / max(cheek_light, 4), 0.05)
        darker = 1 - light / max(cheek_light, 4)
        score = 0.75 * darker + 0.8 * np.maximum(paler, 0) - 0.12
        inside = min(float((score.clip(0, 0.5) * half).sum() / max(float(half.sum()), 1))
                     for half in split_zone(sitter.landmarks, zone))
        share = smoothstep(0.16, 0.24, _enlarge(_blur(score * zone, 1.2))) * float(smoothstep(0.07, 0.13, inside))
        strands = masked_blur(lab[..., 0], self.weight + 1e-3, 1.2)
        lows = masked_quantiles(strands, zone * smoothstep(0.2, 0.4, score), (0.3, 0.8))
        colour = [masked_quantiles(lab[..., c], zone * smoothstep(0.2, 0.4, score), (0.5,))[0] for c in (1, 2)]
        base = np.array([min(float(brighten(lows[0])) + 2, self.base[0] * 0.92), *colour], np.float32)
        light_tone = base * [1.25, 1, 1] + vector(2, 0, 0)
        combed = _enlarge(comb(strands, hair_flow(strands, zone), 5, 1))
        hair = tones(combed, lows[1:], np.stack([base, light_tone]), 1.0)
        painted += share[..., None] * (hair - painted)

    def _blush(self, sitter: Sitter) -> Array:
        yy, xx = np.mgrid[:CANVAS_PX * SCALE, :CANVAS_PX * SCALE].astype(np.float32) / SCALE
        glow = np.zeros_like(xx)
        for x, y in cheeks(sitter.landmarks):
            glow += np.exp(-(((xx - x) / 10) ** 2 + ((yy - y) / 7) ** 2))
        return glow

    @staticmethod
    def _jaw_shadow(sitter: Sitter) -> Array:
        """Cast shadow of the head on the neck, at canvas scale x SCALE."""
        outline = face_outline(sitter.landmarks) * SCALE
        shifted = (outline - outline.mean(0)) * [0.97, 1.0] + outline.mean(0) + [0, 9 * SCALE]
        neck = _enlarge(_blur(sitter.regions["neck"], 1.5))
        return np.asarray(_blur(coverage(shifted.astype(np.float32), CANVAS_PX * SCALE), 1.5) * neck, np.float32)


def _hair(lab: Array, weight: Array) -> Array:
    """Hair as masses: strands combed out along their own direction, three tones, fine dark lines between them."""
    core = smoothstep(0.6, 0.95, weight)
    light = masked_blur(lab[..., 0], core + 0.01, 1.2)
    combed = comb(light, hair_flow(light, core))
    low, middle, high = masked_quantiles(combed, core, (0.14, 0.5, 0.88))
    span = max(float(high - low), 6.0)
    colour = np.stack([masked_blur(lab[..., c], core + 1e-3, 11) for c in (1, 2)], axis=-1)
    field = _enlarge(combed)
    base_l = float(brighten(masked_quantiles(lab[..., 0], core, (0.4,))[0], 0.88)) + 2
    step = np.clip(span * 0.42, 5.5, 14)
    values = np.array([[base_l - step * 0.9, 0, 0], [base_l, 0, 0], [base_l + step * 1.15, 0, 0]], np.float32)
    edges = np.array([low + 0.22 * (middle - low), high - 0.25 * (high - middle)])
    painted = tones(field, edges, values, max(span * 0.035, 0.5))
    painted[..., 1:] = _enlarge(colour) * 1.2
    lines = smoothstep(0.25, 0.8, _enlarge(valleys(combed, 1.2)) / max(span * 0.04, 0.40))
    painted[..., 0] -= lines * step * 1.1
    painted[..., 0] = np.maximum(painted[..., 0], 5)
    return to_rgb(painted)


def hair_flow(light: Array, weight: Array) -> Array:
    """Direction along the strands: HxWx2 unit vectors (x, y), from the structure tensor of the lightness."""
    gx, gy = cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1)
    xx, yy, xy = (masked_blur(g, weight + 0.05, 3.5) for g in (gx * gx, gy * gy, gx * gy))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32)


def comb(field: Array, flow: Array, reach_px: int = 9, rounds: int = 2) -> Array:
    """Average a field along the flow: line integral convolution, `reach_px` to both sides."""
    height, width = field.shape
    edge = {"borderMode": cv2.BORDER_REPLICATE}
    start = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    for _ in range(rounds):
        total = field.copy()
        for sign in (1, -1):
            at, heading = start.copy(), flow * sign
            for _ in range(reach_px):
                at += heading
                step = cv2.remap(flow, at, _NO_MAP, cv2.INTER_NEAREST, **edge)
                heading = step * np.where((step * heading).sum(-1, keepdims=True) < 0, -1, 1).astype(np.float32)
                total += cv2.remap(field, at, _NO_MAP, cv2.INTER_LINEAR, **edge)
        field = total / (2 * reach_px + 1)
    return np.asarray(field, np.float32)


def valleys(field: Array, sigma: float) -> Array:
    """Strength of dark lines: the larger second derivative less the slope, so that plain edges do not count."""
    smooth = _blur(field, sigma)
    gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(smooth, cv2.CV_32F, 0, 1) / 8
    xx, yy = cv2.Sobel(smooth, cv2.CV_32F, 2, 0) / 4, cv2.Sobel(smooth, cv2.CV_32F, 0, 2) / 4
    xy = cv2.Sobel(smooth, cv2.CV_32F, 1, 1) / 4
    largest = (xx + yy) / 2 + np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    return np.asarray(np.maximum(largest - 0.35 * np.hypot(gx, gy) / sigma, 0), np.float32)


def _cloth(lab: Array, weight: Array) -> Array:
    """Clothes and head coverings: the picture smoothed to a few flat tones, folds as soft dark lines."""
    flat = lab
    for _ in range(3):
        flat = cv2.bilateralFilter(flat, 9, 9, 5)
    low, middle, high = masked_quantiles(flat[..., 0], weight**2, (0.1, 0.5, 0.9))
    field, span = _enlarge(_blur(flat[..., 0], 1.2)), max(float(high - low), 6.0)
    levels = np.array([low, middle, high])
    values = np.stack([brighten(levels) + 2, levels * 0, levels * 0], axis=-1).astype(np.float32)
    painted = tones(field, (levels[1:] + levels[:-1]) / 2, values, span * 0.03 + 0.4)
    painted[..., 1:] = _enlarge(_blur(flat[..., 1:], 1.5)) * 1.18
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
    return to_rgb(_enlarge(_blur(small, 0.8)))


def draw_ink(canvas: Canvas, regions: dict[str, Array]) -> None:
    """Ink along the borders of the regions, thicker on the side away from the light (above left)."""
    fields = np.stack(list(regions.values()))
    ink, contrast = np.zeros(fields.shape[1:], np.float32), _contrast(canvas.rgb)
    for index, name in enumerate(regions):
        if fields[index].max() < 0.3:
            continue
        others = np.max(np.delete(fields, index, axis=0), axis=0)
        width = INK_WIDTHS[name] * SCALE * (contrast if name in ("neck", "cloth") else 1.0)
        ink = np.maximum(ink, _border(fields[index] - others, width, name == "background"))
    around = cv2.resize(cv2.resize(canvas.rgb, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA),
                        (canvas.size_px, canvas.size_px), interpolation=cv2.INTER_LINEAR)
    canvas.blend(ink * 0.96, around * 0.16 + vector(0.055, 0.035, 0.05))


def _contrast(rgb: Array) -> Array:
    """0 where both sides of a border look alike (bare shoulders labelled as clothes), 1 where they differ."""
    small = cv2.resize(rgb, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    far = _blur(small, 2.5)
    step = np.sqrt(_blur(((small - far) ** 2).sum(-1), 2.5))
    return np.asarray(smoothstep(0.05, 0.11, cv2.resize(step, rgb.shape[:2], interpolation=cv2.INTER_LINEAR)))


def _border(margin: Array, width_px: Array | float, is_outside: bool) -> Array:
    """Line along the zero of a margin field: its distance in pixels against a width that follows direction."""
    gx, gy = cv2.Sobel(margin, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(margin, cv2.CV_32F, 0, 1, scale=0.125)
    slope = np.hypot(gx, gy)
    away = (gx * 0.45 + gy * 0.9) / (slope + 1e-6) * (1 if is_outside else -1)
    width = width_px * (0.62 + 0.38 * np.clip(away, -1, 1)) * smoothstep(0.004, 0.03, slope)
    distance = np.abs(margin) / (slope + 1e-6)
    return np.asarray(np.clip(width / 2 - distance + 0.5, 0, 1) * smoothstep(0.0, 1.0, width), np.float32)
