"""Tones and textures of the drawn styles: colour spaces, weighted statistics, soft steps, combing along strands.

Pure functions of float32 maps, at whatever size they come; knows neither faces nor brushes.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from .drawn_brush import Array
from .drawn_data import Picture

_EDGE = cv2.BORDER_REPLICATE
_NO_MAP: Any = None  # cv2 takes both coordinates in its first map; its stubs do not know


def to_lab(picture: Picture) -> Array:
    """CIE Lab of an RGB uint8 picture: float32, L in [0, 100]."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def to_rgb(lab: Array) -> Array:
    """RGB float32 in [0, 1] of a Lab picture or a single colour."""
    shape = lab.shape
    image = np.ascontiguousarray(lab.reshape(-1, 1, 3) if lab.ndim == 1 else lab, np.float32)
    return np.clip(cv2.cvtColor(image, cv2.COLOR_LAB2RGB), 0, 1).reshape(shape).astype(np.float32)


def blur(field: Array, sigma: float) -> Array:
    """Gaussian blur of HxW or HxWxC."""
    return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma), np.float32)


def masked_blur(field: Array, weight: Array, sigma: float) -> Array:
    """Blur that looks only at pixels with weight: HxW or HxWxC field, HxW weight in [0, 1]."""
    total = blur(weight, sigma) + 1e-4
    if field.ndim == 2:
        return blur(field * weight, sigma) / total
    return blur(field * weight[..., None], sigma) / total[..., None]


def masked_quantiles(field: Array, weight: Array, shares: tuple[float, ...]) -> Array:
    """Weighted quantiles of a field; the whole field's where there is no weight."""
    values, weights = field.ravel(), weight.ravel() + 1e-6
    order = np.argsort(values)
    rank = np.cumsum(weights[order])
    return np.asarray(np.interp(np.array(shares) * rank[-1], rank, values[order]), np.float32)


def brighten(light: Array | float, gamma: float = 0.84) -> Any:
    """Friendlier lightness: dark tones lifted, white kept. L in [0, 100]."""
    return 100 * np.clip(np.asarray(light, np.float32) / 100, 0, 1) ** gamma


def tones(field: Array, edges: Array, values: Array, softness: Array | float) -> Array:
    """Soft steps: `values[0]` below `edges[0]`, `values[1]` up to `edges[1]`, ...; values are K x 3 colours."""
    out = np.broadcast_to(values[0], (*field.shape, 3)).astype(np.float32)
    for edge, low, high in zip(edges, values[:-1], values[1:], strict=True):
        step = 1 / (1 + np.exp(-np.clip((field - edge) / softness, -30, 30)))
        out = out + step[..., None] * (high - low)
    return np.asarray(out, np.float32)


def hair_flow(light: Array, weight: Array) -> Array:
    """Direction along the strands: HxWx2 unit vectors (x, y), from the structure tensor of the lightness."""
    return headings(*(masked_blur(term, weight + 0.05, 3.5) for term in structure(light)))


def flow_of(light: Array, sigma_px: float = 2.2) -> Array:
    """Direction along the lines of a whole picture: HxWx2 unit vectors (x, y)."""
    return headings(*(blur(term, sigma_px) for term in structure(light)))


def structure(field: Array) -> tuple[Array, Array, Array]:
    """Products xx, yy, xy of a field's slopes, HxW each: the structure tensor before its smoothing."""
    gx, gy = cv2.Sobel(field, cv2.CV_32F, 1, 0), cv2.Sobel(field, cv2.CV_32F, 0, 1)
    return gx * gx, gy * gy, gx * gy


def angles(xx: Array, yy: Array, xy: Array) -> Array:
    """Direction of least change of a smoothed structure tensor, radians."""
    return np.asarray(0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2, np.float32)


def headings(xx: Array, yy: Array, xy: Array) -> Array:
    """The same as HxWx2 unit vectors (x, y)."""
    angle = angles(xx, yy, xy)
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def comb(field: Array, flow: Array, reach_px: int = 9, rounds: int = 2) -> Array:
    """Average a field along the flow: line integral convolution, `reach_px` to both sides."""
    height, width = field.shape
    start = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    for _ in range(rounds):
        total = field.copy()
        for sign in (1, -1):
            at, heading = start.copy(), flow * sign
            for _ in range(reach_px):
                at += heading
                step = cv2.remap(flow, at, _NO_MAP, cv2.INTER_NEAREST, borderMode=_EDGE)
                heading = step * np.where((step * heading).sum(-1, keepdims=True) < 0, -1, 1).astype(np.float32)
                total += cv2.remap(field, at, _NO_MAP, cv2.INTER_LINEAR, borderMode=_EDGE)
        field = total / (2 * reach_px + 1)
    return np.asarray(field, np.float32)


def valleys(field: Array, sigma: float) -> Array:
    """Strength of dark lines: the larger second derivative less the slope, so that plain edges do not count."""
    smooth = blur(field, sigma)
    gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(smooth, cv2.CV_32F, 0, 1) / 8
    xx, yy = cv2.Sobel(smooth, cv2.CV_32F, 2, 0) / 4, cv2.Sobel(smooth, cv2.CV_32F, 0, 2) / 4
    xy = cv2.Sobel(smooth, cv2.CV_32F, 1, 1) / 4
    largest = (xx + yy) / 2 + np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    return np.asarray(np.maximum(largest - 0.35 * np.hypot(gx, gy) / sigma, 0), np.float32)


def grain(light: Array, flow: Array, reach_px: int = 5) -> Array:
    """Marks of a pencil or brush: the picture's own fine structure combed along the flow, about -1..1, evened out.

    A function of the picture alone, so that it stays on its place when the picture moves.
    """
    combed = comb(light, flow, reach_px, 1)
    detail = combed - blur(combed, 1.6)
    return np.asarray(np.tanh(detail / (np.sqrt(blur(detail * detail, 9)) + 0.5)), np.float32)
