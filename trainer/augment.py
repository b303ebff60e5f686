"""Differentiable augmentation of what discriminators see, so that few pictures cannot be learnt by heart.

Real and fake pictures are changed by the same rules before every verdict, in the discriminators' step and in the
generators', where the gradient passes through. Zhao et al., "Differentiable Augmentation for Data-Efficient GAN
Training", 2020. Changes no batch and no picture that a generator sees.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from .config import ObjectiveConfig
from .errors import TrainConfigError

MAX_SHIFT = 1 / 8
"""How far a picture is shifted, over its side."""
CUT_SHARE = 0.5
"""Side of the square that is cut out, over the picture's."""


class Augment:
    """Random colour, translation and cutout, drawn for each picture."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Change pictures; equal states of the generator give equal changes.

        Args:
            images: N3HW in [-1, 1].
            generator: on the CPU, wherever the pictures are: drawing from it waits for no device.

        Returns:
            N3HW, channels last; colours may leave [-1, 1] as in the paper, what is shifted in or cut out is 0.
        """
        for name in self.names:
            images = AUGMENTATIONS[name](images, generator)
        return images.contiguous(memory_format=torch.channels_last)


def build_augment(objective: ObjectiveConfig) -> Augment | None:
    """Return what `--augment` asks for; None if nothing.

    Raises:
        TrainConfigError: an unknown name, or pictures would move away from the masks that a loss puts on them.
    """
    names = [name.strip() for name in objective.augment.split(",") if name.strip()]
    unknown = [name for name in names if name not in AUGMENTATIONS]
    if unknown:
        raise TrainConfigError(f"augment has '{unknown[0]}'; choose from {','.join(AUGMENTATIONS)}.")
    has_masks = objective.mask_disc_loss or objective.mask_cam_input or objective.mask_cam_features
    if "translation" in names and has_masks:
        raise TrainConfigError(
            "augment 'translation' moves pictures away from their face masks; leave it out, or the masked "
            "discriminators (mask-disc-loss, mask-cam-input, mask-cam-features)."
        )
    return Augment(names) if names else None


def vary_colour(images: Tensor, generator: Generator) -> Tensor:
    """Change brightness by up to a quarter of the range, saturation by 0 to 2, contrast by 0.5 to 1.5."""
    brightness, saturation, contrast = _draws(images, generator, 3)
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (2 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * (0.5 + contrast)


def shift(images: Tensor, generator: Generator) -> Tensor:
    """Shift by whole pixels, up to MAX_SHIFT of the side; what comes in is 0."""
    height, width = images.shape[-2:]
    most_y, most_x = round(height * MAX_SHIFT), round(width * MAX_SHIFT)
    tops, lefts = (_whole(generator, len(images), 2 * most) for most in (most_y, most_x))
    padded = F.pad(images, (most_x, most_x, most_y, most_y))
    cuts = [
        image[:, top : top + height, left : left + width] for image, top, left in zip(padded, tops, lefts, strict=True)
    ]
    return torch.stack(cuts)


def cut_out(images: Tensor, generator: Generator) -> Tensor:
    """Put a square of 0, half a side long, anywhere on each picture; it may hang over the border."""
    height, width = images.shape[-2:]
    size_y, size_x = round(height * CUT_SHARE), round(width * CUT_SHARE)
    middles_y, middles_x = (_whole(generator, len(images), side) for side in (height, width))
    keep = torch.ones(len(images), 1, height, width)
    for mask, y, x in zip(keep, middles_y, middles_x, strict=True):
        top, left = y - size_y // 2, x - size_x // 2
        mask[:, max(top, 0) : max(top + size_y, 0), max(left, 0) : max(left + size_x, 0)] = 0
    return images * keep.to(images.device, images.dtype, non_blocking=True)


AUGMENTATIONS = {"colour": vary_colour, "translation": shift, "cutout": cut_out}
"""What `--augment` can name."""


def _draws(images: Tensor, generator: Generator, count: int) -> Sequence[Tensor]:
    """Values in [0, 1), each N111, on the pictures' device."""
    values = torch.rand(count, len(images), 1, 1, 1, generator=generator)
    return list(values.to(images.device, images.dtype, non_blocking=True))


def _whole(generator: Generator, count: int, most: int) -> list[int]:
    """Whole numbers from 0 to `most`."""
    numbers: list[int] = torch.randint(0, most + 1, (count,), generator=generator).tolist()
    return numbers
