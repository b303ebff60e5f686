"""Eyes, brows, nose and mouth of a likeness, stroke by stroke from the landmarks, in whatever palette a style gives.

For styles that keep the proportions of a face (`sketch`, `paint`); works on the enlarged canvas of a `Page`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .drawn_brush import Array, coverage, curve, ellipse, smoothstep, taper, vector
from .drawn_page import Page

_GLEAM_AT = vector(-0.34, -0.34)  # of the iris radius: light from above left


@dataclass(frozen=True)
class Palette:
    """Colours and weights of the features; all colours RGB in [0, 1]."""

    white: Array
    """White of the eye."""
    iris: Callable[[Array], Array]
    """Colour of the iris from the photographed one."""
    ring: Array
    """Rim of the iris."""
    pupil: Array
    gleam: Array
    lash: Array
    """Upper lid and its lashes."""
    line: Array
    """Soft lines in the skin: lower lid, crease, nose, below the lips."""
    shade: Array
    """Shadow of the upper lid on the eye."""
    brow: Callable[[Array], Array]
    """Colour of the brow's hairs from the photographed brow."""
    lips: Array
    upper_lip: Array
    lip_opacity: tuple[float, float]
    """Of the whole lips, and of the upper lip over that."""
    mouth: Array
    """Inside an open mouth."""
    seam: Array
    """Line between the lips."""
    teeth: Array
    eye_gain: tuple[float, float] = (1.10, 1.24)
    """How much wider and higher than life an open eye is."""
    line_gain: float = 1.0
    """Width of all strokes."""
    glow: float = 0.4
    """Share of white in the lower half of the iris."""
    mouth_opacity: float = 1.0
    """Of an open mouth and its teeth over the photographed ones."""
    brow_width: float = 0.024
    """Width of a brow's hair, in distances between the eyes."""


def draw_portrait(page: Page, palette: Palette) -> None:
    """Draw all features of one face onto the page's canvas."""
    glasses = page.enlarge(cv2.GaussianBlur(page.sitter.details["glasses"], (0, 0), 1.5))
    for side in ("right", "left"):
        _draw_eye(page, palette, side, glasses)
        _draw_brow(page, palette, side)
    _draw_nose(page, palette)
    _draw_mouth(page, palette)


def _nose_light(page: Page) -> float:
    """Brightness of the lit nose: what eyes and teeth are compared with."""
    return max(float(page.sample(page.points("nose")[:7], 0.6).mean()), 0.1)


def _visible(page: Page, contour: Array, glasses: Array) -> float:
    """How much of an eye there is to draw, 0..1: none behind hair, sunglasses or the turn of a head."""
    skin = page.regions["face"] + 0.25 * page.regions["hair"]
    grown = ((contour - contour.mean(0)) * 2.0 + contour.mean(0)).astype(np.float32)
    level = float(page.sample(grown, 0.6).mean()) / _nose_light(page)
    covered = float(smoothstep(0.55, 0.85, page.mean_in(glasses, grown)))
    shaded = covered * (1 - float(smoothstep(0.32, 0.5, level)))
    width = float(np.linalg.norm(contour[0] - contour[8])) / page.unit
    shown = smoothstep(0.14, 0.24, width) * smoothstep(0.45, 0.7, page.mean_in(skin, contour))
    return float(shown) * (1 - shaded)


def _draw_eye(page: Page, palette: Palette, side: str, glasses: Array) -> None:
    contour = page.points(f"{side}_eye")
    visible = _visible(page, contour, glasses)
    if visible < 0.05:
        return
    centre, height = contour.mean(0), float(np.ptp(contour[:, 1]))
    openness = float(smoothstep(0.05, 0.13, height / page.unit))
    wide, high = palette.eye_gain
    drawn = (contour - centre) * vector(wide, 1 + (high - 1) * (0.5 + 0.5 * openness)) + centre
    upper, lower = curve(drawn[:9], 40), curve(np.concatenate([drawn[8:], drawn[:1]]), 40)
    inside = coverage(curve(drawn, 64, closed=True), page.canvas.size_px) * visible * openness
    page.canvas.blend(inside * 0.9, palette.white)
    _fill_iris(page, palette, side, centre, inside)
    _shade_eye(page, palette, upper, 0.24 * height, inside)
    _draw_lids(page, palette, (upper, lower), openness, visible)


