"""Counts a generator's parameters without building it in memory."""

from __future__ import annotations

from collections import Counter

import torch

from .config import GeneratorConfig
from .generator import build_generator


def count_parameters(config: GeneratorConfig) -> dict[str, int]:
    """Number of parameters of each part of a generator, in the order of the forward pass."""
    with torch.device("meta"):
        generator = build_generator(config)
    counts: Counter[str] = Counter()
    for name, parameter in generator.named_parameters():
        counts[name.partition(".")[0]] += parameter.numel()
    return dict(counts)
