"""Differentiable augmentation of what discriminators see, so that few pictures cannot be learnt by heart.

Real and fake pictures are changed by the same rules before every verdict, in the discriminators' step and in the
generators', where the gradient passes through. Zhao et al., "Differentiable Augmentation for Data-Efficient GAN
Training", 2020. Changes no batch and no picture that a generator sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from .config import ObjectiveConfig
from .errors import TrainConfigError

MAX_SHIFT = 1 / 8
"""How far a picture is shifted, over its side."""
CUT_SHARE = 0.5
"""Side of the square that is cut out, over the picture's."""

Changed = tuple[Tensor, Tensor | None]
"""Pictures and faces."""


class Augment:
    """Random colour, translation and cutout, drawn for each picture (`objective.Augment`).

    Args:
        names: keys of `AUGMENTATIONS`.
        generator: source of every draw, on the CPU wherever the pictures are, so that drawing waits for no device;
            None: torch's own.
    """

    def __init__(self, names: Sequence[str], generator: Generator | None = None) -> None:
        self.names, self.generator = tuple(names), generator

    def __call__(self, image: Tensor, face: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Change pictures; equal states of the generator give equal changes.

        Args:
            image: N3HW in [-1, 1].
            face: N1HW in [0, 1], moved with the pictures.

        Returns:
            The pictures, channels last: colours may leave [-1, 1] as in the paper, what is shifted in or cut out is 0.
            And the faces: nothing that is shifted in is face.
        """
        for name in self.names:
            image, face = AUGMENTATIONS[name](image, face, self.generator)
        return image.contiguous(memory_format=torch.channels_last), face


def build_augment(objective: ObjectiveConfig) -> Augment | None:
    """Return what `--augment` asks for; None if nothing.

    Raises:
        TrainConfigError: an unknown name.
    """
    names = [name.strip() for name in objective.augment.split(",") if name.strip()]
    unknown = [name for name in names if name not in AUGMENTATIONS]
    if unknown:
        raise TrainConfigError(f"augment has '{unknown[0]}'; choose from {','.join(AUGMENTATIONS)}.")
    return Augment(names) if names else None


def vary_colour(images: Tensor, face: Tensor | None, generator: Generator | None) -> Changed:
    """Change brightness by up to a quarter of the range, saturation by 0 to 2, contrast by 0.5 to 1.5."""
    brightness, saturation, contrast = _draws(images, generator, 3)
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (2 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * (0.5 + contrast), face


def shift(images: Tensor, face: Tensor | None, generator: Generator | None) -> Changed:
    """Shift by whole pixels, up to MAX_SHIFT of the side; what comes in is 0."""
    most_y, most_x = (round(side * MAX_SHIFT) for side in images.shape[-2:])
    tops, lefts = (_whole(generator, len(images), 2 * most) for most in (most_y, most_x))

    def moved(maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        padded = F.pad(maps, (most_x, most_x, most_y, most_y))
        cuts = zip(padded, tops, lefts, strict=True)
        return torch.stack([each[:, top : top + height, left : left + width] for each, top, left in cuts])

    return moved(images), None if face is None else moved(face)


def cut_out(images: Tensor, face: Tensor | None, generator: Generator | None) -> Changed:
    """Put a square of 0, half a side long, anywhere on each picture; it may hang over the border."""
    height, width = images.shape[-2:]
    size_y, size_x = round(height * CUT_SHARE), round(width * CUT_SHARE)
    middles_y, middles_x = (_whole(generator, len(images), side) for side in (height, width))
    keep = torch.ones(len(images), 1, height, width)
    for mask, y, x in zip(keep, middles_y, middles_x, strict=True):
        top, left = y - size_y // 2, x - size_x // 2
        mask[:, max(top, 0) : max(top + size_y, 0), max(left, 0) : max(left + size_x, 0)] = 0
    return images * keep.to(images.device, images.dtype, non_blocking=True), face


AUGMENTATIONS: dict[str, Callable[[Tensor, Tensor | None, Generator | None], Changed]] = {
    "colour": vary_colour,
    "translation": shift,
    "cutout": cut_out,
}
"""What `--augment` can name."""


def _draws(images: Tensor, generator: Generator | None, count: int) -> Sequence[Tensor]:
    """Values in [0, 1), each N111, on the pictures' device."""
    values = torch.rand(count, len(images), 1, 1, 1, generator=generator)
    return list(values.to(images.device, images.dtype, non_blocking=True))


def _whole(generator: Generator | None, count: int, most: int) -> list[int]:
    """Whole numbers from 0 to `most`."""
    numbers: list[int] = torch.randint(0, most + 1, (count,), generator=generator).tolist()
    return numbers
