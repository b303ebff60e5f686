"""The heads the parser recipe learns from: labelled pictures, aligned on a canvas, labels cleaned, kept as arrays.

Reads `portraits/` and `faces/` (the data's README says what they hold) and keeps them in a cache folder as uint8 arrays
that are mapped into memory. Cleaning is `parser_cleaning.py`'s work, drawing training views `parser_views.py`'s.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import MESH_INDICES, Points, five_points
from alignment.templates import HEAD, source_to_crop
from alignment.warp import transform_points, warp_crop
from faceseg.parts import FacePart
from trainer.errors import TrainingDataError

from .landmark_data import held_out_names
from .parser_cleaning import IGNORED, Labels, Picture, clean_labels

CROP_PX = 256
"""Side of a head crop."""
MARGIN_PX = 48
"""The canvas goes so far beyond the crop on each side, for jitter."""
CANVAS_PX = CROP_PX + 2 * MARGIN_PX
"""Side of a canvas."""
_THUMBNAIL_PX = 24
_SAME_PICTURE = 0.9
"""As in `landmark_data.py`: correlation of two aligned thumbnails above which the faces count as one."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeadSource:
    """A labelled picture on disk."""

    name: str
    """`portraits/NAME` or `faces/NAME`."""
    five: Points
    """5x2 float32, the alignment points as fractions of the picture."""
    landmarks: Points | None
    """152x2 float32 as fractions of the picture; None where the labellers disagree."""


@dataclass(frozen=True)
class Heads:
    """Aligned heads with their labels; arrays may be mapped from files and are not to be written to."""

    names: tuple[str, ...]
    """Names of the N pictures."""
    pictures: npt.NDArray[np.uint8]
    """NxSxSx3 uint8 RGB, S = CANVAS_PX."""
    labels: npt.NDArray[np.uint8]
    """NxSxS uint8, cleaned; `FacePart` numbers and IGNORED."""
    raw_labels: npt.NDArray[np.uint8]
    """NxSxS uint8 as they came, for honest figures."""
    persons: npt.NDArray[np.uint8]
    """NxSxS uint8, person probability times 255."""

    def __len__(self) -> int:
        """Count the heads."""
        return len(self.names)


def find_heads(root: Path) -> list[HeadSource]:
    """List the labelled pictures under `root` in the order of their names.

    Raises:
        TrainingDataError: a folder or file is missing, or there is no head.
    """
    sources: list[HeadSource] = []
    for group in ("portraits", "faces"):
        folder = root / group
        try:
            notes = json.loads((folder / "faces.json").read_text(encoding="utf-8"))
            with np.load(folder / "landmarks478.npz", allow_pickle=False) as content:
                meshes = {key.partition("/")[0]: content[key] for key in content.files}
        except OSError as error:
            raise TrainingDataError(f"'{folder}' is no folder of labelled faces: {error}.") from error
        for name in sorted(meshes.keys() | notes.keys()):
            source = _source(f"{group}/{name}", meshes.get(name), notes.get(name))
            if source is not None and (folder / "parsing" / f"{name}.png").is_file():
                sources.append(source)
    if not sources:
        raise TrainingDataError(f"'{root}' holds no face with a label map in parsing/.")
    return sources


def _source(name: str, mesh: Points | None, note: Any) -> HeadSource | None:
    if mesh is not None:
        landmarks = mesh[np.array(MESH_INDICES)].astype(np.float32)
        return HeadSource(name, five_points(landmarks), landmarks)
    faces = note["faces"] if isinstance(note, dict) else note
    if not faces:
        return None
    largest = max(faces, key=lambda face: face["box_xywh"][2] * face["box_xywh"][3])
    return HeadSource(name, np.array(largest["points"], np.float32), None)


def split_heads(
    sources: Sequence[HeadSource], num_portraits: int = 20, num_faces: int = 100
) -> tuple[list[HeadSource], list[HeadSource]]:
    """Split into (training, held out): the same pictures are held out as in the landmark recipe.

    Likenesses of held-out pictures are still among the training heads: `without_likenesses` drops them.
    """
    held = held_out_names([source.name for source in sources if source.landmarks is not None], num_portraits, num_faces)
    return [s for s in sources if s.name not in held], [s for s in sources if s.name in held]


