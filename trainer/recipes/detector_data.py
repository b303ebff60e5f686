"""What the detector recipe builds its scenes from: people cut out, pictures without faces, patches of cloth and hair.

Reads the two picture sets (`portraits/`, `faces/`) with their boxes, masks and label maps. Composing scenes is
`detector_scenes.py`'s work.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data

from alignment.landmarks import roi_from_landmarks
from alignment.points import MESH_INDICES, Points, five_points
from alignment.scenes import CutOut, cut_out
from alignment.warp import warp_crop
from trainer.errors import TrainingDataError

from .landmark_data import load_faces, split_faces

Picture = npt.NDArray[np.uint8]

_FACE_PX = 150
"""Size (square root of the box's area) above which a kept face is shrunk."""
_BACKGROUND_PX = 256
"""Longer side of a kept background."""
_HEAD_LABELS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 17, 18)
_FACE_LABELS = (1, 2, 3, 4, 5, 6, 10, 11, 12, 13)
_NUM_LOOKS = 64
_CLOTH, _HAIR, _NECK = 16, 17, 14
_MIN_PATCH_PX = 24
_SAME_PICTURE = 0.9
_THUMBNAIL_PX = 24

TRAINING_STOCK = (
    "brick",
    "cell",
    "chelsea",
    "clock",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "logo",
    "microaneurysms",
    "page",
    "retina",
    "stereo_motorcycle",
)
"""Face-free pictures that come with scikit-image and are trained on."""

HELD_STOCK = ("coffee", "rocket", "grass", "horse", "moon", "text")
"""Face-free pictures that come with scikit-image and are measured on only. (Its coins show heads.)"""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Person:
    """One picture with one person, in the forms that scenes are made of."""

    whole: CutOut
    """The picture as it is, opaque."""
    body: CutOut
    """The person without what is behind."""
    head: CutOut
    """Head, hair, hat and neck only."""


@dataclass(frozen=True, eq=False)
class Backdrop:
    """A picture without a face."""

    picture: Picture
    """HxWx3 uint8 RGB."""
    looks: Points
    """Px2 float32 (x, y): some pixels that were not filled up; empty where all are genuine."""


@dataclass(frozen=True, eq=False)
class SceneParts:
    """Everything scenes are made of."""

    people: list[Person]
    """At least one."""
    backgrounds: list[Backdrop]
    """Pictures without a face; the stock ones first."""
    patches: list[Picture]
    """Squares of cloth, hair and skin, HxWx3 uint8 RGB."""


@dataclass(frozen=True, eq=False)
class _Labelled:
    """A picture as read: its faces and masks."""

    name: str
    picture: Picture
    boxes_xyxy: Points
    points: Points
    scores: npt.NDArray[np.float32]
    labels: Picture
    person: Picture
    mesh: Points | None


def load_training_parts(root: Path, *, hold_portraits: int = 20, hold_faces: int = 100) -> SceneParts:
    """Read what is trained on.

    The split is the landmark recipe's. Pictures in which several faces were seen give no cut-out and no background.
    Faces whose labels are not trusted (profiles mostly) are trained on with boxes only, unless they look like a held
    one.

    Args:
        root: folder that holds `portraits/` and `faces/`.
        hold_portraits: portraits held out.
        hold_faces: faces held out.

    Raises:
        TrainingDataError: something is missing or cannot be read.
    """
    training, held = _split(root, hold_portraits, hold_faces)
    extra = [p for p in _read_all(root, None) if p.mesh is None and len(p.boxes_xyxy) == 1 and p.scores[0] > 0.8]
    extra = _without_likenesses(extra, _read_all(root, held))
    _logger.info("%d faces without trusted landmarks join the training.", len(extra))
    return _parts(_read_all(root, training) + extra, TRAINING_STOCK, removed=("person", "person", "head", "face"))


def load_held_parts(root: Path, *, hold_portraits: int = 20, hold_faces: int = 100) -> SceneParts:
    """Read what is measured on: as `load_training_parts`, the other side of the split, and backgrounds without people.

    (Where hair or a neck without a face are left, detectors may well differ about what is there.)
    """
    return _parts(_read_all(root, _split(root, hold_portraits, hold_faces)[1]), HELD_STOCK, removed=("person",))


def _split(root: Path, hold_portraits: int, hold_faces: int) -> tuple[set[str], set[str]]:
    training, held = split_faces(load_faces(root), hold_portraits, hold_faces)
    return {face.name for face in training}, {face.name for face in held}


