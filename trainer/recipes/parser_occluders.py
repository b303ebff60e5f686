"""Things that come between camera and face: hands, microphones, cups, phones, sticks, cloth, painted with their alpha.

Each occluder is a square RGBA picture. Hands get their skin, blobs and cloth their texture from the training pictures
themselves; the rest is painted. Knows no label maps beyond where to find skin and cloth; pasting is `paste_occluder`.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from faceseg.parts import FacePart

from .parser_cleaning import Labels, Picture

Occluder = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.floating]

OCCLUDER_PX = 192
"""Side of an occluder picture."""
KINDS = {
    "hand": 0.34,
    "forearm": 0.10,
    "microphone": 0.12,
    "cup": 0.10,
    "phone": 0.10,
    "stick": 0.07,
    "blob": 0.17,
}
"""Kinds of occluders and how often each is painted."""


class OccluderPainter:
    """Paints random occluders with skin and textures of given heads."""

    def __init__(self, pictures: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> None:
        """Take the heads (NxSxSx3 uint8 RGB, NxSxS uint8) that skin and textures are taken from."""
        self._pictures, self._labels = pictures, labels

    def paint(self, rng: np.random.Generator, kind: str | None = None) -> Occluder:
        """Paint one occluder of a kind of KINDS, None a random one: SxSx4 uint8 premultiplied RGBA, S = OCCLUDER_PX."""
        if kind is None:
            chances = np.array(list(KINDS.values()))
            kind = list(KINDS)[int(rng.choice(len(KINDS), p=chances / chances.sum()))]
        own: dict[str, Callable[[np.random.Generator], Occluder]] = {
            "hand": self.hand,
            "forearm": self.forearm,
            "blob": self.blob,
            "microphone": microphone,
            "cup": cup,
            "phone": phone,
            "stick": stick,
        }
        return own[kind](rng)

    def hand(self, rng: np.random.Generator) -> Occluder:
        """A palm with two to five fingers, spread, closed or bent."""
        size = OCCLUDER_PX
        height = np.zeros((size, size), np.float32)
        palm_width, length = rng.uniform(0.15, 0.22) * size, rng.uniform(0.22, 0.36) * size
        palm = np.array([0.5, rng.uniform(0.68, 0.78)]) * size
        spread, num_fingers = rng.uniform(0.02, 0.22), int(rng.integers(2, 5))
        _capsule(height, palm + np.array([0, 0.25 * size]), palm, palm_width * rng.uniform(0.55, 0.8), palm_width)
        height = np.minimum(height, palm_width * rng.uniform(0.25, 0.6))  # palms are flat
        for i in range(num_fingers):
            place = (i - (num_fingers - 1) / 2) / 1.5
            root = palm + palm_width * np.array([place * 0.72, -0.55])
            angle = place * spread + rng.normal(0, 0.07)
            reach = length * (1 - 0.13 * abs(place - 0.2)) * (rng.uniform(0.3, 1.0) if rng.random() < 0.3 else 1)
            _finger(height, root, angle, reach, palm_width * rng.uniform(0.2, 0.27), rng)
        if rng.random() < 0.75:
            side = -1 if rng.random() < 0.5 else 1
            root = palm + palm_width * np.array([side * 0.7, 0.1])
            _finger(height, root, side * rng.uniform(0.4, 1.2), length * 0.8, palm_width * 0.29, rng)
        return _rgba(self._skin(height, rng), height > 0)

    def forearm(self, rng: np.random.Generator) -> Occluder:
        """An arm or a fist, with or without a sleeve."""
        size = OCCLUDER_PX
        height = np.zeros((size, size), np.float32)
        start, end = np.array([rng.uniform(0.2, 0.8), 1.1]) * size, rng.uniform(0.3, 0.6, 2) * size
        width = rng.uniform(0.1, 0.2) * size
        _capsule(height, start, end, width * 1.2, width)
        if rng.random() < 0.6:
            _capsule(height, end, end + rng.normal(0, 0.08, 2) * size, width * 1.2, width * 1.1)
        colours = self._skin(height, rng)
        if rng.random() < 0.5:
            y = np.arange(size)[:, None] > end[1] + rng.uniform(0.1, 0.3) * size
            cloth = self._texture(rng) * _shade(height)[..., None]
            colours = np.where(y[..., None], cloth, colours)
        return _rgba(colours, height > 0)

    def blob(self, rng: np.random.Generator) -> Occluder:
        """A random shape with the texture of a piece of some picture: cloth, fruit, leaves, cardboard."""
        size = OCCLUDER_PX
        turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        radius = np.full(64, rng.uniform(0.25, 0.42))
        for k in range(2, 7):
            radius += rng.normal(0, 0.09 / k) * np.cos(k * turn + rng.uniform(0, 2 * np.pi))
        stretch = np.exp(rng.normal(0, 0.3))
        points = size * (
            0.5 + np.clip(radius, 0.08, 0.48)[:, None] * np.stack([np.cos(turn), np.sin(turn) / stretch], 1)
        )
        if rng.random() < 0.4:
            corners = np.array([[-0.4, -0.4], [0.4, -0.4], [0.4, 0.4], [-0.4, 0.4]]) * rng.uniform(0.4, 1, 2)
            points = size * (0.5 + corners + rng.normal(0, 0.04, (4, 2)))
        inside = _fill(points)
        colours = self._texture(rng)
        if rng.random() < 0.6:
            depth = np.asarray(cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3), np.float32)
            colours = colours * _shade(np.minimum(depth, 40))[..., None]
        return _rgba(colours, inside)

    def _skin(self, height: _Floats, rng: np.random.Generator) -> _Floats:
        """Skin of a random head over a relief: tone, pores and shading."""
        picture, labels = self._random_head(rng)
        skin = (labels == FacePart.SKIN) | (labels == FacePart.NECK)
        tone = picture[skin].reshape(-1, 3) if skin.any() else np.array([[190, 140, 120]])
        base = np.percentile(tone, rng.uniform(40, 75), axis=0).astype(np.float32)
        detail = np.zeros((*height.shape, 3), np.float32)
        for cells, amount in ((6, 12.0), (24, 5.0), (OCCLUDER_PX, 4.0)):
            noise = rng.normal(0, amount, (cells, cells)).astype(np.float32)
            detail += cv2.resize(noise, height.shape[::-1], interpolation=cv2.INTER_CUBIC)[..., None]
        red = cv2.resize(rng.normal(0, 6, (5, 5)).astype(np.float32), height.shape[::-1])
        detail[..., 0] += np.abs(red)
        detail[..., 1:] -= 0.5 * np.abs(red)[..., None]
        return np.asarray((base + detail) * _shade(height, rng.uniform(0.6, 1.4), rng.uniform(0, 6.3))[..., None])

    def _texture(self, rng: np.random.Generator) -> _Floats:
        """A piece of a picture away from the face, enlarged to the occluder's size, or a plain colour."""
        size, draw = OCCLUDER_PX, rng.random()
        if draw < 0.25:
            plain = np.full((size, size, 3), rng.uniform(0, 255, 3), np.float32)
            return plain + rng.normal(0, rng.uniform(0, 8), (size, size, 1)).astype(np.float32)
        picture, labels = self._random_head(rng)
        part = FacePart.CLOTH if draw < 0.7 else FacePart.BACKGROUND
        ys, xs = np.nonzero(labels == part)
        if not len(ys):
            return np.full((size, size, 3), rng.uniform(0, 255, 3), np.float32)
        pick, half = int(rng.integers(len(ys))), int(rng.integers(14, 50))
        limit = len(labels) - half
        y, x = np.clip((ys[pick], xs[pick]), half, limit)
        piece = picture[y - half : y + half, x - half : x + half]
        return np.asarray(cv2.resize(piece, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)

    def _random_head(self, rng: np.random.Generator) -> tuple[Picture, Labels]:
        index = int(rng.integers(len(self._pictures)))
        return self._pictures[index], self._labels[index]


def microphone(rng: np.random.Generator) -> Occluder:
    """A ball or foam head on a handle, or a studio microphone with its shield."""
    size = OCCLUDER_PX
    canvas, alpha = np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.float32)
    x, top, radius = size * rng.uniform(0.4, 0.6), size * rng.uniform(0.2, 0.35), size * rng.uniform(0.09, 0.2)
    handle = np.zeros_like(alpha)
    lean = rng.normal(0, 0.1) * size
    _capsule(handle, np.array([x, top + radius]), np.array([x + lean, size * 1.1]), radius * 0.6, radius * 0.42)
    tone = rng.uniform(10, 70) if rng.random() < 0.7 else rng.uniform(120, 230)
    canvas[:] = (tone + rng.normal(0, 4, 3)) * _shade(handle, 1.5)[..., None]
    head = np.zeros_like(alpha)
    _capsule(head, np.array([x, top]), np.array([x, top + radius * rng.uniform(0.1, 1.6)]), radius, radius)
    mesh = np.full((size, size, 3), rng.uniform(30, 200), np.float32)
    if rng.random() < 0.6:
        y, xx = np.mgrid[:size, :size]
        pitch = rng.uniform(3, 6)
        mesh *= (0.75 + 0.25 * np.sign(np.sin((xx + y) * 6.28 / pitch) * np.sin((xx - y) * 6.28 / pitch)))[..., None]
    else:
        mesh[:] = rng.uniform(10, 230, 3) if rng.random() < 0.4 else rng.uniform(10, 60)
        mesh += rng.normal(0, 12, (size, size, 1))
    canvas = np.where(head[..., None] > 0, mesh * _shade(head, 1.4)[..., None], canvas)
    return _rgba(canvas.astype(np.float32), (handle > 0) | (head > 0))


