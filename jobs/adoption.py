"""Results of an earlier job table: found again by the reports beside them, so that nothing is converted twice.

A table that was lost (deleted, damaged, left behind on another disk) is built anew by looking through the watch
folders. Every report says what its job was; a result that still is what that report says belongs to the new job with
the same content and options. Nothing is changed here.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .contents import measure
from .handlers import name_of
from .job import Job, JobKind
from .publishing import candidates
from .report_files import JOB_KEY, REPORT_ENDING, identity, read_report


@dataclass(frozen=True)
class Found:
    """A result that is there, whole."""

    output: Path
    """Where it lies."""
    output_bytes: int
    """Its size."""
    output_sha256: str
    """Its hash."""
    report: str
    """The report beside it, as JSON."""


def find_result(job: Job, tick: Callable[[], None] = lambda: None) -> Found | None:
    """Return a result that a job with the same content and options published, in the place where this one's goes.

    Args:
        job: with its fingerprint.
        tick: called now and then while a result is read; what it raises comes through.
    """
    for path in _reports(job):
        with suppress(OSError, ValueError):
            found = _result_of(path, job, tick)
            if found is not None:
                return found
    return None


def _reports(job: Job) -> Iterator[Path]:
    """Yield the reports of results with the job's name: `clip.report.json`, and while these exist, the next ones."""
    for name in candidates(job.output_folder / job.relative, job.kind):
        stem = name.name if job.kind is JobKind.FOLDER else name.stem
        path = name.with_name(name_of(stem, REPORT_ENDING))
        if not os.path.lexists(path):
            return
        yield path
        if job.kind is not JobKind.FOLDER:  # where that name was taken, a report is called clip.mp4.report.json
            yield from sorted(path.parent.glob(f"{glob.escape(stem)}.*{REPORT_ENDING}"))


def _result_of(path: Path, job: Job, tick: Callable[[], None]) -> Found | None:
    text = read_report(path)
    facts = json.loads(text)
    said = facts.get(JOB_KEY) if isinstance(facts, dict) else None
    if not isinstance(said, dict) or not said.items() >= identity(job).items():
        return None
    output = path.with_name(Path(str(facts.get("output"))).name)
    if output.name == ".." or measure(output, tick) != (said.get("output_bytes"), said.get("output_sha256")):
        return None
    return Found(output, said["output_bytes"], said["output_sha256"], text)
