"""Open what lies below a folder without ever leaving it, and without waiting.

A folder on the way that is, or is swapped for, a symbolic link is refused, and so is all that is no regular file. The
way is gone step by step from an open folder, so that no other program can bend it in between.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OddSourceError
from .names import shown

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@contextmanager
def opened_folder(path: Path | str, parent: int | None = None) -> Iterator[int]:
    """Open a folder and close it again.

    Args:
        path: its path, which may lead over links; with a parent a single name, which must be no link.
        parent: descriptor of the folder that holds it.

    Raises:
        OSError: it is not there, is no folder, or cannot be read.
    """
    flags = _FOLDER if parent is None else _FOLDER | os.O_NOFOLLOW
    handle = os.open(path, flags, dir_fd=parent)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def opened_way(root: int, relative: str) -> Iterator[int]:
    """Open a folder any number of levels below an open one; an empty path is that one itself.

    Raises:
        OSError: a part of the way is not there, or no folder.
        OddSourceError: a part of the way is a symbolic link, or leads upwards.
    """
    here = os.dup(root)
    try:
        for name in filter(None, relative.split("/")):
            below = _step(here, name)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


@contextmanager
def opened_file(root: int, relative: str) -> Iterator[int]:
    """Open a regular file below an open folder for reading.

    Raises:
        OSError: it is not there, or cannot be read.
        OddSourceError: it is no regular file, or a part of its path is a symbolic link.
    """
    way, _, name = relative.rpartition("/")
    with opened_way(root, way) as folder:
        check_regular(os.stat(name, dir_fd=folder, follow_symlinks=False), relative)  # a device is not even opened
        handle = os.open(name, _FILE, dir_fd=folder)
        try:
            check_regular(os.fstat(handle), relative)
            yield handle
        finally:
            os.close(handle)


def check_regular(status: os.stat_result, relative: str) -> None:
    """Refuse what is no regular file.

    Args:
        status: of the thing itself, links not followed.
        relative: its path, for the message.

    Raises:
        OddSourceError: it is something else.
    """
    if not stat.S_ISREG(status.st_mode):
        raise OddSourceError(f'"{shown(relative)}" is no regular file; links, pipes and devices are not read')


def _step(folder: int, name: str) -> int:
    if name == ".." or stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise OddSourceError(f'"{shown(name)}" on the way to a source leads elsewhere; such sources are not read')
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
