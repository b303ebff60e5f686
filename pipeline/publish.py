"""The work folder of a conversion, and the step that makes its result visible: whole, once, over no other file."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .errors import OutOfSpaceError, OutputError, OutputExistsError, PipelineError

logger = logging.getLogger(__name__)

STATE_FOLDER = ".ugatit"
"""Name of the folder beside the outputs that holds work in progress; same file system, so publishing is a rename."""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def work_folder(root: Path, job: str, *, resume: bool) -> Iterator[Path]:
    """Hold the work folder of one job; it is removed after success and kept after a failure, to be resumed.

    Args:
        root: the output folder.
        job: the job's identity.
        resume: keep what an earlier run left there.

    Raises:
        PipelineError: another process is working on the same job.
    """
    folder = root / STATE_FOLDER / "work" / job
    lock_path = folder.with_name(job + ".lock")
    with _open_lock(lock_path) as lock:
        if not _is_ours(lock):
            raise PipelineError(f'another process is converting the same input into "{root}"; wait for it to end.')
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
    _remove_empty(root / STATE_FOLDER / "work", root / STATE_FOLDER)


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


def sha256_of(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_absent(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that is there already.

    Raises:
        OutputExistsError: it is, and `overwrite` is off, or it is a folder.
    """
    if path.is_dir():
        raise OutputExistsError(f'"{path}" is a folder; remove it, or choose another --output.')
    if os.path.lexists(path) and not overwrite:
        raise OutputExistsError(
            f'"{path}" is there already; add --overwrite to replace it, or choose another --output.'
        )


def make_output_folder(folder: Path) -> None:
    """Make a folder for results with its parents, and look whether it can be written to.

    Raises:
        OutputError: it cannot.
        OSError: the disk is full (see `out_of_space_told`).
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise
        raise OutputError(
            f'the output folder "{folder}" cannot be made: {error.strerror}; choose another --output.'
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f'the output folder "{folder}" cannot be written to; choose another --output.')


def publish(finished: Path, final: Path, *, overwrite: bool) -> None:
    """Give a finished file its final name; nobody ever sees a part of it.

    Args:
        finished: complete file on the same file system.
        final: where it shall appear.
        overwrite: replace what is there.

    Raises:
        OutputExistsError: something is there and `overwrite` is off; also when it came to be in the meantime.
    """
    sync(finished)
    if overwrite:
        finished.replace(final)
    else:
        _move_without_replacing(finished, final)
    sync(final.parent)


def write_text(path: Path, text: str, *, overwrite: bool = True) -> None:
    """Write a small text file atomically, under a temporary name in the same folder first."""
    part = path.with_name(f".{uuid.uuid4().hex}.part")  # a name made from the path's could be too long
    try:
        with out_of_space_told(path):
            part.write_text(text, encoding="utf-8", errors="backslashreplace")  # names need not be UTF-8
            publish(part, path, overwrite=overwrite)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def out_of_space_told(path: Path) -> Iterator[None]:
    """Turn the system's "no space left" into our own error that names the file."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise OutOfSpaceError(
                f'no space left on the disk of "{path.parent}"; free some and run the same command again, '
                "it goes on from the finished chunks."
            ) from error
        raise


def _move_without_replacing(finished: Path, final: Path) -> None:
    try:
        os.link(finished, final)
    except FileExistsError as error:
        raise OutputExistsError(f'"{final}" is there already; add --overwrite to replace it.') from error
    except OSError:  # a file system without hard links
        check_absent(final, overwrite=False)
        finished.rename(final)
    else:
        finished.unlink()


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some file systems cannot sync folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
