"""The faces the landmark recipe learns from: reading the labelled pictures, the held-out split, the mirror order.

Reads the two picture sets (`portraits/`, `faces/`) with 478 landmarks per picture and keeps them small in memory.
Making training regions out of them is `landmark_regions.py`'s work.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from alignment.landmarks import roi_from_landmarks
from alignment.points import MESH, MESH_INDICES, NUM_LANDMARKS, Points, five_points
from alignment.warp import warp_crop
from trainer.errors import TrainingDataError

Picture = npt.NDArray[np.uint8]

_FACE_PX = 112
"""Longer side of a face's landmarks in the kept picture: a third more than a region of 128 px shows."""
_KEPT_SPAN = 3.2
"""Side of the kept square around the face, over the longer side of its landmarks."""
_NEARBY_LABELS = (7, 8, 14, 15, 16, 17, 18)
"""Ears, neck, necklace, cloth, hair and hat: what a follower slips onto when it loses the face."""
_SAME_FACE = 0.3
"""Distance of a detection's five points from the labels', over their span, below which it is of the same face."""
_THUMBNAIL_PX = 24
_SAME_PICTURE = 0.9
"""Correlation of two aligned thumbnails above which the faces count as one (0.93 for the one pair seen, then 0.85)."""

_logger = logging.getLogger(__name__)


def _mirror_order() -> npt.NDArray[np.int64]:
    order = np.arange(NUM_LANDMARKS)
    ids = np.arange(NUM_LANDMARKS)
    for part in ("eye", "brow", "iris"):
        right, left = ids[MESH[f"right_{part}"]], ids[MESH[f"left_{part}"]]
        if part == "iris":  # centre, left side, top, right side, bottom: the sides change places
            left = left[[0, 3, 2, 1, 4]]
        order[right], order[left] = left, right
    for name, turn in (("outline", 0), ("lips_outer", 10), ("lips_inner", 10)):
        ring = ids[MESH[name]]
        order[ring] = ring[(turn - np.arange(len(ring))) % len(ring)]
    nose = ids[MESH["nose"]]
    order[nose[7:]] = nose[:6:-1]
    return order


MIRROR = _mirror_order()
"""(152,) int64: landmark i of a mirrored picture is landmark MIRROR[i] of the original with x turned round."""


@dataclass(frozen=True)
class LabelledFace:
    """One picture with one labelled face."""

    name: str
    """`portraits/NAME` or `faces/NAME`."""
    picture: Picture
    """HxWx3 uint8 RGB."""
    landmarks: Points
    """152x2 float32 in the picture's pixels."""
    boxes_xyxy: Points
    """Mx4 float32: every face a detector saw in the picture; the labelled one first where it was seen."""
    is_box_of_face: bool
    """True if the first box is the labelled face's."""
    nearby: Points
    """Px2 float32: some pixels on hair, hat, neck, ears and clothes; empty without a label map."""
    doubt: float = 0.0
    """Mean distance of the labels' five points from the detector's, over the face's scale: large where one is wrong."""

    @property
    def group(self) -> str:
        """`portraits` or `faces`."""
        return self.name.partition("/")[0]


def load_faces(root: Path, *, names: Collection[str] | None = None, is_shrunk: bool = True) -> list[LabelledFace]:
    """Read the labelled faces under `root`, in the order of their names.

    Args:
        root: folder that holds `portraits/` and `faces/`, each with images/, faces.json, landmarks478.npz, parsing/.
        names: read these only (`portraits/NAME`, `faces/NAME`); None is all.
        is_shrunk: keep only the face's surroundings, the face about 112 px long.

    Raises:
        TrainingDataError: a folder or file is missing, or there is no face.
    """
    faces = []
    for group in ("portraits", "faces"):
        folder = root / group
        try:
            notes = json.loads((folder / "faces.json").read_text(encoding="utf-8"))
            with np.load(folder / "landmarks478.npz", allow_pickle=False) as labels:
                meshes = {key.partition("/")[0]: labels[key] for key in labels.files}
        except OSError as error:
            raise TrainingDataError(f"'{folder}' is no folder of labelled faces: {error}.") from error
        for name in sorted(meshes):
            if names is not None and f"{group}/{name}" not in names:
                continue
            face = _read_face(folder, name, meshes[name], notes.get(name, []))
            faces.append(_shrink(face) if is_shrunk else face)
    if not faces:
        raise TrainingDataError(f"'{root}' holds no labelled face.")
    return faces


