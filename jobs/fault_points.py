"""Named places where a fault test kills the process by SIGKILL.

`UGATIT_FAULT_AT=publish:linked` kills at once, `publish:linked:3` at the third time, `@FILE` when the point named in
that file is reached, once: the file is gone then. Without that variable `reach` does nothing. The list below is
complete: tests go through all of it.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextlib import suppress

FAULT_POINTS = (
    "intake:sighted",
    "intake:hashed",
    "intake:queued",
    "claim:before",
    "claim:committed",
    "work:started",
    "work:chunk",
    "work:finished",
    "publish:synced",
    "publish:recorded",
    "publish:linked",
    "publish:reported",
    "publish:folder_synced",
    "publish:done",
    "release:before",
    "release:committed",
    "aftermath:disposed",
    "aftermath:hooked",
    "aftermath:linked",
    "aftermath:noted",
    "recover:before",
    "recover:committed",
)

_VARIABLE = "UGATIT_FAULT_AT"
_seen: Counter[str] = Counter()


def reach(point: str) -> None:
    """Die by SIGKILL if the environment asks for it at this point."""
    wanted = os.environ.get(_VARIABLE)
    if wanted and wanted.startswith("@"):
        _reach_once(wanted[1:], point)
    if not wanted or not wanted.startswith(point):
        return
    _seen[point] += 1
    _, _, times = wanted.removeprefix(point).partition(":")
    if wanted == point or (times.isdigit() and _seen[point] == int(times)):
        os.kill(os.getpid(), signal.SIGKILL)


def _reach_once(path: str, point: str) -> None:
    """Die if a file names this point; of several processes that come here only the one that removes it does."""
    with suppress(FileNotFoundError):
        with open(path, encoding="ascii") as file:
            wanted = file.read().strip()
        if wanted == point:
            os.unlink(path)
            os.kill(os.getpid(), signal.SIGKILL)
