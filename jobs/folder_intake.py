"""The intake of one watch folder: looks through it, and tells the job table what is new, changed or gone."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from .arrivals import Known, compare
from .candidates import Candidate, Rules, candidates
from .config import FolderConfig
from .disks import is_network_fs
from .errors import AlreadyWatchedError, JobNotFoundError, OddSourceError, WatchFolderError
from .fault_points import reach
from .handlers import kind_of, style_names
from .job import TERMINAL, JobKind, JobState
from .names import shown
from .readiness import NETWORK_SETTLE_SECS, Settling
from .roots import Root
from .settler import Patience, Settler
from .sightings import Sightings
from .single_source import look_at
from .store import JobStore
from .tree import Reading, Tree, TreeReader

logger = logging.getLogger(__name__)

_ONE_BY_ONE = "its files are taken one by one, because it holds videos, or files that have jobs of their own"
_SIGHTINGS_AT_ONCE = 500
_OPEN = frozenset(JobState) - TERMINAL
_HINT_SECS = 0.3
_REST = 10.0
"""However many events there are, a folder rests this many times as long as it takes to look through it."""


class FolderIntake:
    """One watch folder."""

    def __init__(
        self,
        store: JobStore,
        config: FolderConfig,
        excluded: Callable[[], frozenset[tuple[int, int]]],
        *,
        is_once: bool = False,
    ) -> None:
        """Describe it; nothing is touched yet.

        Args:
            store: the job table.
            config: the watch folder's settings.
            excluded: returns device and inode of folders that are not looked into.
            is_once: nobody waits for what cannot be read now.
        """
        self.config = config
        self.settler = Settler(store)
        self.away = ""
        """Why the folder is not looked through; empty while it is."""
        self.is_through = False
        """The last look found nothing to do; what was done after the one before may have set other sources free."""
        self.is_network = False
        self._store = store
        self._excluded = excluded
        self._is_once = is_once
        self._root = Root(config.path, self._token, self._set_token, self._is_another)
        self._unsighted: list[Candidate] = []
        self._oddities = set[str]()
        self._next_secs = 0.0
        self._rest_until_secs = 0.0

    def start(self) -> None:
        """Mark and lock the folder, if it is there.

        Raises:
            AlreadyWatchedError: another process watches it.
        """
        try:
            with self._root.opened():
                self._find_out()
        except WatchFolderError as error:
            self._tell_away(str(error))

    def stop(self) -> None:
        """Give the lock back."""
        self._root.release()

    def configure(self, config: FolderConfig) -> None:
        """Go on with other settings for the same path."""
        self.config = config
        self.is_through = False
        self.hint()

    def hint(self) -> None:
        """Look through the folder soon."""
        soon = max(time.monotonic() + _HINT_SECS, self._rest_until_secs)
        self._next_secs = min(self._next_secs, soon)

    @property
    def is_due(self) -> bool:
        """It is time to look through the folder."""
        return time.monotonic() >= self._next_secs

    @property
    def is_quiet(self) -> bool:
        """It was looked through, and there was nothing to do. If that is not so it will be looked through soon."""
        if not self.is_through:
            self.hint()
        return self.is_through

    def look(self) -> bool:
        """Look through the folder, note what is new or changed, and cancel what is gone.

        Returns:
            whether anything was cancelled.
        """
        began = time.monotonic()
        is_ended = False
        self._next_secs = began + self.config.rescan_secs
        try:
            with self._root.opened() as root:
                self._find_out()
                reading = self.settler.reader.read(root)
                self._tell_back()
                is_ended = self._compare(root, reading)
        except (WatchFolderError, AlreadyWatchedError) as error:
            self._tell_away(str(error))
        self.is_through = not is_ended and not self._unsighted and not len(self.settler)
        now = time.monotonic()
        self._rest_until_secs = now + (now - began) * _REST
        self._next_secs = max(self._next_secs, self._rest_until_secs)
        return is_ended

    def sight_some(self) -> bool:
        """Tell the table of some of what is new; the rest comes with the next calls. Return whether there was any."""
        some = self._unsighted[:_SIGHTINGS_AT_ONCE]
        if not some:
            return False
        sightings = Sightings(self.config)
        seen = [sightings.of(candidate) for candidate in some]
        jobs = self._store.sight(one.sighting for one in seen)
        reach("intake:sighted")
        del self._unsighted[: len(some)]
        for job, candidate, one in zip(jobs, some, seen, strict=True):
            self.settler.begin(job, candidate, one.refusal)
        return True

    def complete(self, most: int) -> list[Settling]:
        """Return settling sources that are complete and can be read now, no more than so many."""
        if not self.settler.has_due():
            return []
        try:
            with self._root.opened() as root:
                found = self.settler.complete(root, most)
        except (WatchFolderError, AlreadyWatchedError) as error:
            self._tell_away(str(error))
            return []
        if self.settler.is_look_wanted:
            self.settler.is_look_wanted = False
            self.hint()
        return found

    def _find_out(self) -> None:
        """Look at what surrounds the folder: its file system, and what in it is left out."""
        config, network = self.config, self.config.network
        self.is_network = is_network_fs(config.path) is not None if network is None else network
        is_default = config.settle_secs == FolderConfig.__dataclass_fields__["settle_secs"].default
        settle_secs = NETWORK_SETTLE_SECS if self.is_network and is_default else config.settle_secs
        incomplete_secs = 0.0 if self._is_once else config.incomplete_secs
        self.settler.patience = Patience(settle_secs, incomplete_secs, is_lease_asked=not self.is_network)
        self.settler.reader = TreeReader(kind_by_name, excluded=self._excluded(), is_recursive=config.is_recursive)

    def _compare(self, root: int, reading: Reading) -> bool:
        known = self._store.known(self.config.name)
        arrivals = compare(candidates(reading.tree, self._rules(reading.tree, known)), known, self.config.path)
        self._tell_oddities(reading)
        self.settler.forget_others([number for _, number, state in known.values() if state is JobState.SETTLING])
        self._unsighted = arrivals.new
        is_ended = [self._miss(root, reading, *entry) for entry in arrivals.missing]
        for number, candidate in arrivals.settling.items():
            self._follow(number, candidate)
        return any(is_ended)

    def _rules(self, tree: Tree, known: Known) -> Rules:
        """How pictures in folders are to be taken; what has jobs already stays as it was taken."""
        by_folder = self.config.folders == "job"
        is_style = frozenset(style_names()).__contains__
        if not tree.folders:
            return Rules(by_folder, is_style)
        start = len(str(self.config.path)) + 1
        jobs = {str(path)[start:]: state for path, (_, _, state) in known.items() if state is not JobState.CANCELLED}
        files = {file.relative for part in tree.walk() for file in part.files}
        lasting = frozenset(JobState) - {JobState.SETTLING} if by_folder else _OPEN - {JobState.SETTLING}
        folders = {path for path, state in jobs.items() if state in lasting}
        return Rules(by_folder, is_style, folders, files & jobs.keys())

    def _follow(self, number: int, candidate: Candidate) -> None:
        """Go on with what settles; take up what another daemon, or a worker, left settling."""
        settling = self.settler.get(number)
        if settling is None:
            self._take_up(number, candidate)
        elif settling.candidate.sidecar != candidate.sidecar:
            self._unsighted.append(candidate)
        elif not settling.is_hashed:  # what is being read is judged afterwards
            settling.see(candidate)

    def _take_up(self, number: int, candidate: Candidate) -> None:
        """Follow a settling job; if it was never worked on, sight its source anew, as settings are now."""
        try:
            job = self._store.get(number)
        except JobNotFoundError:
            return
        if job.state is not JobState.SETTLING:
            return
        if job.attempt == 0 and job.source == self.config.path / candidate.relative:
            self._unsighted.append(candidate)
        else:
            self.settler.begin(job, candidate)

    def _miss(self, root: int, reading: Reading, number: int, relative: str, state: JobState) -> bool:
        """Deal with a waiting job whose source is no candidate; return whether it has ended."""
        if any(relative == path or relative.startswith(f"{path}/") or not path for path in reading.unread):
            return False
        try:
            job = self._store.get(number)
            if job.source != self.config.path / relative or job.state is not state:
                return False  # a link's source; or it has moved on
            there = look_at(root, relative, job.kind, self.settler.reader)
        except OddSourceError as error:
            return self.settler.cancel(number, str(error))
        except (OSError, JobNotFoundError):
            return False
        if there is None:
            return self.settler.cancel(number, "source gone")
        if state is JobState.SETTLING and job.kind is JobKind.FOLDER and _is_in(reading.tree, relative):
            return self.settler.cancel(number, _ONE_BY_ONE)
        if state is JobState.SETTLING:  # in `failed/`, where no new ones are looked for; somebody wants it tried again
            self._follow(number, there)
        return False

    def _tell_oddities(self, reading: Reading) -> None:
        for relative, why in reading.oddities.items():
            if relative not in self._oddities:
                logger.info('"%s" in "%s" is left out: %s.', shown(relative), shown(self.config.path), why)
        self._oddities = set(reading.oddities)

    def _tell_away(self, why: str) -> None:
        if why != self.away:
            logger.warning("%s. Nothing in it is cancelled; its jobs wait.", why)
        self.away = why
        self.settler.forget_others(())
        self._unsighted.clear()

    def _tell_back(self) -> None:
        if self.away:
            logger.info('the watch folder "%s" is back.', shown(self.config.path))
        self.away = ""

    def _token(self) -> str | None:
        return self._store.folder_mark(self.config.name)

    def _set_token(self, token: str) -> None:
        self._store.set_folder_mark(self.config.name, token)

    def _is_another(self, root: int) -> bool:
        """Tell whether jobs wait for sources of this folder, and none of these lies in it."""
        sources = [job.source for job in self._store.list(_OPEN, folder=self.config.name)]
        below = [path.relative_to(self.config.path) for path in sources if path.is_relative_to(self.config.path)]
        return bool(below) and not any(_is_there(root, path) for path in below)


def kind_by_name(name: str) -> JobKind | None:
    """Tell by its name what a file is."""
    return kind_of(Path(name))


def _is_there(root: int, path: Path) -> bool:
    try:
        os.stat(path, dir_fd=root, follow_symlinks=False)
    except OSError:
        return False
    return True


def _is_in(tree: Tree, relative: str) -> bool:
    return any(part.relative == relative for part in tree.walk())