def _read_face(folder: Path, name: str, mesh: Points, notes: Any) -> LabelledFace:
    path = folder / "images" / f"{name}.jpg"
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise TrainingDataError(f"'{path}' cannot be read as a picture.")
    height, width = bgr.shape[:2]
    size = np.array([width, height], np.float32)
    # The labeller's fractions run over pixel edges; pixel centres lie at integers here.
    landmarks = (mesh[np.array(MESH_INDICES)] * size - 0.5).astype(np.float32)
    boxes, doubt = _boxes(notes if isinstance(notes, list) else notes["faces"], size, landmarks)
    nearby = _nearby(folder / "parsing" / f"{name}.png")
    picture = np.ascontiguousarray(bgr[..., ::-1], np.uint8)
    return LabelledFace(f"{folder.name}/{name}", picture, landmarks, boxes, doubt < _SAME_FACE, nearby, doubt)


def _boxes(notes: Sequence[dict[str, Any]], size: Points, landmarks: Points) -> tuple[Points, float]:
    """The detector's boxes, the labelled face's first, and how far that one's five points are from the labels'."""
    if not notes:
        return np.zeros((0, 4), np.float32), _SAME_FACE
    boxes = np.array([note["box_xywh"] for note in notes], np.float32) * np.tile(size, 2)
    boxes[:, 2:] += boxes[:, :2]
    points = np.array([note["points"] for note in notes], np.float32) * size - 0.5
    five = five_points(landmarks)
    misses = np.linalg.norm(points - five, axis=-1).mean(1) / (np.ptp(five, axis=0).max() + 1e-6)
    order = np.argsort(misses)
    return boxes[order], float(misses[order[0]])


def _nearby(path: Path, count: int = 32) -> Points:
    label_map = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if label_map is None:
        return np.zeros((0, 2), np.float32)
    ys, xs = np.nonzero(np.isin(label_map, _NEARBY_LABELS))
    picks = np.linspace(0, len(xs) - 1, min(count, len(xs))).astype(int)
    return np.asarray(np.stack([xs[picks], ys[picks]], axis=1), np.float32)


def _shrink(face: LabelledFace) -> LabelledFace:
    low, high = face.landmarks.min(0), face.landmarks.max(0)
    extent, centre = float((high - low).max()), (low + high) / 2
    half = extent * _KEPT_SPAN / 2
    height, width = face.picture.shape[:2]
    x1, y1 = np.maximum(np.floor(centre - half), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(centre + half), (width, height)).astype(int)
    scale = min(_FACE_PX / extent, 1.0)
    size_wh = (max(round((x2 - x1) * scale), 1), max(round((y2 - y1) * scale), 1))
    picture = cv2.resize(face.picture[y1:y2, x1:x2], size_wh, interpolation=cv2.INTER_AREA)
    factors = np.array(size_wh, np.float32) / (x2 - x1, y2 - y1)

    def move(points: Points) -> Points:
        return np.asarray((points - (x1, y1) + 0.5) * factors - 0.5, np.float32)

    boxes = move(face.boxes_xyxy.reshape(-1, 2)).reshape(-1, 4)
    return replace(
        face,
        picture=np.asarray(picture, np.uint8),
        landmarks=move(face.landmarks),
        boxes_xyxy=boxes,
        nearby=move(face.nearby),
    )


def held_out_names(names: Iterable[str], num_portraits: int = 20, num_faces: int = 100) -> frozenset[str]:
    """The names held out of training: of each set the first by SHA-256, so that they do not change with the others."""
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    portraits = [name for name in ranked if name.startswith("portraits/")]
    faces = [name for name in ranked if name.startswith("faces/")]
    return frozenset(portraits[:num_portraits] + faces[:num_faces])


def split_faces(
    faces: Sequence[LabelledFace], num_portraits: int = 20, num_faces: int = 100
) -> tuple[list[LabelledFace], list[LabelledFace]]:
    """Hold the faces of `held_out_names` out of training.

    A training face whose aligned thumbnail nearly equals a held-out one (the same picture at another size) is left
    out of both. The same made-up person in another picture cannot be told apart from a likeness and stays.

    Returns:
        (training, held out).
    """
    names = held_out_names([face.name for face in faces], num_portraits, num_faces)
    held = [face for face in faces if face.name in names]
    rest = [face for face in faces if face.name not in names]
    if not held or not rest:
        return rest, held
    likeness = _thumbnails(rest) @ _thumbnails(held).T
    training = [face for face, row in zip(rest, likeness, strict=True) if row.max() < _SAME_PICTURE]
    _logger.info(
        "%d faces to train on, %d held out, %d left out as likenesses of those.",
        len(training),
        len(held),
        len(rest) - len(training),
    )
    return training, held


def _thumbnails(faces: Sequence[LabelledFace]) -> Points:
    rows = []
    for face in faces:
        grey = cv2.cvtColor(face.picture, cv2.COLOR_RGB2GRAY)
        crop = warp_crop(grey, roi_from_landmarks(face.landmarks, _THUMBNAIL_PX), _THUMBNAIL_PX).astype(np.float32)
        crop -= crop.mean()
        rows.append(crop.ravel() / max(float(np.linalg.norm(crop)), 1e-6))
    return np.stack(rows)
