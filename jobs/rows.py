"""Between rows of the table and the dataclasses of job.py; no SQL is run here.

Paths (and names of watch folders, which are paths) are kept as the bytes the system has, since not every name is
UTF-8. Texts that may quote such names are made printable first.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from .clocks import boot_id, boot_secs
from .job import Job, JobKind, JobState, Link, Move, Sighting, Stamp, Treatment

JOB_COLUMNS = (
    "id, state, kind, folder, source, relative, output_folder, treatment, opts_hash, priority, stamp, "
    "stamped_boot_secs, stamped_boot_id, fingerprint, owner, attempt, deaths, exceptions, reason, block, "
    "ready_boot_secs, boot_id, is_held, output, output_bytes, output_sha256, report, created_at, changed_at"
)
"""What `to_job` needs, in no order that matters."""

_SAME = (
    *("id", "opts_hash", "priority", "fingerprint", "owner", "attempt", "deaths", "exceptions", "reason", "block"),
    *("output_bytes", "output_sha256", "report", "created_at", "changed_at"),
)


def to_blob(path: Path | str) -> bytes:
    """Return a path as the bytes that the system knows it by."""
    return os.fsencode(path)


def to_path(blob: bytes) -> Path:
    """Read what `to_blob` gave."""
    return Path(os.fsdecode(blob))


def to_text(text: str) -> str:
    r"""Make a text UTF-8: a byte that is none becomes \udcXX (in JSON that is the same text again)."""
    return text.encode("utf-8", "backslashreplace").decode()


def to_job(row: sqlite3.Row) -> Job:
    """Return the job that a row of `jobs` describes; a delay from before the machine's last start is over."""
    return Job(
        **{name: row[name] for name in _SAME},
        state=JobState(row["state"]),
        kind=JobKind(row["kind"]),
        folder=os.fsdecode(row["folder"]),
        source=to_path(row["source"]),
        relative=to_path(row["relative"]),
        output_folder=to_path(row["output_folder"]),
        treatment=_treatment(row["treatment"]),
        stamp=Stamp.from_text(row["stamp"]) if row["stamp"] else None,
        ready_boot_secs=row["ready_boot_secs"] if row["boot_id"] == boot_id() else 0.0,
        stamped_boot_secs=row["stamped_boot_secs"] if row["stamped_boot_id"] == boot_id() else 0.0,
        is_held=bool(row["is_held"]),
        output=to_path(row["output"]) if row["output"] is not None else None,
    )


def to_values(sighting: Sighting) -> dict[str, Any]:
    """Return the columns of `jobs` that a sighting settles."""
    return {
        "kind": sighting.kind.value,
        "folder": to_blob(sighting.folder),
        "source": to_blob(sighting.source),
        "relative": to_blob(sighting.relative),
        "output_folder": to_blob(sighting.output_folder),
        "treatment": to_text(sighting.treatment.to_json()),
        "opts_hash": sighting.opts_hash,
        "priority": sighting.priority,
    } | stamped(sighting.stamp)


def stamped(stamp: Stamp) -> dict[str, Any]:
    """Return the columns of `jobs` that say a stamp, and that it is seen for the first time now."""
    return {"stamp": stamp.to_text(), "stamped_boot_secs": boot_secs(), "stamped_boot_id": boot_id()}


def restamped(job: Job, stamp: Stamp | None) -> dict[str, Any]:
    """Return the columns of `jobs` to change for a stamp that may be the known one."""
    return {} if stamp is None or stamp == job.stamp else stamped(stamp)


def to_move(row: sqlite3.Row) -> Move:
    """Return the move that a row of `moves` describes."""
    return Move(
        number=row["number"],
        job_id=row["job_id"],
        before=JobState(row["before"]) if row["before"] else None,
        after=JobState(row["after"]),
        reason=row["reason"],
        attempt=row["attempt"],
        owner=row["owner"],
        at=row["at"],
    )


def to_link(row: sqlite3.Row) -> Link:
    """Return the link that a row of `links` describes."""
    return Link(
        source=to_path(row["source"]),
        relative=to_path(row["relative"]),
        output_folder=to_path(row["output_folder"]),
        job_id=row["job_id"],
        output=to_path(row["output"]) if row["output"] is not None else None,
        folder=os.fsdecode(row["folder"]),
        treatment=_treatment(row["treatment"]),
    )


def to_record(item: Job | Move | Link) -> dict[str, Any]:
    """Return a dataclass as JSON values; bytes of paths that are no UTF-8 are surrogates, which JSON can hold."""
    return {name: _plain(value) for name, value in asdict(item).items()}


@lru_cache(maxsize=64)
def _treatment(text: str) -> Treatment:
    """Read a treatment; thousands of jobs have the same one."""
    return Treatment.from_json(text)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return os.fspath(value) if isinstance(value, Path) else value
