"""A job as the pages and the JSON show it: every text readable, every figure with its unit. Nothing is read here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..clocks import boot_secs, wall_secs
from ..job import MOVES, Job, JobState, Link, Move
from ..progress_file import WorkerStatus
from . import words
from .figures import Figure, figures, report_of, warnings_of

STATE_WORDS = {
    JobState.SETTLING: "Arriving",
    JobState.QUEUED: "Queued",
    JobState.RUNNING: "Running",
    JobState.PUBLISHING: "Publishing",
    JobState.DONE: "Done",
    JobState.FAILED: "Failed",
    JobState.BLOCKED: "Blocked",
    JobState.CANCELLED: "Cancelled",
}
TILES: Mapping[str, tuple[JobState, ...]] = {
    "settling": (JobState.SETTLING,),
    "queued": (JobState.QUEUED,),
    "running": (JobState.RUNNING, JobState.PUBLISHING),
    "blocked": (JobState.BLOCKED,),
    "failed": (JobState.FAILED,),
    "done": (JobState.DONE,),
    "cancelled": (JobState.CANCELLED,),
}
"""The lists a person can open, each by a name that is also a state's."""

_SILENT_SECS = 60.0
_PLAIN_VALUES: tuple[Any, ...] = (None, False, "", "auto", [], (), {})


@dataclass(frozen=True)
class Action:
    """A button."""

    verb: str
    """Last part of the address that it posts to."""
    label: str
    icon: str
    kind: str = "quiet"
    is_small: bool = False
    """In lists, its icon says enough."""


RETRY = Action("retry", "Retry", "retry")
TRY_NOW = Action("retry", "Try now", "retry")
CANCEL = Action("cancel", "Cancel", "cancel", "quiet danger", is_small=True)
HOLD = Action("hold", "Hold", "pause", is_small=True)
RELEASE = Action("release", "Release", "play")


@dataclass(frozen=True)
class ProgressView:
    """How far a running job is; all but `value` as it is shown."""

    id: int
    stage: str
    frames: str
    rate: str
    left: str
    faces: str
    percent: str
    value: float | None
    """Position of the bar, 0 to 100; None where no total is known."""

    def as_json(self) -> dict[str, Any]:
        """Return it as the page's script takes it."""
        return asdict(self)


@dataclass(frozen=True)
class JobView:
    """What the templates show of a job."""

    id: int
    state: str
    word: str
    kind: str
    name: str
    where: str
    reason: str
    note: str
    attempt: int
    changed_at: float
    before: str | None
    """Address of the thumbnail of the source, if there is one."""
    after: str | None
    progress: ProgressView | None
    figures: tuple[Figure, ...]
    warnings: tuple[str, ...]
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class MoveView:
    """One line of a job's history."""

    state: str
    word: str
    reason: str
    attempt: int
    owner: str
    at: float


def view_job(
    job: Job,
    status: WorkerStatus | None = None,
    thumbs: Mapping[str, str] | None = None,
    closed: Collection[str] = (),
) -> JobView:
    """Return a job as it is shown.

    Args:
        job: a row of the table.
        status: what its worker wrote, if it has one.
        thumbs: addresses of its thumbnails, by `before` and `after`.
        closed: watch folders of which no job may start now.
    """
    report = report_of(job)
    is_running = job.state in TILES["running"]
    return JobView(
        id=job.id,
        state=job.state.value,
        word=STATE_WORDS[job.state],
        kind=job.kind.value,
        name=words.shown_name(job.relative.name or job.source.name),
        where=_where(job),
        reason=words.sentence(job.reason),
        note=_note(job, closed),
        attempt=job.attempt,
        changed_at=job.changed_at,
        before=(thumbs or {}).get("before"),
        after=(thumbs or {}).get("after"),
        progress=view_progress(job, status) if is_running else None,
        figures=figures(report, job.kind) if job.state is JobState.DONE else (),
        warnings=warnings_of(report),
        actions=actions(job),
    )


