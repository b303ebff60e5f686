"""A watch folder with its intake, driven by hand."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jobs.config import WatchConfig
from jobs.config_files import config_from_options
from jobs.intake import Intake
from jobs.job import Job, JobState
from jobs.store import open_store

SETTLE_SECS = 0.15


class Watched:
    """A watch folder `in`, a folder for results `out`, a table, and an intake that runs when it is asked to."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root = root
        self.path, self.output = root / "in", root / "out"
        self.path.mkdir(exist_ok=True)
        self.output.mkdir(exist_ok=True)
        self.store = open_store(root / "state" / "jobs.sqlite")
        self.config = self.configured(**settings)
        self.intake = Intake(self.store, self.config)

    def configured(self, **settings: Any) -> WatchConfig:
        given = {"settle_secs": SETTLE_SECS, "rescan_secs": 0.2} | settings
        return replace(config_from_options(self.path, self.output, given), state_dir=self.root / "state")

    def __enter__(self) -> Self:
        self.intake.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.intake.stop()
        self.store.close()

    def restart(self) -> None:
        """As if the daemon had been killed and started again."""
        self.intake.stop()
        self.intake = Intake(self.store, self.config)
        self.intake.start()

    def drop(self, name: str, content: bytes | None = None) -> Path:
        """Put a file there; its content is its name, unless another is given."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name) if content is None else content)
        return path

    def run(self, is_over: Callable[[], object], secs: float = 10.0) -> None:
        """Go round until something holds."""
        end = time.monotonic() + secs
        while not is_over():
            assert time.monotonic() < end, f"it did not come about; there are {self.states()}"
            self.intake.tick()
            time.sleep(0.01)

    def run_for(self, secs: float) -> None:
        """Go round for a time."""
        end = time.monotonic() + secs
        while time.monotonic() < end:
            self.intake.tick()
            time.sleep(0.01)

    def look(self) -> None:
        """Look through everything now."""
        for folder in self.intake._folders.values():
            folder._next_secs = 0.0
        self.intake.tick()

    def settle(self) -> None:
        """Look, and wait until nothing settles any more."""
        self.look()
        self.run(lambda: self.intake.is_quiet)

    def jobs(self, *states: JobState) -> list[Job]:
        return self.store.list(states or None)

    def states(self) -> dict[str, str]:
        """State of every job, by the path of its source below the watch folder."""
        return {str(job.source.relative_to(self.path)): job.state.value for job in self.jobs()}

    def claim(self) -> Job:
        job = self.store.claim("worker")
        assert job is not None
        return job
