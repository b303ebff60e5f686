"""The intake: from files in watch folders to queued jobs.

A look through every folder now and then is the truth; events (observer.py) only say where to look at once. A file is
sighted, settles, is fingerprinted and queued. Everything goes on from the job table after a crash; nothing here opens
media as media.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from .config import FolderConfig, WatchConfig
from .errors import AlreadyWatchedError, JobNotFoundError, MoveError
from .fault_points import reach
from .fingerprints import Fingerprint, Hashed, Hasher
from .folder_intake import FolderIntake, kind_by_name
from .job import Job, JobState
from .observer import Observer
from .readiness import Settling
from .settler import Settler
from .store import JobStore

logger = logging.getLogger(__name__)

_QUEUED_AT_ONCE = 200


class Intake:
    """Feeds the job table from watch folders. Call `tick` a few times a second, from one thread.

    Args:
        store: the job table.
        config: what is watched.
    """

    def __init__(self, store: JobStore, config: WatchConfig) -> None:
        self._store = store
        self._config = config
        self._hasher = Hasher(kind_by_name)
        self._observer = Observer(config.poll)
        self._folders = {folder.name: self._make(folder) for folder in config.folders}
        self._hashed: dict[int, Hashed] = {}

    def start(self) -> None:
        """Mark and lock the folders that are there, and begin to listen to what happens in them.

        Raises:
            AlreadyWatchedError: another process watches one of them; none is locked then.
        """
        _start(self._folders.values())
        self._observe()

    def stop(self) -> None:
        """End the threads, give the locks back; may be called twice."""
        self._observer.stop()
        self._hasher.stop()
        for folder in self._folders.values():
            folder.stop()

    def reload(self, config: WatchConfig) -> None:
        """Watch what another configuration says; sources that settle get its settings where they are sighted anew.

        Raises:
            AlreadyWatchedError: another process watches a folder that is new; everything stays as it was.
        """
        new = {each.name: self._make(each) for each in config.folders if each.name not in self._folders}
        _start(new.values())
        folders = {each.name: new.get(each.name) or self._folders[each.name] for each in config.folders}
        for name in self._folders.keys() - folders.keys():
            self._folders[name].stop()
        for each in config.folders:
            folders[each.name].configure(each)
        self._folders, self._config = folders, config
        self._observe()

    def tick(self, hints: Collection[str] = ()) -> bool:
        """Do what there is to do now.

        Args:
            hints: names of watch folders to look through at once, besides those in which something happened.

        Returns:
            whether the table was changed.

        Raises:
            StoreError: the table cannot be used now; nothing is lost, the next tick goes on.
        """
        self._observe()
        for name in self._observer.take() | frozenset(hints):
            if name in self._folders:
                self._folders[name].hint()
        is_changed = False
        for folder in list(self._folders.values()):
            is_changed |= folder.is_due and folder.look()
            is_changed |= folder.sight_some()
        self._hash_complete()
        return self._queue_hashed() or is_changed

    @property
    def is_quiet(self) -> bool:
        """All folders were looked through, and nothing in those that are there is settling or being read."""
        if self._hashed or not all(folder.is_quiet for folder in self._folders.values()):
            return False
        there = {name: folder for name, folder in self._folders.items() if not folder.away}
        settling = [job for job in self._store.list({JobState.SETTLING}) if job.folder in there]
        for job in settling:
            there[job.folder].hint()  # somebody sent it back there
        return not settling

    @property
    def away(self) -> frozenset[str]:
        """Names of watch folders that are not there, or not the right ones."""
        return frozenset(name for name, folder in self._folders.items() if folder.away)

    def detail(self, name: str) -> str:
        """Say how a watch folder is looked at, or why it is not: for people."""
        folder = self._folders.get(name)
        if folder is None:
            return "not watched"
        return folder.away or self._observer.detail(name)

    def _make(self, folder: FolderConfig) -> FolderIntake:
        return FolderIntake(self._store, folder, self._excluded, is_once=self._config.is_once)

    def _excluded(self) -> frozenset[tuple[int, int]]:
        """Device and inode of folders for results and for the table, which may lie in a watch folder."""
        places = {self._config.state_dir, *(folder.output for folder in self._config.folders)}
        return frozenset(identity for place in places if (identity := _identity(place)) is not None)

    def _observe(self) -> None:
        there = {name: folder for name, folder in self._folders.items() if not folder.away}
        self._observer.watch({name: (folder.config, folder.is_network) for name, folder in there.items()})

    def _hash_complete(self) -> None:
        """Have read what is complete, as much as there is room for."""
        for folder in self._folders.values():
            for settling in folder.complete(self._hasher.room):
                self._hasher.submit(settling.job, folder.config.path, settling.candidate.relative)
                settling.is_hashed = True

    def _queue_hashed(self) -> bool:
        """Queue what has its fingerprint; what fails on the way is kept for the next tick."""
        self._hashed |= {hashed.job_id: hashed for hashed in self._hasher.results()}
        ready = dict[int, tuple[Job, Fingerprint]]()
        for number, hashed in list(self._hashed.items())[:_QUEUED_AT_ONCE]:
            settler, settling = self._settler_of(number)
            if settling is None or not settling.is_hashed:  # it has ended, or began anew meanwhile
                del self._hashed[number]
            elif hashed.fingerprint is None or hashed.fingerprint.stamp != settling.candidate.stamp:
                del self._hashed[number]
                settler.take_back(hashed)
            else:
                ready[number] = settling.job, hashed.fingerprint
        if ready:
            reach("intake:hashed")
            self._queue(ready)
            reach("intake:queued")
        return bool(ready)

    def _queue(self, ready: dict[int, tuple[Job, Fingerprint]]) -> None:
        """Queue many in one transaction, or, if one of them settles no longer, one by one."""
        orders = [(job, read.sha256, read.stamp) for job, read in ready.values()]
        try:
            self._store.queue_many(orders)
        except (MoveError, JobNotFoundError):
            for order in orders:
                with suppress(MoveError, JobNotFoundError):  # somebody cancelled it
                    self._store.queue(*order)
        for number in ready:
            del self._hashed[number]
            self._settler_of(number)[0].forget([number])

    def _settler_of(self, number: int) -> tuple[Settler, Settling | None]:
        """Return who follows a job, and what is known of it; None if nobody does."""
        settlers = [folder.settler for folder in self._folders.values()]
        found = next((settler for settler in settlers if settler.get(number) is not None), settlers[0])
        return found, found.get(number)


def _start(folders: Collection[FolderIntake]) -> None:
    """Start all, or none."""
    try:
        for folder in folders:
            folder.start()
    except AlreadyWatchedError:
        for folder in folders:
            folder.stop()
        raise


def _identity(place: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(place)
    except OSError:
        return None
    return status.st_dev, status.st_ino
