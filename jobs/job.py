"""A job: one input with its whole configuration and its history. Plain data; store.py keeps it and moves it on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class JobState(StrEnum):
    """Where a job stands."""

    SETTLING = "settling"
    """Seen, but perhaps still being written; it has no fingerprint yet."""
    QUEUED = "queued"
    """Ready to be worked on, at once or after a delay."""
    RUNNING = "running"
    """A worker has claimed it."""
    PUBLISHING = "publishing"
    """The result is finished and verified; its name, size and hash are on record, and it is being made visible."""
    DONE = "done"
    """The result is visible, whole and on the disk."""
    FAILED = "failed"
    """It cannot be done, or not within its budgets; the reason says why."""
    BLOCKED = "blocked"
    """It waits for something that is not its fault: space, a folder, a device. It goes on by itself."""
    CANCELLED = "cancelled"
    """Somebody cancelled it, or its source is gone."""


TERMINAL = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})
"""States that a job leaves only when somebody asks for it (`jobs retry`, or the same content dropped again)."""

MOVES: Mapping[JobState, frozenset[JobState]] = {
    JobState.SETTLING: frozenset({JobState.QUEUED, JobState.FAILED, JobState.CANCELLED}),
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.SETTLING, JobState.CANCELLED, JobState.BLOCKED}),
    JobState.RUNNING: frozenset(set(JobState) - {JobState.DONE, JobState.RUNNING}),
    JobState.PUBLISHING: frozenset({JobState.DONE, JobState.QUEUED, JobState.FAILED, JobState.BLOCKED}),
    JobState.BLOCKED: frozenset({JobState.QUEUED, JobState.SETTLING, JobState.CANCELLED}),
    JobState.DONE: frozenset({JobState.QUEUED}),
    JobState.FAILED: frozenset({JobState.QUEUED, JobState.SETTLING}),
    JobState.CANCELLED: frozenset({JobState.QUEUED, JobState.SETTLING}),
}
"""From where to where a job may go. A job is done only after its result was being published."""


class JobKind(StrEnum):
    """What the source is."""

    VIDEO = "video"
    PICTURE = "picture"
    FOLDER = "folder"
    """A folder of pictures that is converted and published as a whole."""


@dataclass(frozen=True)
class Stamp:
    """What changes when somebody writes to a file or replaces it. For a folder: sums over its files, 0 as inode."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """Return the stamp of a file from its status."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)

    def to_text(self) -> str:
        """Return four numbers, separated by blanks, as the table keeps them."""
        return f"{self.size_bytes} {self.mtime_ns} {self.ctime_ns} {self.inode}"

    @classmethod
    def from_text(cls, text: str) -> Stamp:
        """Read what `to_text` gave."""
        return cls(*map(int, text.split()))


@dataclass(frozen=True)
class Treatment:
    """Everything a user chose for a job: fixed when the job is accepted, whatever is configured later."""

    convert: Mapping[str, Any] = field(default_factory=dict)
    """Fields of pipeline's ConvertSettings, all of them, as JSON values."""
    after: str = "keep"
    """What becomes of the source after success: keep, move (to `done/` in the watch folder) or delete."""
    after_failure: str = "move"
    """What becomes of it after a failure: keep, or move (to `failed/`, with a text file that says why)."""
    on_conflict: str = "suffix"
    """A foreign file has the result's name: suffix (`clip-2.mp4`) or fail."""
    on_done: tuple[str, ...] = ()
    """Command for after a success, one argument each; {input}, {output}, {report}, {id}, {state} are filled in."""
    on_failed: tuple[str, ...] = ()
    """The same after a failure."""
    max_deaths: int = 3
    """Workers that may die over a job before it fails."""
    max_exceptions: int = 3
    """Errors that may pass by themselves before a job fails; one that cannot pass fails it at once."""
    max_pixel_secs: float | None = None
    """Refuse a video of more than so many pixels times seconds; None takes any."""
    min_free_bytes: int = 1 << 30
    """Free space on the disk of the results below which a job is not begun."""

    def to_json(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(vars(self) | {"convert": dict(self.convert)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Treatment:
        """Read what `to_json` gave; names that this version does not know are left out."""
        known = {name: value for name, value in json.loads(text).items() if name in cls.__dataclass_fields__}
        return cls(**known | {name: tuple(known.get(name, ())) for name in ("on_done", "on_failed")})


@dataclass(frozen=True)
class Job:
    """One row of the table."""

    id: int
    """Its number, from 1; numbers are not used again."""
    state: JobState
    kind: JobKind
    folder: str
    """The watch folder it came from: its path as text (FolderConfig.name)."""
    source: Path
    """Absolute path where the source lies now (it moves with `after`)."""
    relative: Path
    """Name under the watch folder, a style's folder left out: it decides the place below the output folder."""
    output_folder: Path
    """Absolute path of the folder for results; its `.ugatit/` holds the work in progress."""
    treatment: Treatment
    opts_hash: str
    """Hash of all that shapes the result: the choices, the style's content, the output folder."""
    priority: int = 0
    """Higher ones are worked on first."""
    stamp: Stamp | None = None
    """Of the source as it was fingerprinted."""
    stamped_boot_secs: float = 0.0
    """When that stamp was seen first, on this boot's clock; 0 if that was before the machine's last start."""
    fingerprint: str | None = None
    """SHA-256 of the content (of a folder: of names and contents); None while settling."""
    owner: str | None = None
    """The worker that has claimed it."""
    attempt: int = 0
    """How often it was claimed; with `owner` the fence that a stale worker cannot pass."""
    deaths: int = 0
    """Workers that died over it."""
    exceptions: int = 0
    """Errors that were not for good."""
    reason: str = ""
    """Why it waits, is blocked, failed or was cancelled, as a sentence."""
    block: str = ""
    """What a blocked job waits for: disk, output, device, cluster, source."""
    ready_boot_secs: float = 0.0
    """Not before this time on this boot's clock (clocks.boot_secs); wall clocks jump."""
    is_held: bool = False
    """`jobs pause N`: it is not claimed until resumed."""
    output: Path | None = None
    """Absolute path of the result, once that is settled."""
    output_bytes: int | None = None
    """Its size."""
    output_sha256: str | None = None
    """Its hash."""
    report: str | None = None
    """Pipeline's report as JSON."""
    created_at: float = 0.0
    """When it was seen first, seconds since 1970; for people only."""
    changed_at: float = 0.0
    """When its state changed last; for people only."""

    @property
    def work_folder(self) -> Path:
        """Where its chunks live: on the file system of its output, so that publishing is a rename."""
        return self.output_folder / ".ugatit" / "jobs" / str(self.id)


@dataclass(frozen=True)
class Sighting:
    """What the intake hands to the store when it sees something new."""

    kind: JobKind
    folder: str
    source: Path
    relative: Path
    output_folder: Path
    treatment: Treatment
    opts_hash: str
    stamp: Stamp
    priority: int = 0


@dataclass(frozen=True)
class Move:
    """One change of state, as the table's history keeps it."""

    number: int
    """Ascending over all jobs."""
    job_id: int
    before: JobState | None
    """None where the job is new."""
    after: JobState
    reason: str
    attempt: int
    owner: str | None
    at: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class Link:
    """A source with the content of another job: it gets that job's result under its own name, by a hard link."""

    source: Path
    relative: Path
    output_folder: Path
    job_id: int
    output: Path | None
    """Where the linked result lies; None until it was made."""
    folder: str = ""
    """The watch folder of this source, which may be another one than the job's."""
    treatment: Treatment = field(default_factory=Treatment)
    """What that folder says becomes of the source; how to convert is the job's business."""
