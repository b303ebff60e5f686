"""Training pairs of the drawn styles: drawn once into a cache, read back as batches with consistent augmentation.

A pair is a photograph and its drawing on one canvas with a margin, so that shifts, turns and scalings find real pixels.
"""

from __future__ import annotations

import copy
import logging
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from alignment.points import MESH

from ..errors import TrainingDataError
from .drawn_brush import Array, coverage
from .drawn_data import CANVAS_PX, CROP_PX, Face, Picture, Sitter, has_good_labels, load_sitter
from .drawn_tones import to_lab, to_rgb

log = logging.getLogger(__name__)

Draw = Callable[[Sitter], Picture]
"""Draws a sitter on its canvas: -> CANVAS_PX x CANVAS_PX x 3 uint8 RGB."""

CALM_SHARE, TINTED_SHARE = 0.45, 0.35
"""Shares of the training pairs whose background loses its colour, as at inference, or is given another one."""
RELIT_SHARE = 0.3
"""Share of the training pairs in dim or coloured light."""

SAME_PICTURE = 0.9
"""Correlation of two aligned thumbnails above which they count as one picture."""


def draw_pairs(data: Path, cache: Path, faces: Sequence[Face], draw: Draw, workers: int = 1) -> int:
    """Draw every face that has no pair in the cache yet; faces with bad labels leave an empty file.

    Args:
        data: folder of the labelled faces.
        cache: folder of the pairs.
        faces: whom to draw.
        draw: the style's rules; a module's function, it is sent to the workers.
        workers: processes; 1 draws in this one.

    Returns:
        The number of usable pairs in the cache.
    """
    cache.mkdir(parents=True, exist_ok=True)
    missing = [face for face in faces if not _pair_path(cache, face).exists()]
    for done, _ in enumerate(_each(partial(_draw_pair, data, cache, draw), missing, workers), 1):
        if done % 100 == 0:
            log.info("Drew %d of %d pairs.", done, len(missing))
    return sum(_pair_path(cache, face).stat().st_size > 0 for face in faces)


def _each(job: Callable[[Face], None], faces: Sequence[Face], workers: int) -> Iterator[None]:
    """Do a job for each face, here or in worker processes."""
    if workers == 1:
        yield from map(job, faces)
        return
    # Spawned: a forked child of a process whose libraries run threads can wait for their locks for ever.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(job, faces, chunksize=8)


def _pair_path(cache: Path, face: Face) -> Path:
    return cache / f"{face.key}.npz"


def _draw_pair(data: Path, cache: Path, draw: Draw, face: Face) -> None:
    """Draw one pair and put it into the cache in one step."""
    sitter, path = load_sitter(data, face), _pair_path(cache, face)
    partial_path = path.with_suffix(f".{os.getpid()}.part")
    with partial_path.open("wb") as file:
        if has_good_labels(sitter):
            np.savez(
                file,
                picture=sitter.picture,
                drawing=draw(sitter),
                landmarks=sitter.landmarks,
                backdrop=_share(sitter, "background"),
                outside=_share(sitter, "background", "cloth", "neck"),
            )
    partial_path.replace(path)


def _share(sitter: Sitter, *regions: str) -> Picture:
    """Where some regions show, canvas-sized, 0..255."""
    return np.asarray(np.round(np.clip(sum(sitter.regions[name] for name in regions), 0, 1) * 255), np.uint8)


