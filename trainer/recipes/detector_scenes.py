"""Random scenes for the detector recipe: people of every size on backgrounds, things that only look like faces, damage.

Composing and the account of faces is `alignment/scenes.py`'s; here is chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from alignment.faces import iou
from alignment.points import Points
from alignment.scenes import CutOut, Scene, SceneFace, placement

from .detector_data import Backdrop, Picture, SceneParts
from .landmark_degrade import degrade

_Rng = np.random.Generator


@dataclass(frozen=True)
class SceneConfig:
    """How scenes are drawn; sizes are square roots of box areas in pixels."""

    side_px: int = 320
    """Side of the square scenes."""
    empty_share: float = 0.2
    """Scenes without a face."""
    smallest_px: float = 14.0
    """Smallest face drawn."""
    small_share: float = 0.3
    """Faces that are drawn small besides, up to `small_px`."""
    small_px: float = 44.0
    """Largest of those."""
    collage_share: float = 0.15
    """Backgrounds that are put together from pieces of many others."""
    stock_share: float = 0.15
    """Backgrounds that are real photographs: few, but sharp."""
    zoom: tuple[float, float] = (0.35, 2.5)
    """How far backgrounds are magnified; 1 shows the shorter side. Shrunk ones are as sharp as can be."""
    largest_px: float = 340.0
    """Largest face drawn."""
    most_faces: int = 7
    """Faces drawn at most."""
    largest_roll_deg: float = 62.0
    """Faces are turned by up to this either way."""
    seen_from: float = 0.5
    """Share of a face's box that must be seen for it to count as a face."""
    hidden_to: float = 0.2
    """Share below which it counts as none; in between it is not judged."""
    degraded_share: float = 0.75
    """Scenes that get blurred, noisy, dark, grey or compressed."""


@dataclass(frozen=True, eq=False)
class LabelledScene:
    """A scene and what is true of it."""

    picture: Picture
    """SxSx3 uint8 RGB."""
    boxes_xyxy: Points
    """Nx4 float32."""
    points: Points
    """Nx5x2 float32."""
    is_judged: npt.NDArray[np.bool_]
    """(N,) False where the network may say what it likes."""
    has_points: npt.NDArray[np.bool_]
    """(N,) False where the points are a guess."""


