"""The `jobs` commands: looking at the job table and changing it, whether a watch is running or not.

They open the same SQLite file as the watch does; what they change, daemon and workers find there.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import JobsError
from .find_table import TABLE_NAME, state_folder, table_options
from .job import Job, JobState

if TYPE_CHECKING:
    from .progress_file import WorkerStatus
    from .store import JobStore

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AT_WORK = (JobState.RUNNING, JobState.PUBLISHING)
_WAITING = (JobState.SETTLING, JobState.QUEUED, JobState.BLOCKED)
_CSV_COLUMNS = str.split(
    "id state kind folder source relative output reason block attempt deaths exceptions priority fingerprint "
    "output_bytes output_sha256 created_at changed_at"
)


@click.group()
def jobs() -> None:
    """Look at the jobs of a watch and change what becomes of them.

    Works while the watch runs and when it does not.

    \b
    Examples:
      jobs list -o OUT --state failed     what went wrong
      jobs show 7 -o OUT                  everything about one job
      jobs retry --failed -o OUT          try all failed ones again
      jobs pause -o OUT                   start nothing more until `jobs resume`
      jobs health -o OUT                  exit code 0 if a watch is running and well
    """  # noqa: D301


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of Click only
    """A number with a unit: 90s, 15m, 12h, 30d, 4w."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", str(value).strip())
        if match is None:
            self.fail(f'"{value}" is no duration; write one like 90s, 15m, 12h, 30d or 4w.', param, ctx)
        return float(match[1]) * _UNITS[match[2]]