class PairSet:
    """All pairs of some faces, in memory.

    Args:
        cache: folder of the pairs.
        faces: whose pairs.
        is_grey: the drawings keep their tones whatever colour or light falls on the photograph.

    Raises:
        TrainingDataError: the cache holds no pair of these faces.
    """

    def __init__(self, cache: Path, faces: Sequence[Face], is_grey: bool = False) -> None:
        paths = [path for face in faces if (path := _pair_path(cache, face)).exists() and path.stat().st_size]
        if not paths:
            raise TrainingDataError(f"no drawn pair in '{cache}'; run the recipe's 'draw' first.")
        files = [np.load(path) for path in paths]
        self.keys = [path.stem for path in paths]
        self.pictures: list[Picture] = [file["picture"] for file in files]
        self.drawings: list[Picture] = [file["drawing"] for file in files]
        self.landmarks: list[Array] = [file["landmarks"] for file in files]
        self.backdrops: list[Picture] = [file["backdrop"] for file in files]
        self.outsides: list[Picture] = [file["outside"] for file in files]
        self.is_grey = is_grey

    def without_likenesses(self, other: PairSet) -> PairSet:
        """The pairs that show no picture of `other`, at whatever size."""
        likeness = (self._thumbnails() @ other._thumbnails().T).max(1)
        return self._only(list(np.flatnonzero(likeness < SAME_PICTURE)))

    def _thumbnails(self) -> Array:
        """Aligned faces as 24 x 24 grey values of mean 0 and norm 1, one row each."""
        rows = []
        for picture in self.pictures:
            side = CANVAS_PX // 4
            face = cv2.cvtColor(picture[side:-side, side:-side], cv2.COLOR_RGB2GRAY)
            small = cv2.resize(face, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
            small -= small.mean()
            rows.append(small / max(float(np.linalg.norm(small)), 1e-6))
        return np.stack(rows)

    def first(self, counts: dict[str, int]) -> PairSet:
        """The first pairs of each split, in order, as many as `counts` says."""
        seen: Counter[str] = Counter()
        chosen = []
        for index, key in enumerate(self.keys):
            split = key.split("-")[0]
            seen[split] += 1
            if seen[split] <= counts[split]:
                chosen.append(index)
        return self._only(chosen)

    def _only(self, indices: Sequence[int]) -> PairSet:
        kept = copy.copy(self)
        for name in ("keys", "pictures", "drawings", "landmarks", "backdrops", "outsides"):
            setattr(kept, name, [getattr(self, name)[index] for index in indices])
        return kept

    def __len__(self) -> int:
        return len(self.keys)

    def plain(self, index: int, size_px: int = CROP_PX) -> tuple[Picture, Picture]:
        """(photograph, drawing) of one pair, cut as at inference: size_px x size_px x 3 uint8 RGB."""
        to_crop = crop_transform(size_px)
        return _cut(self.pictures[index], to_crop, size_px), _cut(self.drawings[index], to_crop, size_px)

    def batch(self, rng: np.random.Generator, size: int, size_px: int, window_px: int | None = None) -> Batch:
        """A random augmented batch; the same `rng` state gives the same batch.

        Args:
            rng: source of every choice.
            size: pairs.
            size_px: side of a whole crop.
            window_px: cut only a window of this side from the middle of the crop (None: all of it).
        """
        chosen = rng.integers(0, len(self), size)
        return _stack([self._augmented(rng, int(i), size_px, window_px or size_px) for i in chosen])

    def _augmented(self, rng: np.random.Generator, index: int, size_px: int, window_px: int) -> Batch:
        to_crop = crop_transform(
            size_px,
            scale=float(np.exp(rng.uniform(-0.08, 0.08))),
            turn_deg=float(rng.normal(0, 4)),
            shift_px=rng.normal(0, 3, 2),
            is_mirrored=bool(rng.random() < 0.5),
        )
        if window_px < size_px:
            to_crop[:, 2] -= (size_px - window_px) / 2 + rng.uniform(-0.06, 0.06, 2) * size_px
            size_px = window_px
        photo, drawing = (_cut(canvas[index], to_crop, size_px) for canvas in (self.pictures, self.drawings))
        photo, follows = self._recoloured(rng, index, to_crop, photo, drawing)
        drawing = drawing if self.is_grey else follows
        photo = weather(rng, photo)
        points = self.landmarks[index] @ to_crop[:, :2].T + to_crop[:, 2]
        eyes = np.stack([points[MESH[name]].mean(0) for name in ("right_eye", "left_eye")])
        return Batch(photo[None], drawing[None], _focus(points, size_px)[None], eyes[None].astype(np.float32))

    def _recoloured(
        self, rng: np.random.Generator, index: int, to_crop: Array, photo: Picture, drawing: Picture
    ) -> tuple[Picture, Picture]:
        """Another background, another light: (photograph, drawing that follows)."""
        size_px, choice = len(photo), rng.random()
        if choice < CALM_SHARE:
            outside = _cut(self.outsides[index], to_crop, size_px).astype(np.float32) / 255
            photo, drawing = calm(photo, outside), calm(drawing, outside)
        elif choice < CALM_SHARE + TINTED_SHARE:
            backdrop = _cut(self.backdrops[index], to_crop, size_px).astype(np.float32) / 255
            photo, drawing = tint_backdrop(rng, photo, drawing, backdrop)
        # A grey drawing does not follow: light much dimmer would teach it that dark skin is light skin in the dark.
        dimmest = 0.8 if self.is_grey else 0.45
        return relight(rng, photo, drawing, dimmest) if rng.random() < RELIT_SHARE else (photo, drawing)


@dataclass(frozen=True)
class Batch:
    """N augmented pairs."""

    photos: Picture
    """NxHxWx3 uint8 RGB."""
    drawings: Picture
    """NxHxWx3 uint8 RGB."""
    focus: Array
    """NxHxW float32 in [0, 1]: 1 over eyes, less over mouth, brows and nose; where errors count more."""
    eyes: Array
    """Nx2x2 (x, y) crop px: the centres of the eyes."""


def _stack(singles: Sequence[Batch]) -> Batch:
    return Batch(*(np.concatenate([getattr(single, field.name) for single in singles]) for field in fields(Batch)))


def crop_transform(
    size_px: int, scale: float = 1.0, turn_deg: float = 0.0, shift_px: Array | float = 0.0, is_mirrored: bool = False
) -> Array:
    """Canvas -> crop, 2x3: the inner CROP_PX square scaled to size_px, optionally moved (all in CROP_PX pixels)."""
    factor, angle = scale * size_px / CROP_PX, np.deg2rad(turn_deg)
    linear = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if is_mirrored:
        linear = linear @ np.diag([-1.0, 1.0])
    middle = (CANVAS_PX - 1) / 2 + np.asarray(shift_px) * np.ones(2)
    return np.column_stack([linear, (size_px - 1) / 2 - linear @ middle]).astype(np.float32)


def _cut(image: Picture, to_crop: Array, size_px: int) -> Picture:
    scale = float(np.hypot(*to_crop[:, 0]))
    if scale < 0.75:
        image = cv2.GaussianBlur(image, (0, 0), 0.45 * np.sqrt(1 / scale**2 - 1)).astype(np.uint8)
    crop = cv2.warpAffine(image, to_crop, (size_px, size_px), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.uint8)


def _focus(points: Array, size_px: int) -> Array:
    mask = np.zeros((size_px, size_px), np.float32)
    for name, weight, growth in (
        ("lips_outer", 0.7, 1.2),
        ("nose", 0.2, 1.2),
        ("right_brow", 0.3, 1.3),
        ("left_brow", 0.3, 1.3),
        ("right_eye", 1.0, 1.7),
        ("left_eye", 1.0, 1.7),
    ):
        hull = cv2.convexHull(points[MESH[name]].astype(np.float32))[:, 0]
        mask = np.maximum(mask, weight * coverage((hull - hull.mean(0)) * growth + hull.mean(0), size_px))
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), size_px / 128), np.float32)


