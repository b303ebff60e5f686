"""What is new in a watch folder, what has changed, what is gone: a look at it compared with the job table.

Touches no disk and no table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .candidates import Candidate
from .job import JobState, Stamp

Known = Mapping[Path, tuple[Stamp, int, JobState]]
"""What the table knows of a watch folder's sources: stamp, number and state of the job."""

_WAITING = frozenset({JobState.QUEUED, JobState.BLOCKED})
_AT_WORK = frozenset({JobState.RUNNING, JobState.PUBLISHING})


@dataclass
class Arrivals:
    """The differences."""

    new: list[Candidate] = field(default_factory=list)
    """Not known, or not as the table knows them."""
    settling: dict[int, Candidate] = field(default_factory=dict)
    """Sources of settling jobs, by the number of the job."""
    missing: list[tuple[int, str, JobState]] = field(default_factory=list)
    """Number, relative path and state of jobs that settle or wait and whose source is no candidate (any more)."""


def compare(found: list[Candidate], known: Known, folder: Path) -> Arrivals:
    """Compare what lies in a watch folder with what the table knows.

    A source that is being worked on is left alone: its worker notices a change itself.

    Args:
        found: all candidates.
        known: all known sources of the folder.
        folder: the watch folder.
    """
    arrivals = Arrivals()
    prefix = f"{folder}/"
    rest = {str(path): entry for path, entry in known.items()}
    for candidate in found:
        entry = rest.pop(prefix + candidate.relative, None)
        if entry is None:
            arrivals.new.append(candidate)
            continue
        stamp, number, state = entry
        if state is JobState.SETTLING:
            arrivals.settling[number] = candidate
        elif stamp != candidate.stamp and state not in _AT_WORK:
            arrivals.new.append(candidate)
    for path, (_, number, state) in rest.items():
        if state is JobState.SETTLING or state in _WAITING:
            arrivals.missing.append((number, path.removeprefix(prefix), state))
    return arrivals
