"""Compare two results of the benchmark of speed, figure by figure, and name what became worse beyond the spread."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ...errors import UnreadableInputError
from ..sections import BenchResult, Cell, Figure, SectionResult, Table

MARGIN = 0.05
"""A change is told only where it is larger than this, whatever the spread was: a round or two know no better."""
SECTION_NAME = "compare"
"""Of the section that a comparison is shown as."""
_SAME = ("processor", "features", "cores", "system", "device")
"""What makes two machines the same."""
_FLOOR = {"levels": 0.01, "dB": 0.5, "MB": 20.0}
"""Differences below these are rounding, by unit."""


@dataclass(frozen=True)
class Change:
    """One figure in both results."""

    old: Figure
    """Before."""
    new: Figure
    """Now."""

    @property
    def factor(self) -> float:
        """New over old."""
        return self.new.value / self.old.value if self.old.value else float("inf" if self.new.value else 1)

    @property
    def is_worse(self) -> bool:
        """Worse beyond spread, margin and rounding."""
        return self._is_apart and (self.new.value < self.old.value) == self.new.more_is_better

    @property
    def is_better(self) -> bool:
        """Better beyond them."""
        return self._is_apart and (self.new.value > self.old.value) == self.new.more_is_better

    @property
    def _is_apart(self) -> bool:
        """The rounds of one do not overlap those of the other, and the medians differ by more than the margin."""
        overlaps = self.new.low <= self.old.high and self.old.low <= self.new.high
        difference = abs(self.new.value - self.old.value)
        is_small = difference <= max(MARGIN * abs(self.old.value), _FLOOR.get(self.new.unit, 0.0))
        return not (overlaps or is_small)


@dataclass(frozen=True)
class Comparison:
    """What is different between two results."""

    changes: tuple[Change, ...]
    """Figures that both have and that can be compared."""
    differences: tuple[str, ...]
    """What is different about the machines; empty where they are the same."""
    num_left_out: int
    """Figures that only one of them has, or that mean nothing on another machine."""

    @property
    def regressions(self) -> tuple[Change, ...]:
        """Ratios and errors that became worse. Times of a shared machine are shown, and judged by nobody."""
        return tuple(change for change in self.changes if change.is_worse and change.new.is_ratio)


def read_result(path: Path) -> BenchResult:
    """Read what `bench -o FILE.json` or `bench --json` wrote.

    Raises:
        UnreadableInputError: the file is something else.
    """
    try:
        return BenchResult.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableInputError(f'"{path}" is no result of `bench`: {type(error).__name__}: {error}.') from error


def compare(old: BenchResult, new: BenchResult) -> Comparison:
    """Compare figures by name; on different machines only those that mean the same there.

    Args:
        old: before.
        new: now.
    """
    differences = tuple(
        f"{name}: {old.machine.get(name, 'unknown')} -> {new.machine.get(name, 'unknown')}"
        for name in _SAME
        if old.machine.get(name) != new.machine.get(name)
    )
    before, now = old.figures, new.figures
    common = [name for name in now if name in before]
    kept = [name for name in common if now[name].is_ratio or not differences]
    num_left_out = len(now.keys() | before.keys()) - len(kept)
    return Comparison(tuple(Change(before[name], now[name]) for name in kept), differences, num_left_out)


def to_section(comparison: Comparison, name: str) -> SectionResult:
    """Put a comparison into a section like the others.

    Args:
        comparison: what to show.
        name: of the old file.
    """
    rows = tuple(_row(change) for change in comparison.changes)
    note = (
        f"x: new over old. Better, WORSE: the ranges of the rounds do not overlap and the medians differ by more than "
        f"{100 * MARGIN:.0f} %; a WORSE ratio or error is a regression, times are told only. {comparison.num_left_out} "
        "figures are in one result only or cannot be compared."
    )
    if comparison.differences:
        note = (
            f"ANOTHER MACHINE ({'; '.join(comparison.differences)}): only ratios within a run, errors and memory are "
            f"compared. {note}"
        )
    table = Table(f"Against {name}", ("figure", "unit", "old", "new", "x", "verdict"), rows, note)
    about = f"{len(comparison.regressions)} regressions among {len(comparison.changes)} figures."
    return SectionResult(
        SECTION_NAME, "Comparison", about, (table,), 0.0, command=f"python run.py bench --compare {name}"
    )


def _row(change: Change) -> tuple[Cell, ...]:
    verdict = "WORSE" if change.is_worse else "better" if change.is_better else ""
    if change.is_worse and not change.new.is_ratio:
        verdict = "worse (time)"
    return (
        change.new.name,
        change.new.unit,
        f"{change.old.value:.4g}",
        f"{change.new.value:.4g}",
        f"{change.factor:.2f}",
        verdict,
    )
