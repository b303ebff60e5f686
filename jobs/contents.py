"""Size, hash and safety of what lies on the disk: one file, or a folder as a whole. Knows nothing of jobs."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from .disks import sync

_BLOCK_BYTES = 1 << 22


def measure(result: Path, tick: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Return size in bytes and SHA-256 of a file; of a folder, over the names and contents of all its files.

    Args:
        result: the file or folder; links are not followed.
        tick: called now and then.

    Raises:
        OSError: something cannot be read, or is neither file nor folder.
    """
    if not _is_folder(result):
        return _measure_file(result, tick)
    total, digest = 0, hashlib.sha256()
    for path in _files(result):
        num_bytes, inner = _measure_file(path, tick)
        name = os.fsencode(path.relative_to(result))
        digest.update(f"{len(name)}:{num_bytes}:{inner}:".encode() + name)
        total += num_bytes
    return total, digest.hexdigest()


def size_of(result: Path) -> int:
    """Return the bytes of a file, or of all files in a folder.

    Raises:
        OSError: there is no such thing.
    """
    if not _is_folder(result):
        return result.lstat().st_size
    return sum(path.lstat().st_size for path in _files(result))


def sync_tree(path: Path) -> None:
    """Have a file, or a folder with all that is in it, written to the disk."""
    if not _is_folder(path):
        sync(path)
        return
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            sync(Path(folder, name))
        sync(Path(folder))


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def _files(folder: Path) -> list[Path]:
    return sorted(Path(parent, name) for parent, _, names in os.walk(folder) for name in names)


def _measure_file(path: Path, tick: Callable[[], None]) -> tuple[int, str]:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hang us
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f'"{path}" is no regular file')
        digest, num_bytes = hashlib.sha256(), 0
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            num_bytes += len(block)
            tick()
    return num_bytes, digest.hexdigest()
