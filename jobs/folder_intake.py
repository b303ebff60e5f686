"""The intake of one watch folder: looks through it, and follows what settles in it until it can be fingerprinted."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .arrivals import compare
from .candidates import Candidate, Rules, candidates
from .clocks import boot_secs
from .config import FolderConfig
from .disks import is_network_fs
from .errors import AlreadyWatchedError, JobNotFoundError, MoveError, OddSourceError, WatchFolderError
from .fault_points import reach
from .fingerprints import Hashed
from .handlers import kind_of, style_names
from .job import TERMINAL, Job, JobKind, JobState, Stamp
from .names import shown
from .readiness import NETWORK_SETTLE_SECS, Settling
from .roots import Root
from .sightings import Sightings
from .single_source import is_written, look_at
from .store import JobStore
from .tree import Reading, Tree, TreeReader

logger = logging.getLogger(__name__)

_ONE_BY_ONE = "its files are taken one by one, because it holds videos, or files that have jobs of their own"
_SIGHTINGS_AT_ONCE = 1000
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
            config: the watch folder's settings; may be replaced by others for the same path.
            excluded: returns device and inode of folders that are not looked into.
            is_once: nobody waits for what is unfinished now.
        """
        self.config = config
        self.is_once = is_once
        self.settling: dict[int, Settling] = {}
        self.away = ""
        self.has_looked = False
        self.is_network = False
        self._store = store
        self._excluded = excluded
        self._root = Root(config.path, self._token, self._set_token, self._is_another)
        self._told = set[str]()
        self._next_secs = 0.0
        self._last = (0.0, 0.0)

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

    def hint(self) -> None:
        """Look through the folder soon."""
        ended, took_secs = self._last
        soon = max(time.monotonic() + _HINT_SECS, ended + took_secs * _REST)
        self._next_secs = min(self._next_secs, soon)

    @property
    def is_due(self) -> bool:
        """It is time to look through the folder."""
        return time.monotonic() >= self._next_secs

    def look(self) -> bool:
        """Look through the folder, and tell the table what is new, changed or gone.

        Returns:
            whether anything was.
        """
        began = time.monotonic()
        self._next_secs = began + self.config.rescan_secs
        try:
            with self._root.opened() as root:
                self._find_out()
                reading = self._reader().read(root)
                self._tell_back()
                return self._compare(root, reading)
        except (WatchFolderError, AlreadyWatchedError) as error:
            self._tell_away(str(error))
            return False
        finally:
            self.has_looked = True
            self._last = (time.monotonic(), time.monotonic() - began)

    def due(self) -> list[Settling]:
        """Return sources that are complete and can be read now; what they look like is checked once more."""
        waiting = [settling for settling in self.settling.values() if settling.is_due]
        if not waiting:
            return []
        try:
            with self._root.opened() as root:
                return [settling for settling in waiting if self._is_complete(root, settling)]
        except (WatchFolderError, AlreadyWatchedError) as error:
            self._tell_away(str(error))
            return []

    def take_back(self, settling: Settling, hashed: Hashed) -> None:
        """Wait on for a source that could not be fingerprinted."""
        settling.is_hashed = False
        error = hashed.error
        if error is None:
            settling.restart()
        elif isinstance(error, OddSourceError):
            self._cancel(settling.job.id, str(error))
        elif isinstance(error, OSError):
            self._cannot_read(settling, error)
        self.hint()

    def forget(self, job_id: int) -> None:
        """A job settles no longer."""
        self.settling.pop(job_id, None)

    def _reader(self) -> TreeReader:
        return TreeReader(kind_by_name, excluded=self._excluded(), is_recursive=self.config.is_recursive)

    @property
    def settle_secs(self) -> float:
        """How long a source has to stand still."""
        default = FolderConfig.__dataclass_fields__["settle_secs"].default
        is_chosen = self.config.settle_secs != default
        return self.config.settle_secs if is_chosen or not self.is_network else NETWORK_SETTLE_SECS

    def _find_out(self) -> None:
        """Look what kind of file system the folder lies on."""
        network = self.config.network
        self.is_network = is_network_fs(self.config.path) is not None if network is None else network

    def _compare(self, root: int, reading: Reading) -> bool:
        known = self._store.known(self.config.name)
        found = candidates(reading.tree, self._rules(reading.tree, known))
        arrivals = compare(found, known, self.config.path)
        self._tell_oddities(reading)
        ended = [self._miss(root, reading, *entry) for entry in arrivals.missing]
        self._follow(arrivals.settling)
        self._sight(arrivals.new)
        states = {number: state for _, number, state in known.values()}
        self._forget_ended(states)
        return any(ended) or bool(arrivals.new)

    def _rules(self, tree: Tree, known: dict[Path, tuple[Stamp, int, JobState]]) -> Rules:
        by_folder = self.config.folders == "job"
        if not by_folder or not tree.folders:
            return Rules(by_folder, set(style_names()).__contains__)
        start = len(str(self.config.path)) + 1
        jobs = {str(path)[start:]: state for path, (_, _, state) in known.items() if state is not JobState.CANCELLED}
        files = {file.relative for part in tree.walk() for file in part.files}
        folders = {path for path, state in jobs.items() if state is not JobState.SETTLING}
        return Rules(by_folder, set(style_names()).__contains__, folders, files & jobs.keys())

    def _sight(self, found: list[Candidate]) -> None:
        sightings = Sightings(self.config)
        for start in range(0, len(found), _SIGHTINGS_AT_ONCE):
            part = found[start : start + _SIGHTINGS_AT_ONCE]
            seen = [sightings.of(candidate) for candidate in part]
            jobs = self._store.sight(one.sighting for one in seen)
            reach("intake:sighted")
            for job, candidate, one in zip(jobs, part, seen, strict=True):
                self.settling[job.id] = Settling.begin(job, candidate, self.settle_secs, refusal=one.refusal)

    def _follow(self, found: dict[int, Candidate]) -> None:
        """Go on with what settles; take up what another daemon, or a worker, left settling."""
        anew = list[Candidate]()
        for number, candidate in found.items():
            settling = self.settling.get(number)
            if settling is None:
                anew += self._take_up(number, candidate)
            elif settling.candidate.sidecar != candidate.sidecar:
                anew.append(candidate)
            else:
                self._see(settling, candidate)
        self._sight(anew)

    def _take_up(self, number: int, candidate: Candidate) -> list[Candidate]:
        """Begin to follow a settling job; return its source where it should be sighted anew, as settings are now."""
        try:
            job = self._store.get(number)
        except JobNotFoundError:
            return []
        if job.state is not JobState.SETTLING:
            return []
        if job.attempt == 0 and job.source == self.config.path / candidate.relative:
            return [candidate]
        self.settling[number] = Settling.begin(job, candidate, self.settle_secs)
        return []

    def _miss(self, root: int, reading: Reading, number: int, relative: str, state: JobState) -> bool:
        """Deal with a job whose source is no candidate; return whether it has ended."""
        if any(relative == path or relative.startswith(f"{path}/") or not path for path in reading.unread):
            return False
        try:
            job = self._store.get(number)
            if job.source != self.config.path / relative or job.state is not state:
                return False  # a link's source; or it has moved on
            there = look_at(root, relative, job.kind, self._reader())
        except OddSourceError as error:
            return self._cancel(number, str(error))
        except (OSError, JobNotFoundError):
            return False
        if there is None:
            return self._cancel(number, "source gone")
        if state is JobState.SETTLING and job.kind is JobKind.FOLDER and _is_in(reading.tree, relative):
            return self._cancel(number, _ONE_BY_ONE)
        if state is JobState.SETTLING:
            self._follow_apart(job, there)
        return False

    def _follow_apart(self, job: Job, candidate: Candidate) -> None:
        """Follow a source that lies where no new ones are looked for, like `failed/`, and is to be tried again."""
        settling = self.settling.get(job.id)
        if settling is None:
            self.settling[job.id] = Settling.begin(job, candidate, self.settle_secs)
        else:
            self._see(settling, candidate)

    def _see(self, settling: Settling, candidate: Candidate) -> bool:
        """Note how a settling source looks now; return whether it stood still. What is being read is judged later."""
        return settling.is_hashed or settling.see(candidate)

    def _is_complete(self, root: int, settling: Settling) -> bool:
        """Look once more at a source that has stood still for long enough."""
        job, candidate, reader = settling.job, settling.candidate, self._reader()
        if settling.refusal:
            self._refuse(job.id, settling.refusal)
            return False
        try:
            now = look_at(root, candidate.relative, job.kind, reader)
            if now is None or now.sidecar != candidate.sidecar:
                settling.look_again()
                self.hint()
                return False
            if not self._see(settling, now):
                return False
            if self.is_network or not is_written(root, candidate.relative, job.kind, reader):
                return True
            self._wait_for(settling, "a program has it open for writing")
        except OddSourceError as error:
            self._cancel(job.id, str(error))
        except OSError as error:
            self._cannot_read(settling, error)
        return False

    def _cannot_read(self, settling: Settling, error: OSError) -> None:
        why = f"it cannot be read: {error.strerror or error}"
        age_secs = boot_secs() - settling.job.stamped_boot_secs
        if self.is_once or age_secs >= self.config.incomplete_secs:
            self._refuse(settling.job.id, why)
        else:
            self._wait_for(settling, why)

    def _wait_for(self, settling: Settling, why: str) -> None:
        settling.look_again()
        if settling.told != why:
            settling.told = why
            logger.info('"%s" has to wait: %s.', shown(settling.candidate.relative), why)

    def _cancel(self, number: int, reason: str) -> bool:
        """Cancel a job; False if it has come to an end already."""
        self.forget(number)
        with suppress(MoveError, JobNotFoundError):
            self._store.cancel(number, reason)
            return True
        return False

    def _refuse(self, number: int, reason: str) -> None:
        """Fail a settling job, unless it settles no longer."""
        self.forget(number)
        with suppress(MoveError, JobNotFoundError):
            self._store.refuse(number, reason)

    def _forget_ended(self, states: dict[int, JobState]) -> None:
        """Follow no longer what somebody cancelled."""
        for number in [number for number in self.settling if states.get(number) not in (None, JobState.SETTLING)]:
            self.forget(number)

    def _tell_oddities(self, reading: Reading) -> None:
        for relative, why in reading.oddities.items():
            if relative not in self._told:
                logger.info('"%s" in "%s" is left out: %s.', shown(relative), shown(self.config.path), why)
        self._told = set(reading.oddities)

    def _tell_away(self, why: str) -> None:
        if why != self.away:
            logger.warning("%s. Nothing in it is cancelled; its jobs wait.", why)
        self.away = why
        self.settling.clear()

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
        jobs = self._store.list(_OPEN, folder=self.config.name)
        below = [
            job.source.relative_to(self.config.path) for job in jobs if job.source.is_relative_to(self.config.path)
        ]
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
