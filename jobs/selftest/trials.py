"""One self-test: clips are dropped while processes are killed at random moments; then all is drained and judged."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SelftestError
from .daemon import DaemonProcess
from .drops import Drop, Dropper
from .judging import COUNTS, judge, start_sampler
from .victims import Process, Victim, by_kind, choose, choose_kind, kill, processes

_OPEN = ("settling", "queued", "running", "publishing", "blocked")
_DRAIN_SECS = 300.0
_PATIENCE_SECS = 10.0
_SHARE_AT_PUBLICATION = 0.15
"""So many of the kills strike as soon as a result is about to become visible."""
_SHARE_AT_WORK = 0.85
"""So many, these included, wait until a job is being worked on; the others strike whenever."""


@dataclass(frozen=True)
class TrialSettings:
    """What a self-test does."""

    kills: int = 20
    """How many processes are killed, unless `minutes` is given."""
    seed: int = 0
    """Decides victims, moments and arrivals; the machine's own timing is what it is."""
    minutes: float | None = None
    """Go on for so long instead, and rename and delete sources too."""
    longest_pause_secs: float = 0.6
    """Kills come after a pause between 0 and this."""
    backlog: int = 3
    """Clips that always wait."""


@dataclass
class Kill:
    """One kill."""

    victim: Victim
    state: str
    """What the victim's job was doing, or where the furthest job stood when no single job was hit."""


@dataclass
class TrialResult:
    """What came of it."""

    settings: TrialSettings
    kills: list[Kill] = field(default_factory=list)
    dropped: int = 0
    secs: float = 0.0
    drain_code: int = 0
    """How the last daemon ended after SIGTERM."""
    judged: dict[str, Any] = field(default_factory=dict)
    """What checker.py printed."""

    @property
    def is_good(self) -> bool:
        """Tell whether nothing was lost, doubled, cut or left over."""
        return not any(self.judged[name] for name in COUNTS) and self.drain_code == 0

    def to_json(self) -> dict[str, Any]:
        """Return one object for machines."""
        counts = {name: self.judged[name] for name in COUNTS}
        bound = {"upper_bound_95": round(3 / len(self.kills), 4)} if self.kills and not any(counts.values()) else {}
        by_victim = {str(v): dict(Counter(k.state for k in self.kills if k.victim == v)) for v in Victim}
        return {
            **counts,
            "trials": len(self.kills),
            **bound,
            "seed": self.settings.seed,
            "dropped": self.dropped,
            "secs": round(self.secs, 1),
            "drain_code": self.drain_code,
            "kills": by_victim,
            "states": self.judged["states"],
            "sampled": self.judged["sampled"],
            "details": self.judged["details"],
        }


