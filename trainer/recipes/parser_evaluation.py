"""How well a parser does on held-out heads: overlap with the labels, and what it makes of things before the face.

The labels are another parser's, cleaned: figures measure agreement with them. Nothing here trains or is trained on.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from faceseg.parser import FaceParser
from faceseg.parts import HEAD, FacePart

from .landmark_degrade import degrade
from .parser_cleaning import IGNORED, Labels, Picture
from .parser_data import MARGIN_PX, Heads
from .parser_occluders import KINDS, OccluderPainter, paste_occluder
from .parser_views import OCCLUDED, placement

_BATCH = 8
_INNER = np.s_[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
_SEED = 2026
_MIN_PIXELS = 200
"""Parts with fewer pixels in all held-out heads have no IoU."""
_PAIRS = ((2, 3), (4, 5), (7, 8))


def evaluate_parser(parser: FaceParser, held: Heads) -> dict[str, Any]:
    """Measure a parser on held-out heads.

    Args:
        parser: what to measure.
        held: heads that no training saw.

    Returns:
        `clean`, `degraded`, `occluded`: IoU per part, their `mean` over parts, and of the `head` group's mask, against
        the cleaned labels; `raw_labels`: the same against the labels as they came, left and right taken together;
        `labels_themselves`: raw against cleaned labels; `occlusion`: per kind of occluder and `all`, `leak` (share of
        the occluder's pixels over the head that the head mask holds) and `lost` (share of the head's visible pixels
        that it lacks), and `lost_without` the same without occluder.
    """
    pictures = np.stack([picture[_INNER] for picture in held.pictures])
    labels, raw = (np.stack([rows[_INNER] for rows in array]) for array in (held.labels, held.raw_labels))
    predicted = predict_labels(parser, pictures)
    rng = np.random.default_rng(_SEED)
    degraded = np.stack([degrade(picture, rng) for picture in pictures])
    figures: dict[str, Any] = {
        "num_heads": len(held),
        "clean": part_ious(predicted, labels),
        "degraded": part_ious(predict_labels(parser, degraded), labels),
        "raw_labels": part_ious(_without_sides(predicted), _without_sides(raw)),
        "cleaned_labels_without_sides": part_ious(_without_sides(predicted), _without_sides(labels)),
        "labels_themselves": part_ious(_without_sides(raw), _without_sides(labels)),
    }
    covered_pictures, covered_labels, kinds = occlude_heads(held)
    answers = predict_labels(parser, covered_pictures)
    figures["occluded"] = part_ious(answers, np.where(covered_labels == OCCLUDED, np.uint8(0), covered_labels))
    index = np.arange(len(answers)) % len(held)
    figures["occlusion"] = occlusion_figures(answers, covered_labels, labels[index], kinds)
    figures["occlusion"]["lost_without"] = _share(_is_head(labels) & ~_is_head(predicted), _is_head(labels))
    return figures


def predict_labels(parser: FaceParser, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Most probable part of every pixel: NxSxSx3 uint8 RGB to NxSxS uint8."""
    rows = [
        parser.parse(np.ascontiguousarray(pictures[i : i + _BATCH])).argmax(1).byte().cpu().numpy()
        for i in range(0, len(pictures), _BATCH)
    ]
    return np.concatenate(rows)


def occlude_heads(held: Heads) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], list[str]]:
    """Each held-out head once behind an occluder of each of two kinds, with skins and textures of held-out heads.

    Returns:
        MxSxSx3 uint8 RGB crops; MxSxS uint8 labels with OCCLUDED; the M kinds. Row i shows head i modulo their number.
    """
    rng, painter, names = np.random.default_rng(_SEED), OccluderPainter(held.pictures, held.labels), list(KINDS)
    pictures: list[Picture] = []
    labels: list[Labels] = []
    kinds: list[str] = []
    for round_ in range(2):
        for i in range(len(held)):
            kind = names[(i + 3 * round_) % len(names)]
            picture, own = np.array(held.pictures[i]), np.array(held.labels[i])
            occluder = painter.paint(rng, kind)
            for _ in range(20):  # until it covers a part of the head
                covering, covered = paste_occluder(picture, occluder, placement(len(picture), rng), rng)
                if (covered & _is_head(own))[_INNER].sum() > 600:
                    break
            pictures.append(covering[_INNER])
            labels.append(np.where(covered, np.uint8(OCCLUDED), own)[_INNER])
            kinds.append(kind)
    return np.stack(pictures), np.stack(labels), kinds


def occlusion_figures(
    predicted: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    behind: npt.NDArray[np.uint8],
    kinds: list[str],
) -> dict[str, Any]:
    """Leak and loss of the head mask per kind of occluder.

    Args:
        predicted: MxSxS uint8, most probable parts.
        labels: MxSxS uint8 with OCCLUDED.
        behind: MxSxS uint8, the labels without the occluder.
        kinds: M names.
    """
    mask, is_over = _is_head(predicted), (labels == OCCLUDED) & _is_head(behind)
    visible = _is_head(labels)
    figures: dict[str, Any] = {}
    for kind in ("all", *KINDS):
        rows = np.array([kind in ("all", own) for own in kinds])
        figures[kind] = {
            "leak": _share(mask[rows] & is_over[rows], is_over[rows]),
            "lost": _share(~mask[rows] & visible[rows], visible[rows]),
        }
    return figures


def part_ious(predicted: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> dict[str, float]:
    """IoU in percent per part over all pictures, of the `head` group, and `mean` over the parts; unknown pixels out."""
    known = labels != IGNORED
    figures: dict[str, float] = {}
    for part in FacePart:
        truth, answer = (labels == part) & known, (predicted == part) & known
        if truth.sum() >= _MIN_PIXELS:
            figures[part.name.lower()] = _share(truth & answer, truth | answer)
    figures["mean"] = round(float(np.mean(list(figures.values()))), 2)
    truth, answer = _is_head(labels) & known, _is_head(predicted) & known
    figures["head"] = _share(truth & answer, truth | answer)
    return figures


def _share(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float:
    return round(100 * float(part.sum()) / max(float(whole.sum()), 1.0), 2)


def _is_head(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isin(labels, [int(part) for part in HEAD]))


def _without_sides(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    table = np.arange(256, dtype=np.uint8)
    for left, right in _PAIRS:
        table[right] = left
    return np.asarray(cv2.LUT(labels.reshape(len(labels), -1), table).reshape(labels.shape), np.uint8)
