"""The toon's eyes, brows, nose, mouth and glasses, drawn from the landmarks.

Works on the enlarged canvas of `toon_drawing`; positions and widths below are in canvas pixels times the scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .drawn_brush import Array, Canvas, coverage, curve, ellipse, smoothstep, stroke_outline, taper, vector
from .drawn_data import Sitter
from .drawn_page import Page

_INK = vector(0.10, 0.065, 0.08)
_GLEAM = np.array([[-0.36, 0.10], [-0.20, -0.28], [-0.13, -0.28], [-0.29, 0.10]], np.float32)  # in lens widths
_WHITE = vector(0.975, 0.97, 0.96)


def draw_features(canvas: Canvas, sitter: Sitter, regions: dict[str, Array], skin: Array, scale: int) -> None:
    """Draw all features of one face.

    Args:
        canvas: the enlarged painting, changed in place.
        sitter: the aligned face.
        regions: region maps at the canvas's size.
        skin: the middle skin tone, RGB in [0, 1].
        scale: enlargement of the canvas against the sitter's picture.
    """
    page = Page(canvas, sitter, regions, skin, scale)
    _draw_nose(page)
    _draw_mouth(page)
    glasses = page.enlarge(cv2.GaussianBlur(sitter.details["glasses"], (0, 0), 1.8))
    lenses = [_fit_lens(page, glasses, side) for side in ("right", "left")]
    for lens in lenses:
        canvas.fill(lens.ring, vector(0.80, 0.88, 0.96), 0.15 * lens.strength)
    for side in ("right", "left"):
        _draw_brow(page, side)
        _draw_eye(page, side)
    _draw_glasses(page, lenses, _lens_darkness(page, glasses))


@dataclass
class _Eye:
    """Geometry of one drawn eye, painting px."""

    contour: Array
    iris: Array
    radius: float
    openness: float
    visible: float


def _shape_eye(page: Page, side: str) -> _Eye:
    """The drawn eye: the landmark contour enlarged, more so upwards and when it is open."""
    contour, ring = page.points(f"{side}_eye"), page.points(f"{side}_iris")
    centre = contour.mean(0)
    across = contour[0] - contour[8] if side == "left" else contour[8] - contour[0]
    width = float(np.linalg.norm(across))
    across = across / max(width, 1e-3)
    down = np.array([-across[1], across[0]], np.float32)
    local = np.stack([(contour - centre) @ across, (contour - centre) @ down], axis=1)
    height = float(np.ptp(local[:, 1]))
    openness = float(smoothstep(0.045, 0.12, height / page.unit))
    gain = np.array([1.36, 1.05 + 0.85 * openness])
    local = local * gain
    local[:, 1] -= 0.018 * page.unit * openness
    drawn = centre + local[:, :1] * across + local[:, 1:] * down
    gaze = ((ring[0] - centre) @ across * gain[0] * 0.9, (ring[0] - centre) @ down * gain[1] * 0.8)
    iris = centre + gaze[0] * across + gaze[1] * down
    radius = float(np.linalg.norm(ring[1:] - ring[0], axis=1).mean()) * 1.52
    radius = min(max(radius, 0.40 * float(np.ptp(local[:, 1]))), 0.175 * page.unit)
    skin_here = page.regions["face"] + 0.25 * page.regions["hair"]
    visible = float(smoothstep(0.14, 0.24, width / page.unit) * smoothstep(0.45, 0.7, page.mean_in(skin_here, contour)))
    return _Eye(drawn.astype(np.float32), iris.astype(np.float32), radius, openness, visible)


def _draw_eye(page: Page, side: str) -> None:
    """White, two-tone iris, pupil, highlights, heavy upper lid with a wing, soft lower lid, crease."""
    eye = _shape_eye(page, side)
    if eye.visible < 0.05:
        return
    canvas, unit = page.canvas, page.unit
    opening = curve(eye.contour, 64, closed=True)
    upper, lower = curve(eye.contour[:9], 40), curve(np.concatenate([eye.contour[8:], eye.contour[:1]]), 40)
    inside = coverage(opening, canvas.size_px) * eye.visible
    photo_iris = page.sample(ellipse(page.points(f"{side}_iris")[0], eye.radius * 0.62), 0.45)
    _fill_eye(canvas, eye, inside, upper, photo_iris, page.dim)
    out = upper[0] - upper[-1]
    wing = upper[0] + 0.06 * out + np.array([0, -0.035 * unit], np.float32) * eye.openness
    lid = np.concatenate([wing[None], upper[::4], upper[-1:]]).astype(np.float32)
    widths = taper(48, (0.062 + 0.026 * eye.openness) * unit, peak=0.33, tip=0.12)
    canvas.stroke(lid, widths, _INK, eye.visible)
    canvas.stroke(lower[4:36:4], taper(32, 0.026 * unit, peak=0.75), page.line_colour, 0.75 * eye.visible)
    crease = upper[4:36:4] * 1.0 + (upper[4:36:4] - eye.contour.mean(0)) * vector(0.06, 0.42)
    canvas.stroke(crease.astype(np.float32), taper(32, 0.022 * unit), page.line_colour, 0.6 * eye.visible * page.clip)


def _fill_eye(canvas: Canvas, eye: _Eye, inside: Array, upper: Array, photo_iris: Array, dim: float) -> None:
    """Everything between the lids."""
    unit_r, size = eye.radius, canvas.size_px
    canvas.blend(inside, _WHITE * dim)
    hue = photo_iris / max(float(photo_iris.max()), 0.08)
    colour = np.clip(0.5 * hue * vector(0.56, 0.54, 0.53) + 0.62 * photo_iris + 0.03, 0.05, 0.85)
    iris = ellipse(eye.iris, unit_r, 1.06)
    canvas.fill(iris, colour * 0.36, inside)
    canvas.fill(ellipse(eye.iris, unit_r * 0.84, 1.06), colour, inside)
    glow = coverage(ellipse(eye.iris + vector(0, unit_r * 0.95), unit_r * 0.95), size) * coverage(
        ellipse(eye.iris, unit_r * 0.80, 1.06), size
    )
    canvas.blend(glow * inside, np.clip(colour * 1.5 + 0.10, 0, 1))
    canvas.fill(ellipse(eye.iris, unit_r * 0.42, 1.06), vector(0.05, 0.035, 0.045), inside)
    drop = 0.20 * float(np.ptp(eye.contour[:, 1]))
    shade = np.concatenate([upper - vector(0, 2 * drop), (upper + vector(0, drop))[::-1]]).astype(np.float32)
    soft = cv2.GaussianBlur(coverage(shade, size), (0, 0), 1.0) * inside
    canvas.rgb *= 1 - 0.34 * soft[..., None]
    canvas.fill(ellipse(eye.iris + vector(-0.34, -0.36) * unit_r, unit_r * 0.29), vector(1, 1, 1), inside)
    canvas.fill(ellipse(eye.iris + vector(0.36, 0.42) * unit_r, unit_r * 0.13), vector(1, 1, 1), inside * 0.8)


def _draw_brow(page: Page, side: str) -> None:
    """A tapering shape in the brow's own colour, a little above the photographed one."""
    brow, unit = page.points(f"{side}_brow"), page.unit
    upper, lower = brow[:5], brow[5:][::-1]
    middle = (upper + lower) / 2
    raised = middle + np.array([0, -0.05 * unit], np.float32)
    thick = np.linalg.norm(upper - lower, axis=1)
    colour = np.clip(page.sample(np.concatenate([upper, lower[::-1]]), 0.3), 0, page.skin * 0.72)
    line = curve(raised, 40)
    widths = np.interp(np.linspace(0, 1, 40), np.linspace(0, 1, 5), np.maximum(thick * 0.85, 0.075 * unit))
    widths = widths * np.interp(np.linspace(0, 1, 40), [0, 0.15, 0.6, 0.9, 1], [0.25, 0.6, 1.0, 1.0, 0.75])
    visible = float(smoothstep(0.18, 0.32, np.linalg.norm(middle[-1] - middle[0]) / unit))
    page.canvas.fill(stroke_outline(line, widths.astype(np.float32)), colour * 0.85, page.clip * visible)


