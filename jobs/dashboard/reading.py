"""What the server reads: the job table, the workers' progress files, the daemon's sign of life, thumbnails.

Nothing is changed here. Every call opens the table anew, so that one that is replaced or made later is found.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import health
from ..find_table import TABLE_NAME
from ..job import Job, JobState, Link
from ..progress_file import WorkerStatus, read_status
from ..store import JobStore, open_store
from .health_view import HealthView, view_health
from .views import TILES, JobView, MoveView, ProgressView, view_job, view_move, view_progress

THUMBS_FOLDER = "thumbnails"
"""Below the state folder; a worker writes `ID-before.jpg` and `ID-after.jpg` there."""
SIDES = ("before", "after")
"""The two thumbnails that a job can have."""
PAGE_SIZE = 50
MOST_THUMB_BYTES = 8 << 20

_LOCK_SECS = 5.0
_MOST_WORKERS = 256
_MOST_MOVES = 200


@dataclass(frozen=True)
class Tile:
    """One of the lists, with its length."""

    state: str
    label: str
    number: int


@dataclass(frozen=True)
class Overview:
    """Everything on the first page."""

    tiles: tuple[Tile, ...]
    counts: dict[str, int]
    running: Sequence[JobView]
    queued: Sequence[JobView]
    waiting: Sequence[JobView]
    failed: Sequence[JobView]
    done: Sequence[JobView]


class Reader:
    """Reads the state folder of one watch."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir

    @contextmanager
    def table(self) -> Iterator[JobStore]:
        """Open the table for reading.

        Raises:
            StoreError: there is none yet, or it cannot be used.
        """
        with open_store(self.state_dir / TABLE_NAME, read_only=True, lock_secs=_LOCK_SECS) as store:
            yield store

    def overview(self) -> Overview:
        """Return what the first page shows."""
        with self.table() as store:
            tiles = _tiles(store)
            queued = store.page(TILES["queued"], limit=8, in_line=True)
            running = store.page(TILES["running"], limit=32, in_line=True)
            waiting = store.page((JobState.BLOCKED,), limit=8) + store.page((JobState.SETTLING,), limit=8)
            failed = store.page(TILES["failed"], limit=6)
            done = store.page(TILES["done"], limit=12)
            closed = store.closed_folders()
        statuses = self.statuses()
        views = [
            [self.view(job, statuses, closed) for job in jobs] for jobs in (running, queued, waiting[:8], failed, done)
        ]
        return Overview(tiles, {tile.state: tile.number for tile in tiles}, *views)

    def tiles(self) -> tuple[Tile, ...]:
        """Return the lists and their lengths."""
        with self.table() as store:
            return _tiles(store)

    def page(self, state: str, number: int) -> list[JobView]:
        """Return one page of a list; `number` counts from 1."""
        statuses = self.statuses()
        with self.table() as store:
            closed = store.closed_folders()
        return [self.view(job, statuses, closed) for job in self.jobs(state, number)]

    def jobs(self, state: str, number: int, size: int = PAGE_SIZE) -> list[Job]:
        """Return the rows of one page of a list."""
        with self.table() as store:
            in_line = state in ("queued", "running")
            return store.page(TILES[state], limit=size, offset=(number - 1) * size, in_line=in_line)

    def job(self, job_id: int) -> Job:
        """Return one job.

        Raises:
            JobNotFoundError: there is none of that number.
        """
        with self.table() as store:
            return store.get(job_id)

    def links(self, job_id: int) -> list[Link]:
        """Return the further sources that have a job's content."""
        with self.table() as store:
            return store.links(pending=False, job_id=job_id)

    def history(self, job_id: int) -> tuple[list[MoveView], int]:
        """Return a job's last moves, newest first, and how many came before them."""
        with self.table() as store:
            moves = store.history(job_id)
        return [view_move(move) for move in reversed(moves[-_MOST_MOVES:])], max(0, len(moves) - _MOST_MOVES)

    def view(self, job: Job, statuses: dict[int, WorkerStatus], closed: Collection[str] = ()) -> JobView:
        """Return a job as it is shown; `closed` are folders of which no job may start now."""
        return view_job(job, statuses.get(job.id), self.thumbs(job.id), closed)

    def progress(self) -> list[ProgressView]:
        """Return how far the running jobs are."""
        statuses = self.statuses()
        with self.table() as store:
            running = store.page(TILES["running"], limit=32, in_line=True)
        return [view_progress(job, statuses.get(job.id)) for job in running]

    def statuses(self) -> dict[int, WorkerStatus]:
        """Return what workers wrote, by the number of the job that they are at."""
        return {status.job: status for status in self._workers() if status.job is not None}

    def thumbs(self, job_id: int) -> dict[str, str]:
        """Return the addresses of a job's thumbnails; they change when the pictures do."""
        found = {}
        for side in SIDES:
            try:
                status = os.stat(self._thumb_path(job_id, side), follow_symlinks=False)
            except OSError:
                continue
            found[side] = f"/thumbs/{job_id}/{side}?v={status.st_mtime_ns // 1_000_000 % 10**9}"
        return found

    def thumb(self, job_id: int, side: str) -> bytes | None:
        """Return a thumbnail: only a JPEG file that lies where thumbnails lie, never what a link points to."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            handle = os.open(self._thumb_path(job_id, side), flags)
        except OSError:
            return None
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_THUMB_BYTES:
                return None
            data = file.read(MOST_THUMB_BYTES)
        return data if data.startswith(b"\xff\xd8\xff") else None

    def verdict(self) -> health.Verdict:
        """Return the verdict about the daemon."""
        return health.judge(self.state_dir)

    def health(self) -> HealthView:
        """Return how the daemon is, for people."""
        with self.table() as store:
            is_paused, closed = store.is_paused(), store.closed_folders()
        return view_health(self.state_dir, self.verdict(), self._workers(), is_paused=is_paused, closed=closed)

    def mark(self) -> tuple[Any, ...]:
        """Return something that changes when a page would show something else, numbers of progress aside."""
        verdict = self.verdict()
        return (_stamp(self.state_dir / TABLE_NAME), _stamp(self.state_dir / THUMBS_FOLDER), verdict.problems,
                verdict.facts.get("state"), verdict.facts.get("pid"))  # fmt: skip

    def _thumb_path(self, job_id: int, side: str) -> Path:
        return self.state_dir / THUMBS_FOLDER / f"{job_id}-{side}.jpg"

    def _workers(self) -> list[WorkerStatus]:
        paths = sorted((self.state_dir / "workers").glob("*.json"))[:_MOST_WORKERS]
        return [status for path in paths if (status := read_status(path)) is not None]


def _tiles(store: JobStore) -> tuple[Tile, ...]:
    counts = store.counts()
    labels = {"settling": "Arriving"}
    return tuple(
        Tile(name, labels.get(name, name.capitalize()), sum(counts[state] for state in states))
        for name, states in TILES.items()
    )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
