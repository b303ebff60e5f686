"""What the store answers without changing anything."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from .job import TERMINAL, Job, JobState, Link, Move, Stamp
from .rows import to_blob, to_link, to_move, to_path, to_record
from .store_table import Table, marks

Jobs = list[Job]  # within the class, `list` is its method
Moves = list[Move]
Links = list[Link]
Records = list[dict[str, Any]]

_ENDS = ", ".join(f"'{state.value}'" for state in sorted(TERMINAL))


class Queries(Table):
    """Looking at jobs, their history and their links."""

    def get(self, job_id: int) -> Job:
        """Return a job.

        Raises:
            JobNotFoundError: there is none of that number.
        """
        return self._job(job_id)

    def list(
        self,
        states: Collection[JobState] | None = None,
        folder: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Jobs:
        """Return jobs in the order of their numbers.

        Args:
            states: only those in one of these; None: all.
            folder: only those of this watch folder.
            limit: no more than so many.
            newest_first: highest number first.
        """
        where, values = ["1"], list[Any]()
        if states is not None:
            where.append(f"state IN ({marks(states)})")
            values += [state.value for state in states]
        if folder is not None:
            where.append("folder = ?")
            values.append(to_blob(folder))
        order = "DESC" if newest_first else "ASC"
        tail = f"WHERE {' AND '.join(where)} ORDER BY id {order} LIMIT ?"
        return self._jobs(tail, [*values, -1 if limit is None else limit])

    def page(self, states: Collection[JobState], *, limit: int, offset: int = 0, in_line: bool = False) -> Jobs:
        """Return a part of a long list without reading the rest of it.

        Args:
            states: only those in one of these.
            limit: no more than so many.
            offset: so many come before.
            in_line: in the order in which workers take them; else what changed last comes first.
        """
        order = "priority DESC, id" if in_line else "changed_at DESC, id DESC"
        chosen = f"SELECT id FROM jobs WHERE state IN ({marks(states)}) ORDER BY {order} LIMIT ? OFFSET ?"
        values = [*(state.value for state in states), limit, offset]
        return self._jobs(f"WHERE id IN ({chosen}) ORDER BY {order}", values)

    def counts(self) -> dict[JobState, int]:
        """Return how many jobs are in each state; all states are there."""
        found = {row["state"]: row["number"] for row in self._rows(_COUNTS)}
        return {state: found.get(state.value, 0) for state in JobState}

    def known(self, folder: str) -> dict[Path, tuple[Stamp, int, JobState]]:
        """Return all sources seen in a watch folder: path -> stamp as last seen, number and state of its job.

        Sources that are links are among them, with the job that has their content.
        """
        return {
            to_path(row["path"]): (Stamp.from_text(row["stamp"]), row["job_id"], JobState(row["state"]))
            for row in self._rows(_KNOWN, (to_blob(folder),))
        }

    def seen(self, source: Path) -> tuple[Stamp, int] | None:
        """Return the stamp under which a source was last seen, and the number of its job."""
        rows = self._rows("SELECT stamp, job_id FROM sources WHERE path = ?", (to_blob(source),))
        return (Stamp.from_text(rows[0]["stamp"]), rows[0]["job_id"]) if rows else None

    def moves(self, after: int = 0, limit: int = 1000) -> Moves:
        """Return changes of state after a number, oldest first."""
        rows = self._rows("SELECT * FROM moves WHERE number > ? ORDER BY number LIMIT ?", (after, limit))
        return [to_move(row) for row in rows]

    def last_move(self) -> int:
        """Return the number of the last change of state there ever was in this table, purged ones included."""
        rows = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'moves'")
        return rows[0]["seq"] if rows else 0

    def history(self, job_id: int) -> Moves:
        """Return all changes of state of one job, oldest first; also of one that became another's link."""
        return [to_move(row) for row in self._rows("SELECT * FROM moves WHERE job_id = ? ORDER BY number", (job_id,))]

    def links(self, pending: bool = True, job_id: int | None = None) -> Links:
        """Return the links that can be made now (their job is done, they have no output), or all of them.

        Args:
            pending: only those that can be made.
            job_id: only those of this job.
        """
        where, values = ["1"], list[Any]()
        if pending:
            where.append("jobs.state = 'done' AND links.output IS NULL")
        if job_id is not None:
            where.append("links.job_id = ?")
            values.append(job_id)
        joined = "links JOIN jobs ON jobs.id = links.job_id"
        tail = f"WHERE {' AND '.join(where)} ORDER BY links.job_id, links.source"
        return [to_link(row) for row in self._rows(f"SELECT links.* FROM {joined} {tail}", values)]

    def unfinished_aftermath(self) -> Jobs:
        """Return jobs that came to an end and whose aftermath was not noted yet."""
        return self._jobs(f"WHERE is_aftermath_done = 0 AND state IN ({_ENDS}) ORDER BY id")

    def is_paused(self) -> bool:
        """Say whether no job at all may be claimed."""
        return self._setting("is_paused") == "1"

    def places(self) -> frozenset[tuple[str, Path]]:
        """Return all pairs of a watch folder and an output folder that jobs know, whatever is configured now."""
        rows = self._rows("SELECT DISTINCT folder, output_folder FROM jobs")
        return frozenset((os.fsdecode(row["folder"]), to_path(row["output_folder"])) for row in rows)

    def closed_folders(self) -> frozenset[str]:
        """Return the watch folders of which no job may be claimed now."""
        return frozenset(self._closed_folders())

    def folder_mark(self, folder: str) -> str | None:
        """Return what a watch folder's mark file was given to hold; None if it never had one."""
        return self._token(folder)

    def export(self) -> Records:
        """Return every job as JSON values, with its `moves` and `links`."""
        with self._reading():
            moves: dict[int, Records] = {}
            for row in self._rows("SELECT * FROM moves ORDER BY number"):
                moves.setdefault(row["job_id"], []).append(to_record(to_move(row)))
            links: dict[int, Records] = {}
            for link in self.links(pending=False):
                links.setdefault(link.job_id, []).append(to_record(link))
            jobs = self.list()
        return [_record(job) | {"moves": moves.get(job.id, []), "links": links.get(job.id, [])} for job in jobs]


_COUNTS = "SELECT state, count(*) AS number FROM jobs GROUP BY state"
_KNOWN = "SELECT path, sources.stamp, job_id, state FROM sources JOIN jobs ON jobs.id = job_id WHERE sources.folder = ?"


def _record(job: Job) -> dict[str, Any]:
    record = to_record(job)
    record["report"] = json.loads(job.report) if job.report else None
    record["work_folder"] = os.fspath(job.work_folder)
    return record
