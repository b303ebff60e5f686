"""Progress for people: a rich display on a terminal, silence elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """What a conversion tells about its advance."""

    def start(self, name: str, stage: str, total: int | None) -> None:
        """Begin a stage of a file; `total` frames if that is known."""
        ...

    def advance(self, frames: int = 1, faces: int = 0) -> None:
        """Some frames are through, with so many faces in them."""
        ...

    def finish(self) -> None:
        """The stage is over."""
        ...

    def checkpoint(self) -> None:
        """What was done so far survives a crash: a good moment to stop.

        Like every method here it may raise: the conversion ends there, and what is finished is kept.
        """
        ...


class SilentProgress:
    """Says nothing."""

    def start(self, name: str, stage: str, total: int | None) -> None:
        """See Progress."""

    def advance(self, frames: int = 1, faces: int = 0) -> None:
        """See Progress."""

    def finish(self) -> None:
        """See Progress."""

    def checkpoint(self) -> None:
        """See Progress."""


class TerminalProgress:
    """One line per running stage on stderr: bar, frames, frames per second, remaining time, faces."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._display = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("frames"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[faces]} faces"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: object = None
        self._faces = 0

    def __enter__(self) -> TerminalProgress:
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()

    def start(self, name: str, stage: str, total: int | None) -> None:
        """See Progress."""
        self.finish()
        self._faces = 0
        self._task = self._display.add_task(f"{stage} {name}", total=total, rate="", faces=0)

    def advance(self, frames: int = 1, faces: int = 0) -> None:
        """See Progress."""
        self._faces += faces
        task = next(t for t in self._display.tasks if t.id == self._task)
        rate = f"{task.speed:.1f} fps" if task.speed else ""
        self._display.update(self._task, advance=frames, faces=self._faces, rate=rate)  # type: ignore[arg-type]

    def finish(self) -> None:
        """See Progress."""
        if self._task is not None:
            self._display.remove_task(self._task)  # type: ignore[arg-type]
            self._display.refresh()  # wipe the line now: what is printed next would be glued to it
            self._task = None

    def checkpoint(self) -> None:
        """See Progress."""


def with_progress(work: Callable[[Progress], T]) -> T:
    """Run `work` with a display if a person is looking."""
    if not is_terminal():
        return work(SilentProgress())
    with TerminalProgress() as progress:
        return work(progress)


def is_terminal() -> bool:
    """Tell whether a person is looking at stderr."""
    return sys.stderr.isatty()
