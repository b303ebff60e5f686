"""Gives pages of libraries back that were only needed to start: above all the GPU code of PyTorch, on a CPU.

PyTorch's build for NVIDIA GPUs reads a few hundred MB of its libraries when it is imported. Whatever of a file is in
memory as it is on the disk can be let go at any time: what is needed again comes back from the system's cache by
itself. Does nothing elsewhere than on Linux.
"""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

_DONT_NEED = 4  # of madvise(2)
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r-.p \S+ \S+ \d+ +/.*\n((?:[A-Z].*\n)+)", re.MULTILINE)
"""Address, end and figures of a private mapping of a file that cannot be written to (proc_pid_smaps(5))."""


def give_back_libraries() -> int:
    """Let go of what this process has in memory of files that it can read again; return how many bytes that was."""
    if not sys.platform.startswith("linux"):
        return 0
    try:
        maps = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace")
        madvise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):  # a kernel or a container without it
        return 0
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    given = 0
    for start, end, text in _MAPPING.findall(maps):
        kilobytes = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)}
        # Pages of its own, such as addresses that the loader filled in, are not in the file.
        is_as_in_file = kilobytes.get("Anonymous", 1) == kilobytes.get("Private_Dirty", 1) == 0
        if is_as_in_file and not madvise(int(start, 16), int(end, 16) - int(start, 16), _DONT_NEED):
            given += 1024 * kilobytes.get("Rss", 0)
    return given
