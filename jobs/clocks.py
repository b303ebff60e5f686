"""The clocks of jobs/: one that never jumps, for everything that is waited for, and the wall's, for people.

Delays are kept in the table as seconds since this boot, which all processes of a machine share; after a reboot every
delay is over.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path


def boot_secs() -> float:
    """Seconds since the machine started, sleep included; moves evenly whatever is done to the wall clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@cache
def boot_id() -> str:
    """Tell this boot from all others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        return "unknown"


def wall_secs() -> float:
    """Seconds since 1970, to be shown; never to be compared."""
    return time.time()