def view_progress(job: Job, status: WorkerStatus | None) -> ProgressView:
    """Return how far a job is, by what its own worker wrote."""
    if job.state is JobState.PUBLISHING:
        return ProgressView(job.id, "publishing", "–", "–", "–", "–", "", None)
    if status is None or status.owner != job.owner or status.job != job.id:
        return ProgressView(job.id, "starting", "–", "–", "–", "–", "", None)
    silent_secs = wall_secs() - status.at
    stage = words.shown_name(status.stage) or "starting"
    if silent_secs > _SILENT_SECS:
        stage += f" (silent for {words.duration(silent_secs)})"
    share = min(100.0, 100.0 * status.done / status.total) if status.total else None
    return ProgressView(
        id=job.id,
        stage=stage,
        frames=words.count(status.done) + (f" / {words.count(status.total)}" if status.total else ""),
        rate=words.rate(status.fps) if status.fps else "–",
        left=words.duration(status.remaining_secs),
        faces=words.count(status.faces),
        percent="" if share is None else f"{share:.0f} %",
        value=None if share is None else round(share, 1),
    )


def view_move(move: Move) -> MoveView:
    """Return a change of state as it is shown."""
    return MoveView(
        move.after.value,
        STATE_WORDS[move.after],
        words.sentence(move.reason),
        move.attempt,
        words.shown_name(move.owner or ""),
        move.at,
    )


def actions(job: Job) -> tuple[Action, ...]:
    """Return the buttons that a job's state allows."""
    if job.state in (JobState.FAILED, JobState.CANCELLED):
        return (RETRY,)
    offered = {JobState.QUEUED: (RELEASE if job.is_held else HOLD,), JobState.BLOCKED: (TRY_NOW,)}.get(job.state, ())
    return (*offered, CANCEL) if JobState.CANCELLED in MOVES[job.state] else offered


def paths(job: Job) -> list[tuple[str, str]]:
    """Return where everything of a job lies."""
    found: list[tuple[str, str | Path]] = [
        ("Source", job.source),
        ("Result", job.output or "not yet"),
        ("Watch folder", job.folder),
        ("Output folder", job.output_folder),
    ]
    if job.state in TILES["running"] or job.state is JobState.QUEUED:
        found.append(("Work folder", job.work_folder))
    shown = [(name, words.shown_name(path)) for name, path in found]
    stamp = [("Source size", words.size(job.stamp.size_bytes))] if job.stamp else []
    result = [("Result size", words.size(job.output_bytes))] if job.output_bytes is not None else []
    content = [("Content (SHA-256)", job.fingerprint)] if job.fingerprint else []
    return shown + stamp + result + content


def view_links(links: Sequence[Link]) -> list[tuple[str, str]]:
    """Return further sources with the same content, and where each has its result."""
    return [(words.shown_name(link.source), words.shown_name(link.output or "not yet")) for link in links]


def configuration(job: Job) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return a job's choices: those that say something, and those that are off or left to the program."""
    convert = dict(job.treatment.convert)
    style = [("style", convert.pop("style"))] if "style" in convert else []
    treatment = {name: value for name, value in asdict(job.treatment).items() if name != "convert"}
    told = [*style, *((n, v) for n, v in convert.items() if v not in _PLAIN_VALUES)]
    told += [(n, v) for n, v in treatment.items() if v not in _PLAIN_VALUES]
    if job.priority:
        told.append(("priority", job.priority))
    rest = [(n, v) for n, v in (convert | treatment).items() if v in _PLAIN_VALUES]
    return [_choice(*each) for each in told], [_choice(*each) for each in rest]


def _where(job: Job) -> str:
    place = Path(job.folder).name / job.relative.parent
    style = job.treatment.convert.get("style")
    return " · ".join(words.shown_name(part) for part in (str(place), str(style) if style else "") if part)


def _note(job: Job, closed: Collection[str]) -> str:
    if job.is_held:
        return "held"
    left_secs = job.ready_boot_secs - boot_secs()
    if job.state in (JobState.QUEUED, JobState.SETTLING) and left_secs > 0:
        return f"not before {words.clock(wall_secs() + left_secs)}"
    if job.state is JobState.QUEUED and job.folder in closed:
        return "not at this time"
    return f"priority {job.priority}" if job.priority and job.state is JobState.QUEUED else ""


def _choice(name: str, value: Any) -> tuple[str, str]:
    if name.endswith("_bytes") and isinstance(value, int):
        return name.removesuffix("_bytes").replace("_", " "), words.size(value)
    if isinstance(value, bool) or value is None:
        shown = {True: "yes", False: "no", None: "–"}[value]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        shown = " ".join(map(str, value)) or "–"
    elif isinstance(value, Mapping):
        shown = ", ".join(f"{key}: {each}" for key, each in value.items()) or "–"
    else:
        shown = str(value) or "–"
    return words.shown_name(name.replace("_", " ")), words.shown_name(shown)
