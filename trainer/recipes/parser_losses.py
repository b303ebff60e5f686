"""What the parsing network minimises: cross-entropy, Dice, agreement of two views, and a teacher's opinion.

Computes scalars from logits and labels; runs no network and no loop.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from faceseg.parts import FacePart

from .parser_cleaning import IGNORED
from .parser_views import OCCLUDED

_CLASS_WEIGHTS = {
    FacePart.LEFT_BROW: 2.0,
    FacePart.RIGHT_BROW: 2.0,
    FacePart.LEFT_EYE: 2.5,
    FacePart.RIGHT_EYE: 2.5,
    FacePart.GLASSES: 1.5,
    FacePart.LEFT_EAR: 2.0,
    FacePart.RIGHT_EAR: 2.0,
    FacePart.EARRING: 1.5,
    FacePart.MOUTH: 2.5,
    FacePart.UPPER_LIP: 2.0,
    FacePart.LOWER_LIP: 2.0,
    FacePart.NECKLACE: 1.5,
    FacePart.CLOTH: 0.7,
    FacePart.HAT: 1.3,
}
"""How much a pixel of a part counts where not 1: what is small counts more."""
_OCCLUDED_WEIGHT = 1.5
_GROUPS = ((0,), (1, 10), (2, 3, 4, 5), (6,), (7, 8, 9), (11, 12, 13), (14, 15, 16), (17,), (18,))
"""Parts that two views shall agree on, taken together where a pixel more or less of one for the other is no matter."""
_MIN_DICE_PX = 40
"""Parts with fewer pixels in a batch have no Dice term."""


@dataclass(frozen=True)
class LossWeights:
    """What each term counts, the cross-entropy being 1."""

    dice: float = 0.5
    """1 - Dice coefficient, mean over the parts in the batch."""
    agreement: float = 1.0
    """Mean absolute difference of the probabilities of two views of a scene, summed over groups of parts."""
    teacher: float = 0.5
    """Cross-entropy with a teacher's probabilities, left and right not told apart."""


@dataclass(frozen=True)
class Prediction:
    """Logits compared with labels on every second pixel."""

    probabilities: Tensor
    """NPhw float32 in [0, 1]."""
    labels: Tensor
    """Nhw int64, `FacePart` numbers; occluded pixels are background, IGNORED ones stay."""
    weights: Tensor
    """Nhw float32, 0 where ignored."""


def predict(logits: Tensor, labels: Tensor, phase_yx: tuple[int, int]) -> Prediction:
    """Bring half-size logits and full-size labels together on one of the four grids of every second pixel.

    A pixel of the logits stands for two by two pixels of the labels, so over random grids its target is the share of
    each part in them, at a quarter of the work.

    Args:
        logits: NPhw float32.
        labels: N x 2h x 2w uint8, `FacePart` numbers, OCCLUDED and IGNORED.
        phase_yx: 0 or 1 in each direction.
    """
    y, x = phase_yx
    picked = labels[:, y::2, x::2].long()
    table = torch.ones(256)
    for part, weight in _CLASS_WEIGHTS.items():
        table[part] = weight
    table[OCCLUDED], table[IGNORED] = _OCCLUDED_WEIGHT, 0.0
    known = torch.where(picked == OCCLUDED, torch.zeros_like(picked), picked)
    return Prediction(logits.softmax(1), known, table[picked])


def part_losses(
    prediction: Prediction, between: Tensor, weights: LossWeights, teacher: Tensor | None = None
) -> dict[str, Tensor]:
    """Loss terms of a batch of view pairs, each a scalar, and their weighted sum `total`.

    Args:
        prediction: of the 2N views, the N first ones first.
        between: Nx2x3, from the second views' frame to the first ones', for `affine_grid`.
        weights: of the terms.
        teacher: 2NPhw probabilities at the logits' size, or None.
    """
    p, is_known = prediction.probabilities, prediction.labels != IGNORED
    target = torch.where(is_known, prediction.labels, torch.zeros_like(prediction.labels))
    p_true = p.gather(1, target[:, None]).squeeze(1)
    pixel = -(p_true + 1e-7).log()
    losses = {
        "cross_entropy": (pixel * prediction.weights).sum() / prediction.weights.sum().clamp_min(1),
        "dice": _dice(p, p_true, target, is_known),
        "agreement": _disagreement(p, between),
    }
    total = losses["cross_entropy"] + weights.dice * losses["dice"] + weights.agreement * losses["agreement"]
    if teacher is not None:
        losses["teacher"] = teacher_loss(p, teacher, prediction.weights > 0)
        total = total + weights.teacher * losses["teacher"]
    losses["total"] = total
    return losses


def _dice(probabilities: Tensor, true_probability: Tensor, target: Tensor, is_known: Tensor) -> Tensor:
    num_parts = probabilities.shape[1]
    known = is_known.float()
    labels, kept = target.flatten(), known.flatten()
    zeros = probabilities.new_zeros(num_parts)
    hits = zeros.index_add(0, labels, true_probability.flatten() * kept)
    pixels = zeros.index_add(0, labels, kept)
    predicted = torch.einsum("nphw,nhw->p", probabilities, known)
    present = pixels >= _MIN_DICE_PX
    scores = 2 * hits / (pixels + predicted).clamp_min(1)
    return (1 - scores)[present].mean() if bool(present.any()) else scores.sum() * 0


def _disagreement(probabilities: Tensor, between: Tensor) -> Tensor:
    groups = probabilities.new_zeros(len(_GROUPS), probabilities.shape[1])
    for row, parts in enumerate(_GROUPS):
        groups[row, list(parts)] = 1
    first, second = torch.einsum("gp,nphw->nghw", groups, probabilities).chunk(2)
    grid = F.affine_grid(between, list(first.shape), align_corners=False)
    inside = (grid.abs().amax(-1) < 0.98).float()
    warped = F.grid_sample(first, grid, mode="bilinear", padding_mode="border", align_corners=False)
    difference = (warped - second).abs().sum(1)
    return (difference * inside).sum() / inside.sum().clamp_min(1)


def teacher_loss(probabilities: Tensor, teacher: Tensor, is_used: Tensor) -> Tensor:
    """Cross-entropy with the teacher's probabilities; left and right parts count together, since parsers mix them up.

    Args:
        probabilities: NPhw float32 in [0, 1].
        teacher: NPhw float32 in [0, 1].
        is_used: Nhw bool.
    """
    merged, opinion = _without_sides(probabilities), _without_sides(teacher)
    per_pixel = -(opinion * merged.clamp_min(1e-6).log()).sum(1)
    return (per_pixel * is_used).sum() / is_used.sum().clamp_min(1)


def _without_sides(probabilities: Tensor) -> Tensor:
    pairs = [probabilities[:, [left]] + probabilities[:, [left + 1]] for left in (2, 4, 7)]
    rest = [i for i in range(probabilities.shape[1]) if i not in (2, 3, 4, 5, 7, 8)]
    return torch.cat([probabilities[:, rest], *pairs], 1)
