"""Look at an output folder every 20 ms and read whole whatever is newly visible. A script of its own.

`python sampler.py OUT RESULT` runs until its stdin is closed or SIGTERM, then writes RESULT as JSON: how often it
looked, how many files it read, and every name that was visible without being whole. It imports nothing of the program.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from read_frames import read  # type: ignore[import-not-found]  # beside this script

PERIOD_SECS = 0.02
RESULTS = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".png", ".jpg", ".jpeg")

Key = tuple[str, int, int, int]


def visible(folder: str) -> list[tuple[Key, str]]:
    """List the results below a folder that anybody can see, each with what tells it from another of its name."""
    found = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and name.lower().endswith(RESULTS):
                path = os.path.join(where, name)
                try:
                    status = os.stat(path)
                except FileNotFoundError:
                    continue
                found.append(((path, status.st_ino, status.st_size, status.st_mtime_ns), path))
    return found


class Sampler:
    """What was seen so far."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.known: set[Key] = set()
        self.looks = 0
        self.partial: list[dict[str, Any]] = []
        self.slowest_secs = 0.0

    def look(self) -> None:
        """Look once."""
        began = time.monotonic()
        for key, path in visible(self.folder):
            if key not in self.known:
                self.known.add(key)
                self._judge(path)
        self.looks += 1
        self.slowest_secs = max(self.slowest_secs, time.monotonic() - began)

    def _judge(self, path: str) -> None:
        found = read(path)
        if found.get("is_gone") or (found["is_whole"] and found["is_restyled"]):
            return
        self.partial.append({"path": path, "error": found.get("error"), "num_frames": len(found["frames"])})

    def result(self) -> dict[str, Any]:
        """Tell everything."""
        return {
            "looks": self.looks,
            "read": len(self.known),
            "partial": self.partial,
            "slowest_secs": round(self.slowest_secs, 3),
        }


def main() -> int:
    """Look until told to stop."""
    folder, result = sys.argv[1:3]
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sampler = Sampler(folder)
    while not stopped and not select.select([sys.stdin], [], [], 0)[0]:  # at its end, stdin is ready
        sampler.look()
        time.sleep(PERIOD_SECS)
    sampler.look()
    Path(result).write_text(json.dumps(sampler.result()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