@jobs.command("list")
@click.option("--state", "states", multiple=True, type=click.Choice([s.value for s in JobState]), help="Only these.")
@click.option("--folder", help="Only those of this watch folder.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="The newest so many.")
@table_options("--state-dir")
@click.pass_context
def list_jobs(
    context: click.Context,
    states: tuple[str, ...],
    folder: str | None,
    limit: int,
    output: Path | None,
    state_dir: Path,
) -> None:
    """Show the newest jobs, one a line."""
    with _table(output, state_dir, read_only=True) as (store, where):
        name = str(Path(folder).absolute()) if folder else None
        found = store.list([JobState(s) for s in states] or None, folder=name, limit=limit, newest_first=True)
        counts, paused, status = store.counts(), store.is_paused(), _status(where, found)
    if _wants_json(context):
        records = [_record(job, status.get(job.id)) for job in found]
        click.echo(json.dumps({"jobs": records, "counts": counts, "paused": paused, "watching": _is_watching(where)}))
        return
    from .job_tables import console, counts_line, jobs_table

    if found:
        console().print(jobs_table(found[::-1], status))
    more = f"; the newest {limit} are shown" if len(found) == limit < sum(counts.values()) else ""
    click.echo(f"{counts_line(counts)}{more}{_standing(where, paused)}")


@jobs.command(short_help="Show everything about one job.")
@click.argument("number", type=int, metavar="JOB")
@table_options()
@click.pass_context
def show(context: click.Context, number: int, output: Path | None, state_dir: Path | None) -> None:
    """Show everything about one job: files, choices, history, report."""
    with _table(output, state_dir, read_only=True) as (store, where):
        job, moves = store.get(number), store.history(number)
        links = [link for link in store.links(pending=False) if link.job_id == number]
        status = _status(where, [job]).get(number)
    if _wants_json(context):
        from .rows import to_record

        more = {"history": [to_record(move) for move in moves], "links": [to_record(link) for link in links]}
        click.echo(json.dumps(_record(job, status, whole=True) | more))
        return
    from .job_tables import job_text

    click.echo(job_text(job, moves, links, status))


@jobs.command(short_help="Queue jobs again, with fresh budgets.")
@click.argument("numbers", type=int, nargs=-1, metavar="[JOB]...")
@click.option("--failed", "all_failed", is_flag=True, help="All that failed.")
@table_options()
@click.pass_context
def retry(
    context: click.Context, numbers: tuple[int, ...], all_failed: bool, output: Path | None, state_dir: Path | None
) -> int:
    """Queue jobs again that are over, with fresh budgets."""
    with _table(output, state_dir) as (store, _):
        chosen = _chosen(store, numbers, (JobState.FAILED,) if all_failed else (), "--failed")
        return _each(context, "queued again", chosen, store.retry)


@jobs.command(short_help="Give jobs up.")
@click.argument("numbers", type=int, nargs=-1, metavar="[JOB]...")
@click.option("--all-queued", is_flag=True, help="All that wait; not those that are being worked on.")
@table_options()
@click.pass_context
def cancel(
    context: click.Context, numbers: tuple[int, ...], all_queued: bool, output: Path | None, state_dir: Path | None
) -> int:
    """Give jobs up; one that is being worked on is dropped within seconds. Sources stay where they are."""
    with _table(output, state_dir) as (store, _):
        chosen = _chosen(store, numbers, _WAITING if all_queued else (), "--all-queued")
        return _each(context, "cancelled", chosen, lambda number: store.cancel(number, "cancelled by hand"))


@jobs.command(short_help="Start nothing more, or hold jobs back.")
@click.argument("numbers", type=int, nargs=-1, metavar="[JOB]...")
@table_options()
@click.pass_context
def pause(context: click.Context, numbers: tuple[int, ...], output: Path | None, state_dir: Path | None) -> int:
    """Start nothing more; with numbers, hold only these jobs back. What runs goes on to its end."""
    with _table(output, state_dir) as (store, _):
        return _hold(context, store, numbers, True)


@jobs.command()
@click.argument("numbers", type=int, nargs=-1, metavar="[JOB]...")
@table_options()
@click.pass_context
def resume(context: click.Context, numbers: tuple[int, ...], output: Path | None, state_dir: Path | None) -> int:
    """Undo `pause`."""
    with _table(output, state_dir) as (store, _):
        return _hold(context, store, numbers, False)


@jobs.command(short_help="Forget what ended long ago.")
@click.option("--older-than", type=Duration(), default="30d", show_default=True, help="Age since the last change.")
@table_options()
@click.pass_context
def purge(context: click.Context, older_than: float, output: Path | None, state_dir: Path | None) -> None:
    """Forget jobs that ended long ago and whose sources are gone. No result and no source is touched."""
    from .leftovers import remove_thumbnails

    with _table(output, state_dir) as (store, where):
        number = store.purge(older_than)
        remove_thumbnails(store, where)
    _tell(context, {"purged": number}, f"{number} jobs forgotten.")


@jobs.command(short_help="Print all jobs as JSON or CSV.")
@click.option("--format", "form", type=click.Choice(["json", "csv"]), default="json", show_default=True)
@table_options()
@click.pass_context
def export(context: click.Context, form: str, output: Path | None, state_dir: Path | None) -> None:
    """Print all jobs: as JSON with their history, or as CSV with one line a job."""
    with _table(output, state_dir, read_only=True) as (store, _):
        records = store.export()
    if form == "json" or _wants_json(context):
        click.echo(json.dumps({"jobs": records}))
        return
    writer = csv.DictWriter(sys.stdout, _CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)


@jobs.command(short_help="Exit code 0 if a watch is running and well.")
@table_options()
@click.pass_context
def health(context: click.Context, output: Path | None, state_dir: Path | None) -> int:
    """Tell whether a watch is running and well; exit code 0 if so, else 1."""
    from .health import judge

    verdict = judge(state_folder(output, state_dir))
    if _wants_json(context):
        click.echo(json.dumps(verdict.as_json()))
    else:
        click.echo("\n".join(verdict.problems) if verdict.problems else _well(verdict.facts))
    return 0 if verdict.is_healthy else 1


@contextmanager
def _table(output: Path | None, state: Path | None, *, read_only: bool = False) -> Iterator[tuple[JobStore, Path]]:
    """Open the table that is meant; also give its folder."""
    from .store import open_store

    where = state_folder(output, state)
    with open_store(where / TABLE_NAME, read_only=read_only) as store:
        yield store, where


def _chosen(store: JobStore, numbers: tuple[int, ...], states: Iterable[JobState], option: str) -> list[int]:
    """Return the numbers that were named, and those of all jobs in some states."""
    wanted = tuple(states)
    if not numbers and not wanted:
        raise click.UsageError(f"Name jobs by their numbers, or all of them by {option}.")
    return [*numbers, *(job.id for job in store.list(wanted) if wanted and job.id not in numbers)]


def _each(context: click.Context, done: str, numbers: list[int], change: Any) -> int:
    """Change jobs one by one; one that cannot be changed does not keep the others from it."""
    changed, errors = [], {}
    for number in numbers:
        try:
            change(number)
            changed.append(number)
        except JobsError as error:
            errors[number] = str(error)
    for error_text in errors.values():
        click.echo(f"Error: {error_text}", err=True)
    what = f"{len(changed)} jobs" if len(changed) != 1 else f"job {changed[0]}"
    _tell(context, {"jobs": changed, "errors": errors}, f"{what} {done}.")
    return 1 if errors else 0


def _hold(context: click.Context, store: JobStore, numbers: tuple[int, ...], is_held: bool) -> int:
    if numbers:
        done = "held back until `jobs resume`" if is_held else "let go"
        return _each(context, done, list(numbers), lambda number: store.hold(number, is_held))
    store.pause(is_held)
    text = "Nothing more is started until `jobs resume`." if is_held else "Jobs are started again."
    _tell(context, {"paused": is_held}, text)
    return 0


def _status(where: Path, found: Iterable[Job]) -> dict[int, WorkerStatus]:
    """Return what the workers of some jobs say, by the jobs' numbers."""
    from .progress_file import read_status, status_path

    at_work = [job for job in found if job.state in _AT_WORK and job.owner]
    status = {job.id: read_status(status_path(where, job.owner or "")) for job in at_work}
    return {number: said for number, said in status.items() if said is not None and said.job == number}


def _record(job: Job, status: WorkerStatus | None, *, whole: bool = False) -> dict[str, Any]:
    """Return a job as JSON values; its choices and its report only where they are wanted."""
    from dataclasses import asdict

    from .rows import to_record

    record = to_record(job) | {"progress": asdict(status) if status else None, "work_folder": str(job.work_folder)}
    if whole:
        return record | {"report": json.loads(job.report) if job.report else None}
    return {name: value for name, value in record.items() if name not in ("treatment", "report")}


def _is_watching(where: Path) -> bool:
    from .health import is_running

    return is_running(where)


def _standing(where: Path, paused: bool) -> str:
    watching = "a watch is running" if _is_watching(where) else "no watch is running"
    return f"; {watching}{', paused' if paused else ''}."


def _well(facts: Any) -> str:
    from .job_tables import counts_line

    counts = {JobState(state): number for state, number in facts.get("counts", {}).items()}
    return f"well: {facts.get('state')} {len(facts.get('folders', []))} folders, process {facts.get('pid')}; " + (
        f"{counts_line(counts)}."
    )


def _wants_json(context: click.Context) -> bool:
    return bool(getattr(context.find_root().obj, "json", False))


def _tell(context: click.Context, facts: dict[str, Any], text: str) -> None:
    click.echo(json.dumps(facts) if _wants_json(context) else text)
