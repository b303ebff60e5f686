"""What a camera, a codec and the world do to a face region: colour, light, blur, noise, compression, occlusion.

Works on the finished region, HxWx3 uint8 RGB, and moves nothing: the landmarks stay where they are.
"""

from __future__ import annotations

import cv2
import numpy as np

from .landmark_data import Picture


def degrade(region: Picture, rng: np.random.Generator) -> Picture:
    """Apply a random few of the degradations; SxSx3 uint8 RGB in and out."""
    region = _recolour(region, rng)
    chances = rng.random(7)
    if chances[0] < 0.15:
        region = _light_from_one_side(region, rng)
    if chances[1] < 0.2:
        region = np.asarray(cv2.GaussianBlur(region, (0, 0), rng.uniform(0.4, 2.2)), np.uint8)
    if chances[2] < 0.15:
        region = _motion_blur(region, rng)
    if chances[6] < 0.1:
        region = _low_light(region, rng)
    if chances[3] < 0.25:
        region = _low_resolution(region, rng)
    if chances[4] < 0.3:
        region = _noise(region, rng.uniform(2, 18), rng)
    if chances[5] < 0.25:
        region = _compress(region, int(rng.integers(12, 75)))
    return region


def shake(region: Picture, rng: np.random.Generator) -> Picture:
    """What changes between two frames of one scene: fresh noise, another compression, a breath of light."""
    chances = rng.random(3)
    if chances[0] < 0.3:
        region = np.asarray(cv2.convertScaleAbs(region, alpha=rng.uniform(0.9, 1.1), beta=rng.uniform(-5, 5)), np.uint8)
    if chances[1] < 0.7:
        region = _noise(region, rng.uniform(1, 7), rng)
    if chances[2] < 0.5:
        region = _compress(region, int(rng.integers(30, 90)))
    return region


def occlude(region: Picture, other: Picture, rng: np.random.Generator) -> Picture:
    """Cover one or two rectangles of a region with a flat colour or a piece of another region of the same size."""
    region = region.copy()
    size = len(region)
    for _ in range(rng.integers(1, 3)):
        height, width = (int(v) for v in rng.uniform(0.1, 0.45, 2) * size)
        y, x = int(rng.integers(size - height)), int(rng.integers(size - width))
        patch: Picture | tuple[int, ...] = other[y : y + height, x : x + width]
        if rng.random() < 0.4:
            patch = tuple(int(v) for v in rng.integers(0, 256, 3))
        region[y : y + height, x : x + width] = patch
    return region


def _recolour(region: Picture, rng: np.random.Generator) -> Picture:
    saturation = 0.0 if rng.random() < 0.12 else rng.uniform(0.4, 1.3)
    if rng.random() < 0.4:
        grey = cv2.cvtColor(cv2.cvtColor(region, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        region = np.asarray(cv2.addWeighted(region, saturation, grey, 1 - saturation, 0), np.uint8)
    if rng.random() < 0.8:
        levels = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.3))
        gain = np.exp(rng.normal(0, 0.2)) * (rng.uniform(0.15, 0.5) if rng.random() < 0.12 else 1.0)
        levels = (levels - 0.5) * np.exp(rng.normal(0, 0.15)) + 0.5 + rng.normal(0, 0.05)
        table = np.clip(levels * gain * np.exp(rng.normal(0, 0.08, 3)) * 255, 0, 255).astype(np.uint8)
        region = np.asarray(cv2.LUT(region, table[None]), np.uint8)
    return region


def _light_from_one_side(region: Picture, rng: np.random.Generator) -> Picture:
    size = len(region)
    turn, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1.4)
    place = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    gain = 1 + slope * (np.cos(turn) * place[None, :] + np.sin(turn) * place[:, None])
    gain = cv2.merge([np.maximum(gain, 0.1).astype(np.float32)] * 3)
    return np.asarray(cv2.multiply(region, gain, dtype=cv2.CV_8U), np.uint8)


def _motion_blur(region: Picture, rng: np.random.Generator) -> Picture:
    length = int(rng.integers(3, 12)) | 1
    kernel = np.zeros((length, length), np.float32)
    turn, middle = rng.uniform(0, np.pi), length // 2
    reach = np.array([np.cos(turn), np.sin(turn)]) * middle
    start, stop = np.rint(middle - reach).astype(int), np.rint(middle + reach).astype(int)
    cv2.line(kernel, tuple(start.tolist()), tuple(stop.tolist()), 1.0)
    return np.asarray(cv2.filter2D(region, -1, kernel / kernel.sum()), np.uint8)


def _low_resolution(region: Picture, rng: np.random.Generator) -> Picture:
    size = len(region)
    small = int(rng.uniform(0.2, 0.7) * size)  # faces of 17 to 60 px in regions of 128
    up = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC
    shrunk = np.asarray(cv2.resize(region, (small, small), interpolation=cv2.INTER_AREA), np.uint8)
    if rng.random() < 0.4:  # a small face in a video was compressed at its own size
        shrunk = _compress(shrunk, int(rng.integers(30, 90)))
    return np.asarray(cv2.resize(shrunk, (size, size), interpolation=up), np.uint8)


def _low_light(region: Picture, rng: np.random.Generator) -> Picture:
    """Few photons: dark, noisy, and perhaps lifted again by the camera."""
    dark = cv2.convertScaleAbs(region, alpha=rng.uniform(0.06, 0.35), beta=0)
    dark = _noise(np.asarray(dark, np.uint8), rng.uniform(1, 6), rng)
    return np.asarray(cv2.convertScaleAbs(dark, alpha=rng.uniform(1, 3), beta=0), np.uint8)


def _noise(region: Picture, sigma: float, rng: np.random.Generator) -> Picture:
    is_grey = rng.random() < 0.5
    noise = np.empty(region.shape[:2] if is_grey else region.shape, np.int16)
    cv2.setRNGSeed(int(rng.integers(1 << 30)))
    cv2.randn(noise, np.zeros((4, 1)), np.full((4, 1), sigma))
    noise = np.repeat(noise[..., None], 3, axis=2) if is_grey else noise
    return np.asarray(cv2.add(region, noise, dtype=cv2.CV_8U), np.uint8)


def _compress(region: Picture, quality: int) -> Picture:
    _, packed = cv2.imencode(".jpg", region, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
