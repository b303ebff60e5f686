"""A worker: a process of its own that claims one job after the other, has it done and published, or lets go of it.

It ends with the daemon, by SIGKILL if need be. It holds a lock as long as it lives: that is how others know that its
job is in good hands. SIGTERM makes it stop where nothing is lost.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .disks import free_bytes
from .errors import LostClaimError, OutputTakenError, StoreError
from .fault_points import reach
from .job import Job, JobState
from .locks import OwnerLocks
from .process_tree import OWNER_VARIABLE, die_with_parent
from .progress_file import ProgressFile, WorkerStatus, status_path
from .publishing import JobPublisher, adopt, is_published, remove_work
from .recovery import release
from .retries import Release, after_error

if TYPE_CHECKING:
    from .handlers import Verdict
    from .store import JobStore

logger = logging.getLogger(__name__)

_POLL_SECS = 0.3
_TROUBLE_SECS = 2.0


class JobHandler(Protocol):
    """Does the work of a job, up to calling the publisher."""

    def __call__(self, job: Job, progress: ProgressFile, publisher: JobPublisher) -> None:
        """Convert; raise what `sort_error` knows."""
        ...


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to know; it travels to its process."""

    store_path: Path
    """The job table."""
    state_dir: Path
    """Folder of locks and status files."""
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
    is_once: bool = False
    """Nothing is waited for: an unreadable source fails at once."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The daemon's: the server that workers are forked from may be older than it."""
    make_handler: Callable[[Mapping[str, Any]], JobHandler] | None = None
    """What makes a handler for the choices of a job; None: pipeline's."""


class Orders:
    """What the daemon tells its worker while it runs, over a pipe: which folders are open, and to stop."""

    def __init__(self, connection: Connection) -> None:
        self.folders: tuple[str, ...] | None = None
        self._connection = connection
        self._is_draining = False

    def drain(self) -> None:
        """Take no more jobs."""
        self._is_draining = True

    @property
    def is_draining(self) -> bool:
        """The worker shall stop."""
        self.read(0.0)
        return self._is_draining

    def read(self, wait_secs: float) -> None:
        """Take in what the daemon said; wait so long for something."""
        try:
            while self._connection.poll(wait_secs):
                kind, value = self._connection.recv()
                self.folders = value if kind == "folders" else self.folders
                self._is_draining |= kind == "drain"
                wait_secs = 0.0
        except (EOFError, OSError):  # the daemon is gone
            self._is_draining = True


def work(settings: WorkerSettings, connection: Connection) -> None:
    """Be a worker until told to stop: the entry of its process."""
    orders = Orders(connection)
    signal.signal(signal.SIGTERM, lambda number, frame: orders.drain())
    _tie_to_daemon()
    os.environ.update({**settings.environment, OWNER_VARIABLE: settings.owner})
    faulthandler.enable()
    _limit(settings)
    from .store import open_store

    with OwnerLocks(settings.state_dir).hold(settings.owner), open_store(settings.store_path) as store:
        Worker(settings, store, orders).run()


