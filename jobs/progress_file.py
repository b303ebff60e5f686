"""How far a worker is: told to the daemon and the dashboard by a small file, and the place where work is interrupted.

Implements pipeline's Progress. The file is replaced whole but not forced to the disk: after a power cut nobody needs
it. The counter in it is the sign of life that the pool looks at.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .clocks import wall_secs
from .errors import Draining, LostClaimError
from .fault_points import reach
from .job import Job

STAGES_WITHOUT_CHECKPOINTS = frozenset({"reading", "looking at", "joining", "checking"})
"""Pipeline's stages that are done again from their start wherever they stop: no need to go on."""

_WRITE_SECS = 0.5
_CLAIM_SECS = 1.0
_RATE_SECS = 15.0


@dataclass
class WorkerStatus:
    """What the file says."""

    owner: str
    """The worker."""
    pid: int
    """Its process."""
    device: str = "auto"
    """Where its networks run."""
    jobs: int = 0
    """Jobs that it was through with, one way or the other."""
    job: int | None = None
    """Number of the job it is at; None while it waits."""
    attempt: int = 0
    """Which attempt that is."""
    source: str = ""
    """Name of the source."""
    work_folder: str = ""
    """Where the job's work lies."""
    stage: str = ""
    """What is being done."""
    done: int = 0
    """Frames of the stage that are through."""
    total: int | None = None
    """Frames of the stage, if that is known."""
    faces: int = 0
    """Faces seen in the stage."""
    fps: float = 0.0
    """Frames per second in the last seconds."""
    remaining_secs: float | None = None
    """Until the end of the stage, at that speed."""
    counter: int = 0
    """Goes up with every sign of life."""
    at: float = 0.0
    """When it was written, seconds since 1970; for people only."""


class ProgressFile:
    """Writes the status of one worker, at most twice a second, and ends work that is nobody's any more.

    Args:
        path: the file.
        status: what is known of the worker so far.
        is_mine: tells whether a job is still the worker's.
        is_draining: tells whether the worker was asked to stop.
        on_checkpoint: called with the job when some of it can no longer be lost.
    """

    def __init__(
        self,
        path: Path,
        status: WorkerStatus,
        *,
        is_mine: Callable[[Job], bool],
        is_draining: Callable[[], bool],
        on_checkpoint: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self.status = status
        self._path = path
        self._is_mine = is_mine
        self._is_draining = is_draining
        self._on_checkpoint = on_checkpoint
        self._job: Job | None = None
        self._written = self._asked = 0.0
        self._seen: deque[tuple[float, int]] = deque()

    def begin(self, job: Job) -> None:
        """A job was claimed."""
        self._job, self._asked = job, time.monotonic()
        self.status.job, self.status.attempt = job.id, job.attempt
        self.status.source, self.status.work_folder = job.source.name, str(job.work_folder)
        self._enter("starting", None)

    def end(self) -> None:
        """The worker is through with its job."""
        self._job = self.status.job = None
        self.status.jobs += 1
        self.status.source = self.status.work_folder = ""
        self._enter("", None)

    def start(self, name: str, stage: str, total: int | None) -> None:
        """Begin a stage; see pipeline's Progress."""
        self._enter(stage, total)
        self.tick()

    def advance(self, frames: int = 1, faces: int = 0) -> None:
        """Some frames are through.

        Raises:
            LostClaimError: the job was cancelled or given to another worker.
            Draining: the worker shall stop, and nothing is gained by going on in this stage.
        """
        self.status.done += frames
        self.status.faces += faces
        self.tick()
        if self.status.stage in STAGES_WITHOUT_CHECKPOINTS:
            self._stop_if_asked()

    def finish(self) -> None:
        """The stage is over."""
        self.tick()

    def checkpoint(self) -> None:
        """What was done so far survives a crash.

        Raises:
            LostClaimError: the job was cancelled or given to another worker.
            Draining: the worker shall stop.
        """
        reach("work:chunk")
        self.tick()
        if self._job is not None:
            self._on_checkpoint(self._job)
        self._stop_if_asked()

    def tick(self) -> None:
        """Give a sign of life.

        Raises:
            LostClaimError: the job was cancelled or given to another worker.
        """
        self.status.counter += 1
        now = time.monotonic()
        if now - self._written >= _WRITE_SECS:
            self._write(now)
        if self._job is not None and now - self._asked >= _CLAIM_SECS:
            self._asked = now
            if not self._is_mine(self._job):
                raise LostClaimError(f"job {self._job.id} is no longer this worker's; its result is dropped.")

    def _enter(self, stage: str, total: int | None) -> None:
        status = self.status
        status.stage, status.total, status.done, status.faces = stage, total, 0, 0
        status.counter += 1
        self._seen.clear()
        self._write(time.monotonic())

    def _stop_if_asked(self) -> None:
        if self._is_draining():
            raise Draining("the worker was asked to stop; the job goes on from here later.")

    def _write(self, now: float) -> None:
        self._written = now
        self._measure(now)
        part = self._path.with_suffix(".json.part")
        with suppress(OSError):  # a full disk must not end the work; without signs of life the pool will
            part.write_text(json.dumps(asdict(self.status), ensure_ascii=True) + "\n", encoding="ascii")
            os.replace(part, self._path)

    def _measure(self, now: float) -> None:
        status, seen = self.status, self._seen
        seen.append((now, status.done))
        while seen[0][0] < now - _RATE_SECS:
            seen.popleft()
        secs, frames = now - seen[0][0], status.done - seen[0][1]
        status.fps = round(frames / secs, 2) if secs > 0 else 0.0
        status.remaining_secs = None
        if status.total is not None and status.fps > 0:
            status.remaining_secs = round(max(status.total - status.done, 0) / status.fps, 1)
        status.at = round(wall_secs(), 3)


def status_path(state_dir: Path, owner: str) -> Path:
    """Return where a worker's status lies."""
    return state_dir / "workers" / f"{owner}.json"


def read_status(path: Path) -> WorkerStatus | None:
    """Read what a worker wrote; None where there is nothing, or nothing that can be read."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
        return WorkerStatus(**{name: values[name] for name in WorkerStatus.__dataclass_fields__ if name in values})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
