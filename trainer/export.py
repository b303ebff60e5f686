"""Makes styles of averaged generators: the file that `convert` loads, with a card that says where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from model import Generator
from model.style import Style, StyleCard

from .averages import Averages
from .config import TrainConfig
from .disk import full_disk_told
from .networks import generator_config

_DOMAINS = {"a2b": "pictures of A in the style of B", "b2a": "pictures of B in the style of A"}


@dataclass(frozen=True)
class Origin:
    """What a style's card says of where it comes from."""

    run: str
    """Name of the run's folder."""
    data: str
    """Name of the data's folder."""
    num_a: int
    """Pictures of A that were trained on."""
    num_b: int
    """Pictures of B that were trained on."""


def write_styles(
    averages: Averages,
    config: TrainConfig,
    origin: Origin,
    files: Mapping[str, Path],
    step: int,
    scores: Mapping[str, float],
) -> None:
    """Write a style for each direction.

    Args:
        averages: of the run; its generators are copied.
        config: of the run.
        origin: for the cards.
        files: where to, by `a2b` and `b2a`.
        step: steps done.
        scores: figures on held-out pictures, by name; a card receives those of its own direction, averaged.

    Raises:
        OutOfSpaceError: the disk is full; what stood there before is as it was.
    """
    for direction, path in files.items():
        generator = averages.generators[f"gen_{direction}"]
        style = _style(generator, config, origin, direction, step, scores)  # type: ignore[arg-type]
        with full_disk_told(path, "no style was written; the snapshots made so far are whole"):
            style.save(path, dtype=torch.float16)


def _style(
    generator: Generator,
    config: TrainConfig,
    origin: Origin,
    direction: str,
    step: int,
    scores: Mapping[str, float],
) -> Style:
    prefix = f"averaged/{direction}/"
    kimg = step * config.optimizer.batch_size * config.optimizer.accumulate / 1000
    card = StyleCard(
        description=f"Trained on {origin.data}: {_DOMAINS[direction]}.",
        template=config.data.template,
        crop_size_px=config.networks.image_size_px,
        provenance=(
            f"ugatit-pipeline train, run {origin.run}, {step} steps ({kimg:g} kimg per process), "
            f"{origin.num_a} pictures of A and {origin.num_b} of B in {origin.data}"
        ),
        metrics={name.removeprefix(prefix): float(value) for name, value in scores.items() if name.startswith(prefix)},
    )
    name = origin.run if direction == "a2b" else f"{origin.run}-{direction}"
    return Style(name, card, generator_config(config), generator)
