"""What every row needs: a daemon on folders of its own, files dropped into them, and the judgement in the end."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jobs.selftest.daemon import OPTIONS, DaemonProcess
from jobs.selftest.drops import Drop, Dropper
from jobs.selftest.judging import COUNTS, judge
from jobs.selftest.victims import Victim, by_kind, processes

TERMINAL = {"done", "failed", "cancelled"}


class Watch:
    """A daemon and what is dropped for it. `options` come after those of every trial, so they win."""

    def __init__(self, daemon: DaemonProcess, chance: random.Random, options: Sequence[str] = ()) -> None:
        self.daemon = daemon
        daemon.options = [*OPTIONS, *options]
        self.dropper = Dropper(daemon.inbox, daemon.folder / "staging", chance)

    @property
    def inbox(self) -> Path:
        return self.daemon.inbox

    @property
    def out(self) -> Path:
        return self.daemon.out

    def drop(self, name: str | None = None, *, arrival: str = "mv", num_frames: int = 25, expect: str = "done") -> Drop:
        drop = self.dropper.drop(name=name, arrival=arrival, num_frames=num_frames)
        drop["expect"] = expect
        self.dropper.save()
        return drop

    def shim(self, *modes: str) -> None:
        """Tell the stand-in for ffmpeg what to do in its next calls, one after the other."""
        (self.daemon.folder / "shim").write_text("".join(mode + "\n" for mode in modes))

    def is_shim_read(self) -> bool:
        """Tell whether the stand-in was called as often as it was told what to do."""
        return not (self.daemon.folder / "shim").read_text()

    @property
    def fault(self) -> Path:
        """The file that names the point where the next process dies."""
        return self.daemon.folder / "fault"

    def ensure_running(self) -> None:
        if not self.daemon.is_running:
            self.daemon.start()

    def state(self, name: str) -> str | None:
        return self.daemon.states().get(name)

    def job(self, name: str) -> dict[str, Any]:
        return next(row for row in self.daemon.jobs() if Path(row["source"]).name == name)

    def pids(self, victim: Victim) -> list[int]:
        return by_kind(processes(self.daemon.marker), self.daemon.pid)[victim]

    def until(self, is_so: Callable[[], bool], what: str = "a condition", secs: float = 60) -> None:
        self.daemon.wait_until(is_so, secs, what)

    def until_state(self, name: str, *states: str, secs: float = 60) -> None:
        self.until(lambda: self.state(name) in states, f'"{name}" in one of the states {states}', secs)

    def until_through(self, number: int | None = None, secs: float = 120) -> None:
        """Wait until so many jobs are there (all that were dropped, if not said) and all are over."""
        wanted = len(self.dropper.dropped) if number is None else number

        def are_through() -> bool:
            jobs = self.daemon.jobs()
            return len(jobs) + len(self.daemon.rows("links")) >= wanted and all(j["state"] in TERMINAL for j in jobs)

        self.until(are_through, "the end of all jobs", secs)

    def end(self) -> dict[str, Any]:
        """Drain, and have everything judged; the five counts must be 0."""
        self.until(lambda: bool(self.pids(Victim.WORKER)), "a worker")  # before that SIGTERM may find Python starting
        assert self.daemon.stop() == 0, self.daemon.last_words()
        return self.judge()

    def judge(self) -> dict[str, Any]:
        judged = judge(self.daemon, self.dropper.manifest)
        assert {name: judged[name] for name in COUNTS} == dict.fromkeys(COUNTS, 0), judged["details"]
        return judged