def tint_backdrop(
    rng: np.random.Generator, photo: Picture, drawing: Picture, backdrop: Array
) -> tuple[Picture, Picture]:
    """Give the background of a pair another colour; the sitter stays.

    The generator's instance norms see the whole crop: a style that knows only quiet backgrounds turns skin pink before
    a strongly coloured wall.

    Args:
        rng: source of every choice.
        photo: HxWx3 uint8 RGB.
        drawing: of the same size.
        backdrop: HxW float32 in [0, 1], share of the background.

    Returns:
        (photograph, drawing), recoloured alike.
    """
    turn, towards = rng.uniform(0, 2 * np.pi, 2)
    rotation = rng.uniform(0.3, 1.2) * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    tint = rng.uniform(0, 80) * np.array([np.cos(towards), np.sin(towards)])
    return _tinted(photo, backdrop, rotation, tint), _tinted(drawing, backdrop, rotation, tint * 0.92)


def _tinted(picture: Picture, backdrop: Array, rotation: Array, tint: Array) -> Picture:
    lab = to_lab(picture)
    # Ink and black take no colour.
    takes = np.clip((lab[..., :1] - 12) / 30, 0, 1)
    lab[..., 1:] = lab[..., 1:] @ rotation.T + takes * tint
    mixed = picture + backdrop[..., None] * (to_rgb(lab) * 255 - picture)
    return np.asarray(np.round(mixed), np.uint8)


def calm(picture: Picture, outside: Array, share: float = 0.9) -> Picture:
    """Take most of the colour out of what is no head, as `pipeline/blending.py` does before the generator.

    Args:
        picture: HxWx3 uint8 RGB.
        outside: HxW float32 in [0, 1], where.
        share: of the colour that goes.
    """
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    keeps = 1 - share * cv2.GaussianBlur(outside, (0, 0), 2)[..., None]
    return np.asarray(np.rint(luma + (picture - luma) * keeps), np.uint8)


def relight(
    rng: np.random.Generator, photo: Picture, drawing: Picture, dimmest: float = 0.45
) -> tuple[Picture, Picture]:
    """Dim or coloured light on a pair: (photograph, drawing), HxWx3 uint8 RGB; the drawing follows half-way."""
    gain = rng.uniform(dimmest, 1.1) * np.exp(rng.normal(0, 0.09, 3))
    lit = [picture * factor for picture, factor in ((photo, gain), (drawing, np.sqrt(gain)))]
    return np.asarray(np.clip(lit[0], 0, 255), np.uint8), np.asarray(np.clip(lit[1], 0, 255), np.uint8)


def weather(rng: np.random.Generator, photo: Picture) -> Picture:
    """What cameras and codecs do to a photograph: exposure, colour cast, softness, noise, JPEG.

    The drawing does not follow, so the style learns to keep its palette and lines through all of it.
    """
    image: Any = (photo.astype(np.float32) / 255) ** float(np.exp(rng.normal(0, 0.10)))
    image *= np.exp(rng.normal(0, 0.06) + rng.normal(0, 0.025, 3)).astype(np.float32)
    if rng.random() < 0.35:  # a small face, enlarged by the crop
        small, size = rng.uniform(0.4, 0.9), image.shape[:2]
        image = cv2.resize(cv2.resize(image, None, fx=small, fy=small, interpolation=cv2.INTER_AREA), size)
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < 0.4:
        image = image + rng.normal(0, rng.uniform(0.005, 0.03), image.shape).astype(np.float32)
    degraded: Any = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = int(rng.integers(35, 90))
        _, code = cv2.imencode(".jpg", degraded, [cv2.IMWRITE_JPEG_QUALITY, quality])
        degraded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    return np.asarray(degraded, np.uint8)
