"""The report beside a result: its name, and how it gets there.

Its text is kept in the table, so that it can be made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from contextlib import suppress
from pathlib import Path

from .disks import rename_no_replace, sync
from .job import Job, JobKind

logger = logging.getLogger(__name__)

REPORT_ENDING = ".report.json"
"""Ending of a report's name, after the stem or the whole name of its result."""

_MAX_NAME_BYTES = 255
_MAX_REPORT_BYTES = 1 << 26


def report_path(output: Path, kind: JobKind) -> Path | None:
    """Return where the report of a result goes: beside it; None where both its names are taken by others.

    A report that is about this very result may be replaced: it stayed when the result was removed.
    """
    stems = (output.name,) if kind is JobKind.FOLDER else (output.stem, output.name)
    paths = [output.with_name(shortened(stem, REPORT_ENDING)) for stem in stems]
    return next((path for path in paths if not os.path.lexists(path) or _is_about(path, output)), None)


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


def shortened(stem: str, ending: str) -> str:
    """Join a stem and an ending; where that is too long for a file name, the stem's end becomes a hash of it."""
    encoded, room = os.fsencode(stem), _MAX_NAME_BYTES - len(os.fsencode(ending))
    if len(encoded) > room:
        mark = "~" + hashlib.sha256(encoded).hexdigest()[:8]
        stem = encoded[: room - len(mark)].decode("utf-8", "ignore") + mark
    return stem + ending


def _staged(job: Job) -> Path:
    return job.work_folder / "staged.report"


def _is_about(path: Path, output: Path) -> bool:
    with suppress(OSError, ValueError, AttributeError):
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _MAX_REPORT_BYTES:
            return bool(json.loads(path.read_bytes().decode("utf-8", "replace")).get("output") == str(output))
    return False
