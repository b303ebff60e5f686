"""Sections whose measuring stands in rooms that this one does not know: the command line's entry hands it over."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..sections import Cell, Table
from ..training import TrainingChoices
from .race import Spread
from .run import SpeedBench

_ROUNDS = 3
_OURS = "ours, bf16"


def measure_training(bench: SpeedBench) -> list[Table]:
    """The tables of the section `training`: a few rounds of what `bench --training` measures."""
    assert bench.settings.measure_training is not None  # the section is not there otherwise
    choices = TrainingChoices(
        channels=min(bench.styles),
        size_px=256,
        batches=(1,),
        rounds=_ROUNDS,
        threads=None,
        has_compiled=False,
        device=bench.device,
    )
    tables = [
        Table(**fields) for fields in bench.settings.measure_training(choices, _told(bench, "training", "measuring"))
    ]
    speed = tables[0]
    for row in speed.rows:
        if row[0] == _OURS:
            told = str(row[speed.columns.index("x official")])
            bench.note("training/x official", Spread(*_numbers(told)), "x", is_ratio=True)
    return tables


def measure_jobs(bench: SpeedBench) -> list[Table]:
    """The table of the section `jobs`."""
    assert bench.settings.measure_jobs is not None  # the section is not there otherwise
    rows: list[tuple[Cell, ...]] = []
    for fields in bench.settings.measure_jobs(_told(bench, "watching", "measuring")):
        value, unit = float(fields["value"]), str(fields["unit"])
        bench.note(f"jobs/{fields['name']}", value, unit, more_is_better=False)
        rows.append((str(fields["what"]), value, unit))
    return [Table("Watching", ("what", "measured", "unit"), tuple(rows))]


def _told(bench: SpeedBench, name: str, stage: str) -> Callable[[int, int], None]:
    def tell(num_done: int, num_steps: int) -> None:
        if num_done == 1:
            bench.progress.start(name, stage, num_steps)
        bench.progress.advance()

    return tell


def _numbers(text: str) -> tuple[float, float, float]:
    """Value, smallest and largest of `1.45 (1.40-1.52)`."""
    value, *spread = (float(number) for number in re.findall(r"\d+(?:\.\d+)?", text))
    return (value, spread[0], spread[1]) if len(spread) > 1 else (value, value, value)
