"""The step that makes a result visible: whole, once, over no other file."""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutOfSpaceError, OutputError, OutputExistsError

STATE_FOLDER = ".ugatit"
"""Name of the folder beside the outputs that holds work in progress; same file system, so publishing is a rename."""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_BLOCK_BYTES = 1 << 24


def sha256_of(path: Path, on_block: Callable[[], None] = lambda: None) -> str:
    """Hex digest of a file's content; `on_block` is called after every 16 MiB of it."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            on_block()
    return digest.hexdigest()


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
