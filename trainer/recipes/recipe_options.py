"""What the recipes of landmarks, detector and parser share: their options, how they begin, how weights leave them."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import click
import cv2
import torch
from safetensors.torch import save
from torch import Tensor

from .training_state import Schedule

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
"""An option that names a file that is there."""

PROVENANCE = {
    "data": "faker-js/assets-person-portrait (CC0-1.0); SelfishGene/SFHQ-T2I-dataset (MIT)",
    "licence": "MIT",
}
"""What the headers of all weights say."""

Decorator = Callable[[Any], Any]

data_argument = click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
threads_option = click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="CPU threads.")


def run_option(holds: str) -> Decorator:
    """The option that names the run folder; `holds` says what is in it."""
    folder = click.Path(file_okay=False, path_type=Path)
    return click.option("-o", "--output", "run_dir", required=True, type=folder, help=f"Run folder{holds}.")


def schedule_options(defaults: Schedule, drawn: str) -> Decorator:
    """The options that fix the schedule and the chances of a run; `drawn` is what it draws at random."""

    def decorate(command: Any) -> Any:
        seed = f"Of the first weights and the {drawn} drawn."
        command = click.option("--seed", default=defaults.seed, show_default=True, help=seed)(command)
        steps = "Optimizer steps; the learning rate's schedule ends with the last."
        return click.option("--steps", default=defaults.steps, show_default=True, type=click.IntRange(1), help=steps)(
            command
        )

    return decorate


def hold_options(command: Any) -> Any:
    """The options that say how many pictures are held out."""
    for kind, count, low in (("faces", 100, 0), ("portraits", 20, 1)):
        text = f"{kind.capitalize()} held out of training."
        command = click.option(f"--hold-{kind}", default=count, show_default=True, type=click.IntRange(low), help=text)(
            command
        )
    return command


def begin(threads: int) -> None:
    """Log to the terminal and compute in so many threads."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


class Foldable(Protocol):
    """A network whose norms can be folded away."""

    def fold_norms(self) -> Self:
        """Fold them, in place."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights by name."""
        ...


def write_folded(network: Foldable, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a network as float16 with folded norms; it is left as it is."""
    folded = copy.deepcopy(network).fold_norms()
    tensors = {name: tensor.half().contiguous() for name, tensor in folded.state_dict().items()}
    partial = path.with_suffix(".partial")
    partial.write_bytes(save(tensors, metadata=dict(metadata)))
    partial.replace(path)
