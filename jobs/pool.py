"""The daemon's side of its workers: starts them, starts them again, watches over them, ends them.

Workers are forked from a server process that has torch loaded, so that a new one is there in milliseconds. Nothing
here blocks for long: `tick` is called a few times a second.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from .locks import new_owner
from .pool_settings import PRELOAD, PoolSettings, find_devices
from .process_tree import anonymous_bytes, kill_marked, kill_tree
from .progress_file import WorkerStatus, read_status, status_path
from .recovery import Ending
from .worker import WorkerSettings
from .worker_process import work

__all__ = ["PRELOAD", "Pool", "PoolSettings", "find_devices"]

logger = logging.getLogger(__name__)

_LOOK_SECS = 1.0
_FIRST_RESTART_SECS = 0.25
_MAX_RESTART_SECS = 60.0
_SETTLED_SECS = 30.0
_MAX_ENDINGS = 256
_EXIT_SECS = 1.0
_KILL_SECS = 5.0
_STRAY_SECS = 5.0


class Pool:
    """The workers of a daemon."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(list(settings.preload))
        count = settings.workers or len(settings.devices)
        devices = [settings.devices[index % len(settings.devices)] for index in range(count)]
        self._seats = [_Seat(self, index, device) for index, device in enumerate(devices)]
        self._endings: dict[str, Ending] = {}
        self._grace_until: float | None = None

    @property
    def settings(self) -> PoolSettings:
        """What it was made with."""
        return self._settings

    @property
    def is_draining(self) -> bool:
        """Workers were asked to stop; none is started any more."""
        return self._grace_until is not None

    @property
    def is_idle(self) -> bool:
        """No worker process lives."""
        return all(seat.process is None for seat in self._seats)

    def start(self) -> None:
        """Start the workers."""
        self._grace_until = None
        self.tick()

    def tick(self) -> None:
        """Look after the workers: note who died, start new ones, end those that hang or hold too much memory."""
        now = time.monotonic()
        for seat in self._seats:
            seat.reap(now)
            if seat.process is not None:
                seat.look(now)
            elif not self.is_draining and now >= seat.next_start:
                seat.start()
        if self._grace_until is not None and now >= self._grace_until and not self.is_idle:
            logger.warning("workers are still busy after %g s and are ended.", self._settings.grace_secs)
            self.kill()

    def end_strays(self, holders: Collection[str]) -> None:
        """End workers that are still at a job that was taken from them a while ago: they hang.

        Args:
            holders: workers that have a job, by the table.
        """
        for seat in self._seats:
            seat.end_stray(holders, time.monotonic())

    def drain(self) -> None:
        """Ask all workers to stop where nothing is lost; who does not within the grace time is ended by `tick`."""
        if self._grace_until is None:
            self._grace_until = time.monotonic() + self._settings.grace_secs
        for seat in self._seats:
            seat.drain()

    def kill(self) -> None:
        """End all workers and whatever they started, now; their jobs do not count it as a death."""
        self._grace_until = self._grace_until if self._grace_until is not None else time.monotonic()
        for seat in self._seats:
            seat.end(Ending("its worker was ended with the daemon", is_counted=False))
        for seat in self._seats:
            seat.join(_KILL_SECS)

    def ending_of(self, owner: str) -> Ending:
        """Tell how a worker of this pool, whose lock is free by now, ended: for recovery."""
        for seat in self._seats:
            if seat.owner == owner:  # its lock goes a moment before its exit code comes
                seat.join(_EXIT_SECS)
        return self._endings.get(owner, Ending())

    def running(self) -> list[WorkerStatus]:
        """Return what every living worker says about itself."""
        found = [seat.status for seat in self._seats if seat.process is not None]
        return [status for status in found if status is not None]

    def pids(self) -> list[int]:
        """Return the processes of the living workers."""
        return [seat.process.pid for seat in self._seats if seat.process is not None and seat.process.pid]

    def note_ending(self, owner: str, ending: Ending) -> None:
        """Remember how a worker ended."""
        self._endings.setdefault(owner, ending)
        if len(self._endings) > _MAX_ENDINGS:  # its jobs were recovered long ago
            del self._endings[next(iter(self._endings))]

    def spawn(self, device: str) -> tuple[str, ForkServerProcess, Connection]:
        """Start a worker process; return its name, its process and the pipe to it."""
        settings = self._settings
        owner, (ours, theirs) = new_owner(), self._context.Pipe()
        told = WorkerSettings(
            settings.state_dir,
            owner,
            device,
            num_threads=max(1, _num_cores() // len(self._seats)),
            memory_bytes=settings.memory_bytes,
            backoff_secs=settings.backoff_secs,
            incomplete_secs=dict(settings.incomplete_secs),
            is_once=settings.is_once,
            log_level=logging.getLogger().getEffectiveLevel(),
            environment=dict(os.environ),
            make_handler=settings.make_handler,
        )
        process = self._context.Process(target=work, args=(told, theirs), name=f"worker-{owner}", daemon=True)
        process.start()
        theirs.close()
        return owner, process, ours


class _Seat:
    """The place of one worker: who sits there now, and how those before fared."""

    def __init__(self, pool: Pool, index: int, device: str) -> None:
        self._pool = pool
        self._settings = pool.settings
        self._index = index
        self._device = device
        self.owner = ""
        self._connection: Connection | None = None
        self._started = self._looked = self._moved = 0.0
        self._counter = -1
        self._sign: object = None
        self._failures = 0
        self.process: ForkServerProcess | None = None
        self.status: WorkerStatus | None = None
        self.next_start = 0.0
        self._stray_since: float | None = None

    def start(self) -> None:
        """Put a new worker here."""
        try:
            self.owner, self.process, self._connection = self._pool.spawn(self._device)
        except (OSError, EOFError) as error:  # no more processes, or the server died at this moment
            self._wait_for_restart(time.monotonic(), f"no worker could be started: {error}")
            return
        self._started = self._moved = self._looked = time.monotonic()
        self._counter, self._sign, self.status = -1, None, None
        logger.debug("worker %s is process %s.", self.owner, self.process.pid)

    def drain(self) -> None:
        """Ask the worker to stop: by a signal, and by the pipe where it is too young for signals."""
        with suppress(OSError):
            if self._connection is not None:
                self._connection.send("drain")
        if self.process is not None and self.process.is_alive():
            self.process.terminate()

    def end(self, ending: Ending) -> None:
        """Kill the worker and all below it."""
        if self.process is not None and self.process.pid is not None and self.process.is_alive():
            self._pool.note_ending(self.owner, ending)
            kill_tree(self.process.pid)

    def end_stray(self, holders: Collection[str], now: float) -> None:
        """End the worker if it has been at a job for a while that is not its own."""
        is_stray = self.status is not None and self.status.job is not None and self.owner not in holders
        self._stray_since = (self._stray_since or now) if is_stray else None
        if self._stray_since is not None and now - self._stray_since >= _STRAY_SECS:
            self._stray_since = None
            self.end(Ending("its worker did not let go of a cancelled job", is_counted=False))

    def join(self, secs: float) -> None:
        """Wait so long for the end of a worker that must be about to end."""
        if self.process is not None:
            self.process.join(secs)
            self.reap(time.monotonic())

    def reap(self, now: float) -> None:
        """Note that the worker died, clear up after it and decide when the next one comes."""
        if self.process is None or self.process.is_alive():
            return
        code, self.process = self.process.exitcode, None
        if self._connection is not None:
            self._connection.close()
        kill_marked(self.owner)
        last = read_status(status_path(self._settings.state_dir, self.owner))
        self.status = None
        was_useful = last is not None and (last.jobs > 0 or now - self._started > _SETTLED_SECS)
        if code == 0:
            self._pool.note_ending(self.owner, Ending("its worker stopped", is_counted=False))
        if code == 0 and (was_useful or self._pool.is_draining):  # asked to, or it did not trust itself any more
            self._failures, self.next_start = 0, now
            return
        self._pool.note_ending(self.owner, Ending(f"its worker {_told(code)}"))
        self._failures = 1 if was_useful else self._failures + 1
        self._wait_for_restart(now, f"worker {self.owner} {_told(code)}")

    def look(self, now: float) -> None:
        """See whether the worker gets on, and what memory it holds."""
        since_secs = now - self._looked
        if since_secs < _LOOK_SECS:
            return
        self._looked = now
        self._moved += max(since_secs - 2 * _LOOK_SECS, 0.0)  # time in which nobody looked: this process stood still
        self.status = read_status(status_path(self._settings.state_dir, self.owner))
        if self._is_stalled(now):
            self.end(Ending(f"it made no progress for {self._settings.stall_secs:g} s and was ended"))
        elif self._holds_too_much():
            self.end(Ending(f"its worker needed more than {_mib(self._settings.memory_bytes)} of memory and was ended"))

    def _is_stalled(self, now: float) -> bool:
        status = self.status
        if status is not None and (status.job is None or self._is_moving(status)):
            self._moved = now
        return now - self._moved >= self._settings.stall_secs

    def _is_moving(self, status: WorkerStatus) -> bool:
        """Tell whether the worker gave a sign of life, or something was written for its job, since the last look."""
        if status.counter != self._counter:
            self._counter = status.counter
            return True
        before, self._sign = self._sign, signature(Path(status.work_folder))
        return before != self._sign

    def _holds_too_much(self) -> bool:
        most, process = self._settings.memory_bytes, self.process
        if most is None or process is None or process.pid is None:
            return False
        return anonymous_bytes(process.pid) > most

    def _wait_for_restart(self, now: float, why: str) -> None:
        delay_secs = min(_FIRST_RESTART_SECS * 2.0 ** max(self._failures - 1, 0), _MAX_RESTART_SECS)
        self.next_start = now + delay_secs
        logger.warning("%s; the next one comes in %g s.", why, delay_secs)


def signature(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return names, sizes and times of all files in a folder: it changes while somebody works there."""
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                status = os.lstat(os.path.join(parent, name))
                found.append((os.path.join(parent, name), status.st_size, status.st_mtime_ns))
    return tuple(sorted(found))


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _told(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def _mib(num_bytes: int | None) -> str:
    return f"{(num_bytes or 0) >> 20} MiB"