def _fill_iris(page: Page, palette: Palette, side: str, centre: Array, inside: Array) -> None:
    """Rim, iris with a lighter lower half, pupil, highlight."""
    points, canvas = page.points(f"{side}_iris"), page.canvas
    radius = float(np.linalg.norm(points[1:] - points[0], axis=1).mean()) * (palette.eye_gain[0] + 0.02)
    middle = (points[0] - centre) * vector(palette.eye_gain[0] - 0.02, 1.0) + centre
    colour = palette.iris(page.sample(ellipse(points[0], radius * 0.62), 0.5))
    canvas.fill(ellipse(middle, radius), palette.ring, inside)
    canvas.fill(ellipse(middle, radius * 0.84), colour, inside)
    glow = coverage(ellipse(middle + vector(0, radius * 0.8), radius * 0.8), canvas.size_px)
    glow = glow * coverage(ellipse(middle, radius * 0.8), canvas.size_px)
    canvas.blend(cv2.GaussianBlur(glow, (0, 0), 0.8) * inside * 0.6, colour + palette.glow * (palette.white - colour))
    canvas.fill(ellipse(middle, radius * 0.44), palette.pupil, inside)
    canvas.fill(ellipse(middle + _GLEAM_AT * radius, radius * 0.27), palette.gleam, inside)


def _shade_eye(page: Page, palette: Palette, upper: Array, drop_px: float, inside: Array) -> None:
    shade = np.concatenate([upper - vector(0, 2 * drop_px), (upper + vector(0, drop_px))[::-1]]).astype(np.float32)
    soft = cv2.GaussianBlur(coverage(shade, page.canvas.size_px), (0, 0), 1.4)
    page.canvas.blend(soft * inside * 0.45, palette.shade)


def _draw_lids(page: Page, palette: Palette, lids: tuple[Array, Array], openness: float, visible: float) -> None:
    """Upper lid with a short wing, lower lid, crease above."""
    (upper, lower), unit, canvas = lids, page.unit * palette.line_gain, page.canvas
    wing = upper[0] + 0.05 * (upper[0] - upper[-1]) + vector(0, -0.02 * page.unit) * openness
    lid = np.concatenate([wing[None], upper[::4], upper[-1:]]).astype(np.float32)
    canvas.stroke(lid, taper(48, (0.044 + 0.020 * openness) * unit, peak=0.35, tip=0.12), palette.lash, visible)
    canvas.stroke(lower[4:36:4], taper(32, 0.020 * unit, peak=0.75), palette.line, 0.75 * visible)
    middle = np.concatenate([upper, lower]).mean(0)
    crease = (upper[4:36:4] + (upper[4:36:4] - middle) * vector(0.06, 0.5)).astype(np.float32)
    canvas.stroke(crease, taper(32, 0.018 * unit), palette.line, 0.5 * visible * page.clip)


def _draw_brow(page: Page, palette: Palette, side: str) -> None:
    """Short hairs laid along the brow."""
    brow = page.points(f"{side}_brow")
    upper, lower = brow[:5], brow[5:][::-1]
    middle, thick = (upper + lower) / 2, float(np.linalg.norm(upper - lower, axis=1).mean())
    visible = float(smoothstep(0.18, 0.32, np.linalg.norm(middle[-1] - middle[0]) / page.unit))
    colour = palette.brow(page.sample(np.concatenate([upper, lower[::-1]]), 0.3))
    top, bottom, along = curve(upper, 22), curve(lower, 22), np.gradient(curve(middle, 22), axis=0)
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6) * thick
    clip, widths = 0.8 * visible * page.clip, taper(16, palette.brow_width * page.unit, peak=0.35)
    for low, high, lean in zip(bottom[1:21], top[1:21], along[1:21], strict=True):
        start, end = low * 0.9 + high * 0.1, high * 0.9 + low * 0.1
        hair = np.stack([start - lean * 0.27, (start + end) / 2 + lean * 0.18, end + lean * 0.63])
        page.canvas.stroke(hair.astype(np.float32), widths, colour, clip)