def _draw_nose(page: Page) -> None:
    """Short lines only: the base of the nose with its wings, and the ridge when the head is turned."""
    nose, unit = page.points("nose"), page.unit
    ridge, left_wing, base, right_wing = nose[1:7], nose[7], nose[8:13], nose[13]
    turn = float((ridge[-1] - (left_wing + right_wing) / 2)[0] / unit)
    canvas, colour, clip = page.canvas, page.line_colour, page.clip
    tip_light = ellipse(ridge[-2] + vector(-0.03, -0.05) * unit, 0.055 * unit, 0.8)
    glow = cv2.GaussianBlur(coverage(tip_light, canvas.size_px), (0, 0), 1.5)
    canvas.blend(glow * clip * 0.55, page.skin + (1 - page.skin) * 0.5)
    canvas.stroke(base, taper(40, 0.042 * unit, tip=0.3), colour, 0.85 * clip)
    for wing, foot in ((left_wing, base[0]), (right_wing, base[-1])):
        bow = np.stack([wing + vector(0, -0.05) * unit, wing + vector(0, 0.02) * unit, foot])
        hidden = float(smoothstep(0.03, 0.10, abs(wing[0] - ridge[-1][0]) / unit))
        canvas.stroke(bow.astype(np.float32), taper(24, 0.034 * unit, peak=0.6), colour, 0.6 * clip * hidden)
    shown = float(smoothstep(0.08, 0.2, abs(turn)))
    side = ridge[1:] + vector(np.sign(turn) * 0.045 * unit, 0)
    canvas.stroke(side, taper(40, 0.036 * unit, peak=0.8), colour, 0.75 * clip * shown)