def cup(rng: np.random.Generator) -> Occluder:
    """A mug, glass-like beaker or can, with or without a handle and a print."""
    size = OCCLUDER_PX
    width, tall, taper = size * rng.uniform(0.18, 0.32), size * rng.uniform(0.4, 0.7), rng.uniform(0.7, 1.05)
    x, y0 = size / 2, size * 0.15
    body = _fill(
        np.array([[x - width, y0], [x + width, y0], [x + width * taper, y0 + tall], [x - width * taper, y0 + tall]])
    )
    shape = body.astype(np.uint8)
    cv2.ellipse(shape, (int(x), int(y0 + tall)), (int(width * taper), int(width * 0.2)), 0, 0, 360, 1, -1)
    cv2.ellipse(shape, (int(x), int(y0)), (int(width), int(width * 0.22)), 0, 0, 360, 1, -1)
    if rng.random() < 0.5:
        at = (int(x + width * 1.0), int(y0 + tall * 0.45))
        cv2.ellipse(shape, at, (int(width * 0.5), int(tall * 0.28)), 0, -100, 100, 1, int(size * 0.05))
    across = np.linspace(-1, 1, size, dtype=np.float32)[None, :] * size / 2 / width
    light = 0.55 + 0.5 * np.exp(-(((across + rng.uniform(-0.6, 0.6)) / 0.5) ** 2))
    canvas = np.broadcast_to(rng.uniform(20, 245, 3).astype(np.float32), (size, size, 3)).copy()
    for _ in range(int(rng.integers(0, 4))):
        low = rng.uniform(y0 + 10, y0 + tall)
        stripe = np.s_[int(low) : int(low + rng.uniform(3, 40))]
        canvas[stripe] = rng.uniform(10, 250, 3)
    canvas = np.asarray(canvas * light[..., None], np.float32)
    cv2.ellipse(
        canvas,
        (int(x), int(y0)),
        (int(width * 0.92), int(width * 0.18)),
        0,
        0,
        360,
        tuple(float(v) for v in rng.uniform(10, 160, 3)),
        -1,
    )
    return _rgba(canvas.astype(np.float32), shape > 0)


