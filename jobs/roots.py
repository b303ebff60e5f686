"""Is a watch folder still the one that was watched? Told by a mark file in it, which is also locked.

A mount that has gone leaves an empty folder behind, where every source seems to be deleted. Such a folder lacks the
mark; it counts as away, and nothing about it is believed. Looks only at the folder itself and at its mark.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .beneath import opened_folder
from .errors import AlreadyWatchedError, WatchFolderError
from .names import MARK, shown

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_MOST_BYTES = 200


class Root:
    """One watch folder: opened only while it is itself."""

    def __init__(
        self,
        path: Path,
        token: Callable[[], str | None],
        set_token: Callable[[str], None],
        is_another: Callable[[int], bool],
    ) -> None:
        """Describe a folder; nothing is touched yet.

        Args:
            path: the watch folder.
            token: returns what its mark holds according to the job table; None if it was never marked.
            set_token: remembers that.
            is_another: of a folder without our mark (its descriptor): are there open jobs from it, and does none of
                their sources lie in it? Then it is not the folder that these jobs came from.
        """
        self.path = path
        self._token = token
        self._set_token = set_token
        self._is_another = is_another
        self._lock: int | None = None

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Open the folder, made sure that it is the one that is watched.

        Raises:
            WatchFolderError: it is away: not there, not readable, or another one; the message says which.
            AlreadyWatchedError: another process watches it.
        """
        try:
            with opened_folder(self.path) as folder:
                self._check(folder)
                yield folder
        except OSError as error:
            self.release()
            raise WatchFolderError(f'the watch folder "{shown(self.path)}" is away: {error.strerror}') from error
        except WatchFolderError:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _check(self, folder: int) -> None:
        expected, found = self._token(), read_mark(folder)
        if found is None or found != expected:
            if expected is not None and self._is_another(folder):
                raise WatchFolderError(_ANOTHER.format(path=shown(self.path), mark=MARK))
            found = found or self._write_mark(folder)
        self._take_lock(folder)
        if found != expected:
            self._set_token(found)

    def _write_mark(self, folder: int) -> str:
        """Mark a folder; one that cannot be written to is known by its inode."""
        token = secrets.token_hex(16)
        try:
            handle = os.open(MARK, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)
        except OSError as error:
            if error.errno in _READ_ONLY:
                return _inode_token(folder)
            raise
        with os.fdopen(handle, "wb") as file:
            file.write(f"{token}\n".encode())
            file.flush()
            os.fsync(handle)
        return token

    def _take_lock(self, folder: int) -> None:
        """Hold the lock of the mark that lies there now."""
        try:
            status = os.stat(MARK, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return  # the folder cannot be written to
        if self._lock is not None and os.path.samestat(os.fstat(self._lock), status):
            return
        self.release()
        self._lock = _locked(folder, self.path)


_ANOTHER = (
    '"{path}" is not the folder that jobs are waiting for: its mark "{mark}" is missing or another one, and none of '
    "their sources is in it. Put the right one back (is it mounted?), or cancel these jobs (`jobs cancel`)"
)


def is_away(path: Path, token: str | None) -> bool:
    """Tell whether a watch folder is gone, or another one than the job table knows.

    Args:
        path: the watch folder.
        token: what its mark holds according to the table (`store.folder_mark`).
    """
    try:
        with opened_folder(path) as folder:
            return read_mark(folder) != token
    except OSError:
        return True


def read_mark(folder: int) -> str | None:
    """Return what tells a folder from others: its mark's text, or its inode where it can have no mark."""
    try:
        handle = os.open(MARK, _READ, dir_fd=folder)
    except FileNotFoundError:
        return None if _is_writable(folder) else _inode_token(folder)
    try:
        return os.read(handle, _MOST_BYTES).decode("ascii", "replace").strip() or None
    finally:
        os.close(handle)


def _is_writable(folder: int) -> bool:
    is_effective = os.access in os.supports_effective_ids
    return os.access(".", os.W_OK, dir_fd=folder, effective_ids=is_effective)


def _inode_token(folder: int) -> str:
    return f"inode {os.fstat(folder).st_ino}"


def _locked(folder: int, path: Path) -> int | None:
    try:
        handle = os.open(MARK, _READ | os.O_RDWR, dir_fd=folder)  # NFS wants it so
    except OSError:
        handle = os.open(MARK, _READ, dir_fd=folder)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise AlreadyWatchedError(
            f'the watch folder "{shown(path)}" is watched by another process already; end that one, or watch another'
        ) from error
    except OSError:  # a file system without locks
        os.close(handle)
        return None
    return handle
