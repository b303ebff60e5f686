"""Jobs as text for people: tables that fit a terminal of 80 columns and stay whole in a pipe, and one job at length."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .job import Job, JobState, Link, Move
from .names import shown
from .progress_file import WorkerStatus

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_PIPE_COLUMNS = 10_000
_COLOURS = {
    JobState.DONE: "green",
    JobState.FAILED: "red",
    JobState.BLOCKED: "yellow",
    JobState.RUNNING: "cyan",
    JobState.PUBLISHING: "cyan",
}
_REPORT_KEYS = ("style", "frames", "faces", "tracks", "device", "elapsed_secs", "fps", "verified", "warnings")


def console() -> Console:
    """Return where tables are printed to: as wide as the terminal; in a pipe, as wide as the table."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(width=_PIPE_COLUMNS, highlight=False, file=sys.stdout)


def jobs_table(jobs: Sequence[Job], status: Mapping[int, WorkerStatus]) -> Table:
    """Return a table with one job a line.

    Args:
        jobs: in the order in which they are shown.
        status: what the workers say, by the number of their job.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("JOB", justify="right", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    table.add_column("SOURCE", overflow="ellipsis", no_wrap=True, ratio=2 if sys.stdout.isatty() else None)
    table.add_column("", overflow="fold", ratio=3 if sys.stdout.isatty() else None)
    table.add_column("SINCE", justify="right", no_wrap=True)
    for job in jobs:
        state = "held" if job.is_held and job.state is JobState.QUEUED else job.state.value
        table.add_row(
            str(job.id),
            _coloured(state, job.state),
            _plain(shown(job.relative)),
            _plain(_what(job, status.get(job.id))),
            time_text(job.changed_at),
        )
    return table


def counts_line(counts: Mapping[JobState, int]) -> str:
    """Return how many jobs there are in each state, empty ones left out."""
    parts = [f"{number} {state}" for state, number in counts.items() if number]
    return ", ".join(parts) or "no jobs yet"


def job_text(job: Job, moves: Sequence[Move], links: Sequence[Link], status: WorkerStatus | None) -> str:
    """Return everything about one job: where its files are, what was chosen, what happened, what came out."""
    lines = [f"job {job.id}: {job.state}{' (held)' if job.is_held else ''}"]
    lines += [f"  {name:12}{text}" for name, text in _facts(job, status) if text]
    lines += [f"  {'same as it':12}{shown(link.source)} -> {shown(link.output or '(waits)')}" for link in links]
    lines += ["", "history", *(_move_line(move) for move in moves)]
    lines += ["", "treatment", *_treatment_lines(job)]
    if job.report:
        lines += ["", "report", *_report_lines(job.report)]
    return "\n".join(lines)


def time_text(at: float) -> str:
    """Return a wall-clock time for people: the time of day, with the date where that is not today's."""
    then, now = datetime.fromtimestamp(at), datetime.now()
    return f"{then:%H:%M:%S}" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M}"


def progress_text(status: WorkerStatus) -> str:
    """Return how far a worker is, in a few words."""
    total = f"/{status.total}" if status.total else ""
    rate = f", {status.fps:.1f} fps" if status.fps else ""
    left = f", {_duration(status.remaining_secs)} left" if status.remaining_secs else ""
    return f"{status.stage} {status.done}{total}{rate}{left}".strip()


def _duration(secs: float) -> str:
    minutes, seconds = divmod(round(secs), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _what(job: Job, status: WorkerStatus | None) -> str:
    if status is not None:
        return progress_text(status)
    if job.state is JobState.DONE:
        return f"-> {shown(job.output or '')}"
    return shown(job.reason)


def _coloured(text: str, state: JobState) -> Any:
    from rich.text import Text

    return Text(text, style=_COLOURS.get(state, ""))


def _plain(text: str) -> Any:
    """A name may hold what rich would take for markup."""
    from rich.text import Text

    return Text(text)


def _facts(job: Job, status: WorkerStatus | None) -> list[tuple[str, str]]:
    return [
        ("reason", shown(job.reason)),
        ("waits for", job.block),
        ("progress", progress_text(status) if status else ""),
        ("source", shown(job.source)),
        ("result", shown(job.output or "")),
        ("watched in", shown(job.folder)),
        ("results in", shown(job.output_folder)),
        ("work in", shown(job.work_folder) if job.work_folder.exists() else ""),
        ("kind", job.kind.value),
        ("content", f"sha256 {job.fingerprint}" if job.fingerprint else ""),
        ("budgets", f"attempt {job.attempt}, {job.deaths} deaths, {job.exceptions} errors that may pass"),
        ("priority", str(job.priority or "")),
        ("worker", job.owner or ""),
        ("first seen", time_text(job.created_at)),
    ]


def _move_line(move: Move) -> str:
    reason = f"  {shown(move.reason)}" if move.reason else ""
    return f"  {time_text(move.at)}  {move.before or 'new'} -> {move.after}{reason}"


def _treatment_lines(job: Job) -> list[str]:
    own = {name: value for name, value in json.loads(job.treatment.to_json()).items() if name != "convert"}
    choices = dict(job.treatment.convert) | own
    return [f"  {name:20}{json.dumps(value, ensure_ascii=False)}" for name, value in sorted(choices.items())]


def _report_lines(report: str) -> list[str]:
    facts = json.loads(report)
    return [f"  {name:20}{facts[name]}" for name in _REPORT_KEYS if facts.get(name) not in (None, [], "")]
