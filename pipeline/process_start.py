"""When this process started, for those who measure how long a user waits for the first frame."""

from __future__ import annotations

import os
import time
from pathlib import Path

_IMPORTED_AT = time.time()


def started_at() -> float:
    """Seconds since the epoch at which this process began; on other systems than Linux, when this was imported."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        age_secs = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return _IMPORTED_AT
    return time.time() - age_secs
