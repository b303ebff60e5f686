"""Use generators outside of training: pictures in, pictures out, and nothing of the training changed by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model import GeneratorOutput
from model.images import to_pictures, to_tensor

Pictures = npt.NDArray[np.uint8]
"""NxHxWx3 uint8 RGB."""


@contextmanager
def at_rest(*generators: nn.Module) -> Iterator[None]:
    """Leave generators in evaluation mode and without gradients for a while."""
    were_training = [generator.training for generator in generators]
    try:
        for generator in generators:
            generator.eval()
        with torch.no_grad():
            yield
    finally:
        for generator, was_training in zip(generators, were_training, strict=True):
            generator.train(was_training)


def run_generator(generator: nn.Module, images: Tensor) -> GeneratorOutput:
    """Translate N3HW pictures on any device with a `model.Generator`; call it within `at_rest`.

    A compiled generator runs as it was written: a few pictures are not worth another compilation.
    """
    weights = next(generator.parameters())
    output: GeneratorOutput = generator.forward(images.to(weights.device))
    return output


def translate(generator: nn.Module, pictures: Pictures) -> Pictures:
    """Translate pictures, all at once; what a diverged generator makes not finite becomes grey."""
    with at_rest(generator):
        return shown(run_generator(generator, to_tensor(pictures)).image)


def shown(images: Tensor) -> Pictures:
    """Turn N3HW images into pictures; what is not finite becomes grey."""
    return to_pictures(torch.nan_to_num(images.float(), nan=0.0))
