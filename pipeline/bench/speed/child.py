"""A conversion in a process of its own, which tells when it reaches what: for the figures of start and memory.

Run as `python -m pipeline.bench.speed.child CLIP OUT STYLE DEVICE`; writes one JSON object per line to stdout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import PipelineError

_ROOT = Path(__file__).parents[3]
_SAMPLE_SECS = 0.05
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True)
class ChildRun:
    """What a process did."""

    reached_secs: dict[str, float]
    """Seconds from its start by what was reached: `imports`, `networks`, `analysed`, `first frame`, `end`."""
    peak_rss_bytes: int
    """Most resident memory of it and its children together, sampled; what they share counts for each."""
    gpu_bytes: int
    """Most memory that torch held on a GPU."""


def run_child(clip: Path, out: Path, style: str, device: str, environment: Mapping[str, str] | None = None) -> ChildRun:
    """Convert a clip in a new process and watch it.

    Args:
        clip: what to convert.
        out: a folder for the result.
        style: as `--style` takes it.
        device: where the networks run.
        environment: variables that differ from this process's.

    Raises:
        PipelineError: it failed.
    """
    command = [sys.executable, "-m", __name__, str(clip), str(out), style, device]
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {**os.environ, "PYTHONPATH": path, **(environment or {})}
    started = time.time()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables, text=True) as child:
        sampler = _Sampler(child.pid)
        told, errors = child.communicate()
        peak = sampler.stop()
    if child.returncode:
        last = errors.strip().splitlines()[-1:] or ["it said nothing"]
        raise PipelineError(f"the process that was measured ended with {child.returncode}: {last[0]}")
    events = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    reached = {str(event["reached"]): float(event["at"]) - started for event in events}
    return ChildRun(reached, peak, max((int(event.get("gpu_bytes", 0)) for event in events), default=0))


class _Sampler:
    """Looks at the memory of a process and all below it until it is stopped."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak = pid, 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """End; return the most that was seen, in bytes."""
        self._is_over.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._is_over.wait(_SAMPLE_SECS):
            self._peak = max(self._peak, sum(_rss_bytes(pid) for pid in _family(self._pid)))


def _family(pid: int) -> list[int]:
    """A process and all below it; the process alone where the system does not tell (no Linux)."""
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        for path in Path(f"/proc/{current}/task").glob("*/children"):
            try:
                waiting += [int(word) for word in path.read_text(encoding="ascii").split()]
            except OSError:
                continue  # it has just ended
    return found


def _rss_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0


def _tell(reached: str, **more: object) -> None:
    sys.stdout.write(json.dumps({"reached": reached, "at": time.time(), **more}) + "\n")
    sys.stdout.flush()


class _TellingProgress:
    """Tells when the first restyled frame is there."""

    def __init__(self) -> None:
        self._stage = ""
        self._has_told = False

    def start(self, name: str, stage: str, total: int | None) -> None:
        """See Progress."""
        if stage == "restyling":
            _tell("analysed")
        self._stage = stage

    def advance(self, frames: int = 1, faces: int = 0) -> None:
        """See Progress."""
        if self._stage == "restyling" and frames and not self._has_told:
            self._has_told = True
            _tell("first frame")

    def finish(self) -> None:
        """See Progress."""

    def checkpoint(self) -> None:
        """See Progress."""


def _gpu_bytes() -> int:
    import torch

    return torch.cuda.max_memory_reserved() if torch.cuda.is_available() else 0


def main(clip: str, out: str, style: str, device: str) -> None:
    """Convert a clip as the command line does."""
    from ...settings import ConvertSettings
    from ...studio import build_studio
    from ..conversion import converted

    _tell("imports")
    studio = build_studio(ConvertSettings(style=style, device=device, overwrite=True, resume=False))
    try:
        studio.load()
        _tell("networks")
        converted(Path(clip), studio, Path(out), _TellingProgress())
    finally:
        studio.close()
    _tell("end", gpu_bytes=_gpu_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
