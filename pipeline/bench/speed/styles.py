"""The same style twice as wide: what 64 channels cost, on weights that draw the same pictures as the style's 32."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from model import Style, build_generator

_KEEPS_SCALE = ("cam.average.weight", "cam.maximum.weight")  # factors of channels, not sums over them


def widened(style: Style) -> Style:
    """Double every inner channel of a generator; it computes the same function, up to rounding.

    Each channel is there twice, and what sums over them takes half of each. Only the logits of the CAM heads, which no
    picture depends on, are doubled.

    Args:
        style: a light one without masks and scSE, as the built-in ones are.

    Raises:
        ValueError: it is another one.
    """
    config = style.config
    if config.num_masks or config.use_scse or config.head_size != 1:
        raise ValueError(f'the style "{style.name}" is none of the plain light ones, which can be widened.')
    wide = replace(config, base_channels=2 * config.base_channels)
    with torch.device("meta"):
        generator = build_generator(wide)
    target = generator.state_dict()
    state = {
        key: _widened(tensor, tuple(target[key].shape), key) for key, tensor in style.generator.state_dict().items()
    }
    generator.load_state_dict(state, assign=True)
    generator.eval().requires_grad_(False)
    return Style(f"{style.name}-{wide.base_channels}", style.card, wide, generator)


def _widened(tensor: Tensor, shape: tuple[int, ...], key: str) -> Tensor:
    """Double the outputs (dimension 0) and inputs (dimension 1) that are more in the wide network."""
    if tensor.shape[0] != shape[0]:
        tensor = tensor.repeat_interleave(2, 0)
    if tensor.ndim > 1 and tensor.shape[1] != shape[1]:
        tensor = tensor.repeat_interleave(2, 1) * (1.0 if key in _KEEPS_SCALE else 0.5)
    return tensor.float().contiguous()