def _draw_mouth(page: Page) -> None:
    """Lips in one soft tone, the opening dark with teeth as one flat shape, and the line between the lips."""
    outer, inner, unit = page.points("lips_outer"), page.points("lips_inner"), page.unit
    canvas = page.canvas
    shown = float(smoothstep(0.35, 0.7, page.mean_in(page.regions["face"], outer)))
    clip = page.clip * shown
    upper_in, lower_in = inner[:11], np.concatenate([inner[10:], inner[:1]])
    photo = page.sample(np.concatenate([outer[10:], outer[:1], inner[:1], inner[10:][::-1]]), 0.5)
    colour = _lip_colour(page.skin, photo)
    canvas.fill(curve(outer, 80, closed=True), colour, 0.85 * clip)
    upper_lip = np.concatenate([outer[:11], upper_in[::-1]])
    canvas.fill(upper_lip, colour * 0.86, 0.75 * clip)
    gap = float(np.linalg.norm(inner[5] - inner[15])) / unit
    opening = curve(inner, 80, closed=True)
    parted = float(smoothstep(0.02, 0.06, gap))
    canvas.fill(opening, vector(0.32, 0.10, 0.12), clip * parted)
    bright = float(page.sample(opening, 0.8).mean() / max(float(page.skin.mean()), 0.1))
    bite = vector(0, 0.62 * gap * unit)
    teeth = coverage(np.concatenate([upper_in - vector(0, 4), (upper_in + bite)[::-1]]), canvas.size_px)
    teeth *= coverage(opening, canvas.size_px) * float(smoothstep(0.55, 0.8, bright))
    canvas.blend(teeth * clip * parted, vector(0.96, 0.95, 0.93) * page.dim)
    corner = (upper_in[0] - upper_in[-1]) * 0.05
    line = np.concatenate([upper_in[:1] + corner, upper_in[1:-1:2], upper_in[-1:] - corner]).astype(np.float32)
    canvas.stroke(line, taper(48, 0.046 * unit, tip=0.35), page.line_colour * 0.8, clip)
    canvas.stroke(lower_in[2:-2:2], taper(32, 0.03 * unit), page.line_colour, 0.8 * clip * parted)
    below = outer[13:18] + vector(0, 0.02 * unit)
    canvas.stroke(below, taper(32, 0.034 * unit), page.line_colour, 0.65 * clip)


