"""The daemon: the parent of everything that watches folders and works. One loop, a few rounds a second.

It never opens media (decoders crash; workers may): it sees names, times, locks and hashes. Whatever kills it, the table
holds all that the next one needs.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from .aftermath import Aftermath
from .clocks import boot_secs
from .config import FolderConfig, WatchConfig
from .config_files import ConfigFile
from .errors import AlreadyWatchedError, StoreBusyError, StoreFullError
from .find_table import TABLE_NAME
from .health import FolderHealth, Heartbeat
from .intake import Intake
from .job import JobState
from .journal import LOG_NAME, Journal, log_file
from .leftovers import Leftovers, remove_temporaries
from .locks import OwnerLocks, new_owner
from .pool import Pool, PoolSettings, find_devices
from .recovery import recover
from .roots import is_away
from .rounds import Rounds
from .schedule import parse_schedule, told
from .signals import EXIT_INTERRUPTED, StopRequests, stop_requests
from .store import JobStore, open_store
from .territory import Territory
from .waking import Waker

logger = logging.getLogger(__name__)

ROUND_SECS = 0.25
"""The loop goes round so often."""

_RECOVERY_SECS = 1.0
_CONFIG_SECS = 1.0
_TROUBLE_SECS = 2.0


class Daemon:
    """Watches folders until it is stopped, or with `is_once` until all that lies there is through.

    Args:
        config: what is watched, and how.
        rebuild: go on with a new table where the old one is damaged.
        make_pool: makes the workers; tests have others.
    """

    def __init__(
        self, config: WatchConfig, *, rebuild: bool = False, make_pool: Callable[[PoolSettings], Pool] = Pool
    ) -> None:
        self._config = config
        self._rebuild = rebuild
        self._make_pool = make_pool

    def run(self) -> int:
        """Watch and work.

        Returns:
            0; with `is_once` 1 if a job failed in this run or waits for something that is missing; 130 after a second
            signal.

        Raises:
            AlreadyWatchedError: another daemon uses the state folder, or watches one of the folders.
            StoreError: the job table cannot be used.
            Exception: ffmpeg is missing (pipeline's FfmpegError).
        """
        from .handlers import check_programs

        check_programs()
        state_dir = self._config.state_dir
        with ExitStack() as stack:
            outputs = [folder.output for folder in self._config.folders]
            territory = stack.enter_context(Territory(state_dir, outputs))
            stack.enter_context(log_file(state_dir / LOG_NAME))
            is_service = self._config.source_file is not None and not (sys.stdin and sys.stdin.isatty())
            stop = stack.enter_context(stop_requests(is_hangup_reload=is_service))
            store = stack.enter_context(open_store(state_dir / TABLE_NAME, check=True, rebuild=self._rebuild))
            owner = new_owner()
            lock = stack.enter_context(OwnerLocks(state_dir).hold(owner))
            stack.callback(lock.path.unlink, missing_ok=True)
            pool = self._make_pool(_pool_settings(self._config))
            return _Run(self._config, store, pool, territory, stop, owner).run()


class _Run:
    """One run of a daemon, from the open table to the exit code."""

    def __init__(
        self,
        config: WatchConfig,
        store: JobStore,
        pool: Pool,
        territory: Territory,
        stop: StopRequests,
        owner: str,
    ) -> None:
        self._config = config
        self._store = store
        self._stop = stop
        self._owner = owner
        self._file = ConfigFile(config)
        self._locks = OwnerLocks(config.state_dir)
        self._intake = Intake(store, config)
        self._pool = pool
        self._territory = territory
        self._aftermath = Aftermath(store, self._is_away, owner)
        self._waker = Waker(store, config.blocked_secs, self._is_away)
        self._journal = Journal(store, config.state_dir)
        self._leftovers = Leftovers(store, config.state_dir)
        self._heart = Heartbeat(config.state_dir)
        self._next_look = 0.0
        self._rounds = Rounds()
        self._is_over = False

    def run(self) -> int:
        """Start, go round, come to an end."""
        logger.info("watching %s; the job table is in %s.", _names(self._config), self._config.state_dir)
        with self._workers():
            self._begin()
            while not self._stop.is_stopping and not self._is_over:
                self._round()
                self._stop.wait(_TROUBLE_SECS if self._rounds.troubles else ROUND_SECS)
            return self._end()

    def _begin(self) -> None:
        """Take up what the last daemon left, before anything new begins; wait where the table's disk is full."""
        while not self._stop.is_stopping:
            try:
                self._intake.start()
                break
            except (StoreFullError, StoreBusyError) as error:
                logger.warning("nothing can begin: %s", error)
                self._stop.wait(_TROUBLE_SECS)
        if self._store.is_paused():
            logger.warning("paused: nothing is started until `jobs resume`.")
        self._rounds.do("journal", self._journal.begin)
        self._rounds.do("recovery", self._recover)
        self._rounds.do("leftovers", self._sweep)
        self._rounds.do("open folders", self._open_folders)
        self._rounds.do("workers", self._pool.start)

    def _sweep(self) -> None:
        """Remove all that dead processes left."""
        self._leftovers.sweep(self._outputs(), is_over=True)
        for folder in self._outputs():
            remove_temporaries(folder)

    def _round(self) -> None:
        """Do a bit of everything; what goes wrong in one part stops no other."""
        self._rounds.do("configuration", self._look_at_config)
        self._rounds.do("intake", self._intake.tick)
        self._rounds.do("workers", self._pool.tick)
        self._rounds.do("cancelled jobs", lambda: self._pool.end_strays(self._store.holders()), _RECOVERY_SECS)
        self._rounds.do("recovery", self._recover, _RECOVERY_SECS)
        self._rounds.do("open folders", self._open_folders, _RECOVERY_SECS)
        self._rounds.do("blocked jobs", self._waker.tick)
        self._rounds.do("aftermath", self._aftermath.tick)
        self._rounds.do("leftovers", lambda: self._leftovers.tick(self._outputs))
        self._rounds.do("journal", self._journal.tick)
        self._rounds.do("sign of life", lambda: self._beat("watching"))
        if self._config.is_once and not self._rounds.troubles:
            self._rounds.do("end", self._look_for_end)

    def _end(self) -> int:
        """Let the workers come to where nothing is lost; do not wait when asked twice."""
        if self._stop.is_stopping:
            logger.info("stopping: workers come to the end of a chunk; asked once more, it ends at once.")
        is_away = bool(self._intake.away)
        self._intake.stop()
        self._pool.drain()
        until = boot_secs() + self._config.grace_secs
        while not self._stop.is_urgent and self._is_busy(until):
            self._pool.tick()
            self._rounds.do("aftermath", self._aftermath.collect)
            self._rounds.do("journal", self._journal.tick)
            self._rounds.do("sign of life", lambda: self._beat("draining"))
            self._stop.wait(ROUND_SECS / 5)
        if self._stop.is_urgent:
            logger.warning("asked twice: ending at once; jobs go on from here later.")
        self._pool.kill()
        self._aftermath.stop()
        self._rounds.do("recovery", self._recover)
        self._rounds.do("leftovers", self._sweep)
        self._rounds.do("journal", self._journal.flush)
        self._heart.stop()
        return EXIT_INTERRUPTED if self._stop.is_urgent else self._verdict(is_away=is_away)

    def _is_busy(self, until: float) -> bool:
        """Workers are on their way to an end; or a user's command runs, and the time for that is not over."""
        return not self._pool.is_idle or (self._aftermath.is_running and boot_secs() < until)

    @contextmanager
    def _workers(self) -> Iterator[None]:
        """Leave no process behind, whatever happens."""
        try:
            yield
        finally:
            self._pool.kill()
            self._intake.stop()
            self._aftermath.stop()

    def _recover(self) -> None:
        recover(
            self._store,
            self._locks,
            self._owner,
            backoff_secs=self._config.backoff_secs,
            ending_of=self._pool.ending_of,
            tick=lambda: self._beat("watching"),
        )

    def _look_at_config(self) -> None:
        """Read watch.toml again when it changed, or when asked to (SIGHUP)."""
        is_asked = self._stop.take_reload()
        if not is_asked and boot_secs() < self._next_look:
            return
        self._next_look = boot_secs() + _CONFIG_SECS
        if not self._file.changed() and not is_asked:
            return
        config = self._file.reload()
        if config is not None:
            self._take(config)

    def _take(self, config: WatchConfig) -> None:
        try:
            self._territory.extend(folder.output for folder in config.folders)
            self._intake.reload(config)
        except (OSError, AlreadyWatchedError) as error:
            logger.warning("%s The configuration from before stays.", error)
            return
        self._config = config
        self._waker.every_secs = config.blocked_secs
        self._open_folders()
        logger.info("the configuration was read again: watching %s.", _names(config))

    def _open_folders(self) -> None:
        """Put on record of which watch folders no job may start now."""
        closed, before = self._closed(), self._store.closed_folders()
        if closed == before:
            return
        self._store.close_folders(closed)
        for folder in self._config.folders:
            if folder.name in closed - before and (when := _told_schedule(folder)):
                logger.info('of "%s" %s.', folder.name, when)

    def _closed(self) -> frozenset[str]:
        """Folders whose time it is not, and those that are away: nothing is begun whose source cannot be seen."""
        now = datetime.now()
        timed = {f.name for f in self._config.folders if f.schedule and not parse_schedule(f.schedule).is_open(now)}
        return frozenset(timed | {folder.name for folder in self._config.folders if self._is_away(folder.name)})

    def _places(self) -> frozenset[tuple[str, Path]]:
        return self._store.places() | {(folder.name, folder.output) for folder in self._config.folders}

    def _outputs(self) -> frozenset[Path]:
        """Folders for results that are ours to clear up in."""
        return frozenset(output for _, output in self._places() if self._territory.holds(output))

    def _is_away(self, name: str) -> bool:
        return is_away(Path(name), self._store.folder_mark(name))

    def _look_for_end(self) -> None:
        """With `is_once`: it is over when nothing is left that will come to an end by itself."""
        counts = self._store.counts()
        if any(counts[state] for state in (JobState.SETTLING, JobState.RUNNING, JobState.PUBLISHING)):
            return
        if self._intake.is_quiet and not (counts[JobState.QUEUED] and self._may_start()):
            self._is_over = self._aftermath.is_idle

    def _may_start(self) -> bool:
        """Tell whether a queued job will be claimed at some time without anybody's help."""
        if self._store.is_paused():
            return False
        closed = self._closed()
        return any(not job.is_held and job.folder not in closed for job in self._store.list({JobState.QUEUED}))

    def _verdict(self, *, is_away: bool) -> int:
        """With `is_once`: 1 if a job of this run failed, or is blocked, or a watch folder is away."""
        if not self._config.is_once:
            return 0
        is_stuck = self._store.counts()[JobState.BLOCKED] > 0
        return int(is_away or is_stuck or bool(self._journal.failed))

    def _beat(self, state: str) -> None:
        if not self._heart.is_due():
            return
        folders = [self._health_of(folder) for folder in self._config.folders]
        counts = {state.value: number for state, number in self._store.counts().items()}
        self._heart.beat(
            "paused" if state == "watching" and self._store.is_paused() else state,
            folders,
            workers=[vars(status) for status in self._pool.running()],
            counts=counts,
            trouble=self._rounds.summary(),
            last_error=self._rounds.last_error,
        )

    def _health_of(self, folder: FolderConfig) -> FolderHealth:
        details = (self._intake.detail(folder.name), _told_schedule(folder))
        return FolderHealth(folder.name, not self._is_away(folder.name), "; ".join(filter(None, details)))


def _pool_settings(config: WatchConfig) -> PoolSettings:
    return PoolSettings(
        config.state_dir,
        config.workers,
        config.devices or find_devices(),
        config.stall_secs,
        config.grace_secs,
        config.memory_bytes,
        config.backoff_secs,
        config.is_once,
        {folder.name: folder.incomplete_secs for folder in config.folders},
    )


def _told_schedule(folder: FolderConfig) -> str:
    return told(parse_schedule(folder.schedule), datetime.now()) if folder.schedule else ""


def _names(config: WatchConfig) -> str:
    return ", ".join(f'"{folder.name}"' for folder in config.folders)
