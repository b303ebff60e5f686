"""Progress for people: a rich display on a terminal, plain lines elsewhere. The log is journal.py's work."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import click

PLAIN_EVERY_SECS = 30.0
"""Seconds between plain lines."""

_RATE_WINDOW = 32
_NUM_LOSSES = 4


class Progress(Protocol):
    """What a run tells about its advance."""

    def stage(self, name: str) -> Callable[[int, int], None]:
        """Announce some work before the first step; call what is returned with how many are done, of how many."""
        ...

    def start(self, *, first_step: int, steps: int, pictures_per_step: int) -> None:
        """Begin the steps: so many are done, so many there will be, each of so many pictures of a domain."""
        ...

    def advance(self, step: int) -> None:
        """So many steps are done now; cheap enough for every step."""
        ...

    def tell(self, losses: Mapping[str, float]) -> None:
        """Show losses from now on; of many only the first ones."""
        ...

    @property
    def pictures_per_sec(self) -> float:
        """Pictures of a domain in a second, over the last steps; 0 before the second step."""
        ...


class Rate:
    """Steps per second over the last steps."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, float]] = deque(maxlen=_RATE_WINDOW)

    def see(self, step: int, now_secs: float) -> None:
        """So many steps were done at a time."""
        self._seen.append((step, now_secs))

    @property
    def steps_per_sec(self) -> float:
        """0 where nothing can be said yet."""
        if len(self._seen) < 2:
            return 0.0
        (first, began), (last, ended) = self._seen[0], self._seen[-1]
        return (last - first) / (ended - began) if ended > began else 0.0


class PlainProgress:
    """A line on stderr from time to time.

    Args:
        every_secs: seconds between lines.
        write: where lines go; None: stderr.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        every_secs: float = PLAIN_EVERY_SECS,
        write: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every_secs, self._clock = every_secs, clock
        self._write = write or (lambda line: click.echo(line, err=True))
        self._next_secs = clock() + every_secs
        self._rate, self._losses = Rate(), ""
        self._first_step = self._steps = self._pictures_per_step = 0

    def stage(self, name: str) -> Callable[[int, int], None]:
        """See Progress; work that is done before the first line is due needs none."""
        lines = 0

        def told(done: int, total: int) -> None:
            nonlocal lines
            if self._is_due() or (done == total and lines):
                lines += 1
                self._write(f"{name}: {done} of {total}.")

        return told

    def start(self, *, first_step: int, steps: int, pictures_per_step: int) -> None:
        """See Progress."""
        self._first_step, self._steps, self._pictures_per_step = first_step, steps, pictures_per_step
        self._rate = Rate()
        self._rate.see(first_step, self._clock())
        self._next_secs = self._clock() + self._every_secs

    def advance(self, step: int) -> None:
        """See Progress."""
        self._rate.see(step, self._clock())
        if step >= self._steps or self._is_due():
            self._write(f"step {step} of {self._steps}, {self._speed(step)}{self._losses}")

    def tell(self, losses: Mapping[str, float]) -> None:
        """See Progress."""
        self._losses = "".join(f", {text}" for text in _texts(losses))

    @property
    def pictures_per_sec(self) -> float:
        """See Progress."""
        return self._rate.steps_per_sec * self._pictures_per_step

    def _speed(self, step: int) -> str:
        rate = self._rate.steps_per_sec
        remaining = clock_time((self._steps - step) / rate) if rate else "?"
        return f"{self.pictures_per_sec:.2f} pictures/s, {remaining} left"

    def _is_due(self) -> bool:
        now = self._clock()
        is_due = now >= self._next_secs
        if is_due:
            self._next_secs = now + self._every_secs
        return is_due


class TerminalProgress:
    """One line on stderr: bar, step, pictures per second, remaining time; below it the losses."""

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._display = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}", markup=False),
            TextColumn("{task.fields[losses]}", markup=False),
            console=console or Console(stderr=True),
        )
        self._task: Any = None
        self._rate = Rate()
        self._steps = self._pictures_per_step = 0

    def __enter__(self) -> TerminalProgress:
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.stop()

    def stage(self, name: str) -> Callable[[int, int], None]:
        """See Progress."""
        task = self._display.add_task(name, total=None, speed="", losses="")

        def told(done: int, total: int) -> None:
            self._display.update(task, completed=done, total=total)
            if done >= total:
                self._display.update(task, visible=False)

        return told

    def start(self, *, first_step: int, steps: int, pictures_per_step: int) -> None:
        """See Progress."""
        self._steps, self._pictures_per_step = steps, pictures_per_step
        self._task = self._display.add_task("training", total=steps, completed=first_step, speed="", losses="")
        self._rate.see(first_step, time.monotonic())

    def advance(self, step: int) -> None:
        """See Progress."""
        self._rate.see(step, time.monotonic())
        rate = self._rate.steps_per_sec
        speed = (
            f"{self.pictures_per_sec:.2f} pictures/s, {clock_time((self._steps - step) / rate)} left" if rate else ""
        )
        self._display.update(self._task, completed=step, speed=speed)

    def tell(self, losses: Mapping[str, float]) -> None:
        """See Progress."""
        self._display.update(self._task, losses="  ".join(_texts(losses)))

    @property
    def pictures_per_sec(self) -> float:
        """See Progress."""
        return self._rate.steps_per_sec * self._pictures_per_step


@contextmanager
def training_progress(is_shown: bool = True) -> Iterator[Progress]:
    """Give a display if a person is looking, else lines; log lines appear above the display.

    Args:
        is_shown: False for all ranks but the first: says nothing.
    """
    if not is_shown:
        yield PlainProgress(write=lambda line: None)
    elif not sys.stderr.isatty():
        yield PlainProgress()
    else:
        with TerminalProgress() as progress, _logs_above_the_display():
            yield progress


def clock_time(secs: float) -> str:
    """Write a duration as h:mm:ss."""
    minutes, rest = divmod(round(secs), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


@contextmanager
def _logs_above_the_display() -> Iterator[None]:
    """While rich stands in for stderr, let log handlers write through it too: a line of theirs would tear the bar."""
    console = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.__stderr__
    ]
    try:
        for handler in console:
            handler.setStream(sys.stderr)
        yield
    finally:
        for handler in console:
            handler.setStream(sys.__stderr__)


def _texts(losses: Mapping[str, float]) -> list[str]:
    return [f"{name} {value:.3g}" for name, value in list(losses.items())[:_NUM_LOSSES]]
