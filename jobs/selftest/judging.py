"""Call the checker, which is a process of its own because it must share nothing with what it judges."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..errors import SelftestError
from .daemon import DaemonProcess

COUNTS = ("lost", "duplicates", "partial", "orphans", "temp_left")
"""What must be 0."""


def judge(daemon: DaemonProcess, manifest: Path | None = None, sampled: Path | None = None) -> dict[str, Any]:
    """Return what checker.py finds in the folders of a daemon that has ended.

    Args:
        daemon: whose folders.
        manifest: what was dropped, see drops.py.
        sampled: what sampler.py wrote.

    Raises:
        SelftestError: the checker itself fails.
    """
    files = [] if manifest is None else ["--manifest", manifest]
    files += [] if sampled is None else ["--sampled", sampled]
    script = Path(__file__).with_name("checker.py")
    command = [sys.executable, script, daemon.state, *daemon.outputs, *files, "--marker", daemon.marker]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SelftestError(f"the checker failed:\n{done.stderr}")
    return dict(json.loads(done.stdout))


def start_sampler(out: Path, result: Path) -> subprocess.Popen[bytes]:
    """Start looking at an output folder every 20 ms; `communicate()` ends it and has it write its result."""
    script = Path(__file__).with_name("sampler.py")
    return subprocess.Popen([sys.executable, str(script), str(out), str(result)], stdin=subprocess.PIPE)