def _draw_nose(page: Page, palette: Palette) -> None:
    """Nostrils and wings."""
    nose, canvas, unit = page.points("nose"), page.canvas, page.unit
    tip, base, thick = nose[6], nose[8:13], page.unit * palette.line_gain
    for outer, inner in ((base[0], base[1]), (base[4], base[3])):
        nostril = np.stack([outer, inner, (inner + base[2]) / 2])
        canvas.stroke(nostril, taper(24, 0.036 * thick, peak=0.4), palette.line, 0.75 * page.clip)
    for wing, foot in ((nose[7], base[0]), (nose[13], base[-1])):
        hidden = float(smoothstep(0.03, 0.10, abs(wing[0] - tip[0]) / unit))
        bow = np.stack([wing + vector(0, -0.05) * unit, wing + vector(0, 0.02) * unit, foot]).astype(np.float32)
        canvas.stroke(bow, taper(24, 0.026 * thick, peak=0.6), palette.line, 0.55 * page.clip * hidden)


def _draw_mouth(page: Page, palette: Palette) -> None:
    """Lips, the opening with teeth, the line between the lips, the shadow below them."""
    outer, inner, canvas = page.points("lips_outer"), page.points("lips_inner"), page.canvas
    clip = page.clip * float(smoothstep(0.35, 0.7, page.mean_in(page.regions["face"], outer)))
    upper_in = inner[:11]
    canvas.fill(curve(outer, 80, closed=True), palette.lips, palette.lip_opacity[0] * clip)
    upper_lip = np.concatenate([outer[:11], upper_in[::-1]])
    canvas.fill(upper_lip, palette.upper_lip, palette.lip_opacity[1] * clip)
    _open_mouth(page, palette, inner, clip)
    corner, unit = (upper_in[0] - upper_in[-1]) * 0.04, page.unit * palette.line_gain
    line = np.concatenate([upper_in[:1] + corner, upper_in[1:-1:2], upper_in[-1:] - corner]).astype(np.float32)
    canvas.stroke(line, taper(48, 0.036 * unit, tip=0.3), palette.seam, clip)
    below = outer[13:18] + vector(0, 0.015 * page.unit)
    canvas.stroke(below, taper(32, 0.030 * unit), palette.line, 0.55 * clip)


def _open_mouth(page: Page, palette: Palette, inner: Array, clip: Array) -> None:
    """The opening, as wide as it is; teeth where the photograph is bright there."""
    canvas, gap = page.canvas, float(np.linalg.norm(inner[5] - inner[15]))
    parted = float(smoothstep(0.02, 0.06, gap / page.unit))
    opening = curve(inner, 80, closed=True)
    bright = float(page.sample(opening, 0.8).mean()) / _nose_light(page)
    parted *= palette.mouth_opacity
    canvas.fill(opening, palette.mouth, clip * parted)
    upper, lower = inner[:11], np.concatenate([inner[10:], inner[:1]])
    teeth = coverage(np.concatenate([upper - vector(0, 4), (upper + vector(0, 0.62 * gap))[::-1]]), canvas.size_px)
    teeth = teeth * coverage(opening, canvas.size_px) * float(smoothstep(0.5, 0.75, bright))
    canvas.blend(teeth * clip * parted, palette.teeth)
    widths = taper(32, 0.024 * page.unit * palette.line_gain)
    canvas.stroke(lower[2:-2:2], widths, palette.seam, 0.8 * clip * parted)
