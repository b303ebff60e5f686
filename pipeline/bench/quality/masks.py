"""How well masks fit held-out heads: overlap with the labels per part, for every parser that is here (`--data`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import Points, five_points, outline
from alignment.templates import HEAD, source_to_crop
from alignment.warp import transform_points, warp_crop
from faceseg.errors import FaceSegError
from faceseg.head_mask import landmark_head_mask
from faceseg.parser import FaceParser, load_face_parser
from faceseg.parts import HEAD as HEAD_PARTS
from faceseg.parts import FacePart

from ..data import GROUPS, UNKNOWN, HeldOut, Labels, iter_held_out
from ..sections import Cell, Table
from .run import Bench

_CROP_PX = 256
_BATCH = 4
_SIDES = {FacePart.RIGHT_BROW: FacePart.LEFT_BROW, FacePart.RIGHT_EYE: FacePart.LEFT_EYE}
_SIDES |= {FacePart.RIGHT_EAR: FacePart.LEFT_EAR}
"""Left and right are counted together: the label sets do not agree on whose left is meant."""


class Overlap:
    """Pixels in common and in either, summed over pictures."""

    def __init__(self) -> None:
        self.common, self.either = 0, 0

    def add(self, answer: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]) -> None:
        """Take the masks of some pictures in; unknown pixels do not count."""
        self.common += int((answer & truth & known).sum())
        self.either += int(((answer | truth) & known).sum())

    @property
    def percent(self) -> float | None:
        """Intersection over union in %; None where there was nothing."""
        return 100 * self.common / self.either if self.either else None


def measure(bench: Bench) -> list[Table]:
    """The table of the section `masks`."""
    if bench.settings.data is None:
        return []
    parsers = _parsers()
    bench.progress.start("masks", "measuring", sum(GROUPS.values()))
    parts: dict[str, dict[FacePart, Overlap]] = {name: {} for name in parsers}
    heads = {name: Overlap() for name in (*parsers, "landmarks")}
    count = 0
    for pictures, labels, landmarks in _batches(iter_held_out(bench.settings.data)):
        _add_parsed(parsers, parts, heads, pictures, labels)
        heads["landmarks"].add(_drawn(landmarks), _is_head(labels), labels != UNKNOWN)
        count += len(pictures)
        bench.progress.advance(len(pictures))
    return [_table(parts, heads, count)]


def _parsers() -> dict[str, FaceParser]:
    """The built-in parser, and BiSeNet where its weights are."""
    found = {}
    try:
        parser = load_face_parser(None)
    except FaceSegError:
        return {}
    found[parser.name] = parser
    try:
        from faceseg.parser import BUILT_IN_WEIGHTS

        built_in = load_face_parser(BUILT_IN_WEIGHTS)
    except FaceSegError:
        return found
    return {built_in.name: built_in} | found


def _batches(faces: Iterator[HeldOut]) -> Iterator[tuple[npt.NDArray[np.uint8], Labels, list[Points]]]:
    """Head crops of pictures that have labels: NxSxSx3, NxSxS, and landmarks of the crops."""
    batch: list[tuple[npt.NDArray[np.uint8], Labels, Points]] = []
    for face in faces:
        if (face.labels == UNKNOWN).all():
            continue
        batch.append(_crop(face))
        if len(batch) == _BATCH:
            yield np.stack([b[0] for b in batch]), np.stack([b[1] for b in batch]), [b[2] for b in batch]
            batch = []
    if batch:
        yield np.stack([b[0] for b in batch]), np.stack([b[1] for b in batch]), [b[2] for b in batch]


def _crop(face: HeldOut) -> tuple[npt.NDArray[np.uint8], Labels, Points]:
    to_crop = source_to_crop(face.landmarks, HEAD, _CROP_PX)
    picture = np.asarray(warp_crop(face.picture, to_crop, _CROP_PX), np.uint8)
    labels = cv2.warpAffine(
        face.labels, to_crop, (_CROP_PX, _CROP_PX), flags=cv2.INTER_NEAREST, borderValue=(UNKNOWN,) * 4
    )
    return picture, _without_sides(np.asarray(labels, np.uint8)), transform_points(to_crop, face.landmarks)


def _without_sides(labels: Labels) -> Labels:
    table = np.arange(256, dtype=np.uint8)
    for right, left in _SIDES.items():
        table[right] = left
    return np.asarray(table[labels], np.uint8)


def _add_parsed(
    parsers: Mapping[str, FaceParser],
    parts: Mapping[str, dict[FacePart, Overlap]],
    heads: Mapping[str, Overlap],
    pictures: npt.NDArray[np.uint8],
    labels: Labels,
) -> None:
    known = labels != UNKNOWN
    for name, parser in parsers.items():
        answer = _without_sides(parser.parse(pictures).argmax(1).byte().cpu().numpy())
        for part in FacePart:
            if part not in _SIDES:
                parts[name].setdefault(part, Overlap()).add(answer == part, labels == part, known)
        heads[name].add(_is_head(answer), _is_head(labels), known)


def _drawn(landmarks: list[Points]) -> npt.NDArray[np.bool_]:
    masks = [landmark_head_mask(outline(points), five_points(points), _CROP_PX) for points in landmarks]
    return np.asarray(np.stack(masks) > 0.5)


def _is_head(labels: Labels) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isin(labels, [int(part) for part in HEAD_PARTS]))


def _table(parts: Mapping[str, Mapping[FacePart, Overlap]], heads: Mapping[str, Overlap], count: int) -> Table:
    def cell(overlap: Overlap | None) -> Cell:
        return None if overlap is None else overlap.percent

    names = [part for part in FacePart if part not in _SIDES]
    rows: list[tuple[Cell, ...]] = [
        (part.name.lower().removeprefix("left_"), *(cell(parts.get(name, {}).get(part)) for name in heads))
        for part in names
    ]
    means = [[o.percent for o in parts.get(name, {}).values() if o.percent is not None] for name in heads]
    rows.append(("mean of the parts", *(float(np.mean(values)) if values else None for values in means)))
    rows.append(("whole head", *(overlap.percent for overlap in heads.values())))
    return Table(
        "Overlap with the labels (IoU, %)",
        ("part", *heads),
        tuple(rows),
        f"{count} held-out pictures, head crops of {_CROP_PX} px, the labels as they came: they are another parser's "
        "and not free of faults. Left and right are counted together. `landmarks` is the mask that needs no network.",
        decimals=1,
    )
