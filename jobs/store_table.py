"""The ground that all parts of the store stand on: one connection, transactions, and rows of single jobs."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from .clocks import boot_id, boot_secs, wall_secs
from .errors import JobNotFoundError, MoveError, StoreError
from .job import MOVES, Job, JobState
from .rows import JOB_COLUMNS, to_job, to_text
from .store_file import told

FRESH = {"owner": None, "reason": "", "block": "", "ready_boot_secs": 0.0, "is_aftermath_done": 0}
"""Columns of a job that nobody holds. A result on record stays: it may be visible (publishing.is_published)."""

NEW_CONTENT = {"fingerprint": None, "output": None, "output_bytes": None, "output_sha256": None, "report": None}
"""Columns of a job whose source has to settle again."""

NEW_BUDGETS = {"deaths": 0, "exceptions": 0, "is_held": 0}
"""Columns of a job that somebody asked for again."""


class Table:
    """An open job table. Threads take turns; transactions of processes exclude one another."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._turn = RLock()
        self._pid = os.getpid()
        self._place = _place(path)

    def close(self) -> None:
        """Close the file; claims stay as they are."""
        with self._turn:
            self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Do all of the block, or nothing of it. On leaving it, everything is on the disk."""
        with self._turn, told(self.path):
            self._check_place()
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
            finally:
                self._leave()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """See one state of the table throughout the block."""
        with self._turn, told(self.path):
            if self._connection.in_transaction:
                yield
                return
            self._check_place()
            try:
                self._connection.execute("BEGIN")
                yield
            finally:
                self._leave()

    def _leave(self) -> None:
        """Take back what was not committed; SQLite has done so itself after some errors."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _check_place(self) -> None:
        if os.getpid() != self._pid:
            raise StoreError(f"the job table '{self.path}' was opened in another process; open it here")
        if _place(self.path) != self._place:
            raise StoreError(f"the job table '{self.path}' was deleted or replaced while it was in use; start again")

    def _rows(self, sql: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        with self._reading():
            return self._connection.execute(sql, values).fetchall()

    def _jobs(self, where: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[Job]:
        return [to_job(row) for row in self._rows(f"SELECT {JOB_COLUMNS} FROM jobs {where}", values)]

    def _job(self, job_id: int) -> Job:
        found = self._jobs("WHERE id = ?", (job_id,))
        if not found:
            raise JobNotFoundError(f"there is no job {job_id}; `jobs list` shows all")
        return found[0]

    def _token(self, folder: str) -> str | None:
        rows = self._rows("SELECT token FROM folder_marks WHERE folder = ?", (os.fsencode(folder),))
        return rows[0]["token"] if rows else None

    def _setting(self, name: str) -> str | None:
        rows = self._rows("SELECT value FROM settings WHERE name = ?", (name,))
        return rows[0]["value"] if rows else None

    def _closed_folders(self) -> list[str]:
        return list(json.loads(self._setting("closed_folders") or "[]"))

    def _set(self, name: str, value: str) -> None:
        with self._writing():
            self._connection.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, value))

    def _update(self, job_id: int, **columns: Any) -> None:
        """Set columns of one job, within a transaction."""
        names = ", ".join(f"{name} = :{name}" for name in columns)
        self._connection.execute(f"UPDATE jobs SET {names} WHERE id = :id", columns | {"id": job_id})

    def _move(self, job: Job, state: JobState, **columns: Any) -> None:
        """Bring a job, as it is in the table now, into another state, within a transaction.

        Raises:
            MoveError: MOVES knows no way from its state to that one.
        """
        if state not in MOVES[job.state]:
            raise MoveError(f"job {job.id} is {job.state.value} and cannot become {state.value} from there")
        if "reason" in columns:
            columns["reason"] = to_text(columns["reason"])
        self._update(job.id, state=state.value, changed_at=wall_secs(), **columns)

    def _free_links(self, job: Job, state: JobState) -> None:
        """Let others with a job's content go their own way, when it changes or its own source is gone."""
        is_gone = state is JobState.CANCELLED and not os.path.lexists(job.source)
        if is_gone or state is JobState.SETTLING:
            self._drop_links(job)

    def _drop_links(self, job: Job) -> None:
        """Forget who else had the job's content, so that a rescan sees those sources anew."""
        self._connection.execute("DELETE FROM links WHERE job_id = ? AND output IS NULL", (job.id,))
        self._connection.execute(
            "DELETE FROM sources WHERE job_id = :id AND path != (SELECT source FROM jobs WHERE id = :id) AND NOT EXISTS"
            " (SELECT 1 FROM links WHERE links.job_id = :id AND links.source = sources.path)",
            {"id": job.id},
        )


def has_output(job: Job) -> bool:
    """Say whether the result of a job is still where it was published."""
    return job.output is not None and os.path.exists(job.output)


def delay(secs: float) -> dict[str, Any]:
    """Return the columns that keep a job from being claimed for so long, on this boot's clock."""
    return {"ready_boot_secs": boot_secs() + secs if secs > 0 else 0.0, "boot_id": boot_id()}


def marks(values: Collection[Any]) -> str:
    """Return as many question marks as there are values, for `IN (...)`."""
    return ", ".join("?" * len(values))


def _place(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