class Worker:
    """The loop.

    Args:
        settings: see there.
        store: the job table.
        orders: what the daemon says.
    """

    def __init__(self, settings: WorkerSettings, store: JobStore, orders: Orders) -> None:
        self._settings = settings
        self._store = store
        self._orders = orders
        self._handlers: dict[str, JobHandler] = {}
        status = WorkerStatus(settings.owner, os.getpid(), settings.device)
        self._progress = ProgressFile(
            status_path(settings.state_dir, settings.owner),
            status,
            is_mine=store.is_mine,
            is_draining=lambda: orders.is_draining,
        )

    def run(self) -> None:
        """Claim and work until told to stop."""
        self._progress.start("", "", None)
        while not self._orders.is_draining:
            job = self._claim()
            if job is None:
                self._orders.read(_POLL_SECS)
            else:
                self._progress.begin(job)
                self._attempt(job)
                self._progress.end()

    def _claim(self) -> Job | None:
        reach("claim:before")
        try:
            job = self._store.claim(self._settings.owner, self._orders.folders)
        except (sqlite3.Error, StoreError, OSError) as error:  # the table's disk is full, or somebody holds it
            logger.warning("no job can be claimed now: %s", error)
            self._orders.read(_TROUBLE_SECS)
            return None
        if job is not None:
            reach("claim:committed")
        return job

    def _attempt(self, job: Job) -> None:
        """Bring one job to its end, or let go of it."""
        publisher = JobPublisher(self._store, job, self._progress.tick)
        try:
            if is_published(job, self._progress.tick):
                publisher.job = adopt(self._store, job)
            else:
                self._work(job, publisher)
        except LostClaimError as error:
            logger.info("%s", error)
            remove_work(job)
        except Exception as error:
            logger.debug("job %d went wrong.", job.id, exc_info=error)
            self._let_go(publisher.job, error)
        else:
            remove_work(job)

    def _work(self, job: Job, publisher: JobPublisher) -> None:
        reach("work:started")
        _check_output_folder(job)
        job.work_folder.mkdir(parents=True, exist_ok=True)
        self._handler(job)(job, self._progress, publisher)
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
            self._handlers[key] = self._make_handler()(choices)
        return self._handlers[key]

    def _make_handler(self) -> Callable[[Mapping[str, Any]], JobHandler]:
        if self._settings.make_handler is not None:
            return self._settings.make_handler
        from .handlers import Handler

        return Handler

    def _let_go(self, job: Job, error: Exception) -> None:
        decided = self._decide(job, error)
        reach("release:before")
        self._persist(lambda: release(self._store, job, decided))
        reach("release:committed")
        if decided.state in (JobState.FAILED, JobState.CANCELLED):
            remove_work(job)

    def _decide(self, job: Job, error: Exception) -> Release:
        if isinstance(error, OutputTakenError):
            return Release(JobState.FAILED, str(error))
        if isinstance(error, _CannotBegin):
            return Release(JobState.BLOCKED, str(error), block=error.block)
        from .handlers import sort_error

        verdict: Verdict = sort_error(error)
        if verdict.kind == "retry" and self._orders.is_draining:  # a service manager may have ended ffmpeg as well
            return Release(JobState.QUEUED, "interrupted; it goes on where it was.")
        is_young = not self._settings.is_once
        return after_error(job, verdict, self._settings.backoff_secs, is_young=is_young)

    def _persist(self, change: Callable[[], object]) -> None:
        """Write to the table, however long its disk is full; what is given up when draining is recovered later."""
        while True:
            try:
                change()
                return
            except LostClaimError as error:
                logger.info("%s", error)
                return
            except (sqlite3.Error, StoreError, OSError) as error:
                logger.warning("the job table cannot be written to: %s", error)
                if self._orders.is_draining:
                    return
                self._progress.tick()
                self._orders.read(_TROUBLE_SECS)


class _CannotBegin(Exception):
    """A job is blocked before it was begun."""

    def __init__(self, block: str, message: str) -> None:
        super().__init__(message)
        self.block = block


def _check_output_folder(job: Job) -> None:
    if not job.output_folder.is_dir():
        raise _CannotBegin("output", f'the folder for results "{job.output_folder}" is not there.')
    free, least = free_bytes(job.output_folder), job.treatment.min_free_bytes
    if free < least:
        raise _CannotBegin("disk", f'"{job.output_folder}" has {free >> 20} MiB free; {least >> 20} MiB are asked for.')


def _tie_to_daemon() -> None:
    """End when the daemon ends: the server that forked us ends with it, and we with the server; or we see it here."""
    os.setpgid(0, 0)
    die_with_parent()
    daemon = parent_process()
    if daemon is None:  # run in the foreground, by a test
        return
    threading.Thread(target=_end_with, args=(daemon.sentinel,), name="daemon-watch", daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os.killpg(0, signal.SIGKILL)


def _limit(settings: WorkerSettings) -> None:
    """Limit memory and threads."""
    if settings.memory_bytes is not None and not settings.device.startswith("cuda"):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (settings.memory_bytes, most))
    if settings.num_threads is not None and settings.make_handler is None:
        import cv2
        import torch

        torch.set_num_threads(settings.num_threads)
        cv2.setNumThreads(settings.num_threads)


def _now() -> float:
    return time.monotonic()
