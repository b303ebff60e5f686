"""What file systems can and cannot do: network mounts, free space, renaming without replacing, syncing.

Nothing here knows of jobs. The two system calls that Python lacks (statfs, renameat2) are Linux's; elsewhere no file
system counts as a network's, and renaming falls back to hard links.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import cache
from pathlib import Path

_NETWORK_MAGIC = {
    0x6969: "nfs",
    0x517B: "smb",
    0xFE534D42: "smb2",
    0xFF534D42: "cifs",
    0x65735546: "fuse",
    0x01021997: "9p",
    0x5346414F: "afs",
    0x00C36400: "ceph",
    0x0BD00BD0: "lustre",
    0x73757245: "coda",
    0x7461636F: "ocfs2",
    0x01161970: "gfs2",
    0x19830326: "beegfs",
    0x47504653: "gpfs",
}
"""File systems (linux/magic.h, statfs(2)) where locks or writes of other machines cannot be relied on."""

_NO_LINK = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
_NO_FLAGS = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def is_network_fs(path: Path) -> str | None:
    """Return the name of the network (or user space) file system that a path lies on, None for a local one.

    Args:
        path: need not exist: what exists of it decides.
    """
    magic = _magic_number(_existing(path))
    return None if magic is None else _NETWORK_MAGIC.get(magic)


def free_bytes(path: Path) -> int:
    """Return how many bytes a user may still write to the file system of a path, which need not exist."""
    status = os.statvfs(_existing(path))
    return status.f_bavail * status.f_frsize


def rename_no_replace(source: Path, target: Path) -> None:
    """Give a file or a folder another name on its file system, never one that is taken.

    A file is linked to its new name and then loses the old one, so that a crash leaves it under both. A folder is
    renamed with RENAME_NOREPLACE. Where a file system has neither, the name is reserved by an empty file or folder,
    which is then replaced.

    Raises:
        FileExistsError: the name is taken.
        OSError: EXDEV where source and target are on different file systems, and whatever else the system says.
    """
    if not source.is_dir() or source.is_symlink():
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
        else:
            os.unlink(source)
            return
    if not _renameat2(source, target):
        _reserve_and_rename(source, target)


def sync(path: Path) -> None:
    """Have a file's content, or a folder's names, written to the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():  # some file systems have nothing to sync in a folder
            raise
    finally:
        os.close(handle)


def _existing(path: Path) -> Path:
    return next((place for place in (path, *path.parents) if place.exists()), Path("/"))


def _magic_number(path: Path) -> int | None:
    if not sys.platform.startswith("linux"):
        return None
    status = (ctypes.c_long * 64)()  # struct statfs has under 20 words; the first is f_type
    if _libc().statfs(os.fsencode(path), ctypes.byref(status)) != 0:
        return None
    return status[0] & 0xFFFFFFFF


def _renameat2(source: Path, target: Path) -> bool:
    """Rename without replacing; return False where system or file system do not know how."""
    renameat2 = getattr(_libc(), "renameat2", None)
    if renameat2 is None:
        return False
    names = os.fsencode(source), os.fsencode(target)
    if renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_NOREPLACE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_FLAGS:
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))


def _reserve_and_rename(source: Path, target: Path) -> None:
    if source.is_dir():
        target.mkdir()
    else:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    os.rename(source, target)
