"""The report beside a result: its name, and how it gets there.

Its text is kept in the table, so that it can be made again.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from .disks import rename_no_replace, sync
from .handlers import name_of
from .job import Job, JobKind

logger = logging.getLogger(__name__)

REPORT_ENDING = ".report.json"
"""Ending of a report's name, after the stem or the whole name of its result."""

JOB_KEY = "job"
"""Where a report says which job its result is of."""

_MAX_REPORT_BYTES = 1 << 26


def report_path(output: Path, kind: JobKind) -> Path | None:
    """Return where the report of a result goes: beside it; None where both its names are taken by others.

    A report that is about this very result may be replaced: it stayed when the result was removed.
    """
    stems = (output.name,) if kind is JobKind.FOLDER else (output.stem, output.name)
    paths = [output.with_name(name_of(stem, REPORT_ENDING)) for stem in stems]
    return next((path for path in paths if not os.path.lexists(path) or _is_about(path, output)), None)


def seal(report: str, job: Job, output_bytes: int, output_sha256: str) -> str:
    """Add to a report what makes its result findable without a table (adoption.py).

    Args:
        report: a JSON object.
        job: with its fingerprint.
        output_bytes: size of the result.
        output_sha256: its hash.
    """
    facts = json.loads(report) | {
        JOB_KEY: identity(job) | {"output_bytes": output_bytes, "output_sha256": output_sha256}
    }
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def identity(job: Job) -> dict[str, Any]:
    """Return what no two jobs have in common."""
    return {"fingerprint": job.fingerprint, "opts_hash": job.opts_hash}


def read_report(path: Path) -> str:
    """Return the text of a report.

    Raises:
        OSError: it is not there, or a link.
        ValueError: it is no text, or too large for a report.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as file:
        text = file.read(_MAX_REPORT_BYTES + 1)
    if len(text) > _MAX_REPORT_BYTES:
        raise ValueError(f"'{path}' is too large for a report")
    return text.decode("utf-8")


def stage_report(job: Job) -> Path:
    """Write a job's report into its work folder, so that giving it its name needs no more space.

    Raises:
        OSError: it cannot be written.
    """
    job.work_folder.mkdir(parents=True, exist_ok=True)
    staged = _staged(job)
    staged.write_text(job.report or "", encoding="utf-8", errors="backslashreplace")
    sync(staged)
    return staged


def place_report(job: Job) -> None:
    """Put a job's report beside its result; where both names are taken by now, it stays in the table only.

    Raises:
        OSError: it cannot be written.
    """
    assert job.output is not None
    path = report_path(job.output, job.kind)
    if path is None:
        logger.warning('the report of "%s" finds its name taken; it is in the job table only.', job.output)
        return
    staged = stage_report(job)
    if os.path.lexists(path):
        os.replace(staged, path)
    else:
        with suppress(FileExistsError):
            rename_no_replace(staged, path)


def _staged(job: Job) -> Path:
    return job.work_folder / "staged.report"


def _is_about(path: Path, output: Path) -> bool:
    with suppress(OSError, ValueError, AttributeError):
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _MAX_REPORT_BYTES:
            return bool(json.loads(path.read_bytes().decode("utf-8", "replace")).get("output") == str(output))
    return False
