"""A worker: claims one job after the other, has it done and published, or lets go of it.

Its process is made by worker_process.py. It ends where nothing is lost when it is asked to, and at once when the job
table is not the one it knows.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .adoption import find_result
from .clocks import boot_secs
from .errors import (
    Draining,
    JobNotFoundError,
    LostClaimError,
    OtherContentError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from .fault_points import reach
from .job import MOVES, TERMINAL, Job, JobKind, JobState, Stamp
from .progress_file import ProgressFile, WorkerStatus, status_path
from .publishing import JobPublisher, remove_work
from .retries import Release, after_error
from .roots import is_away

if TYPE_CHECKING:
    from .store import JobStore

logger = logging.getLogger(__name__)

POLL_SECS = 0.3
"""How often an idle worker looks for a job."""

_TROUBLE_SECS = 1.0
_INTERRUPTED = Release(JobState.QUEUED, "interrupted; it goes on from what is finished")


class JobHandler(Protocol):
    """Does the work of a job, up to calling the publisher."""

    def __call__(self, job: Job, progress: ProgressFile, publisher: JobPublisher, *, is_young: bool = False) -> None:
        """Convert; raise what `handlers.sort_error` knows."""
        ...


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to know; it travels to its process."""

    state_dir: Path
    """Folder of the job table, locks and status files."""
    owner: str
    """Its name in the table."""
    device: str = "auto"
    """Where its networks run if a job leaves that open."""
    num_threads: int | None = None
    """CPU threads for its networks; None leaves that to torch."""
    memory_bytes: int | None = None
    """Its memory is limited to so much; None: no limit."""
    backoff_secs: float = 2.0
    """First delay after a failure that may pass."""
    incomplete_secs: Mapping[str, float] = field(default_factory=dict)
    """By watch folder: so long after its last change an unreadable source is taken for an unfinished copy."""
    is_once: bool = False
    """Nothing is waited for: an unreadable source fails at once."""
    log_level: int = logging.WARNING
    """What it says on stderr."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The daemon's: the server that workers are forked from may be older than it."""
    make_handler: Callable[[Mapping[str, Any]], JobHandler] | None = None
    """What makes a handler for the choices of a job; None: pipeline's."""

    @property
    def store_path(self) -> Path:
        """The job table."""
        return self.state_dir / "jobs.sqlite"


