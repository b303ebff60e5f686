"""What workers do with jobs: claim, publish, finish, release; and what recovery does with those of dead workers.

Every change is fenced: it holds only for the owner and the attempt that the caller's Job shows, so that a worker which
was thought dead, or whose job was cancelled, can change nothing any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from .clocks import boot_id, boot_secs
from .errors import LostClaimError
from .fault_points import reach
from .job import Job, JobState, Stamp
from .rows import restamped, to_blob, to_text
from .store_table import FRESH, NEW_CONTENT, Table, delay, marks

_READY = "state = 'queued' AND is_held = 0 AND (boot_id != ? OR ready_boot_secs <= ?)"
_HELD = "state IN ('running', 'publishing')"


class Claims(Table):
    """Working on jobs."""

    def claim(self, owner: str, folders: Collection[str] | None = None) -> Job | None:
        """Give the next job to a worker: the highest priority, then the lowest number.

        Args:
            owner: the worker, whose lock is held already (locks.OwnerLocks).
            folders: only jobs of these watch folders; None: of all.

        Returns:
            the job in state running, or None if none is ready (or all are paused).
        """
        if self._next(folders) is None:  # without a lock: most looks find nothing
            return None
        reach("claim:before")
        with self._writing():
            job = self._next(folders)
            if job is None:
                return None
            self._move(job, JobState.RUNNING, owner=owner, attempt=job.attempt + 1, reason="", block="")
            claimed = self._job(job.id)
        reach("claim:committed")
        return claimed

    def is_mine(self, job: Job) -> bool:
        """Say whether a claim still holds."""
        return bool(self._rows(f"SELECT 1 FROM jobs WHERE {_FENCE} AND {_HELD}", _fence(job)))

    def begin_publishing(self, job: Job, output: Path, output_bytes: int, output_sha256: str, report: str) -> Job:
        """Put on record what is about to be made visible, and where; again if that name turns out to be taken.

        Raises:
            LostClaimError: the claim holds no more.
        """
        result = {"output": to_blob(output), "output_bytes": output_bytes, "output_sha256": output_sha256}
        with self._writing():
            now = self._mine(job)
            if now.state is JobState.PUBLISHING:
                self._update(now.id, report=to_text(report), **result)
            else:
                self._move(now, JobState.PUBLISHING, report=to_text(report), **result)
            return self._job(now.id)

    def finish(self, job: Job) -> Job:
        """Bring a job whose result is visible and on the disk from publishing to done.

        Raises:
            LostClaimError: the claim holds no more.
        """
        with self._writing():
            self._move(self._mine(job), JobState.DONE, owner=None, reason="", block="", is_aftermath_done=0)
            return self._job(job.id)

    def release(
        self,
        job: Job,
        state: JobState,
        *,
        reason: str = "",
        block: str = "",
        delay_secs: float = 0.0,
        deaths: int = 0,
        exceptions: int = 0,
        stamp: Stamp | None = None,
    ) -> Job:
        """Let go of a job without a result.

        Args:
            job: the job as it was claimed.
            state: queued, settling, blocked, failed or cancelled.
            reason: why, for people.
            block: what a blocked one waits for.
            delay_secs: not to be taken up before so many seconds.
            deaths: to be added to the job's.
            exceptions: to be added to the job's.
            stamp: of the source as it is now.

        Raises:
            LostClaimError: the claim holds no more.
            MoveError: a job that is being published cannot go to that state.
        """
        reach("release:before")
        with self._writing():
            now = self._mine(job)
            spent = {"deaths": now.deaths + deaths, "exceptions": now.exceptions + exceptions}
            columns = FRESH | spent | delay(delay_secs) | {"reason": reason, "block": block} | restamped(now, stamp)
            self._move(now, state, **columns | (NEW_CONTENT if state is JobState.SETTLING else {}))
            self._after_release(now, state, stamp)
            released = self._job(job.id)
        reach("release:committed")
        return released

    def forgive(self, job: Job) -> None:
        """Give a job new budgets, because it got on: only deaths and errors in a row are held against it.

        Raises:
            LostClaimError: the claim holds no more.
        """
        with self._writing():
            self._update(self._mine(job).id, deaths=0, exceptions=0)

    def orphans(self, is_alive: Callable[[str], bool]) -> list[Job]:
        """Return jobs that are running or being published by workers that are no more.

        Args:
            is_alive: tells it of an owner (locks.OwnerLocks.is_alive); asked once for each.
        """
        held = self._jobs(f"WHERE {_HELD} ORDER BY id")
        alive = {owner: is_alive(owner) for owner in {job.owner for job in held} if owner is not None}
        return [job for job in held if job.owner is None or not alive[job.owner]]

    def holders(self) -> frozenset[str]:
        """Return the workers that have a job."""
        return frozenset(row["owner"] for row in self._rows(f"SELECT DISTINCT owner FROM jobs WHERE {_HELD}"))

    def take_over(self, job: Job, owner: str) -> Job:
        """Make an orphan the property of whoever recovers it; the attempt stays the same.

        Raises:
            LostClaimError: somebody else was faster.
        """
        with self._writing():
            self._mine(job)
            self._update(job.id, owner=owner)
            return self._job(job.id)

    def _next(self, folders: Collection[str] | None) -> Job | None:
        if self._setting("is_paused") == "1":
            return None
        where, values = _READY, list[Any]([boot_id(), boot_secs()])
        if folders is not None:
            where += f" AND folder IN ({marks(folders)})"
            values += map(to_blob, folders)
        if closed := self._closed_folders():
            where += f" AND folder NOT IN ({marks(closed)})"
            values += map(to_blob, closed)
        found = self._jobs(f"WHERE {where} ORDER BY priority DESC, id LIMIT 1", values)
        return found[0] if found else None

    def _mine(self, job: Job) -> Job:
        found = self._jobs(f"WHERE {_FENCE} AND {_HELD}", _fence(job))
        if not found:
            raise LostClaimError(
                f"job {job.id} does not belong to attempt {job.attempt} of '{job.owner}' any more: drop its result"
            )
        return found[0]

    def _after_release(self, job: Job, state: JobState, stamp: Stamp | None) -> None:
        if stamp is not None:
            self._connection.execute(
                "UPDATE sources SET stamp = ? WHERE path = ? AND job_id = ?",
                (stamp.to_text(), to_blob(job.source), job.id),
            )
        self._free_links(job, state)


_FENCE = "id = ? AND owner = ? AND attempt = ?"


def _fence(job: Job) -> tuple[int, str | None, int]:
    return job.id, job.owner, job.attempt