class SceneSampler:
    """Draws scenes from parts."""

    def __init__(self, parts: SceneParts, config: SceneConfig, hard: list[int] | None = None) -> None:
        """Sample from `parts`; backgrounds of the indices in `hard` come up more often, mostly without a face."""
        self._parts = parts
        self._config = config
        self._hard = hard or []
        self._stock = [backdrop for backdrop in parts.backgrounds if not len(backdrop.looks)]

    def draw(self, rng: _Rng) -> LabelledScene:
        """Draw one scene."""
        config = self._config
        scene = Scene(self._background(rng))
        for _ in range(rng.choice([0, 1, 2, 4, 8], p=[0.3, 0.2, 0.2, 0.15, 0.15])):
            self._clutter(scene, rng)
        if rng.random() >= config.empty_share:
            self._people(scene, rng)
        picture = scene.picture
        sizes = [face.size_px for face in scene.faces]
        chance = config.degraded_share if not sizes or min(sizes) > 32 else config.degraded_share / 2
        if rng.random() < chance:
            picture = degrade(picture, rng)
        picture = _darken_or_grey(picture, rng)
        faces = [face for face in scene.faces if face.visible >= config.hidden_to]
        return LabelledScene(
            picture,
            np.array([face.box_xyxy for face in faces], np.float32).reshape(-1, 4),
            np.array([face.points for face in faces], np.float32).reshape(-1, 5, 2),
            np.array([face.visible >= config.seen_from for face in faces], bool),
            np.array([face.has_points for face in faces], bool),
        )

    def _background(self, rng: _Rng) -> Picture:
        config, pool, draw = self._config, self._parts.backgrounds, rng.random()
        if draw < 0.1:
            return texture(config.side_px, rng)
        if draw < 0.1 + config.collage_share:
            return collage(self._parts, config.side_px, rng)
        if self._stock and rng.random() < config.stock_share:
            backdrop = self._stock[rng.integers(len(self._stock))]
        elif self._hard and draw < 0.35 + config.collage_share:
            backdrop = pool[self._hard[rng.integers(len(self._hard))]]
        else:
            backdrop = pool[rng.integers(len(pool))]
        return random_view(backdrop, config.side_px, rng, zoom=config.zoom)

    def _people(self, scene: Scene, rng: _Rng) -> None:
        config = self._config
        count = min(1 + int(rng.geometric(0.45) - 1), config.most_faces)
        largest = config.largest_px if count == 1 else min(config.largest_px, 1.1 * config.side_px / count**0.5)
        tops = np.where(rng.random(count) < config.small_share, min(config.small_px, largest), largest)
        sizes = np.sort(np.exp(rng.uniform(np.log(config.smallest_px), np.log(tops))))
        for size in sizes:
            person = self._parts.people[rng.integers(len(self._parts.people))]
            form = rng.choice(3, p=[0.4, 0.35, 0.25])
            source = (person.whole, person.body, person.head)[form]
            centre = self._free_centre(scene, float(size), rng)
            if centre is not None:
                face = scene.paste(source, self._placed(source, centre, float(size), rng))
                if rng.random() < 0.22:
                    self._occlude(scene, face, rng)

    def _placed(self, source: CutOut, centre: Points, size: float, rng: _Rng) -> Points:
        roll = rng.normal(0, 9) if rng.random() < 0.5 else rng.uniform(-1, 1) * self._config.largest_roll_deg
        is_bent = rng.random() < 0.3
        return placement(
            source,
            (float(centre[0]), float(centre[1])),
            size,
            roll_deg=float(roll),
            is_mirrored=bool(rng.random() < 0.5),
            narrowing=float(rng.uniform(0.68, 1.15)) if is_bent else 1.0,
            shear=float(rng.uniform(-0.18, 0.18)) if is_bent else 0.0,
        )

    def _free_centre(self, scene: Scene, size: float, rng: _Rng) -> Points | None:
        side = self._config.side_px
        margin = min(0.25 * size if rng.random() < 0.3 else 0.45 * size, side / 2 - 1)
        for _ in range(8):
            centre = rng.uniform(margin, side - margin, 2).astype(np.float32)
            box = np.concatenate([centre - 0.55 * size, centre + 0.55 * size])[None]
            others = np.array([face.box_xyxy for face in scene.faces], np.float32).reshape(-1, 4)
            if not len(others) or iou(box, others).max() < 0.1:
                return centre
        return None

    def _clutter(self, scene: Scene, rng: _Rng) -> None:
        side = self._config.side_px
        size = float(np.exp(rng.uniform(np.log(12), np.log(220))))
        self._cover(scene, rng.uniform(0, side, 2), size, rng)

    def _occlude(self, scene: Scene, face: SceneFace, rng: _Rng) -> None:
        middle = (face.box_xyxy[:2] + face.box_xyxy[2:]) / 2
        turn = rng.uniform(0, 2 * np.pi)
        centre = middle + face.size_px * rng.uniform(0.3, 0.6) * np.array([np.cos(turn), np.sin(turn)])
        self._cover(scene, centre, face.size_px * rng.uniform(0.3, 0.75), rng)

    def _cover(self, scene: Scene, centre: npt.NDArray[np.floating], size: float, rng: _Rng) -> None:
        """Put a patch, a blob or a thing with dots somewhere."""
        draw, patches = rng.random(), self._parts.patches
        if draw < 0.45 and patches:
            picture = patches[rng.integers(len(patches))]
        elif draw < 0.75:
            picture = _blob(rng)
        else:
            picture = texture(64, rng)
        opacity = _outline(picture.shape[:2], rng)
        scale, turn = size / max(picture.shape[:2]), rng.uniform(0, 2 * np.pi)
        if scale < 0.5:
            size_wh = tuple(max(round(side * scale * 1.5), 4) for side in picture.shape[1::-1])
            picture = np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
            opacity = np.asarray(cv2.resize(opacity, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
            scale = 1 / 1.5
        linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        linear = linear @ np.diag([rng.uniform(0.6, 1.0), 1.0])
        shift = centre - linear @ (np.array(picture.shape[1::-1]) / 2)
        scene.cover(picture, opacity, np.concatenate([linear, shift[:, None]], axis=1))


def random_view(backdrop: Backdrop, side: int, rng: _Rng, *, zoom: tuple[float, float] = (0.6, 3.5)) -> Picture:
    """A square look at a face-free picture: any turn, either way round, magnified or tiled."""
    picture, looks = backdrop.picture, backdrop.looks
    size = min(picture.shape[:2])
    scale = side / size * float(np.exp(rng.uniform(np.log(zoom[0]), np.log(zoom[1]))))
    turn = rng.choice([0.0, rng.normal(0, 0.3), rng.uniform(0, 2 * np.pi)], p=[0.5, 0.25, 0.25])
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = linear @ np.diag(rng.choice([-1.0, 1.0], 2, p=[0.4, 0.6]))
    looked_at = rng.uniform(0.2, 0.8, 2) * picture.shape[1::-1]
    if len(looks) and rng.random() < 0.75:
        looked_at = looks[rng.integers(len(looks))].astype(np.float64)
    shift = side / 2 - linear @ looked_at
    affine = np.concatenate([linear, shift[:, None]], axis=1)
    return np.asarray(
        cv2.warpAffine(picture, affine, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101),
        np.uint8,
    )


def collage(parts: SceneParts, side: int, rng: _Rng) -> Picture:
    """Leaves, cloth, hair and walls in small pieces: as busy as a background can be."""
    canvas = np.empty((side, side, 3), np.uint8)
    step = int(rng.choice([32, 48, 80, 107]))
    for y in range(0, side, step):
        for x in range(0, side, step):
            piece = _piece(parts, min(2 * step, 96), rng)
            height, width = min(step, side - y), min(step, side - x)
            canvas[y : y + height, x : x + width] = cv2.resize(piece, (width, height), interpolation=cv2.INTER_AREA)
    blur = float(rng.choice([0.0, rng.uniform(0.5, 2.5)]))
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), blur), np.uint8) if blur else canvas


