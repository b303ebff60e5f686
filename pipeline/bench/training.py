"""The training benchmark as a part of `bench`: its options, and its tables as a section like the others.

What is measured stands in trainer/, which this room does not know: the command line's entry hands the measure over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import PipelineError
from ..progress import Progress

if TYPE_CHECKING:
    from .sections import BenchResult

Command = TypeVar("Command", bound=Callable[..., Any])

NAME = "training"
"""Of the section."""


@dataclass(frozen=True, kw_only=True)
class TrainingChoices:
    """What a user can choose."""

    channels: int
    """Of the networks' first maps."""
    size_px: int
    """Side of the pictures."""
    batches: tuple[int, ...]
    """Pictures of each domain per step; a race each. None given: 1, on a GPU 1 and 4."""
    rounds: int
    """Steps of each kind."""
    threads: int | None
    """Of the CPU; None: as torch chooses."""
    has_compiled: bool
    """Measure the compiled step, too."""
    device: str
    """Where."""


TRAINING_CHOICES = tuple(field.name for field in fields(TrainingChoices) if field.name != "device")
"""Names of the options that are its own."""

Measure = Callable[[TrainingChoices, Callable[[int, int], None]], Sequence[Mapping[str, Any]]]
"""Takes the choices and a function to call with steps done and to do; returns the fields of the tables."""

MeasureJobs = Callable[[Callable[[int, int], None]], Sequence[Mapping[str, Any]]]
"""Measures what watching folders costs; takes a function to call with steps done and to do, returns `name`, `what`,
`value` and `unit` of each figure."""


def training_options(command: Command) -> Command:
    """Add the options of the training benchmark to a command."""
    options = (
        click.option(
            "--training", is_flag=True, help="Measure the training step, against those of the public implementations."
        ),
        click.option(
            "--channels",
            type=click.IntRange(4, 256),
            default=32,
            show_default=True,
            help="Training: base channels of the networks.",
        ),
        click.option(
            "--size",
            "size_px",
            type=click.IntRange(96, 1024),
            default=256,
            show_default=True,
            help="Training: side of the pictures.",
        ),
        click.option(
            "--batch",
            "batches",
            type=click.IntRange(1, 64),
            multiple=True,
            metavar="N",
            help="Training: pictures of each domain per step; can be given again. [default: 1, on a GPU 1 and 4]",
        ),
        click.option(
            "--rounds", type=click.IntRange(1, 100), default=7, show_default=True, help="Training: steps of each kind."
        ),
        click.option("--threads", type=click.IntRange(1), help="Training: CPU threads. [default: as torch chooses]"),
        click.option(
            "--compile", "has_compiled", is_flag=True, help="Training: the compiled step, too; takes minutes."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def run_training_bench(choices: TrainingChoices, measure: Measure | None, progress: Progress) -> BenchResult:
    """Measure training steps.

    Args:
        choices: what to measure.
        measure: does it.
        progress: is told about the advance.

    Raises:
        PipelineError: there is nothing that measures.
    """
    from .sections import BenchResult, SectionResult, Table, machine

    if measure is None:
        raise PipelineError("training is measured from the command line only: python run.py bench --training.")
    started = perf_counter()
    tables = tuple(Table(**fields) for fields in measure(choices, _told(progress)))
    progress.finish()
    secs = round(perf_counter() - started, 1)
    section = SectionResult(NAME, "Training step", _ABOUT, tables, secs, command="python run.py bench --training")
    return BenchResult(machine(), asdict(choices), (section,))


_ABOUT = (
    "One step of all six networks: ours, and plain transcriptions of the steps of UGATIT-pytorch (official) and "
    "enhanced-UGATIT, one after the other in every round."
)


def _told(progress: Progress) -> Callable[[int, int], None]:
    def tell(num_done: int, num_steps: int) -> None:
        if num_done == 1:
            progress.start("training", "steps", num_steps)
        progress.advance()

    return tell