def phone(rng: np.random.Generator) -> Occluder:
    """A phone from behind or from the front, a card or a book."""
    size = OCCLUDER_PX
    half = size * np.array([rng.uniform(0.17, 0.3), rng.uniform(0.34, 0.45)])
    shape = np.zeros((size, size), np.uint8)
    radius, centre = int(rng.uniform(0, 0.07) * size), np.array([size / 2, size / 2])
    low, high = (centre - half).astype(int), (centre + half).astype(int)
    cv2.rectangle(shape, tuple((low + radius).tolist()), tuple((high - radius).tolist()), 1, -1)
    if radius:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
        shape = np.asarray(cv2.dilate(shape, disc), np.uint8)
    colour = np.full(3, rng.uniform(5, 60)) if rng.random() < 0.5 else rng.uniform(10, 245, 3)
    canvas = np.broadcast_to(colour.astype(np.float32), (size, size, 3)).copy()
    canvas *= np.linspace(rng.uniform(0.7, 1.3), rng.uniform(0.7, 1.3), size, dtype=np.float32)[:, None, None]
    kind = rng.random()
    if kind < 0.4:  # cameras
        for i in range(int(rng.integers(1, 4))):
            at = (int(low[0] + 0.12 * size), int(low[1] + 0.1 * size + i * 0.09 * size))
            cv2.circle(canvas, at, int(0.04 * size), (15.0, 15.0, 20.0), -1)
            cv2.circle(canvas, at, int(0.015 * size), (90.0, 90.0, 110.0), -1)
    elif kind < 0.8:  # a screen or lines of print
        ink = tuple(float(v) for v in rng.uniform(0, 255, 3))
        for y in range(int(low[1] + 0.08 * size), int(high[1] - 0.06 * size), int(rng.integers(8, 22))):
            end = int(high[0] - rng.uniform(0.04, 0.2) * size)
            cv2.line(canvas, (int(low[0] + 0.05 * size), y), (end, y), ink, int(rng.integers(1, 6)))
    return _rgba(canvas, shape > 0)


