"""Tiny networks and styles for the tests of this room."""

import torch

from model import Generator, GeneratorConfig, Style, StyleCard, build_generator

TINY = GeneratorConfig(base_channels=8, num_blocks=1, image_size_px=32)


def tiny_generator(seed: int = 0, **changes) -> Generator:
    """A generator of 8 channels and 1 block with fixed random weights, in evaluation mode."""
    torch.manual_seed(seed)
    return build_generator(tiny_config(**changes)).eval()


def tiny_config(**changes) -> GeneratorConfig:
    return GeneratorConfig(**{"base_channels": 8, "num_blocks": 1, "image_size_px": 32, **changes})


def tiny_style(name: str = "tiny", card: StyleCard | None = None, **changes) -> Style:
    """A style around `tiny_generator`."""
    return Style(name, card or StyleCard(crop_size_px=32), tiny_config(**changes), tiny_generator(**changes))


def random_crops(count: int, size_px: int = 32, seed: int = 1) -> torch.Tensor:
    """N3SS in [-1, 1]."""
    return torch.rand(count, 3, size_px, size_px, generator=torch.Generator().manual_seed(seed)) * 2 - 1
