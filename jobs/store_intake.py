"""How files become jobs: seen, settled, queued, or joined to a job that has the same content."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from .clocks import wall_secs
from .errors import MoveError
from .job import Job, JobState, Link, Sighting, Stamp
from .rows import restamped, to_blob, to_link, to_text, to_values
from .store_table import FRESH, NEW_BUDGETS, NEW_CONTENT, Table, delay, has_output

OUR_FOLDERS = ("failed", "done")
"""Folders in a watch folder that hold sources which are through; they are not looked through."""

_WAITING = frozenset({JobState.SETTLING, JobState.QUEUED, JobState.BLOCKED})
"""States in which a job can start over with another content of its source."""


class Intake(Table):
    """Accepting sources."""

    def sight(self, sightings: Iterable[Sighting]) -> list[Job]:
        """Accept sources that are new, or whose stamp is not the known one, in one transaction.

        A path whose job still waits (settling, queued, blocked) starts over with that job; any other gets a new one.

        Returns:
            the jobs in state settling, in the order of the sightings.
        """
        with self._writing():
            numbers = [self._sight(sighting) for sighting in sightings]
            return [self._job(number) for number in numbers]

    def restamp(self, job: Job, stamp: Stamp, reason: str = "", delay_secs: float | None = None) -> Job:
        """Note that the source of a settling job has changed, or why it has to wait.

        Args:
            job: the job; nothing happens if it is settling no more.
            stamp: of the source as it is now.
            reason: why it waits, for people.
            delay_secs: sets `ready_boot_secs` so far ahead; None leaves it.
        """
        columns = {} if delay_secs is None else delay(delay_secs)
        with self._writing():
            now = self._job(job.id)
            if now.state is JobState.SETTLING:
                self._update(job.id, reason=to_text(reason), **columns | restamped(now, stamp))
                self._note_source(now.source, now.folder, stamp, now.id)
            return self._job(job.id)

    def queue(
        self, job: Job, fingerprint: str, stamp: Stamp, output_exists: Callable[[Job], bool] = has_output
    ) -> Job | Link:
        """Queue a settled source under its content's hash; see `queue_many`."""
        return self.queue_many([(job, fingerprint, stamp)], output_exists)[0]

    def queue_many(
        self, settled: Iterable[tuple[Job, str, Stamp]], output_exists: Callable[[Job], bool] = has_output
    ) -> list[Job | Link]:
        """Queue settled sources in one transaction: each becomes a job that is queued, or joins one.

        Where another job has the same fingerprint and options, the settling job ends (its history says so) and that
        other one is returned: queued again with new budgets and this source if it failed, was cancelled or lost its
        result; as it is if its result has this source's name; else the source becomes a Link to it.

        Args:
            settled: jobs in state settling, SHA-256 of their content, and the stamp it was read under.
            output_exists: tells whether a done job's result is still there.

        Raises:
            MoveError: a job is not settling (somebody cancelled it); nothing was changed for any.
        """
        with self._writing():
            return [self._queue(job, fingerprint, stamp, output_exists) for job, fingerprint, stamp in settled]

    def _sight(self, sighting: Sighting) -> int:
        path = to_blob(sighting.source)
        self._connection.execute("DELETE FROM links WHERE source = ? AND output IS NULL", (path,))
        known = self._jobs("WHERE id = (SELECT job_id FROM sources WHERE path = ?)", (path,))
        if known and known[0].source == sighting.source and known[0].state in _WAITING:
            number = self._start_over(known[0], sighting)
        else:
            number = self._insert(sighting)
        self._note_source(sighting.source, sighting.folder, sighting.stamp, number)
        return number

    def _insert(self, sighting: Sighting) -> int:
        now = wall_secs()
        values = to_values(sighting) | {"state": JobState.SETTLING.value, "created_at": now, "changed_at": now}
        sql = f"INSERT INTO jobs ({', '.join(values)}) VALUES (:{', :'.join(values)})"
        return int(self._connection.execute(sql, values).lastrowid or 0)

    def _start_over(self, job: Job, sighting: Sighting) -> int:
        columns = FRESH | NEW_CONTENT | to_values(sighting)
        if job.state is JobState.SETTLING:
            self._update(job.id, **columns)
        else:
            self._move(job, JobState.SETTLING, **columns | {"reason": "its source has changed"})
            self._drop_links(job)
        return job.id

    def _queue(self, job: Job, fingerprint: str, stamp: Stamp, output_exists: Callable[[Job], bool]) -> Job | Link:
        now = self._settling(job)
        job = replace(now, stamp=stamp)
        twin = self._twin(job, fingerprint)
        if twin is None:
            self._move(job, JobState.QUEUED, **FRESH | {"fingerprint": fingerprint} | restamped(now, stamp))
            self._note_source(job.source, job.folder, stamp, job.id)
            return self._job(job.id)
        self._end(job, twin)
        self._note_source(job.source, job.folder, stamp, twin.id)
        return self._join(job, twin, output_exists)

    def _join(self, job: Job, twin: Job, output_exists: Callable[[Job], bool]) -> Job | Link:
        is_over = twin.state in (JobState.FAILED, JobState.CANCELLED)
        if is_over or (twin.state is JobState.DONE and not output_exists(twin)):
            self._take_up_again(job, twin)
        elif twin.source == job.source or (twin.state is JobState.DONE and twin.relative == job.relative):
            self._see_again(job, twin)
        else:
            return self._link(job, twin)
        return self._job(twin.id)

    def _see_again(self, job: Job, twin: Job) -> None:
        """Note the new stamp of a job's own source; one that came back after success is disposed of once more."""
        if twin.state in _WAITING:
            self._update(twin.id, **restamped(twin, job.stamp))
        elif twin.state is JobState.DONE:
            is_kept = twin.treatment.after == "keep"
            columns = {"source": to_blob(job.source), "is_aftermath_done": int(is_kept)} | restamped(twin, job.stamp)
            self._update(twin.id, **columns)

    def _take_up_again(self, job: Job, twin: Job) -> None:
        """Queue an ended job for a new source; its old one, if it still lies in its place, becomes a link."""
        if twin.source != job.source and _is_in_place(twin):
            self._link(twin, twin)
        values = to_values(_as_sighting(job))
        self._move(twin, JobState.QUEUED, **FRESH | NEW_BUDGETS | values | {"reason": ""})
        self._connection.execute("DELETE FROM links WHERE job_id = ? AND source = ?", (twin.id, values["source"]))

    def _end(self, job: Job, twin: Job) -> None:
        self._move(job, JobState.CANCELLED, reason=f"same content as job {twin.id}")
        self._connection.execute("UPDATE sources SET job_id = ? WHERE job_id = ?", (twin.id, job.id))
        self._connection.execute("DELETE FROM jobs WHERE id = ?", (job.id,))

    def _link(self, job: Job, twin: Job) -> Link:
        """Note a further source of a job's content; one that is known is linked anew if there is anything to do."""
        values = to_values(_as_sighting(job))
        chosen = {name: values[name] for name in ("source", "relative", "output_folder", "folder", "treatment")}
        key = {"job_id": twin.id, "source": chosen["source"]}
        known = self._rows("SELECT * FROM links WHERE job_id = :job_id AND source = :source", key)
        if known and job.treatment.after == "keep" and _is_made(to_link(known[0])):
            return to_link(known[0])
        columns = chosen | {"job_id": twin.id, "output": None, "created_at": wall_secs()}
        self._connection.execute(
            f"INSERT OR REPLACE INTO links ({', '.join(columns)}) VALUES (:{', :'.join(columns)})", columns
        )
        return to_link(self._rows("SELECT * FROM links WHERE job_id = :job_id AND source = :source", key)[0])

    def _settling(self, job: Job) -> Job:
        now = self._job(job.id)
        if now.state is not JobState.SETTLING:
            raise MoveError(f"job {job.id} is {now.state.value}, not settling any more")
        return now

    def _twin(self, job: Job, fingerprint: str) -> Job | None:
        found = self._jobs("WHERE fingerprint = ? AND opts_hash = ?", (fingerprint, job.opts_hash))
        return found[0] if found else None

    def _note_source(self, path: Path, folder: str, stamp: Stamp, job_id: int) -> None:
        self._connection.execute(
            "INSERT INTO sources (path, folder, stamp, job_id) VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET"
            " folder = excluded.folder, stamp = excluded.stamp, job_id = excluded.job_id",
            (to_blob(path), to_blob(folder), stamp.to_text(), job_id),
        )


def _is_made(link: Link) -> bool:
    return link.output is not None and os.path.lexists(link.output)


def _is_in_place(job: Job) -> bool:
    if not os.path.lexists(job.source) or not job.source.is_relative_to(job.folder):
        return False
    return job.source.relative_to(job.folder).parts[0] not in OUR_FOLDERS


def _as_sighting(job: Job) -> Sighting:
    if job.stamp is None:
        raise MoveError(f"job {job.id} has no stamp")
    names = ("kind", "folder", "source", "relative", "output_folder", "treatment", "opts_hash", "stamp", "priority")
    return Sighting(**{name: getattr(job, name) for name in names})
