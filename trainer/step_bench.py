"""The training benchmark: this trainer's step against the public implementations' steps, as ratios in one process.

What is compared stands in step_contenders.py. Knows no pictures and no command line.
"""

from __future__ import annotations

import resource
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import torch
from torch.utils.flop_counter import FlopCounterMode

from model.devices import choose_device

from .malloc import keep_freed_memory
from .step_contenders import (
    Contender,
    Losses,
    enhanced,
    official,
    ours,
    random_batch,
    start_networks,
    step_config,
)

Cell = str | int | float | None

_WARM_UP_STEPS = 3  # memory comes in until the third step; kernels are chosen at the first
_OURS = "ours, bf16"


@dataclass(frozen=True, kw_only=True)
class StepBenchSettings:
    """What is measured."""

    channels: int = 32
    """Base channels of generators and discriminators."""
    size_px: int = 256
    """Side of the pictures."""
    batches: tuple[int, ...] = ()
    """Pictures of each domain per step; a race each. None given: 1, on a GPU 1 and 4."""
    rounds: int = 7
    """Every contender takes one step per round."""
    threads: int | None = None
    """Of the CPU; None: as torch chooses."""
    device: str = "cpu"
    """Where."""
    has_compiled: bool = False
    """Measure the compiled step as well; compiling takes minutes."""


@dataclass(frozen=True)
class Figures:
    """What was measured of one contender."""

    first_losses: Losses
    """Of its first step."""
    secs: tuple[float, ...]
    """Of a step, per round."""
    flops: int
    """Arithmetic of convolutions and products in a step; 0: not counted."""
    memory_bytes: int | None
    """Most that was held on a GPU in its steps, beyond what the others hold; None on a CPU."""


@dataclass(frozen=True)
class StepTable:
    """Figures for a person."""

    title: str
    """What it is about."""
    columns: tuple[str, ...]
    """Heads, with units."""
    rows: tuple[tuple[Cell, ...], ...]
    """Cells in the order of the columns."""
    note: str
    """How to read it."""
    decimals: int = 2
    """Digits after the point."""


def measure_steps(
    settings: StepBenchSettings, on_step: Callable[[int, int], None] = lambda done, total: None
) -> list[StepTable]:
    """Measure every contender; two tables per batch size, speed and first losses.

    Args:
        settings: what to measure.
        on_step: called after each step with the number of steps done and to do.
    """
    device = choose_device(settings.device)
    keeps = device.type == "cpu" and keep_freed_memory()
    with _threads(settings.threads):
        peak = measured_peak(device)
        tables: list[StepTable] = []
        batch_sizes = settings.batches or ((1, 4) if device.type == "cuda" else (1,))
        told = _Count(on_step, len(batch_sizes))
        for batch_size in batch_sizes:
            tables += _Race(settings, batch_size, device, told).tables(peak, keeps)
    return tables


class _Count:
    """Counts the steps of all races."""

    def __init__(self, on_step: Callable[[int, int], None], num_races: int) -> None:
        self._on_step = on_step
        self._num_races = num_races
        self._num_done = 0

    def add(self, num_in_race: int) -> None:
        """One more of a race of so many steps."""
        self._num_done += 1
        self._on_step(self._num_done, num_in_race * self._num_races)


