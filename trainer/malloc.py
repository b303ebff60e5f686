"""Tells the C library to keep freed memory, so that a step finds the last step's pages. Does nothing elsewhere."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's mallopt(3)
_TOP_PAD_BYTES = 64 << 20


def keep_freed_memory() -> bool:
    """Take all memory from the heap and give none back to the system, from now on; return whether that worked.

    By default glibc maps every tensor over 32 MB anew, and the system clears its pages again at each step.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    wanted = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, _TOP_PAD_BYTES))
    return all(mallopt(option, value) for option, value in wanted)
