"""A watch daemon as a process of its own, on folders of its own, that can be killed and started again."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import SelftestError
from .checker import Row, marked_processes, read_table
from .victims import kill

MARKER = "UGATIT_TRIAL"
OPTIONS = (
    *("--style", "rehearsal", "--device", "cpu", "--chunk-secs", "0.5"),
    *("--settle-secs", "0.2", "--rescan-secs", "1", "--workers", "2", "--backoff-secs", "0.1", "--blocked-secs", "0.5"),
    *("--max-deaths", "1000", "--max-exceptions", "1000", "--min-free", "16M"),
)
"""What every trial converts with: no networks, several chunks; short waits; budgets that no number of kills uses up."""


_END_SECS = 60.0


def program() -> list[str]:
    """Return the command of this program: this interpreter and the run.py that belongs to this package."""
    spec = importlib.util.find_spec("run")
    if spec is None or spec.origin is None:
        raise SelftestError("run.py is not beside the package jobs; install the package, or run in its checkout.")
    return [sys.executable, spec.origin]


class DaemonProcess:
    """One daemon after the other on the same folders.

    Args:
        folder: for `inbox`, `out` and what the daemons print (`watch.log`).
        options: further options of `watch`.
        environment: what its environment has beside ours.
        config: content of a watch.toml in `folder`, which then says what is watched; else it is `inbox`.
    """

    def __init__(
        self,
        folder: Path,
        options: Sequence[str] = OPTIONS,
        environment: Mapping[str, str] | None = None,
        config: str | None = None,
    ) -> None:
        self.folder, self.inbox, self.out = folder, folder / "inbox", folder / "out"
        self.state = self.out / ".ugatit"
        self.outputs = [self.out]
        self.options = list(options)
        self.marker = f"{MARKER}={uuid.uuid4().hex}"
        self.environment = dict(environment or {})
        self.prefix: list[str] = []
        """A program that starts the daemon, like `prlimit --nofile=64`."""
        self.process: subprocess.Popen[bytes] | None = None
        for path in (self.inbox, self.out):
            path.mkdir(parents=True, exist_ok=True)
        self._watched = [str(self.inbox), "-o", str(self.out)]
        if config is not None:
            (folder / "watch.toml").write_text(config)
            self._watched = ["--config", str(folder / "watch.toml")]

    @property
    def log(self) -> Path:
        """What the daemons printed."""
        return self.folder / "watch.out"

    def start(self, *more: str, **environment: str) -> None:
        """Start a daemon; `more` options and variables are for this one only."""
        if self.process is not None:
            self.process.wait(_END_SECS)  # the last one
        command = [*self.prefix, *program(), "--log-level", "INFO", "watch", *self._watched]
        marker = dict([self.marker.split("=")])
        variables = os.environ | {"OMP_NUM_THREADS": "1"} | self.environment | marker | environment
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.options, *more],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def use(self, *, out: Path, state: Path) -> None:
        """Let the results go to another disk, and the job table to another folder."""
        self.out, self.state, self.outputs = out, state, [out]
        out.mkdir(parents=True, exist_ok=True)
        self._watched = [str(self.inbox), "-o", str(out), "--state-dir", str(state)]

    def signal(self, number: int) -> None:
        """Send a signal to the daemon alone."""
        if self.process is not None:
            self.process.send_signal(number)

    @property
    def is_running(self) -> bool:
        """Tell whether the daemon lives."""
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout_secs: float = 60.0) -> int:
        """End the daemon by SIGTERM; return its exit code.

        Raises:
            SelftestError: it does not end; it is killed then.
        """
        if self.process is None:
            return 0
        with suppress(ProcessLookupError):
            self.process.terminate()
        return self.wait(timeout_secs)

    def wait(self, timeout_secs: float = 60.0) -> int:
        """Wait for the daemon to end by itself; return its exit code.

        Raises:
            SelftestError: it does not; everything is killed then.
        """
        if self.process is None:
            return 0
        try:
            return self.process.wait(timeout_secs)
        except subprocess.TimeoutExpired as error:
            self.kill_all()
            raise SelftestError(f"the daemon did not end within {timeout_secs:g} s; see {self.log}.") from error

    def kill_all(self) -> None:
        """End everything that belongs to this trial, at once."""
        kill([row["pid"] for row in marked_processes(self.marker)])
        if self.process is not None:
            self.process.wait()

    def jobs(self) -> list[Row]:
        """Return the rows of the job table; none where there is no table yet."""
        return self.rows("jobs")

    def rows(self, table: str) -> list[Row]:
        """Return the rows of one table."""
        import sqlite3

        try:
            return read_table(self.state / "jobs.sqlite", table)
        except sqlite3.OperationalError:  # not yet made
            return []

    def counts(self) -> dict[str, int]:
        """Number of jobs by state."""
        return dict(Counter(row["state"] for row in self.jobs()))

    def states(self) -> dict[str, str]:
        """State of every job by the name of its source."""
        return {Path(row["source"]).name: row["state"] for row in self.jobs()}

    @property
    def pid(self) -> int:
        """The daemon's process id; 0 where none was started."""
        return self.process.pid if self.process is not None else 0

    def last_words(self, num_lines: int = 15) -> str:
        """Return the end of what the daemons printed."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-num_lines:])

    def wait_until(self, is_so: Callable[[], bool], timeout_secs: float = 60.0, what: str = "a condition") -> None:
        """Wait for a condition.

        Raises:
            SelftestError: it does not come true in time.
        """
        if not self.wait_for(is_so, timeout_secs):
            raise SelftestError(f"{what} did not come within {timeout_secs:g} s; see {self.log}:\n{self.last_words()}")

    def wait_for(self, is_so: Callable[[], bool], timeout_secs: float, period_secs: float = 0.05) -> bool:
        """Wait for a condition that is looked at every so often; return whether it came true in time."""
        deadline = time.monotonic() + timeout_secs
        while not is_so():
            if time.monotonic() > deadline:
                return False
            time.sleep(period_secs)
        return True