def stock_pictures(names: Sequence[str]) -> list[Picture]:
    """Pictures that come with scikit-image, HxWx3 uint8 RGB, the longer side 512 px at most."""
    pictures = []
    for name in names:
        picture = getattr(skimage.data, name)()
        picture = picture[0] if isinstance(picture, tuple) else picture
        picture = np.asarray(picture[..., :3] if picture.ndim == 3 else picture)
        if picture.dtype != np.uint8:
            picture = (np.clip(picture.astype(np.float64), 0, 1) * 255).astype(np.uint8)
        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], 3, axis=2)
        pictures.append(_at_most(np.ascontiguousarray(picture), 512))
    return pictures


def _read_all(root: Path, names: Collection[str] | None) -> list[_Labelled]:
    """Read the pictures of these names, or those without a mesh."""
    pictures = []
    for group in ("portraits", "faces"):
        folder = root / group
        notes = json.loads((folder / "faces.json").read_text(encoding="utf-8"))
        with np.load(folder / "landmarks478.npz", allow_pickle=False) as labels:
            meshes = {key.partition("/")[0]: labels[key] for key in labels.files}
        wanted = sorted(notes) if names is not None else sorted(set(notes) - set(meshes))
        for name in wanted:
            if names is None or f"{group}/{name}" in names:
                pictures.append(_read(folder, name, notes[name], meshes.get(name)))
    return pictures


def _read(folder: Path, name: str, notes: Any, mesh: Points | None) -> _Labelled:
    picture = _imread(folder / "images" / f"{name}.jpg", cv2.IMREAD_COLOR)[..., ::-1]
    size = np.array(picture.shape[1::-1], np.float32)
    found = notes if isinstance(notes, list) else notes["faces"]
    boxes = np.array([f["box_xywh"] for f in found], np.float32).reshape(-1, 4) * np.tile(size, 2)
    boxes[:, 2:] += boxes[:, :2]
    points = np.array([f["points"] for f in found], np.float32).reshape(-1, 5, 2) * size - 0.5
    size_wh = (picture.shape[1], picture.shape[0])
    person = cv2.resize(_imread(folder / "person" / f"{name}.png", cv2.IMREAD_GRAYSCALE), size_wh)
    return _Labelled(
        f"{folder.name}/{name}",
        np.ascontiguousarray(picture),
        boxes - 0.5,
        points,
        np.array([f["score"] for f in found], np.float32),
        _label_map(folder / "parsing" / f"{name}.png", size_wh),
        np.asarray(person, np.uint8),
        None if mesh is None else (mesh[np.array(MESH_INDICES)] * size - 0.5).astype(np.float32),
    )


def _label_map(path: Path, size_wh: tuple[int, int]) -> Picture:
    """The picture's label map; where there is none (faces that the parser did not see), nothing looked at."""
    return _imread(path, cv2.IMREAD_GRAYSCALE) if path.exists() else np.full(size_wh[::-1], 255, np.uint8)


def _imread(path: Path, mode: int) -> Picture:
    picture = cv2.imread(str(path), mode)
    if picture is None:
        raise TrainingDataError(f"'{path}' cannot be read as a picture.")
    return np.asarray(picture, np.uint8)


def _without_likenesses(extra: list[_Labelled], held: list[_Labelled]) -> list[_Labelled]:
    if not extra or not held:
        return extra
    own = np.stack([_thumbnail(p, p.points[0]) for p in extra])
    others = np.stack([_thumbnail(p, p.points[0]) for p in held if len(p.points)])
    return [p for p, row in zip(extra, own @ others.T, strict=True) if row.max() < _SAME_PICTURE]


def _thumbnail(picture: _Labelled, five: Points) -> Points:
    grey = np.asarray(cv2.cvtColor(picture.picture, cv2.COLOR_RGB2GRAY), np.uint8)
    crop = warp_crop(grey, roi_from_landmarks(five, _THUMBNAIL_PX), _THUMBNAIL_PX).astype(np.float32)
    crop -= crop.mean()
    return np.asarray(crop.ravel() / max(float(np.linalg.norm(crop)), 1e-6), np.float32)


def _parts(pictures: Sequence[_Labelled], stock: Sequence[str], removed: Sequence[str]) -> SceneParts:
    people, patches = [], list[Picture]()
    backgrounds = [Backdrop(stocked, np.zeros((0, 2), np.float32)) for stocked in stock_pictures(stock)]
    for i, picture in enumerate(pictures):
        if len(picture.boxes_xyxy) != 1:
            continue
        people.append(_person(picture))
        backgrounds.append(_backdrop(picture, removed[i % len(removed)]))
        patches += _patches(picture)
    if not people:
        raise TrainingDataError("no picture with exactly one face is left to make scenes of.")
    return SceneParts(people, backgrounds, patches)


