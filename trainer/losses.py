"""The losses of U-GAT-IT, as pure functions of tensors. Knows no networks, weights or options.

Pictures are N3HW in [-1, 1], faces N1HW in [0, 1]; every result is a scalar, at least float32.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from model.norms import at_least_float32


def least_squares(logits: Tensor, *, is_real: bool, share: Tensor | None = None) -> Tensor:
    """Least-squares adversarial loss (Mao et al., arXiv:1611.04076): mean square distance of logits from 1 or 0.

    Args:
        logits: a discriminator's, any shape.
        is_real: what they should say.
        share: factor of each distance, of the same shape; None: 1.
    """
    distance = at_least_float32(logits) - float(is_real)
    if share is not None:
        distance = distance * share
    return distance.square().mean()


def class_activation(source_logits: Tensor, target_logits: Tensor) -> Tensor:
    """CAM loss of a generator: its classifiers must know pictures of its source from those of its target domain."""
    source, target = at_least_float32(source_logits), at_least_float32(target_logits)
    is_source = F.binary_cross_entropy_with_logits(source, torch.ones_like(source))
    return is_source + F.binary_cross_entropy_with_logits(target, torch.zeros_like(target))


def l1(image: Tensor, other: Tensor) -> Tensor:
    """Mean absolute difference."""
    return F.l1_loss(at_least_float32(image), at_least_float32(other))


def to_partner(image: Tensor, partner: Tensor) -> Tensor:
    """L1 of pixels and of neighbours' differences: an edge in the right place pays even where the tones are off."""
    difference = at_least_float32(image) - at_least_float32(partner)
    return difference.abs().mean() + total_variation(difference)


def background(fake: Tensor, real: Tensor, core: Tensor) -> Tensor:
    """L1 outside the face; the mean is over all pixels, so that a large face does not weigh the rest up."""
    return l1(fake * (1 - core), real * (1 - core))


def total_variation(image: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, down and across."""
    image = at_least_float32(image)
    return image.diff(dim=2).abs().mean() + image.diff(dim=3).abs().mean()


def magnitude(image: Tensor) -> Tensor:
    """What enhanced-UGATIT computes as total variation; a pull towards grey."""
    return torch.sqrt(2 * at_least_float32(image).square() + 1e-8).mean()


def in_grey(image: Tensor) -> Tensor:
    """The luminance of pictures (ITU-R BT.601), as three equal channels."""
    red, green, blue = image[:, :1], image[:, 1:2], image[:, 2:]
    return (0.299 * red + 0.587 * green + 0.114 * blue).expand_as(image)


def at_size_of(face: Tensor, logits: Tensor) -> Tensor:
    """Share of face in what each patch logit (N1hw) stands for."""
    return F.interpolate(face, logits.shape[2:], mode="area")