def stick(rng: np.random.Generator) -> Occluder:
    """One to three thin things: a pen, a straw, chopsticks, a cable, a branch."""
    size = OCCLUDER_PX
    canvas, alpha = np.zeros((size, size, 3), np.float32), np.zeros((size, size), bool)
    for _ in range(int(rng.integers(1, 4))):
        height = np.zeros((size, size), np.float32)
        a, b = rng.uniform(-0.1, 1.1, 2) * size, rng.uniform(-0.1, 1.1, 2) * size
        b = a + (b - a) / max(float(np.linalg.norm(b - a)), 1) * size * rng.uniform(0.7, 1.4)
        width = size * rng.uniform(0.012, 0.05)
        _capsule(height, a, b, width, width * rng.uniform(0.5, 1.0))
        colour = rng.uniform(5, 250, 3).astype(np.float32)
        canvas = np.where(height[..., None] > 0, colour * _shade(height, 1.2)[..., None], canvas)
        alpha |= height > 0
    return _rgba(canvas, alpha)


def paste_occluder(
    picture: Picture, occluder: Occluder, transform: npt.NDArray[np.float64], rng: np.random.Generator
) -> tuple[Picture, npt.NDArray[np.bool_]]:
    """Lay an occluder over a picture, lit like it and with a soft shadow.

    Args:
        picture: HxWx3 uint8 RGB.
        occluder: SxSx4 uint8 RGBA.
        transform: 2x3, from the occluder's pixels to the picture's.
        rng: of light and shadow.

    Returns:
        The new picture and where the occluder covers at least half a pixel, HxW bool.
    """
    low, high = _reach(transform, picture.shape)
    covered = np.zeros(picture.shape[:2], np.bool_)
    if (high <= low).any():
        return picture, covered
    picture, window = picture.copy(), np.s_[low[1] : high[1], low[0] : high[0]]
    size_wh = int(high[0] - low[0]), int(high[1] - low[1])
    shifted = transform - np.array([[0, 0, low[0]], [0, 0, low[1]]])
    layer = cv2.warpAffine(occluder, shifted, size_wh, flags=cv2.INTER_AREA).astype(np.float32)
    alpha, colours = layer[..., 3] / 255, layer[..., :3]  # premultiplied
    colours *= float(np.clip(picture[::4, ::4].mean() / 118, 0.25, 1.5)) ** rng.uniform(0.4, 1.0)
    base = picture[window].astype(np.float32)
    if rng.random() < 0.7:
        shift = rng.normal(0, 6, 2)
        moved = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
        shadow = np.asarray(cv2.warpAffine(alpha, moved, size_wh), np.float32)
        base *= 1 - (_blur_fast(shadow, rng.uniform(2, 9)) * rng.uniform(0.1, 0.6))[..., None]
    if rng.random() < 0.25:  # out of focus, before the face
        sigma = rng.uniform(0.7, 3.0)
        alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), sigma), np.float32)
        colours = np.asarray(cv2.GaussianBlur(colours, (0, 0), sigma), np.float32)
    base *= 1 - alpha[..., None]
    base += colours
    picture[window] = cv2.convertScaleAbs(np.maximum(base, 0))
    covered[window] = alpha >= 0.5
    return picture, covered