def _lip_colour(skin: Array, photo: Array) -> Array:
    """Between a redder skin and the photographed lips."""
    warm = skin * vector(0.93, 0.70, 0.70)
    seen = np.clip(photo / max(float(photo.max()), 0.1) * float(skin.max()) * 0.95, 0, 1)
    grey = float(np.ptp(skin) < 0.04)
    return np.asarray(np.clip(0.5 * warm + 0.5 * seen, 0, 1) * (1 - grey) + skin * 0.8 * grey, np.float32)


def _lens_darkness(page: Page, glasses: Array) -> float:
    """How surely the face wears sunglasses, 0..1."""
    dark = []
    for side in ("right", "left"):
        contour = page.points(f"{side}_eye")
        grown = (contour - contour.mean(0)) * 2.2 + contour.mean(0)
        covered = page.mean_in(glasses, grown.astype(np.float32))
        level = float(page.sample(grown.astype(np.float32), 0.6).mean() / max(float(page.skin.mean()), 0.1))
        dark.append(float(smoothstep(0.55, 0.85, covered)) * (1 - float(smoothstep(0.32, 0.5, level))))
    return min(dark)


@dataclass
class _Lens:
    """One lens: its rim as a smooth closed curve (64x2 painting px) and how surely it is there, 0..1."""

    ring: Array
    strength: float


def _draw_glasses(page: Page, lenses: list[_Lens], dark: float) -> None:
    """Rims, a gleam, a bridge; dark lenses filled."""
    canvas, unit = page.canvas, page.unit
    for lens in lenses:
        clip = coverage(lens.ring, canvas.size_px)
        canvas.fill(lens.ring, vector(0.12, 0.11, 0.15), dark * lens.strength)
        middle, width = lens.ring.mean(0), float(np.ptp(lens.ring[:, 0]))
        canvas.fill(_GLEAM * width + middle, vector(1, 1, 1), (0.4 + 0.1 * dark) * lens.strength * clip)
        canvas.stroke(
            np.concatenate([lens.ring, lens.ring[:3]]), np.full(120, 0.05 * unit, np.float32), _INK, lens.strength
        )
    right, left = lenses
    start, end = right.ring[right.ring[:, 0].argmax()], left.ring[left.ring[:, 0].argmin()]
    if end[0] > start[0]:
        bow = np.stack([start, (start + end) / 2 - vector(0, 0.05 * unit), end])
        canvas.stroke(bow, np.full(24, 0.045 * unit, np.float32), _INK, min(right.strength, left.strength))


def _fit_lens(page: Page, glasses: Array, side: str) -> _Lens:
    """A lens from the glasses labelled near one eye: the smoothed hull of their pixels."""
    eye, bridge, unit = page.points(f"{side}_eye").mean(0), page.points("nose")[0], page.unit
    yy, xx = np.mgrid[: page.canvas.size_px, : page.canvas.size_px].astype(np.float32)
    outwards = (xx - bridge[0]) * (1 if side == "left" else -1)
    near = (outwards > 0.04 * unit) & (np.abs(xx - eye[0]) < 0.5 * unit) & (np.abs(yy - eye[1]) < 0.6 * unit)
    mask = ((glasses > 0.5) & near).astype(np.uint8)
    covered = float(mask.sum()) / unit**2
    if covered < 0.08:
        return _Lens(ellipse(eye, 1.0, num_points=64), 0.0)
    hull = cv2.convexHull(cv2.findNonZero(mask))[:, 0].astype(np.float32)
    ring = _even(hull, 64)
    waves = np.fft.fft(ring[:, 0] + 1j * ring[:, 1])
    waves[4:-3] = 0  # three harmonics: rounder or squarer, never ragged
    smooth = np.fft.ifft(waves)
    lens = np.stack([smooth.real, smooth.imag], axis=1).astype(np.float32)
    sure = smoothstep(0.10, 0.2, covered) * smoothstep(0.15, 0.3, np.ptp(lens[:, 0]) / unit)
    return _Lens(lens, float(sure))


def _even(polygon: Array, num_points: int) -> Array:
    """Points at even steps along a closed polygon."""
    knots = np.concatenate([polygon, polygon[:1]])
    at = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    steps = np.linspace(0, at[-1], num_points, endpoint=False)
    return np.stack([np.interp(steps, at, knots[:, i]) for i in (0, 1)], axis=1).astype(np.float32)
