"""Who may use how many cores: networks, OpenCV, the encoder, and how many processes share the machine.

The one place that decides it; everybody else is told. The figures behind it are in docs/speed.md.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from .heap import keep_freed_memory

_MAX_STREAMS = 4
"""Frames that are restyled at once; what follows is done frame by frame and no faster than four of them."""
_MAX_ENCODER_THREADS = 8
"""x264 gains little beyond, and each of its threads keeps a few frames."""


@dataclass(frozen=True)
class Budget:
    """How one process, of several alike, uses its share of the machine."""

    num_processes: int
    """Processes that render chunks at once."""
    engine_threads: int
    """Threads of every network (generator, parser, landmarks), per process."""
    streams: int
    """Calls of a network that run at once, per process; they share its threads."""
    encoder_threads: int
    """Threads of each encoder. x264 makes other bits with another number, so it never depends on `num_processes`."""
    is_overlapped: bool
    """Whether decoding, restyling, pasting and encoding run at the same time, in threads."""


def num_cores() -> int:
    """Cores that this process may use: affinity, the control group's quota, and OMP_NUM_THREADS where that is set."""
    cores = len(os.sched_getaffinity(0)) if sys.platform.startswith("linux") else os.cpu_count() or 1
    quota = _quota_cores()
    limit = os.environ.get("OMP_NUM_THREADS", "")
    cores = cores if quota is None else min(cores, max(1, round(quota)))
    return min(cores, int(limit)) if limit.isdigit() and int(limit) > 0 else cores


def _quota_cores() -> float | None:
    """CPU time per time that the control group (version 2) allows; None where it sets no limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # "max", another version, another system
        return None


def decide_budget(
    *,
    threads: int | None = None,
    parallel: int | None = None,
    num_gpus: int = 0,
    cores: int | None = None,
    is_sequential: bool = False,
) -> Budget:
    """Split the machine.

    Args:
        threads: what the user allows the networks of one process; None: its share of the cores.
        parallel: processes that the user asks for; None: one per GPU, and one on a CPU.
        num_gpus: GPUs that may be used; 0 on a CPU.
        cores: of this machine; None looks.
        is_sequential: pictures come one at a time, and each is wanted as soon as may be.
    """
    cores = num_cores() if cores is None else cores
    processes = parallel or max(1, num_gpus)
    engine = threads or max(1, cores // processes)
    return Budget(
        num_processes=processes,
        engine_threads=engine,
        streams=1 if num_gpus or is_sequential else min(engine, _MAX_STREAMS),
        encoder_threads=min(cores, _MAX_ENCODER_THREADS),
        is_overlapped=cores > 1 or num_gpus > 0,
    )


def num_gpus(device: str) -> int:
    """GPUs that a choice of `--device` may use: all of them, unless one is named."""
    if device == "cpu" or device.startswith("mps") or ":" in device:
        return int(device.startswith("cuda"))
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def apply_budget(budget: Budget) -> None:
    """Tell the libraries of this process. What is loaded later is told by OMP_NUM_THREADS, unless the user set it."""
    import cv2

    keep_freed_memory()
    cv2.setNumThreads(1)  # stages and streams use the cores; crops are small, and idle threads of OpenCV spin
    os.environ.setdefault("OMP_NUM_THREADS", str(budget.engine_threads))
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(budget.engine_threads)
