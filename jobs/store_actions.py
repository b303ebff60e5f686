"""What people, and the daemon on its rounds, do to jobs that no worker holds (or take from one: cancel)."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from .clocks import wall_secs
from .errors import MoveError
from .job import TERMINAL, Job, JobState, Link, Stamp
from .roots import is_away
from .rows import to_blob, to_path, to_text
from .store_table import FRESH, NEW_BUDGETS, Table, has_output


class Actions(Table):
    """Steering jobs, and noting what became of their sources."""

    def cancel(self, job_id: int, reason: str = "cancelled") -> Job:
        """Cancel a job. A worker that has it loses its claim, notices, and drops everything.

        Raises:
            MoveError: the job has ended already, or its result is just being published.
        """
        with self._writing():
            job = self._job(job_id)
            self._move(job, JobState.CANCELLED, **FRESH | {"reason": reason})
            self._free_links(job, JobState.CANCELLED)
            return self._job(job_id)

    def refuse(self, job_id: int, reason: str) -> Job:
        """Fail a settling job whose source will never be one.

        Raises:
            MoveError: the job is not settling.
        """
        with self._writing():
            job = self._job(job_id)
            if job.state is not JobState.SETTLING:
                raise MoveError(f"job {job_id} is {job.state.value}, not settling any more")
            self._move(job, JobState.FAILED, **FRESH | {"reason": reason})
            return self._job(job_id)

    def retry(self, job_id: int) -> Job:
        """Queue a job again that has ended or is blocked, with new budgets; one without fingerprint settles first.

        Raises:
            MoveError: the job is waiting or being worked on already, or is done and its result is there.
        """
        with self._writing():
            job = self._job(job_id)
            if job.state is JobState.DONE and has_output(job):
                raise MoveError(
                    f"job {job_id} is done; to have it done again, first move its result '{job.output}' away"
                )
            if job.state not in TERMINAL | {JobState.BLOCKED}:
                raise MoveError(
                    f"job {job_id} is {job.state.value}; only one that has ended or is blocked can be retried"
                )
            state = JobState.QUEUED if job.fingerprint else JobState.SETTLING
            self._move(job, state, **FRESH | NEW_BUDGETS)
            return self._job(job_id)

    def hold(self, job_id: int, is_held: bool) -> Job:
        """Keep a job from being claimed, or let it be claimed again; one that is running goes on."""
        with self._writing():
            self._job(job_id)
            self._update(job_id, is_held=int(is_held))
            return self._job(job_id)

    def pause(self, is_paused: bool) -> None:
        """Let no job be claimed, or let them be again; those that are running go on."""
        self._set("is_paused", str(int(is_paused)))

    def close_folders(self, folders: Collection[str]) -> None:
        """Let no job of these watch folders be claimed, and those of all others again: it is not their time."""
        self._set("closed_folders", json.dumps(sorted(folders)))

    def block(self, job_id: int, block: str, reason: str) -> Job:
        """Take a queued job out of the line until what it waits for is there.

        Raises:
            MoveError: the job is not queued.
        """
        with self._writing():
            job = self._job(job_id)
            if job.state is not JobState.QUEUED:
                raise MoveError(f"job {job_id} is {job.state.value}; only a queued one can be blocked")
            self._move(job, JobState.BLOCKED, block=block, reason=reason)
            return self._job(job_id)

    def wake(self, job_id: int) -> Job:
        """Queue a blocked job: what it waited for is there.

        Raises:
            MoveError: the job is not blocked.
        """
        with self._writing():
            job = self._job(job_id)
            if job.state is not JobState.BLOCKED:
                raise MoveError(f"job {job_id} is {job.state.value}, not blocked")
            self._move(job, JobState.QUEUED, **FRESH)
            return self._job(job_id)

    def move_source(self, job: Job, path: Path, stamp: Stamp | None = None) -> Job:
        """Note that a job's source was given another place (`done/`, `failed/`, or renamed within its folder).

        Args:
            job: the job.
            path: absolute path where the source lies now.
            stamp: of the source there; None keeps the one that is known.
        """
        new = to_blob(path)
        with self._writing():
            now = self._job(job.id)
            self._update(job.id, source=new)
            self._connection.execute("DELETE FROM sources WHERE path = ? AND path != ?", (new, to_blob(now.source)))
            self._connection.execute(
                "UPDATE sources SET path = ?, stamp = coalesce(?, stamp) WHERE path = ? AND job_id = ?",
                (new, stamp and stamp.to_text(), to_blob(now.source), job.id),
            )
            return self._job(job.id)

    def finish_link(self, link: Link, output: Path) -> Link:
        """Note where a linked result lies."""
        with self._writing():
            self._connection.execute(
                "UPDATE links SET output = ? WHERE job_id = ? AND source = ?",
                (to_blob(output), link.job_id, to_blob(link.source)),
            )
        return replace(link, output=output)

    def note_aftermath(self, job: Job) -> None:
        """Note that everything which follows the end of a job was done."""
        ends = ", ".join(f"'{state.value}'" for state in sorted(TERMINAL))
        with self._writing():
            self._connection.execute(
                f"UPDATE jobs SET is_aftermath_done = 1 WHERE id = ? AND attempt = ? AND state IN ({ends})",
                (job.id, job.attempt),
            )

    def purge(self, older_than_secs: float) -> int:
        """Forget ended jobs, and their history, whose sources are not in their watch folder any more.

        One whose source is still there must be remembered, or it would be taken for new.

        Args:
            older_than_secs: only jobs that ended so long ago by the wall clock.

        Returns:
            how many were forgotten.
        """
        with self._writing():
            old = self._jobs(
                "WHERE state IN ('done', 'failed', 'cancelled') AND is_aftermath_done = 1 AND changed_at <= ?",
                (wall_secs() - older_than_secs,),
            )
            gone = [(job.id,) for job in old if not self._is_seen(job)]
            self._connection.executemany("DELETE FROM moves WHERE job_id = ?", gone)
            self._connection.executemany("DELETE FROM jobs WHERE id = ?", gone)
        return len(gone)

    def set_folder_mark(self, folder: str, token: str) -> None:
        """Remember what a watch folder's mark file holds."""
        with self._writing():
            self._connection.execute(
                "INSERT OR REPLACE INTO folder_marks (folder, token) VALUES (?, ?)", (to_blob(folder), to_text(token))
            )

    def _is_seen(self, job: Job) -> bool:
        """Say whether a rescan would find one of the job's sources; if the folder is away, one must think so."""
        if is_away(Path(job.folder), self._token(job.folder)):
            return True
        rows = self._rows("SELECT path FROM sources WHERE job_id = ?", (job.id,))
        return any(os.path.lexists(to_path(row["path"])) for row in rows)