class Trial:
    """Runs one self-test in a folder.

    Args:
        folder: an empty folder on the disk that is to be tested.
        settings: what is done.
        on_event: is told how many kills of how many are done, and the last one in words.
    """

    def __init__(
        self, folder: Path, settings: TrialSettings, on_event: Callable[[float, str], None] = lambda share, text: None
    ) -> None:
        self.settings, self.on_event = settings, on_event
        self.chance = random.Random(settings.seed)
        self.daemon = DaemonProcess(folder)
        self.dropper = Dropper(self.daemon.inbox, folder / "staging", self.chance)
        self.sampled = folder / "sampled.json"
        self.result = TrialResult(settings)
        self._began = time.monotonic()

    def run(self) -> TrialResult:
        """Drop, kill, drain, judge.

        Raises:
            SelftestError: the program does not run here, or does not come to an end.
        """
        sampler = start_sampler(self.daemon.out, self.sampled)
        try:
            self._attack()
            self._drain()
        finally:
            sampler.communicate()  # its stdin ends, and so it does
            self.daemon.kill_all()
        self.result.judged = judge(self.daemon, self.dropper.manifest, self.sampled)
        self.result.secs = time.monotonic() - self._began
        return self.result

    @property
    def _share(self) -> float:
        """How much of it is done."""
        if self.settings.minutes is None:
            return len(self.result.kills) / max(1, self.settings.kills)
        return (time.monotonic() - self._began) / (60 * self.settings.minutes)

    def _attack(self) -> None:
        while self._share < 1:
            if not self.daemon.is_running:
                self.daemon.start()
                self._wait_for_workers()
            self._feed()
            if self.settings.minutes is not None and self.chance.random() < 0.3:
                self._meddle()
            self._kill_one(choose_kind(self.chance))

    def _wait_for_workers(self) -> None:
        def is_ready() -> bool:
            if not self.daemon.is_running:
                raise SelftestError(f"the daemon ended at once; see {self.daemon.log}:\n{self.daemon.last_words()}")
            return bool(by_kind(processes(self.daemon.marker), self.daemon.pid)[Victim.WORKER])

        # Now and then it is killed while it still starts.
        self.daemon.wait_for(is_ready, 60 if self.chance.random() < 0.8 else self.chance.uniform(0.5, 3))

    def _is_at(self, *states: str) -> bool:
        return any(job["state"] in states for job in self.daemon.jobs())

    def _feed(self) -> None:
        waiting = sum(1 for job in self.daemon.jobs() if job["state"] in _OPEN)
        for _ in range(self.settings.backlog - waiting):
            self.dropper.drop(num_frames=self.chance.randint(20, 60))
        self.result.dropped = len(self.dropper.dropped)

    def _meddle(self) -> None:
        """Rename or delete a source, as people do."""
        recent = [drop for drop in self.dropper.dropped[-6:] if drop["expect"] == "done"]
        there = [drop for drop in recent if os.path.exists(drop["path"])]
        if not there:
            return
        drop: Drop = self.chance.choice(there)
        if self.chance.random() < 0.5:
            renamed = drop["path"].removesuffix(".mp4") + "-renamed.mp4"
            os.rename(drop["path"], renamed)
            drop["path"] = renamed
        else:
            drop["expect"] = "any"
            os.unlink(drop["path"])
        self.dropper.save()

    def _kill_one(self, victim: Victim) -> None:
        """Wait for a victim of that kind and for a random moment, and strike."""
        moment = self.chance.random()
        if moment < _SHARE_AT_PUBLICATION:
            self.daemon.wait_for(lambda: self._is_at("publishing"), _PATIENCE_SECS, period_secs=0.001)
        elif moment < _SHARE_AT_WORK:
            self.daemon.wait_for(lambda: self._is_at("publishing", "running"), _PATIENCE_SECS)
        if moment >= _SHARE_AT_PUBLICATION:
            time.sleep(self.chance.uniform(0.0, self.settings.longest_pause_secs))
        self.daemon.wait_for(lambda: bool(self._victims(victim)), _PATIENCE_SECS)
        states, found = self._states_by_pid(), processes(self.daemon.marker)
        pids = choose(victim, by_kind(found, self.daemon.pid)[victim], self.chance)
        if not pids:
            return
        kill(pids)
        if victim in (Victim.DAEMON, Victim.GROUP):
            self.daemon.wait()
        self.result.kills.append(Kill(victim, _state_hit(states, _concerned(victim, pids, found))))
        self.on_event(self._share, f"{victim} ({self.result.kills[-1].state})")

    def _victims(self, victim: Victim) -> list[int]:
        return by_kind(processes(self.daemon.marker), self.daemon.pid)[victim]

    def _states_by_pid(self) -> dict[int, str]:
        """What the job of each worker is doing."""
        owners = {job["owner"]: job["state"] for job in self.daemon.jobs() if job["owner"]}
        return {self._pid_of(owner): state for owner, state in owners.items()}

    def _pid_of(self, owner: str) -> int:
        """A worker's lock says who holds it."""
        try:
            return int((self.daemon.state / "workers" / f"{owner}.lock").read_text().split()[-1])
        except (OSError, ValueError, IndexError):
            return 0

    def _drain(self) -> None:
        self.on_event(1.0, "draining")
        self.dropper.finish()
        if not self.daemon.is_running:
            self.daemon.start()
        self.daemon.wait_for(lambda: bool(self._victims(Victim.WORKER)), 60)  # now SIGTERM finds it ready to drain
        self.daemon.wait_until(self._is_drained, _DRAIN_SECS, "the end of all jobs")
        self.result.drain_code = self.daemon.stop()

    def _is_drained(self) -> bool:
        """Everything is through, or will never be: the checker says what is missing."""
        if not self.daemon.is_running:
            raise SelftestError(f"the daemon ended by itself; see {self.daemon.log}:\n{self.daemon.last_words()}")
        jobs, links = self.daemon.jobs(), self.daemon.rows("links")
        known = {job["fingerprint"] for job in jobs} | {job["source"] for job in jobs} | {ln["source"] for ln in links}
        missing = [d for d in self.dropper.dropped if d["expect"] == "done" and not known & {d["sha256"], d["path"]}]
        return not missing and all(job["state"] not in _OPEN for job in jobs)


def _concerned(victim: Victim, pids: Sequence[int], found: Sequence[Process]) -> set[int] | None:
    """Return the workers that a kill hits; None: all."""
    if victim in (Victim.DAEMON, Victim.GROUP):
        return None
    return {one.parent for one in found if one.pid in pids} if victim == Victim.FFMPEG else set(pids)


def _state_hit(states: Mapping[int, str], pids: set[int] | None) -> str:
    """Return what the victims were doing; of several the one that was further."""
    hit = [state for pid, state in states.items() if pids is None or pid in pids]
    return next((state for state in ("publishing", "running") if state in hit), "idle")
