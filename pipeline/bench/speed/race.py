"""Time things so that a busy machine does not decide who wins: all contenders once per round, in turning order.

What is compared are the ratios within a round. It knows nothing of what it times.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time

try:
    from resource import RUSAGE_CHILDREN, getrusage
except ImportError:  # Windows
    getrusage = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Spread:
    """A median with the smallest and the largest value."""

    value: float
    """Median."""
    low: float
    """Smallest."""
    high: float
    """Largest."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum values up; there must be one."""
        return cls(statistics.median(values), min(values), max(values))

    def __mul__(self, factor: float) -> Spread:
        return Spread(self.value * factor, self.low * factor, self.high * factor)

    def text(self, decimals: int = 2) -> str:
        """Return `1.45 (1.40-1.52)`; one number alone where there is no spread."""
        told = f"{self.value:.{decimals}f}"
        is_one = self.low == self.high
        return told if is_one else f"{told} ({self.low:.{decimals}f}-{self.high:.{decimals}f})"


@dataclass(frozen=True)
class Timing:
    """What the rounds of one contender took."""

    wall_secs: tuple[float, ...]
    """Seconds by the clock, per round."""
    cpu_secs: tuple[float, ...]
    """Seconds of all cores together, those of ended child processes included, per round."""

    @property
    def wall(self) -> Spread:
        """Seconds by the clock."""
        return Spread.of(self.wall_secs)

    @property
    def cpu(self) -> Spread:
        """Seconds of all cores together."""
        return Spread.of(self.cpu_secs)

    def per(self, count: float) -> Timing:
        """The same for one of `count` things."""
        return Timing(tuple(s / count for s in self.wall_secs), tuple(s / count for s in self.cpu_secs))


def race(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    warm_ups: int = 1,
    on_run: Callable[[], None] = lambda: None,
) -> dict[str, Timing]:
    """Run every contender once per round.

    Args:
        contenders: by name; each does the whole work and waits for it.
        rounds: how often.
        warm_ups: runs of each before the first round that do not count.
        on_run: called after every run.
    """
    for run in contenders.values():
        for _ in range(warm_ups):
            run()
            on_run()
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for i in range(rounds):
        shift = i % max(len(names), 1)  # what comes after what must not matter
        for name in [*names[shift:], *names[:shift]]:
            started, before = perf_counter(), cpu_secs()
            contenders[name]()
            wall[name].append(perf_counter() - started)
            cpu[name].append(cpu_secs() - before)
            on_run()
    return {name: Timing(tuple(wall[name]), tuple(cpu[name])) for name in names}


def ratio(rival: Sequence[float], own: Sequence[float]) -> Spread:
    """How many times as long the rival took, round by round."""
    return Spread.of([theirs / mine for theirs, mine in zip(rival, own, strict=True)])


def cpu_secs() -> float:
    """Seconds that all threads of this process and its ended children have computed."""
    own = process_time()
    if getrusage is None:
        return own
    children = getrusage(RUSAGE_CHILDREN)
    return own + children.ru_utime + children.ru_stime
