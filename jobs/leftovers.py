"""Files that a process left when it died: work folders of jobs that are over, locks of dead workers, temporary names.

The daemon removes them at its start and every few minutes. What belongs to a living worker is not touched.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .clocks import boot_secs, wall_secs
from .errors import JobNotFoundError
from .find_table import STATE_FOLDER
from .job import TERMINAL, Job
from .locks import OwnerLocks
from .process_tree import kill_marked

if TYPE_CHECKING:
    from .store import JobStore

logger = logging.getLogger(__name__)

_OUR_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.part")
_OWNED = re.compile(r"\.(lock|json)(\..*)?$")  # a host's name may have dots
_YOUNG_SECS = 60.0
_EVERY_SECS = 60.0
_PATIENCE_SECS = 5.0


class Leftovers:
    """Finds and removes them."""

    def __init__(self, store: JobStore, state_dir: Path) -> None:
        self._store = store
        self._state_dir = state_dir
        self._owners = OwnerLocks(state_dir)
        self._over_since: dict[Path, float] = {}
        self._next_boot_secs = 0.0

    def tick(self, output_folders: Callable[[], Iterable[Path]]) -> None:
        """Sweep, if it is time again.

        Args:
            output_folders: gives the folders with results whose `.ugatit/` is looked through.
        """
        if boot_secs() >= self._next_boot_secs:
            self._next_boot_secs = boot_secs() + _EVERY_SECS
            self.sweep(output_folders())

    def sweep(self, output_folders: Iterable[Path], *, is_over: bool = False) -> int:
        """Remove what is left of dead workers and of jobs that are over.

        Args:
            output_folders: folders with results whose `.ugatit/` is looked through.
            is_over: no worker lives; nothing needs patience.

        Returns:
            How many files and folders went.
        """
        removed = self._owners_files()
        for folder in set(output_folders):
            removed += sum(self._work_of(work, is_over=is_over) for work in _children(folder / STATE_FOLDER / "jobs"))
        return removed

    def _owners_files(self) -> int:
        for owner in self._owners.sweep():
            kill_marked(owner)  # a user's command that a killed daemon had started: it is started anew
        strays = [
            path
            for path in _children(self._state_dir / "workers")
            if not self._owners.is_alive(_OWNED.sub("", path.name))
        ]
        return sum(_remove(path) for path in strays)

    def _work_of(self, work: Path, *, is_over: bool) -> int:
        """Remove one work folder if its job is over and was so a moment ago: a worker may just be turning away."""
        if self._is_needed(work):
            self._over_since.pop(work, None)
            return 0
        since = self._over_since.setdefault(work, boot_secs())
        if not is_over and boot_secs() - since < _PATIENCE_SECS:
            self._next_boot_secs = min(self._next_boot_secs, boot_secs() + _PATIENCE_SECS)
            return 0
        del self._over_since[work]
        return _remove(work)

    def _is_needed(self, work: Path) -> bool:
        number = work.name.partition(".")[0]
        if not number.isdigit():
            return True  # not ours
        job = self._find(int(number))
        if job is None or job.output_folder / STATE_FOLDER != work.parents[1]:
            return False
        return job.state not in TERMINAL

    def _find(self, number: int) -> Job | None:
        try:
            return self._store.get(number)
        except JobNotFoundError:
            return None


def remove_temporaries(output_folder: Path) -> int:
    """Remove temporary names of ours that a killed process left among the results.

    Args:
        output_folder: looked through with its sub-folders, `.ugatit` left out.

    Returns:
        How many there were.
    """
    removed = 0
    for folder, names, files in os.walk(output_folder):
        names[:] = [name for name in names if name != STATE_FOLDER]
        paths = [Path(folder, name) for name in files if _OUR_TEMPORARY.fullmatch(name)]
        removed += sum(_remove(path) for path in paths if _is_old(path))
    return removed


def _is_old(path: Path) -> bool:
    with suppress(OSError):
        return wall_secs() - path.lstat().st_mtime > _YOUNG_SECS
    return False


def _children(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(folder.iterdir())
    return []


def _remove(path: Path) -> int:
    with suppress(FileNotFoundError):
        try:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except FileNotFoundError:
            raise
        except OSError as error:
            logger.warning('"%s" is left over and cannot be removed: %s.', path, error)
            return 0
        logger.debug('removed what was left: "%s".', path)
        return 1
    return 0


def remove_thumbnails(store: JobStore, state_dir: Path) -> int:
    """Remove the thumbnails of jobs that the table has forgotten; return how many there were."""
    folder = state_dir / "thumbnails"
    known = {job.id for job in store.list()}
    numbers = [(path, path.name.partition("-")[0]) for path in _children(folder)]
    return sum(_remove(path) for path, number in numbers if number.isdigit() and int(number) not in known)