def _person(picture: _Labelled) -> Person:
    box = picture.boxes_xyxy[0]
    five = picture.points[0] if picture.mesh is None else five_points(picture.mesh)
    factor = min(_FACE_PX / float(np.sqrt(np.prod(box[2:] - box[:2]))), 1.0)
    size_wh = (round(picture.picture.shape[1] * factor), round(picture.picture.shape[0] * factor))
    factors = np.array(size_wh) / picture.picture.shape[1::-1]
    colours, person, head = (
        np.asarray(cv2.resize(x, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        for x in (picture.picture, np.maximum(picture.person, _head_mask(picture)), _head_mask(picture))
    )
    moved = ((box.reshape(2, 2) + 0.5) * factors - 0.5).reshape(4)
    has_points = picture.mesh is not None
    whole = cut_out(
        colours,
        np.full_like(person, 255),
        moved,
        np.asarray((five + 0.5) * factors - 0.5, np.float32),
        name=picture.name,
        has_points=has_points,
    )
    body, bare = (_with_opacity(whole, mask) for mask in (person, head))
    return Person(whole, body, bare)


def _with_opacity(whole: CutOut, opacity: Picture) -> CutOut:
    """The same pictures, shared, with another opacity."""
    levels = [
        (picture, np.asarray(cv2.resize(opacity, mask.shape[::-1], interpolation=cv2.INTER_AREA), np.uint8))
        for picture, mask in whole.levels
    ]
    return replace(whole, levels=tuple(levels))


def _head_mask(picture: _Labelled) -> Picture:
    mask = np.isin(picture.labels, _HEAD_LABELS).astype(np.uint8) * 255
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(len(mask) / 250, 0.6)), np.uint8)


def _backdrop(picture: _Labelled, removed: str) -> Backdrop:
    """The picture with its `person`, `head` or `face` filled up from what is around."""
    small = _at_most(picture.picture, _BACKGROUND_PX)
    size_wh = small.shape[1::-1]
    labels = cv2.resize(picture.labels, size_wh, interpolation=cv2.INTER_NEAREST)
    hidden = np.isin(labels, _FACE_LABELS if removed == "face" else _HEAD_LABELS).astype(np.uint8)
    if removed == "person":
        hidden |= (np.isin(labels, (15, 16)) | (cv2.resize(picture.person, size_wh) > 25)).astype(np.uint8)
    factors = np.array(size_wh) / picture.picture.shape[1::-1]
    for box in picture.boxes_xyxy:
        x0, y0, x1, y1 = (int(v) for v in np.clip(box * np.tile(factors, 2), 0, max(size_wh)))
        hidden[y0:y1, x0:x1] = 1
    hidden = np.asarray(cv2.dilate(hidden, np.ones((9, 9), np.uint8)), np.uint8)
    ys, xs = np.nonzero(hidden == 0)
    picks = np.linspace(0, len(xs) - 1, min(_NUM_LOOKS, len(xs))).astype(int)
    return Backdrop(_fill(small, hidden), np.stack([xs[picks], ys[picks]], axis=1).astype(np.float32))


def _fill(picture: Picture, hidden: Picture) -> Picture:
    """Fill hidden pixels from coarser and coarser means of the others."""
    weight = 1.0 - hidden.astype(np.float32)
    sums, weights = [picture.astype(np.float32) * weight[..., None]], [weight]
    while max(weights[-1].shape) > 1:
        size_wh = tuple(max(side // 2, 1) for side in weights[-1].shape[::-1])
        sums.append(cv2.resize(sums[-1], size_wh, interpolation=cv2.INTER_AREA).reshape(size_wh[1], size_wh[0], 3))
        weights.append(cv2.resize(weights[-1], size_wh, interpolation=cv2.INTER_AREA).reshape(size_wh[::-1]))
    filled = np.full((1, 1, 3), 128, np.float32)
    for total, count in zip(reversed(sums), reversed(weights), strict=True):
        coarse = cv2.resize(filled, count.shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(total.shape)
        mean = total / np.maximum(count, 1e-3)[..., None]
        filled = coarse + np.minimum(2 * count, 1)[..., None] * (mean - coarse)
    return np.asarray(np.clip(filled, 0, 255), np.uint8)


def _patches(picture: _Labelled) -> list[Picture]:
    """The largest square each of cloth, hair and neck."""
    patches = []
    for label in (_CLOTH, _HAIR, _NECK):
        mask = np.pad((picture.labels == label).astype(np.uint8), 1)
        distance = cv2.distanceTransform(mask, cv2.DIST_C, 3)[1:-1, 1:-1]
        reach = int(distance.max()) - 1
        if 2 * reach < _MIN_PATCH_PX:
            continue
        y, x = np.unravel_index(int(distance.argmax()), distance.shape)
        square = picture.picture[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]
        patches.append(_at_most(square, 96))
    return patches


def _at_most(picture: Picture, side_px: int) -> Picture:
    scale = min(side_px / max(picture.shape[:2]), 1.0)
    size_wh = (max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1))
    return np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