class _Race:
    """All contenders at one batch size."""

    def __init__(self, settings: StepBenchSettings, batch_size: int, device: torch.device, count: _Count) -> None:
        self.settings = settings
        self.batch_size = batch_size
        self.device = device
        self.peak_rss_bytes = 0
        self._count = count
        self._num_steps = (4 + settings.has_compiled) * (_WARM_UP_STEPS + settings.rounds)

    def tables(self, peak: float, keeps_memory: bool) -> list[StepTable]:
        figures = self._run()
        return [
            speed_table(figures, self.settings, self.batch_size, peak, self._note(keeps_memory)),
            loss_table(figures),
        ]

    def _run(self) -> dict[str, Figures]:
        config = step_config(self.settings.channels, self.settings.size_px, self.batch_size)
        start, batch = start_networks(config, self.device), random_batch(config, self.device)
        makers: list[Callable[[], Contender]] = [lambda: ours(start, config, batch, "bf16")]
        if self.settings.has_compiled:
            makers.append(lambda: ours(start, config, batch, "bf16", is_compiled=True))
        makers += [
            lambda: ours(start, config, batch, "fp32"),
            lambda: enhanced(start, config, batch),
            lambda: official(start, config, batch),
        ]
        contenders: list[Contender] = []
        first: dict[str, Losses] = {}
        memory: dict[str, int] = {}
        for make in makers:
            with self._memory_of(memory) as remember:
                contender = make()
                contenders.append(contender)
                first[contender.name] = self._warm_up(contender)
                remember(contender.name)
            self.peak_rss_bytes = self.peak_rss_bytes or _peak_rss_bytes()
        secs = self._race(contenders)
        return {
            c.name: Figures(first[c.name], tuple(secs[c.name]), _flops(c), memory.get(c.name))
            for c in reversed(contenders)
        }

    def _warm_up(self, contender: Contender) -> Losses:
        losses = [self._timed(contender)[1] for _ in range(_WARM_UP_STEPS)]
        return losses[0]

    def _race(self, contenders: Sequence[Contender]) -> dict[str, list[float]]:
        """One step each per round, in turning order, so that what comes after what does not matter."""
        secs: dict[str, list[float]] = {c.name: [] for c in contenders}
        for i in range(self.settings.rounds):
            shift = i % len(contenders)
            for contender in [*contenders[shift:], *contenders[:shift]]:
                secs[contender.name].append(self._timed(contender)[0])
        return secs

    def _timed(self, contender: Contender) -> tuple[float, Losses]:
        started = perf_counter()
        losses = contender.step()  # ends with the losses as numbers, so nothing is left to wait for
        secs = perf_counter() - started
        self._count.add(self._num_steps)
        return secs, losses

    @contextmanager
    def _memory_of(self, memory: dict[str, int]) -> Iterator[Callable[[str], None]]:
        """Note by name what is held at most on a GPU beyond what is held at the beginning."""
        if self.device.type != "cuda":
            yield lambda name: None
            return
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        yield lambda name: memory.update({name: torch.cuda.max_memory_allocated(self.device) - before})

    def _note(self, keeps_memory: bool) -> str:
        parts = [
            f"Medians of {self.settings.rounds} rounds in one process, one step each per round; ratios are medians of "
            "the rounds' ratios, in brackets the smallest and the largest."
        ]
        if self.device.type == "cpu":
            parts.append(
                f"{torch.get_num_threads()} threads; freed memory {'is kept' if keeps_memory else 'goes back'} for "
                f"all alike. Peak RSS of the process with ours alone: {self.peak_rss_bytes / 1e9:.1f} GB."
            )
        else:
            parts.append(torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type)
        return " ".join(parts)


def speed_table(
    figures: dict[str, Figures], settings: StepBenchSettings, batch_size: int, peak: float, note: str
) -> StepTable:
    """Times, ratios and shares.

    Args:
        figures: by contender, the first being the official step and the second the enhanced one.
        settings: what was measured.
        batch_size: pictures of each domain per step.
        peak: FLOP/s of a large bf16 product.
        note: of the table.
    """
    rivals = list(figures)[:2]
    rows: list[tuple[Cell, ...]] = []
    for name, f in figures.items():
        secs = statistics.median(f.secs)
        share = 100 * f.flops / secs / peak if f.flops and "bf16" in name else None
        rows.append(
            (
                name,
                round(1000 * secs),
                batch_size / secs,
                *(_ratio(figures[rival].secs, f.secs) for rival in rivals),
                f.flops / 1e9 or None,
                share,
                None if f.memory_bytes is None else f.memory_bytes / 1e9,
            )
        )
    size = f"{settings.channels} channels, {settings.size_px} px, batch {batch_size}"
    columns = ("step", "ms", "pictures/s", "x official", "x enhanced", "GFLOP", "% of bf16 peak", "GB")
    told = f"{note} bf16 peak, measured with one large product: {peak / 1e12:.2f} TFLOP/s."
    return StepTable(f"Training step, {size}", columns, tuple(rows), told)


def loss_table(figures: dict[str, Figures]) -> StepTable:
    """The losses of every contender's first step, and how far ours are from the official ones."""
    names = list(figures)
    rows: list[tuple[Cell, ...]] = []
    for loss, wanted in figures[names[0]].first_losses.items():
        values = [figures[name].first_losses[loss] for name in names]
        rows.append((loss, *values, 100 * abs(figures[_OURS].first_losses[loss] / wanted - 1)))
    columns = ("loss", *names, f"{_OURS}: % off")
    note = "From equal weights on equal noise; weighted as in training. Ours judges real and fake in one batch."
    return StepTable("Losses of the first step", columns, tuple(rows), note, decimals=4)


def measured_peak(device: torch.device) -> float:
    """FLOP/s of a large bfloat16 matrix product, the best of some tries."""
    size, tries = (8192, 20) if device.type == "cuda" else (2048, 8)
    left, right = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    best = float("inf")
    for _ in range(tries):
        started = perf_counter()
        (left @ right)[0, 0].item()
        best = min(best, perf_counter() - started)
    return 2.0 * size**3 / best


def _ratio(rival: Sequence[float], own: Sequence[float]) -> str:
    ratios = [theirs / mine for theirs, mine in zip(rival, own, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def _flops(contender: Contender) -> int:
    if "compiled" in contender.name:
        return 0
    with FlopCounterMode(display=False) as counter:
        contender.step()
    return int(counter.get_total_flops())


def _peak_rss_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
