"""Locks that end with their process, and the names of workers that are known to live by them.

`flock` is released by the kernel when the process ends, however it ends: no clock, no heartbeat, no process number that
could be used again. Between machines these locks say nothing.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from .errors import AlreadyWatchedError

_TRIES = 100
"""A look at a lock (`is_free`) holds it for microseconds; so often an attempt yields to it before giving up."""


class FileLock:
    """An exclusive lock on a file, which is made for it and stays: held by one process, until it ends or lets go."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    @property
    def is_held(self) -> bool:
        """This object holds the lock."""
        return self._handle is not None

    def acquire(self) -> bool:
        """Take the lock if it is free, and say whether it is held now; never waits."""
        for _ in range(_TRIES):
            if self._handle is not None:
                return True
            self._handle = _lock(self.path)
            os.sched_yield() if self._handle is None else None
        return self._handle is not None

    def release(self) -> None:
        """Let go; the file stays, because another may be about to lock it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        if not self.acquire():
            raise AlreadyWatchedError(
                f"'{self.path}' is locked by another process ({holder(self.path)}); end that one first"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_free(path: Path) -> bool:
    """Say whether nobody holds the lock of that file; a file that is not there is free."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def holder(path: Path) -> str:
    """Return what the last holder wrote about itself, for messages."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or "unknown"
    except OSError:
        return "unknown"


def new_owner() -> str:
    """Return a name for a worker that none had before: HOST-PID-RANDOM."""
    host = re.sub(r"[^A-Za-z0-9_.]", "_", socket.gethostname()) or "host"
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


class OwnerLocks:
    """Which workers live: each holds the lock `workers/OWNER.lock` of the state folder from before its first claim."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "workers"

    def path(self, owner: str) -> Path:
        """Return the lock file of an owner."""
        return self.folder / f"{owner}.lock"

    def hold(self, owner: str) -> FileLock:
        """Declare an owner alive until the lock is released or this process ends.

        Raises:
            AlreadyWatchedError: another process has that name.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path(owner)).__enter__()

    def is_alive(self, owner: str) -> bool:
        """Say whether an owner's process still runs."""
        return not is_free(self.path(owner))

    def sweep(self) -> list[str]:
        """Remove the files of owners that are no more (their lock and all `OWNER.*`); return their names."""
        gone = []
        for path in sorted(self.folder.glob("*.lock")):
            lock = FileLock(path)
            if lock.acquire():
                for file in self.folder.glob(f"{path.stem}.*"):
                    file.unlink(missing_ok=True)
                lock.release()
                gone.append(path.stem)
        return gone


def _lock(path: Path) -> int | None:
    """Open and lock a file; None if it is locked, or was removed between the two."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_at(path, handle):
            raise BlockingIOError
        with suppress(OSError):  # for messages only: a full disk must not keep anybody from the lock
            os.truncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        os.close(handle)
        return None
    except BaseException:
        os.close(handle)
        raise
    return handle


def _is_at(path: Path, handle: int) -> bool:
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    here = os.fstat(handle)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
