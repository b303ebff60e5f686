"""Tells the C library to keep a little freed memory, in few heaps: crops and planes come and go with every frame.

By default glibc gives memory at the end of the heap back to the system as soon as a few MB of it are free, and the
system clears its pages again for the next frame: a tenth to a quarter of the time of whatever works on them. Also by
default every thread has a heap of its own, and what one of them freed is of no use to another: at 1080p that keeps
85 MB. Does nothing elsewhere.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8  # of glibc's mallopt(3)
_KEPT_BYTES, _PAD_BYTES = 32 << 20, 4 << 20
_NUM_HEAPS = 2
_MAPPED_FROM_BYTES = 16 << 20
"""Larger blocks, such as the planes of 8K, are still mapped one by one."""


def keep_freed_memory() -> bool:
    """Keep up to 32 MB at the end of each heap from now on; return whether that worked."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    wanted = {
        _TRIM_THRESHOLD: _KEPT_BYTES,
        _TOP_PAD: _PAD_BYTES,
        _MMAP_THRESHOLD: _MAPPED_FROM_BYTES,
        _ARENA_MAX: _NUM_HEAPS,
    }
    return all(mallopt(option, value) for option, value in wanted.items())
