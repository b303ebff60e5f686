"""The command `selftest`: try on this machine and this disk whether anything is ever lost."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .selftest.trials import TrialResult, TrialSettings


@click.command()
@click.option("--kills", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Processes to kill.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides who is killed, and when.")
@click.option(
    "--minutes",
    type=click.FloatRange(0.1, 10_000),
    help="Go on for so long instead; sources are renamed and deleted too.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Make the test's folder in this one, on the disk to be tested; default: the system's for temporary files.",
)
@click.option("--keep", is_flag=True, help="Keep the test's folder.")
@click.pass_context
def selftest(
    context: click.Context, /, kills: int, seed: int, minutes: float | None, folder: Path | None, keep: bool
) -> int:
    """Kill the watch daemon, its workers and ffmpeg at random moments, and count what is lost.

    Small clips are dropped into a watch folder of the test's own, real processes convert them and get a real SIGKILL.
    Afterwards a checker that shares no code with this program reads the folders and the job table: jobs lost, results
    published twice, partial results (looked for every 20 ms while it runs), orphaned processes, temporary files left.
    Exit code 0 only if all are 0.

    \b
    Examples:
      selftest                                 20 kills, under a minute
      selftest --kills 300 --seed 7            as thorough as our own tests
      selftest --folder /mnt/nas-cache         on that disk
      selftest --minutes 60                    an hour of drops, kills, renames and deletions
    """  # noqa: D301
    from .selftest.trials import TrialSettings

    settings = TrialSettings(kills=kills, seed=seed, minutes=minutes)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="ugatit-selftest-", dir=folder))
    is_good = False
    try:
        result = _run(place, settings)
        is_good = result.is_good
    finally:
        if is_good and not keep:
            shutil.rmtree(place, ignore_errors=True)
        else:
            click.echo(f"Kept: {place}", err=True)
    return _report(context, result)


def _run(place: Path, settings: TrialSettings) -> TrialResult:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from .selftest.trials import Trial

    columns = (TextColumn("selftest"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=1.0)
        return Trial(
            place, settings, lambda share, text: progress.update(task, completed=share, description=text)
        ).run()


def _report(context: click.Context, result: TrialResult) -> int:
    from rich.console import Console

    from .selftest.table import build_table, explain

    if context.find_root().obj.json:
        click.echo(json.dumps(result.to_json()))
    else:
        Console().print(build_table(result))
    for line in explain(result):
        click.echo(line, err=True)
    return 0 if result.is_good else 1