def align_head(root: Path, source: HeadSource) -> tuple[Picture, Labels, Labels, npt.NDArray[np.uint8]]:
    """Read one picture and cut its canvas.

    Returns:
        Canvas SxSx3 uint8 RGB; labels SxS uint8 cleaned, and as they came; person probability SxS uint8 (times 255).

    Raises:
        TrainingDataError: a file is missing or unreadable.
    """
    folder, name = root / source.name.partition("/")[0], source.name.partition("/")[2]
    picture = _read(folder / "images" / f"{name}.jpg", cv2.IMREAD_COLOR)[..., ::-1]
    labels = _read(folder / "parsing" / f"{name}.png", cv2.IMREAD_GRAYSCALE)
    person = _read(folder / "person" / f"{name}.png", cv2.IMREAD_GRAYSCALE)
    size_wh = picture.shape[1], picture.shape[0]
    person = np.asarray(cv2.resize(person, size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
    scale = np.array(size_wh, np.float32)
    to_canvas = source_to_crop(source.five * scale - 0.5, HEAD, CROP_PX)
    to_canvas[:, 2] += MARGIN_PX
    canvas = warp_crop(np.ascontiguousarray(picture), to_canvas, CANVAS_PX)
    raw = _warp_labels(labels, to_canvas)
    persons = warp_crop(person, to_canvas, CANVAS_PX)
    points = None if source.landmarks is None else transform_points(to_canvas, source.landmarks * scale - 0.5)
    five = transform_points(to_canvas, source.five * scale - 0.5)
    probability = np.asarray(persons.astype(np.float32) / 255, np.float32)
    cleaned = clean_labels(raw, canvas, probability, five, points)
    outside = warp_crop(np.ones(labels.shape, np.uint8), to_canvas, CANVAS_PX, border="constant") == 0
    cleaned[outside], raw[outside] = IGNORED, IGNORED
    return canvas, cleaned, raw, persons


def _read(path: Path, mode: int) -> npt.NDArray[np.uint8]:
    content = cv2.imread(str(path), mode)
    if content is None:
        raise TrainingDataError(f"'{path}' cannot be read as a picture.")
    return np.asarray(content, np.uint8)


def _warp_labels(labels: Labels, to_canvas: Points) -> Labels:
    return np.asarray(
        cv2.warpAffine(
            labels,
            to_canvas.astype(np.float64),
            (CANVAS_PX, CANVAS_PX),
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )


def load_heads(root: Path, sources: Sequence[HeadSource], cache: Path) -> Heads:
    """Align all heads once and keep them in `cache` (made if absent); the second time they are mapped from there.

    Heads of which most is unknown, or on which the parser saw no face, are left out.

    Raises:
        TrainingDataError: a file is missing or unreadable, or no head is usable.
    """
    index = cache / "names.json"
    if not index.exists():
        _fill_cache(root, sources, cache, index)
    names = tuple(json.loads(index.read_text(encoding="utf-8")))
    if not names:
        raise TrainingDataError(f"none of the {len(sources)} labelled heads under '{root}' is usable.")
    arrays = {name: np.load(cache / f"{name}.npy", mmap_mode="r")[: len(names)] for name in _ARRAYS}
    return Heads(names, **arrays)


_ARRAYS = ("pictures", "labels", "raw_labels", "persons")


def _fill_cache(root: Path, sources: Sequence[HeadSource], cache: Path, index: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    flat = (len(sources), CANVAS_PX, CANVAS_PX)
    shapes = {"pictures": (*flat, 3), "labels": flat, "raw_labels": flat, "persons": flat}
    arrays = {name: np.lib.format.open_memmap(cache / f"{name}.npy", "w+", np.uint8, shapes[name]) for name in _ARRAYS}
    names: list[str] = []
    for source in sources:
        head = align_head(root, source)
        if not _is_usable(head[1]):
            continue
        for name, value in zip(_ARRAYS, head, strict=True):
            arrays[name][len(names)] = value
        names.append(source.name)
    for array in arrays.values():
        array.flush()
    index.write_text(json.dumps(names), encoding="utf-8")
    _logger.info("Aligned %d of %d heads.", len(names), len(sources))


def _is_usable(labels: Labels) -> bool:
    middle = labels[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    return bool((middle == IGNORED).mean() < 0.75 and (middle == FacePart.SKIN).mean() > 0.03)


def without_likenesses(training: Heads, held: Heads) -> npt.NDArray[np.int64]:
    """Indices of the training heads that are not a held-out picture at another size."""
    likeness = _thumbnails(training.pictures) @ _thumbnails(held.pictures).T
    kept = np.flatnonzero(likeness.max(1) < _SAME_PICTURE)
    _logger.info(
        "%d heads to train on, %d left out as likenesses of the held-out.", len(kept), len(training) - len(kept)
    )
    return kept


def _thumbnails(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    rows = []
    for picture in pictures:
        grey = cv2.cvtColor(picture[72:-72, 72:-72], cv2.COLOR_RGB2GRAY)
        small = (
            cv2.resize(grey, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
        )
        small -= small.mean()
        rows.append(small / max(float(np.linalg.norm(small)), 1e-6))
    return np.stack(rows)