def _reach(transform: npt.NDArray[np.float64], shape: tuple[int, ...]) -> tuple[npt.NDArray[np.int64], ...]:
    """Low and high corner (x, y) of what an occluder and its shadow can touch."""
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * OCCLUDER_PX @ transform[:, :2].T + transform[:, 2]
    limit = np.array([shape[1], shape[0]])
    low = np.clip(np.floor(corners.min(0)) - 24, 0, limit)
    return low.astype(np.int64), np.clip(np.ceil(corners.max(0)) + 24, 0, limit).astype(np.int64)


def _blur_fast(values: _Floats, sigma: float) -> _Floats:
    """Nearly Gaussian: two box filters."""
    side = max(1, round(sigma * 2.4)) | 1
    return np.asarray(cv2.blur(cv2.blur(values, (side, side)), (side, side)), np.float32)


def _capsule(height: _Floats, start: _Floats, end: _Floats, start_radius: float, end_radius: float) -> None:
    """Raise a relief to that of a tapered rod; 0 is nothing."""
    y, x = np.mgrid[: height.shape[0], : height.shape[1]].astype(np.float32)
    axis = np.asarray(end, np.float32) - np.asarray(start, np.float32)
    share = ((x - start[0]) * axis[0] + (y - start[1]) * axis[1]) / max(float(axis @ axis), 1e-6)
    share = np.clip(share, 0, 1)
    radius = start_radius + (end_radius - start_radius) * share
    distance = np.hypot(x - start[0] - share * axis[0], y - start[1] - share * axis[1])
    np.maximum(height, np.sqrt(np.maximum(radius**2 - distance**2, 0)), out=height)


def _finger(
    height: _Floats, root: _Floats, angle: float, reach: float, radius: float, rng: np.random.Generator
) -> None:
    """Two or three phalanges, slightly bent."""
    at, bend = np.asarray(root, np.float64), rng.normal(0, 0.12)
    for share in (0.5, 0.3, 0.2):
        after = at + reach * share * np.array([np.sin(angle), -np.cos(angle)])
        _capsule(height, at, after, radius, radius * 0.94)
        at, angle, radius = after, angle + bend, radius * 0.94


def _shade(height: _Floats, strength: float = 1.0, turn: float = 0.9) -> _Floats:
    """Light on a relief, 1 on the flat: Lambert's law with the light at `turn` radians."""
    smooth = cv2.GaussianBlur(height, (0, 0), 1.5)
    dx, dy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(smooth, cv2.CV_32F, 0, 1) / 8
    facing = (1 + 0.8 * strength * (np.cos(turn) * dx + np.sin(turn) * dy)) / np.sqrt(1 + dx * dx + dy * dy)
    return np.asarray(np.clip(facing, 0.25, 1.5), np.float32)


def _fill(points: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    mask = np.zeros((OCCLUDER_PX, OCCLUDER_PX), np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    return mask > 0


def _rgba(colours: _Floats, inside: npt.NDArray[np.bool_]) -> Occluder:
    """Premultiplied RGBA with a softened edge."""
    alpha = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.8)
    premultiplied = np.clip(colours, 0, 255) * alpha[..., None]
    return np.dstack([premultiplied, alpha * 255]).round().astype(np.uint8)
