"""How many workers a daemon has, where they run, and what is asked of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .worker import JobHandler

PRELOAD = (
    "jobs.warm",
    "jobs.worker_process",
    "jobs.store",
    "jobs.handlers",
    "torch",
    "cv2",
    "av",
    "pipeline.video",
    "pipeline.pictures",
)
"""Modules that the server loads before it forks workers; none of them may start a thread."""


@dataclass(frozen=True)
class PoolSettings:
    """How many workers, and what is asked of them."""

    state_dir: Path
    """Folder of the job table, locks and status files."""
    workers: int | None = None
    """Worker processes; None: one per device."""
    devices: tuple[str, ...] = ("auto",)
    """Where networks run; workers take them in turn."""
    stall_secs: float = 300.0
    """A job without any sign of progress for so long is ended."""
    grace_secs: float = 30.0
    """When draining, workers may go on for so long."""
    memory_bytes: int | None = None
    """A worker that holds more is ended; None: no limit."""
    backoff_secs: float = 2.0
    """First delay of a job after a failure that may pass."""
    is_once: bool = False
    """Nothing is waited for: an unreadable source fails at once."""
    incomplete_secs: Mapping[str, float] = field(default_factory=dict)
    """By watch folder: so long after its last change an unreadable source is taken for an unfinished copy."""
    preload: tuple[str, ...] = PRELOAD
    """Modules that the server of the workers loads."""
    make_handler: Callable[[Mapping[str, Any]], JobHandler] | None = None
    """What makes a handler for the choices of a job; None: pipeline's."""


def find_devices() -> tuple[str, ...]:
    """Return where networks can run, one entry per GPU; `auto` alone where none is seen."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = 0
    if visible is not None:
        count = len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    else:
        with suppress(OSError):
            count = len(os.listdir("/proc/driver/nvidia/gpus"))
    return tuple(f"cuda:{index}" for index in range(count)) or ("auto",)
