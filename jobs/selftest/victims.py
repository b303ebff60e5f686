"""Who can be killed: the processes of one trial, found in /proc by a marker in their environment."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Victim(StrEnum):
    """Kinds of victims."""

    WORKER = "worker"
    FFMPEG = "ffmpeg"
    DAEMON = "daemon"
    GROUP = "everything"
    """The daemon and all that came from it, at once, as the end of a container does it."""


WEIGHTS = {Victim.WORKER: 50, Victim.FFMPEG: 25, Victim.DAEMON: 12, Victim.GROUP: 13}
"""How often each kind is chosen."""


@dataclass(frozen=True)
class Process:
    """A live process."""

    pid: int
    parent: int
    command: str
    """Its arguments, separated by blanks."""
    name: str
    """The kernel's short name of it."""


def processes(marker: str) -> list[Process]:
    """List all processes that have the marker in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                if marker.encode() in (folder / "environ").read_bytes():
                    found.append(_process(folder))
    return found


def _process(folder: Path) -> Process:
    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    status = (folder / "stat").read_text(errors="replace")
    name, rest = status[status.index("(") + 1 : status.rindex(")")], status[status.rindex(")") + 2 :].split()
    return Process(int(folder.name), int(rest[1]), command, name)


def by_kind(found: Sequence[Process], daemon: int) -> dict[Victim, list[int]]:
    """Sort processes: workers are what a fork server has forked."""
    servers = {process.pid for process in found if "forkserver" in process.command}
    return {
        Victim.DAEMON: [process.pid for process in found if process.pid == daemon],
        Victim.WORKER: [process.pid for process in found if process.pid in servers and process.parent in servers],
        Victim.FFMPEG: [process.pid for process in found if "ffmpeg" in process.name],
        Victim.GROUP: [process.pid for process in found] if any(p.pid == daemon for p in found) else [],
    }


def choose_kind(chance: random.Random) -> Victim:
    """Choose a kind by its weight."""
    return chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]


def choose(kind: Victim, pids: Sequence[int], chance: random.Random) -> list[int]:
    """Choose one of the processes of a kind, or all where the kind is everything."""
    return list(pids) if kind == Victim.GROUP or not pids else [chance.choice(sorted(pids))]


def kill(pids: Sequence[int], number: int = signal.SIGKILL) -> None:
    """Send a signal to processes; those that are gone meanwhile are passed over."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
