"""Processes below a worker: how much memory they hold, and their certain end. Linux's /proc; elsewhere almost nothing.

Descendants are found by parent while the worker stands still, and by a mark in their environment after it died: what
it started must not go on without it, whatever group or session that is in.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

OWNER_VARIABLE = "UGATIT_OWNER"
"""Environment variable that every process below a worker inherits."""

_PR_SET_PDEATHSIG = 1
_PROC = Path("/proc")


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that forked it ends (Linux; elsewhere nothing happens)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Return the processes below one, nearest first."""
    children: dict[int, list[int]] = {}
    for child in _pids():
        children.setdefault(_parent(child), []).append(child)
    found = list(children.get(pid, ()))
    for child in found:  # grows while it is gone through
        found += children.get(child, ())
    return found


def kill_tree(pid: int) -> None:
    """Kill a process and all below it; it stands still first, so that nothing is started meanwhile."""
    _send(pid, signal.SIGSTOP)
    for child in descendants(pid):
        _send(child, signal.SIGKILL)
    _send(pid, signal.SIGKILL)


def kill_marked(owner: str) -> int:
    """Kill what a dead worker started and left; return how many processes that were."""
    mark = f"{OWNER_VARIABLE}={owner}".encode()
    left = [pid for pid in _pids() if pid != os.getpid() and mark in _environment(pid)]
    for pid in left:
        _send(pid, signal.SIGKILL)
    return len(left)


def anonymous_bytes(pid: int) -> int:
    """Return the memory that a process and all below it hold for themselves: resident, and no file's."""
    return sum(_status_bytes(each, "RssAnon:") for each in (pid, *descendants(pid)))


def data_bytes() -> int:
    """Return the memory that this process has reserved for itself, used or not."""
    return _status_bytes(os.getpid(), "VmData:")


def _pids() -> Iterator[int]:
    with suppress(OSError):
        yield from (int(name) for name in os.listdir(_PROC) if name.isdigit())


def _parent(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        status = (_PROC / str(pid) / "stat").read_bytes()
        return int(status[status.rindex(b")") + 2 :].split()[1])
    return 0


def _environment(pid: int) -> list[bytes]:
    with suppress(OSError):
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    return []


def _status_bytes(pid: int, name: str) -> int:
    with suppress(OSError, ValueError, IndexError):
        for line in (_PROC / str(pid) / "status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(name):
                return int(line.split()[1]) << 10
    return 0


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