def _piece(parts: SceneParts, reach: int, rng: _Rng) -> Picture:
    if parts.patches and rng.random() < 0.4:
        piece = parts.patches[rng.integers(len(parts.patches))]
    else:
        backdrop = parts.backgrounds[rng.integers(len(parts.backgrounds))]
        height, width = backdrop.picture.shape[:2]
        x, y = rng.uniform((0, 0), (width, height)) if not len(backdrop.looks) else rng.choice(backdrop.looks)
        x0, y0 = (int(np.clip(v - reach / 2, 0, max(s - reach, 0))) for v, s in ((x, width), (y, height)))
        piece = backdrop.picture[y0 : y0 + reach, x0 : x0 + reach]
    return np.ascontiguousarray(np.rot90(piece, int(rng.integers(4))))


def texture(size: int, rng: _Rng) -> Picture:
    """Smooth noise, white noise, stripes, a checkerboard, a ramp or one colour."""
    kind, base = rng.integers(6), rng.uniform(0, 255, 3)
    other = rng.uniform(0, 255, 3)
    place = np.linspace(0, 1, size)
    if kind == 0:
        return np.full((size, size, 3), base).astype(np.uint8)
    if kind in (1, 2, 3):
        turn, period = rng.uniform(0, np.pi), 1.0 if kind == 1 else rng.uniform(0.02, 0.4)
        along = np.cos(turn) * place[None] + np.sin(turn) * place[:, None]
        across = np.cos(turn) * place[:, None] - np.sin(turn) * place[None]
        if kind == 1:
            share = np.clip(along, 0, 1)
        elif kind == 2:
            share = 0.5 + 0.5 * np.sin(2 * np.pi * along / period)
        else:
            share = (np.floor(along / period) + np.floor(across / period)) % 2
        return np.asarray(base + share[..., None] * (other - base), np.uint8)
    cells = size if kind == 4 else int(rng.integers(2, 24))
    coarse = np.clip(rng.normal(base, rng.uniform(5, 80), (cells, cells, 3)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


def _blob(rng: _Rng) -> Picture:
    """A shaded disc in a colour of skin or any other, plain or with some dots and bars in no order of a face."""
    light = rng.uniform(0.25, 1.0)
    colour = np.array([235, 190, 160]) * light * np.exp(rng.normal(0, 0.08, 3))
    if rng.random() < 0.4:
        colour = rng.uniform(0, 255, 3)
    place = np.linspace(-1, 1, 96, dtype=np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    gain = 1 - rng.uniform(0, 0.5) * (np.cos(turn) * place[None] + np.sin(turn) * place[:, None] + 0.5)
    picture = np.asarray(np.clip(colour * gain[..., None], 0, 255), np.uint8)
    marks: list[Callable[[tuple[int, int], int, tuple[int, ...]], object]] = [
        lambda at, r, c: cv2.circle(picture, at, r, c, -1, cv2.LINE_AA),
        lambda at, r, c: cv2.line(picture, at, (at[0] + 2 * r, at[1] + r), c, max(r // 2, 1), cv2.LINE_AA),
    ]
    for _ in range(rng.choice([0, 1, 2])):  # two marks could be eyes: no more of them
        at = (int(rng.integers(15, 80)), int(rng.integers(15, 80)))
        marks[rng.integers(2)](at, int(rng.integers(2, 12)), tuple(int(v) for v in rng.integers(0, 256, 3)))
    return picture


def _outline(size_hw: tuple[int, ...], rng: _Rng) -> Picture:
    height, width = size_hw
    mask = np.full((height, width), 255, np.uint8)
    if rng.random() < 0.6:
        mask[:] = 0
        axes = (max(width // 2 - 1, 1), max(height // 2 - 1, 1))
        cv2.ellipse(mask, (width // 2, height // 2), axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
    if rng.random() < 0.4:
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(width * rng.uniform(0.01, 0.08), 0.5)), np.uint8)
    return mask


def _darken_or_grey(picture: Picture, rng: _Rng) -> Picture:
    if rng.random() < 0.08:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        picture = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    if rng.random() < 0.08:
        gain, noise = rng.uniform(0.12, 0.45), rng.uniform(0, 6)
        dark = np.empty(picture.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(1 << 30)))
        cv2.randn(dark, np.zeros((4, 1)), np.full((4, 1), noise))
        picture = np.asarray(cv2.scaleAdd(picture.astype(np.float32), gain, dark.astype(np.float32)), np.float32)
        picture = np.asarray(np.clip(picture, 0, 255), np.uint8)
    return picture