class Worker:
    """The loop.

    Args:
        settings: see there.
        store: the job table.
        is_draining: tells whether to stop.
        pause: waits so many seconds, less when it is time to stop.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        store: JobStore,
        is_draining: Callable[[], bool],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._store = store
        self._is_draining = is_draining
        self._pause = pause
        self._is_spoiled = self._has_got_on = False
        self._handlers: dict[str, JobHandler] = {}
        self._progress = ProgressFile(
            status_path(settings.state_dir, settings.owner),
            WorkerStatus(settings.owner, os.getpid(), settings.device),
            is_mine=self._is_mine,
            is_draining=is_draining,
            on_checkpoint=self._forgive,
        )

    def run(self) -> None:
        """Claim and work until it is time to stop, or this process is not sound any more.

        Raises:
            StoreError: the job table cannot be used any more.
        """
        self._progress.start("", "", None)
        while not self._is_draining() and not self._is_spoiled:
            job = self._claim()
            if job is None:
                self._pause(POLL_SECS)
            else:
                self._progress.begin(job)
                self._attempt(job)
                self._progress.end()

    def _claim(self) -> Job | None:
        try:
            return self._store.claim(self._settings.owner)
        except (StoreFullError, StoreBusyError) as error:
            logger.warning("no job can be claimed now: %s", error)
            self._pause(_TROUBLE_SECS)
            return None

    def _attempt(self, job: Job) -> None:
        """Bring one job to its end, or let go of it."""
        publisher = JobPublisher(self._store, job, self._progress.tick, self._wait)
        self._has_got_on = False
        try:
            self._work(job, publisher)
        except LostClaimError as error:
            logger.info("%s", error)
            self._drop(job)
        except Exception as error:
            logger.info("job %d: %s", job.id, error, exc_info=logger.isEnabledFor(logging.DEBUG))
            if not publisher.is_visible:  # else whoever finds the job without its worker finishes it
                self._let_go(publisher.job, error)
        else:
            remove_work(job)

    def _work(self, job: Job, publisher: JobPublisher) -> None:
        reach("work:started")
        found = find_result(job, self._progress.tick)
        if found is not None:
            logger.info('job %d has its result already: "%s".', job.id, found.output)
            publisher.adopt(found)
        else:
            self._handler(job)(job, self._progress, publisher, is_young=self._is_young(job))
        if publisher.job.state is not JobState.DONE:
            raise RuntimeError(f"job {job.id} came back without a result.")

    def _handler(self, job: Job) -> JobHandler:
        """Return the handler for the job's choices: the last one if they are the same, for it holds the networks."""
        choices = dict(job.treatment.convert)
        if choices.get("device", "auto") == "auto":
            choices["device"] = self._settings.device
        key = repr(sorted(choices.items()))
        if key not in self._handlers:
            self._handlers.clear()
            self._handlers[key] = self._make_handler(choices)
        return self._handlers[key]

    def _make_handler(self, choices: Mapping[str, Any]) -> JobHandler:
        if self._settings.make_handler is not None:
            return self._settings.make_handler(choices)
        from .handlers import Handler

        return Handler(choices, self._settings.state_dir / "thumbnails")  # drawn while the source is surely there

    def _forgive(self, job: Job) -> None:
        """Forget what went wrong before: the job got further than ever, so a long one outlives many restarts."""
        if not self._has_got_on and (job.deaths or job.exceptions) and not _undone(job).exists():
            with suppress(StoreFullError, StoreBusyError):  # the next checkpoint will do
                self._store.forgive(job)
                self._has_got_on = True

    def _let_go(self, job: Job, error: Exception) -> None:
        """Release a job; where that cannot be done, recovery does it when this process has ended."""
        job = replace(job, deaths=0, exceptions=0) if self._has_got_on else job
        decided = self._decide(job, error)
        if decided.state not in MOVES[job.state]:  # from publishing one cannot go everywhere
            decided = replace(decided, state=JobState.QUEUED, delay_secs=self._settings.backoff_secs)
        with suppress(Draining, LostClaimError):
            while not self._is_released(job, decided):
                continue
        if decided.state in (JobState.FAILED, JobState.CANCELLED):
            remove_work(job)

    def _is_released(self, job: Job, decided: Release) -> bool:
        try:
            decided.of(self._store, job)
        except (StoreFullError, StoreBusyError) as error:
            self._wait(error)
            return False
        return True

    def _drop(self, job: Job) -> None:
        """Turn away from a job that is somebody else's, whose work must stay, or that was cancelled."""
        with suppress(StoreError, JobNotFoundError):
            if self._store.get(job.id).state in TERMINAL:
                remove_work(job)

    def _decide(self, job: Job, error: Exception) -> Release:
        from .handlers import Verdict, sort_error

        verdict = Verdict("changed", reason=str(error)) if isinstance(error, OtherContentError) else sort_error(error)
        self._is_spoiled = verdict.is_process_spoiled
        if verdict.undoes_work:
            with suppress(OSError):
                _undone(job).touch()
        if verdict.kind in ("wait", "changed", "retry") and not os.path.lexists(job.source):
            return self._without_source(job)
        if verdict.kind == "retry" and self._is_draining():  # a service manager may have ended ffmpeg as well
            return _INTERRUPTED
        return after_error(job, verdict, self._settings.backoff_secs, is_young=self._is_young(job), stamp=_stamp(job))

    def _without_source(self, job: Job) -> Release:
        """A source that is gone was taken back by somebody; unless all of its watch folder is gone."""
        if is_away(Path(job.folder), self._store.folder_mark(job.folder)):
            return Release(JobState.BLOCKED, f'the watch folder "{job.folder}" is away', block="source")
        return Release(JobState.CANCELLED, "its source is gone")

    def _is_young(self, job: Job) -> bool:
        """Tell whether a source may still be an unfinished copy."""
        if self._settings.is_once:
            return False
        return boot_secs() - job.stamped_boot_secs < self._settings.incomplete_secs.get(job.folder, 600.0)

    def _is_mine(self, job: Job) -> bool:
        try:
            return self._store.is_mine(job)
        except (StoreFullError, StoreBusyError):  # cannot be told; before anything is published it is asked again
            return True

    def _wait(self, error: Exception) -> None:
        """Wait before a step is done again that must not be left out.

        Raises:
            Draining: it is time to stop; recovery does the step.
        """
        logger.warning("trying again soon: %s", error)
        if self._is_draining():
            raise Draining("the worker was asked to stop.") from error
        self._progress.tick()
        self._pause(_TROUBLE_SECS)


def _undone(job: Job) -> Path:
    """Return the file that says that a job's work is done a second time."""
    return job.work_folder / "undone"


def _stamp(job: Job) -> Stamp | None:
    """Return the stamp of a job's source as it is now; the intake knows those of folders."""
    try:
        return None if job.kind is JobKind.FOLDER else Stamp.of(job.source.lstat())
    except OSError:
        return None
