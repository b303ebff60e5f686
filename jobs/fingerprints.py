"""What a source's content is known by: SHA-256 of a file, or of the names and contents of a folder's pictures.

Sources are read through an open watch folder and never over a link; the Hasher does so in threads of its own.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .beneath import opened_file, opened_folder, opened_way
from .candidates import of_folder, pictures
from .job import Job, JobKind, Stamp
from .tree import KindOf, TreeReader

_BLOCK_BYTES = 1 << 22
_MOST_WAITING = 256
_LOOK_SECS = 0.2
_NUM_THREADS = 2  # a long video does not keep small files waiting


@dataclass(frozen=True)
class Fingerprint:
    """Content and the stamp that it was read under."""

    sha256: str
    stamp: Stamp


@dataclass(frozen=True)
class Hashed:
    """What came of reading one source."""

    job_id: int
    fingerprint: Fingerprint | None
    """None where it changed while it was read, or could not be read."""
    error: Exception | None = None
    """Why it could not be read."""


class _Stopped(Exception):  # noqa: N818 (nothing is wrong)
    """Reading was given up because the daemon ends."""


def fingerprint(
    folder: Path, relative: str, kind: JobKind, kind_of: KindOf, on_block: Callable[[], None] = lambda: None
) -> Fingerprint | None:
    """Read a source and hash it.

    Args:
        folder: the watch folder.
        relative: path of the source below it.
        kind: whether it is a file or a folder of pictures.
        kind_of: tells what a file is, for a folder.
        on_block: called after every 4 MiB; what it raises ends the reading.

    Returns:
        None if the source changed meanwhile.

    Raises:
        OSError: it is not there, or cannot be read.
        OddSourceError: it is no regular file (or folder), or is reached over a link.
    """
    with opened_folder(folder) as root:
        if kind is JobKind.FOLDER:
            return _of_folder(root, relative, kind_of, on_block)
        return _of_file(root, relative, on_block)


def _of_file(root: int, relative: str, on_block: Callable[[], None]) -> Fingerprint | None:
    digest = hashlib.sha256()
    with opened_file(root, relative) as handle:
        before = Stamp.of(os.fstat(handle))
        while block := os.read(handle, _BLOCK_BYTES):
            digest.update(block)
            on_block()
        if Stamp.of(os.fstat(handle)) != before:
            return None
    return Fingerprint(digest.hexdigest(), before)


def _of_folder(root: int, relative: str, kind_of: KindOf, on_block: Callable[[], None]) -> Fingerprint | None:
    """Hash names and hashes of all pictures as pipeline's picture_folder.py does, so that reports can be compared."""
    reader = TreeReader(kind_of)
    digest = hashlib.sha256()
    with opened_way(root, relative) as folder:
        before = reader.read(folder)
        for picture in pictures(before.tree):
            found = _of_file(folder, picture.relative, on_block)
            if found is None or found.stamp != picture.stamp:
                return None
            digest.update(os.fsencode(picture.relative) + b"\0" + found.sha256.encode())
        after = reader.read(folder)
    stamp = of_folder(before.tree).stamp
    if before.unread or after.unread or of_folder(after.tree).stamp != stamp:
        return None
    return Fingerprint(digest.hexdigest(), stamp)


class Hasher:
    """Threads that fingerprint sources, one after the other, while the daemon's loop goes on."""

    def __init__(self, kind_of: KindOf) -> None:
        self._kind_of = kind_of
        self._orders: queue.Queue[tuple[Job, Path, str]] = queue.Queue(_MOST_WAITING)
        self._results: queue.SimpleQueue[Hashed] = queue.SimpleQueue()
        self._is_stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def room(self) -> int:
        """So many sources can be submitted now."""
        return _MOST_WAITING - self._orders.qsize()

    def submit(self, job: Job, folder: Path, relative: str) -> None:
        """Have a job's source read; waits if there is no room.

        Args:
            job: the job.
            folder: its watch folder.
            relative: path of the source below that.
        """
        self._start()
        self._orders.put((job, folder, relative))

    def results(self) -> list[Hashed]:
        """Return what has come out since the last call."""
        found = []
        while not self._results.empty():
            found.append(self._results.get())
        return found

    def stop(self) -> None:
        """Give up what is being read, and end."""
        self._is_stopped.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _start(self) -> None:
        while len(self._threads) < _NUM_THREADS and not self._is_stopped.is_set():
            name = f"fingerprints-{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
            self._threads[-1].start()

    def _work(self) -> None:
        with suppress(_Stopped):
            while True:
                self._check_stopped()
                with suppress(queue.Empty):
                    self._results.put(self._hashed(*self._orders.get(timeout=_LOOK_SECS)))

    def _hashed(self, job: Job, folder: Path, relative: str) -> Hashed:
        try:
            return Hashed(job.id, fingerprint(folder, relative, job.kind, self._kind_of, self._check_stopped))
        except _Stopped:
            raise
        except Exception as error:  # whatever it is, the thread goes on, and the intake is told
            return Hashed(job.id, None, error=error)

    def _check_stopped(self) -> None:
        if self._is_stopped.is_set():
            raise _Stopped
