"""Pictures, labels and splits of the toon recipe: from the labelled faces on disk to aligned sitters.

Reads the folders `portraits/` and `faces/` of the training data (their README says what they hold) and leaves out faces
whose labels disagree. Does not draw and does not train.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import MESH, MESH_INDICES
from alignment.templates import HEAD, source_to_crop

from ..errors import TrainingDataError
from .drawn_brush import Array

Picture = npt.NDArray[np.uint8]

CROP_PX = 256
"""Side of the crops the style works on."""
MARGIN_PX = 32
"""Extra border of a training pair on each side, so that geometric augmentation finds real pixels."""
CANVAS_PX = CROP_PX + 2 * MARGIN_PX
"""Side of a training pair."""
SCALE = 2
"""The drawing is made this many times larger and shrunk, for clean edges."""
HELD_OUT = {"portraits": 16, "faces": 100}
"""How many pictures of each split the style is judged on."""
RUN_LENGTHS = {"portraits": 1, "faces": 10}
"""Pictures that stay on one side of every split: neighbours by name come from one sheet and can show one person."""
_SPARE = 1.15  # held out above HELD_OUT, because some faces turn out to have bad labels

REGIONS: dict[str, tuple[int, ...]] = {
    "background": (0,),
    "face": (1, 2, 3, 4, 5, 6, 10, 11, 12, 13),
    "ear": (7, 8),
    "neck": (14,),
    "hair": (17,),
    "hat": (18,),
    "cloth": (9, 15, 16),
}
"""Base regions of the drawing and the CelebAMask-HQ classes they are made of."""
DETAILS: dict[str, tuple[int, ...]] = {"glasses": (6,), "lips": (11, 12, 13), "eyes": (4, 5), "earring": (9, 15)}
"""Parts that lie over a region and are drawn on top of it."""


@dataclass(frozen=True)
class Sitter:
    """One aligned face with everything the drawing needs, on a canvas of CANVAS_PX."""

    picture: Picture
    """HxWx3 uint8 RGB."""
    regions: dict[str, Array]
    """Probability of each base region, HxW float32 in [0, 1]; they sum to 1."""
    details: dict[str, Array]
    """Probability of each detail, HxW float32 in [0, 1]."""
    landmarks: Array
    """152x2 (x, y) canvas pixels, the sets of `alignment.points.MESH`."""


@dataclass(frozen=True)
class Face:
    """One labelled face on disk."""

    split: str
    """`portraits` or `faces`."""
    name: str
    """File name without suffix."""
    landmarks: Array
    """152x2 (x, y) as fractions of the picture."""

    @property
    def key(self) -> str:
        """Name that is unique over both splits."""
        return f"{self.split}-{self.name}"


def load_faces(data: Path) -> list[Face]:
    """All faces with trusted landmarks below `data`, in name order.

    Raises:
        TrainingDataError: the folder does not hold the labelled faces.
    """
    faces: list[Face] = []
    for split in HELD_OUT:
        folder = data / split
        try:
            labels: dict[str, Any] = json.loads((folder / "faces.json").read_text())
            with np.load(folder / "landmarks478.npz") as mesh:
                points = {key.split("/")[0]: mesh[key] for key in mesh.files}
        except OSError as error:
            raise TrainingDataError(
                f"no labelled faces in '{folder}': {error}. Give the folder that holds 'portraits' and 'faces'."
            ) from error
        for name in sorted(points):
            if _is_trusted(labels.get(name)):
                faces.append(Face(split, name, points[name][list(MESH_INDICES)].astype(np.float32)))
    return faces


def _is_trusted(label: Any) -> bool:
    """Portraits have a list of faces; the others say whether two labellers agree."""
    return bool(label.get("landmarks_trusted")) if isinstance(label, dict) else bool(label)


def split_faces(faces: list[Face]) -> tuple[list[Face], list[Face]]:
    """Deterministic (training, held-out) faces.

    Figures of one sheet can show one person and neighbour in name order, so faces are held out in whole runs.
    """
    held_out: list[Face] = []
    for split, count in HELD_OUT.items():
        own = [face for face in faces if face.split == split]
        run = RUN_LENGTHS[split]
        starts = np.linspace(0, max(len(own) - run, 0), round(count * _SPARE / run)).astype(int)
        held_out += [own[i] for i in sorted({i for start in starts for i in range(start, min(start + run, len(own)))})]
    keys = {face.key for face in held_out}
    return [face for face in faces if face.key not in keys], held_out


def load_sitter(data: Path, face: Face) -> Sitter:
    """Read and align one face with its labels.

    Raises:
        TrainingDataError: a picture or label map is missing.
    """
    folder = data / face.split
    picture = cv2.imread(str(folder / "images" / f"{face.name}.jpg"))
    parts = cv2.imread(str(folder / "parsing" / f"{face.name}.png"), cv2.IMREAD_GRAYSCALE)
    person = cv2.imread(str(folder / "person" / f"{face.name}.png"), cv2.IMREAD_GRAYSCALE)
    if picture is None or parts is None or person is None:
        raise TrainingDataError(f"picture, label map or person mask of '{face.name}' is missing in '{folder}'.")
    rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8)
    person = cv2.resize(person, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_LINEAR)
    return align_sitter(
        rgb,
        parts.astype(np.uint8),
        person.astype(np.float32) / 255,
        face.landmarks * np.array([rgb.shape[1], rgb.shape[0]], np.float32),
    )


def align_sitter(picture: Picture, parts: Picture, person: Array, landmarks: Array) -> Sitter:
    """Warp a labelled picture to the canvas, labels as soft maps.

    Args:
        picture: HxWx3 uint8 RGB.
        parts: HxW uint8 part labels (19 classes; 255 = not looked at).
        person: HxW float32 in [0, 1], probability of the person; settles the pixels without a label.
        landmarks: 152x2 (x, y) source pixels.
    """
    to_canvas = source_to_crop(landmarks, HEAD, CROP_PX)
    to_canvas[:, 2] += MARGIN_PX
    outside = _outside(parts.shape, to_canvas)
    canvas = _extend(_warp(_smooth_for(picture, to_canvas), to_canvas), outside)
    known = (parts != 255).astype(np.float32)
    soft = {name: _warp(np.isin(parts, classes).astype(np.float32), to_canvas) for name, classes in REGIONS.items()}
    person_map, unknown = _warp(person, to_canvas), 1 - _warp(known, to_canvas)
    soft["background"] = soft["background"] + unknown * (1 - person_map)
    soft["cloth"] = soft["cloth"] + unknown * person_map
    inside = np.exp(-outside / 2)
    for name in ("face", "ear", "hair", "hat"):  # heads end where the picture ends; clothes go on
        soft["background"] = soft["background"] + soft[name] * (1 - inside)
        soft[name] = soft[name] * inside
    details = {name: _warp(np.isin(parts, classes).astype(np.float32), to_canvas) for name, classes in DETAILS.items()}
    points = landmarks @ to_canvas[:, :2].T + to_canvas[:, 2]
    return Sitter(canvas, soft, details, points.astype(np.float32))


def enlarge(field: Any) -> Any:
    """A map of the canvas at the size it is painted: SCALE times larger."""
    return cv2.resize(field, (CANVAS_PX * SCALE, CANVAS_PX * SCALE), interpolation=cv2.INTER_CUBIC)


def _warp(image: Any, transform: Array) -> Any:
    return cv2.warpAffine(
        image, transform, (CANVAS_PX, CANVAS_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _smooth_for(picture: Picture, transform: Array) -> Picture:
    """Low-pass a picture that is about to shrink."""
    scale = float(np.hypot(*transform[0, :2]))
    sigma = 0.45 * np.sqrt(max(1 / scale**2 - 1, 0))
    return cv2.GaussianBlur(picture, (0, 0), sigma).astype(np.uint8) if sigma > 0.2 else picture


def _outside(shape_hw: tuple[int, ...], transform: Array) -> Array:
    """How far each canvas pixel lies outside the picture, px."""
    inside = cv2.warpAffine(np.ones(shape_hw[:2], np.uint8), transform, (CANVAS_PX, CANVAS_PX), flags=cv2.INTER_NEAREST)
    return np.asarray(cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3), np.float32)


def _extend(canvas: Picture, outside: Array) -> Picture:
    """Melt the replicated border into a plain extension, more with distance."""
    if not outside.any():
        return canvas
    plain, share = cv2.GaussianBlur(canvas, (0, 0), 14), np.clip(outside / 24, 0, 1)[..., None]
    return np.round(canvas * (1 - share) + plain * share).astype(np.uint8)


def has_good_labels(sitter: Sitter) -> bool:
    """Whether label map and landmarks tell the same story about this face."""
    face = sitter.regions["face"] + sitter.regions["hair"] * 0.5 + sitter.regions["hat"] * 0.5
    inner = _mean_at(face, sitter.landmarks)
    lips = sitter.details["lips"]
    if lips.sum() < 40 or inner < 0.6:
        return False
    yy, xx = np.mgrid[:CANVAS_PX, :CANVAS_PX]
    centre = np.array([(lips * xx).sum(), (lips * yy).sum()]) / lips.sum()
    mouth = sitter.landmarks[MESH["lips_outer"]].mean(0)
    return bool(np.linalg.norm(centre - mouth) < 14)


def _mean_at(field: Array, points: Array) -> float:
    at = np.clip(np.round(points), 0, CANVAS_PX - 1).astype(int)
    return float(field[at[:, 1], at[:, 0]].mean())
