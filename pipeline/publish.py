"""The work folder of a conversion, and the step that makes its result visible: whole, once, over no other file."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import OutOfSpaceError, OutputExistsError, PipelineError

logger = logging.getLogger(__name__)

STATE_FOLDER = ".ugatit"
"""Name of the folder beside the outputs that holds work in progress; same file system, so publishing is a rename."""


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
    folder.mkdir(parents=True, exist_ok=True)
    lock_path = folder.with_name(job + ".lock")
    with lock_path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PipelineError(
                f'another process is converting the same input into "{root}"; wait for it to end.'
            ) from error
        if not resume:
            shutil.rmtree(folder)
            folder.mkdir()
        yield folder
        shutil.rmtree(folder)
        lock_path.unlink(missing_ok=True)
    _remove_empty(root / STATE_FOLDER / "work", root / STATE_FOLDER)


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
        OutputExistsError: it is, and `overwrite` is off.
    """
    if os.path.lexists(path) and not overwrite:
        raise OutputExistsError(
            f'"{path}" is there already; add --overwrite to replace it, or choose another --output.'
        )


def publish(finished: Path, final: Path, *, overwrite: bool) -> None:
    """Give a finished file its final name; nobody ever sees a part of it.

    Args:
        finished: complete file on the same file system.
        final: where it shall appear.
        overwrite: replace what is there.

    Raises:
        OutputExistsError: something is there and `overwrite` is off; also when it came to be in the meantime.
    """
    _sync(finished)
    if overwrite:
        finished.replace(final)
    else:
        _move_without_replacing(finished, final)
    _sync(final.parent)


def write_text(path: Path, text: str, *, overwrite: bool = True) -> None:
    """Write a small text file atomically, under a temporary name in the same folder first."""
    part = path.with_name(f".{path.name}.part")
    with out_of_space_told(path):
        part.write_text(text, encoding="utf-8", errors="backslashreplace")  # names need not be UTF-8
        publish(part, path, overwrite=overwrite)


@contextmanager
def out_of_space_told(path: Path) -> Iterator[None]:
    """Turn the system's "no space left" into our own error that names the file."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
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


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some file systems cannot sync folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
