"""Labelled faces for the benchmark (`--data`): reads the pictures that no recipe trains on. It measures nothing.

The folder holds `portraits/` and `faces/`, each with images/NAME.jpg, faces.json (boxes, five points, scores),
landmarks478.npz (NAME/landmarks, fractions of the picture), parsing/NAME.png (19 labels, 255 unknown) and
person/NAME.png (opacity of the person).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import MESH_INDICES, Points

from ..errors import UnreadableInputError

RGB = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]

UNKNOWN = 255
"""Label of a pixel that nobody looked at."""

GROUPS = {"portraits": 20, "faces": 100}
"""Folders and how many pictures of each are held out of every training."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One held-out picture with its labels, in pixels of the picture."""

    name: str
    """`portraits/NAME` or `faces/NAME`."""
    picture: RGB
    """HxWx3 uint8."""
    landmarks: Points
    """152x2 float32."""
    labels: Labels
    """HxW uint8, numbered as FacePart, UNKNOWN elsewhere."""
    person: npt.NDArray[np.uint8]
    """HxW uint8 opacity."""
    boxes_xyxy: Points
    """Mx4 float32, faces that a detector saw."""
    points: Points
    """Mx5x2 float32, their five points."""
    scores: Points
    """(M,) float32."""


def held_out_names(names: Iterable[str]) -> list[str]:
    """Of `portraits/...` and `faces/...` those that no recipe trains on: of each the first by SHA-256."""
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return [
        name for group, count in GROUPS.items() for name in [n for n in ranked if n.startswith(group + "/")][:count]
    ]


def iter_held_out(root: Path) -> Iterator[HeldOut]:
    """Read the held-out pictures one after the other.

    Raises:
        UnreadableInputError: the folder is laid out otherwise, or a picture cannot be read.
    """
    for group in GROUPS:
        folder = root / group
        try:
            notes = json.loads((folder / "faces.json").read_text(encoding="utf-8"))
            with np.load(folder / "landmarks478.npz", allow_pickle=False) as data:
                meshes = {key.partition("/")[0]: data[key] for key in data.files}
        except (OSError, ValueError) as error:
            raise UnreadableInputError(f'"{folder}" holds no labelled faces: {error}.') from error
        for name in held_out_names(f"{group}/{name}" for name in meshes):
            short = name.partition("/")[2]
            yield _read(folder, short, meshes[short], notes.get(short, []))


def _read(folder: Path, name: str, mesh: Points, notes: Any) -> HeldOut:
    bgr = _imread(folder / "images" / f"{name}.jpg", cv2.IMREAD_COLOR)
    height, width = bgr.shape[:2]
    size = np.array([width, height], np.float32)
    found = notes if isinstance(notes, list) else notes["faces"]
    boxes = np.array([f["box_xywh"] for f in found], np.float32).reshape(-1, 4) * np.tile(size, 2)
    boxes[:, 2:] += boxes[:, :2]
    person = cv2.resize(_imread(folder / "person" / f"{name}.png", cv2.IMREAD_GRAYSCALE), (width, height))
    return HeldOut(
        f"{folder.name}/{name}",
        np.ascontiguousarray(bgr[..., ::-1]),
        np.asarray(mesh[np.array(MESH_INDICES)] * size - 0.5, np.float32),
        _labels(folder / "parsing" / f"{name}.png", (height, width)),
        np.asarray(person, np.uint8),
        np.asarray(boxes - 0.5, np.float32),
        np.asarray(np.array([f["points"] for f in found], np.float32).reshape(-1, 5, 2) * size - 0.5, np.float32),
        np.array([f["score"] for f in found], np.float32),
    )


def _labels(path: Path, size_hw: tuple[int, int]) -> Labels:
    return _imread(path, cv2.IMREAD_GRAYSCALE) if path.exists() else np.full(size_hw, UNKNOWN, np.uint8)


def _imread(path: Path, mode: int) -> npt.NDArray[np.uint8]:
    picture = cv2.imread(str(path), mode)
    if picture is None:
        raise UnreadableInputError(f'"{path}" cannot be read as a picture.')
    return np.asarray(picture, np.uint8)
