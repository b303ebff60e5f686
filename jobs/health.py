"""The daemon's sign of life: a small JSON file, written every few seconds, and the verdict about it.

Whether a daemon lives is told by its lock, which the kernel gives back at death; the file tells how it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .clocks import boot_id, boot_secs, wall_secs
from .locks import is_free

HEALTH_NAME = "health.json"
"""The file, in the state folder."""
LOCK_NAME = "watch.lock"
"""Held by the daemon as long as it lives."""

_EVERY_SECS = 2.0
_STALE_SECS = 30.0


@dataclass(frozen=True)
class FolderHealth:
    """How one watch folder is."""

    name: str
    """Its path."""
    is_well: bool
    """It is there, and the one that it was."""
    detail: str = ""
    """What is wrong, or how it is watched."""


@dataclass(frozen=True)
class Verdict:
    """Whether all is well."""

    is_healthy: bool
    problems: tuple[str, ...]
    """One sentence each."""
    facts: Mapping[str, Any]
    """What the file says; empty where there is none."""

    def as_json(self) -> dict[str, Any]:
        """Return it as one object."""
        return {"healthy": self.is_healthy, "problems": list(self.problems)} | dict(self.facts)


class Heartbeat:
    """Writes the file."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / HEALTH_NAME
        self._started_at = wall_secs()
        self._next_boot_secs = 0.0

    def is_due(self) -> bool:
        """Tell whether it is time again."""
        return boot_secs() >= self._next_boot_secs

    def beat(self, state: str, folders: Sequence[FolderHealth], **facts: Any) -> None:
        """Write how things are; atomically, and not forced to the disk: it is out of date in seconds.

        Args:
            state: watching, draining, or what else the daemon does, as a word or two.
            folders: the watch folders.
            facts: workers, counts, last error.

        Raises:
            OSError: it cannot be written.
        """
        self._next_boot_secs = boot_secs() + _EVERY_SECS
        written = {
            "state": state,
            "pid": os.getpid(),
            "version": version(),
            "boot_id": boot_id(),
            "boot_secs": round(boot_secs(), 3),
            "at": round(wall_secs(), 3),
            "started_at": round(self._started_at, 3),
            "folders": [asdict(folder) for folder in folders],
        }
        part = self._path.with_name(self._path.name + ".part")
        try:
            part.write_text(json.dumps(written | facts, default=str) + "\n", encoding="utf-8")
            part.replace(self._path)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def stop(self) -> None:
        """Remove the file: the daemon ends as it should."""
        self._path.unlink(missing_ok=True)


def read(state_dir: Path) -> dict[str, Any]:
    """Return what the file says; empty where there is none, or none that can be read."""
    try:
        facts = json.loads((state_dir / HEALTH_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def is_running(state_dir: Path) -> bool:
    """Tell whether a daemon holds the lock."""
    return not is_free(state_dir / LOCK_NAME)


def judge(state_dir: Path) -> Verdict:
    """Tell whether the daemon of a state folder lives, moves, and sees all of its folders."""
    facts = read(state_dir)
    if not is_running(state_dir):
        return Verdict(False, (f'no watch is running with the state folder "{state_dir}".',), facts)
    problems = [*_late(facts)]
    for folder in facts.get("folders", []):
        if not folder.get("is_well"):
            problems.append(f'the watch folder "{folder.get("name")}" is away: {folder.get("detail")}')
    if facts.get("trouble"):
        problems.append(str(facts["trouble"]))
    return Verdict(not problems, tuple(problems), facts)


def _late(facts: Mapping[str, Any]) -> list[str]:
    if not facts:
        return ["the watch has not said anything yet."]
    if facts.get("boot_id") != boot_id():
        return ["the last sign of life is older than the machine's start."]
    age_secs = boot_secs() - float(facts.get("boot_secs", 0.0))
    return [f"the last sign of life is {age_secs:.0f} s old."] if age_secs > _STALE_SECS else []


@cache
def version() -> str:
    """Return the version of this program."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("ugatit-pipeline")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "unknown"
