"""Work folders: where a conversion keeps what it has finished, locked while it runs, found again after a crash."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .errors import PipelineError
from .publish import STATE_FOLDER

logger = logging.getLogger(__name__)

ABANDONED_SECS = 7 * 24 * 3600
"""What an interrupted run left is kept for so long, to be gone on from."""


def work_root(output: Path) -> Path:
    """Return the folder that holds the work folders of an output folder: on the same file system."""
    return output / STATE_FOLDER / "work"


@contextmanager
def work_folder(root: Path, job: str, *, resume: bool) -> Iterator[Path]:
    """Hold the work folder of one job; it is removed after success and kept after a failure, to be resumed.

    Args:
        root: the folder that holds work folders, see `work_root`; it is made, and removed when it is empty.
        job: the job's identity.
        resume: keep what an earlier run left there.

    Raises:
        PipelineError: another process is working on the same job.
    """
    folder = root / job
    lock_path = _lock_of(folder)
    with _open_lock(lock_path) as lock:
        if not _is_ours(lock):
            raise PipelineError(
                f'another process is converting the same input, its work lies in "{root}"; wait for it to end.'
            )
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        try:
            yield folder
            shutil.rmtree(folder)
        finally:
            _remove_empty(folder)  # what failed before there was anything to keep leaves no trace
            if not folder.exists():
                lock_path.unlink(missing_ok=True)
    _remove_empty(root, *([root.parent] if root.parent.name == STATE_FOLDER else []))


def remove_abandoned(root: Path, *, older_than_secs: float = ABANDONED_SECS) -> list[Path]:
    """Remove the work folders that nobody works in and nobody has touched for long.

    Args:
        root: the folder that holds work folders.
        older_than_secs: by the wall clock and the times of the files.

    Returns:
        The folders that are gone now.
    """
    removed = []
    for lock_path in sorted(root.glob("*.lock")):
        folder = lock_path.with_suffix("")
        with suppress(OSError), lock_path.open("r+") as lock:
            if time.time() - _last_touched(folder, lock_path) > older_than_secs and _is_ours(lock):
                shutil.rmtree(folder, ignore_errors=True)
                lock_path.unlink(missing_ok=True)
                removed.append(folder)
                logger.info('Removed "%s", which an interrupted run left there long ago.', folder)
    _remove_empty(*([root, root.parent] if removed else []))
    return removed


def _last_touched(folder: Path, lock_path: Path) -> float:
    """When something was last written there, seconds since 1970."""
    paths = [lock_path, *([folder, *folder.iterdir()] if folder.is_dir() else [])]
    return max(path.stat().st_mtime for path in paths)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")


def _open_lock(path: Path) -> IO[str]:
    """Open a lock file in a folder that another job, ending at this moment, may just be removing."""
    for _ in range(100):
        with suppress(FileNotFoundError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("w")
    raise PipelineError(f'the folder "{path.parent}" vanishes as soon as it is made; choose another --output.')


def _is_ours(lock: IO[str]) -> bool:
    """Take the lock; False where another process holds it, or removed it in the meantime because its job is done."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(lock.fileno()).st_nlink > 0


def _remove_empty(*folders: Path) -> None:
    for folder in folders:
        with suppress(OSError):  # not empty: another job is at work
            folder.rmdir()
