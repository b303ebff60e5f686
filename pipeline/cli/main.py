"""The commands of the main job: convert, demo, doctor. They parse, call and print; the work is done elsewhere."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import BatchError
from ..progress import with_progress
from ..settings import ConvertSettings, convert_options

if TYPE_CHECKING:
    from ..convert import Outcome


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("restyled"),
    show_default=True,
    help="Output folder; with a single input file also the output file.",
)
@convert_options
@click.pass_context
def convert(context: click.Context, /, inputs: tuple[str, ...], output: Path, **choices: Any) -> int:
    """Restyle the faces in videos, pictures and folders of them.

    Sound, subtitles, timestamps and metadata are kept, and so is every pixel that is not part of a face. Beside each
    result stands a report (NAME.report.json). An interrupted run goes on where it stopped when given again.

    \b
    Examples:
      convert holiday.mp4                              -> restyled/holiday.mp4
      convert -o out -- *.mp4                          several videos
      convert photos/ -o out --faces largest           a folder, one face a picture
      convert party.mp4 --faces 1,3                    two faces by the numbers that `faces party.mp4` shows
      convert party.mp4 --style-for 1=toon --style-for 2=none
      convert film.mp4 --face-like anna.jpg            one person, through all cuts
      convert clip.mov -o out --style my.safetensors --strength 0.7
      convert talk.mkv -o out --codec libx265 --crf 20 --compare side
    """  # noqa: D301
    from ..convert import convert_all

    settings = ConvertSettings(**choices)
    outcomes = with_progress(
        lambda progress: convert_all(inputs, output, settings, progress, on_done=_announcer(context))
    )
    return _conclude(context, outcomes)


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Folder for the clip and the results.",
)
@click.option("--style", default=ConvertSettings.style, show_default=True, help="Built-in style or style file.")
@click.option("--device", default=ConvertSettings.device, show_default=True, help="Where the generator runs.")
@click.pass_context
def demo(context: click.Context, /, output: Path, style: str, device: str) -> int:
    """Make a short clip with sound and restyle it: the quickest way to see what this program does.

    Needs no other data and downloads nothing. Writes the clip, the restyled clip, both side by side and a picture.

    \b
    Example:
      demo -o demo
    """  # noqa: D301
    from ..convert import run_demo

    settings = ConvertSettings(style=style, device=device, overwrite=True)
    outcome, files = with_progress(lambda progress: run_demo(output, settings, progress))
    report = outcome.report
    if outcome.error is not None:
        click.echo(f"FAILED {outcome.input}: {outcome.error}", err=True)
    if report is not None and not context.find_root().obj.json:
        for text, path in files.items():
            click.echo(f"{text:14} {path}")
        click.echo(
            f"{report.frames} frames with {report.faces} faces in {report.elapsed_secs:.1f} s: "
            f"{report.fps:.1f} frames per second on {report.device} ({report.engine}, {report.precision})."
        )
    return _conclude(context, [outcome])


@click.command()
@click.pass_context
def doctor(context: click.Context) -> int:
    """Show versions, devices, ffmpeg and weights; exit code 0 only if the demo would work."""
    from ..doctor import examine, is_ready

    checks = examine()
    if context.find_root().obj.json:
        click.echo(json.dumps({"ready": is_ready(checks), "checks": [dataclasses.asdict(check) for check in checks]}))
    else:
        for check in checks:
            mark = "ok " if check.is_found else ("MISSING" if check.is_needed else "-- ")
            click.echo(f"{mark:8}{check.name:18}{check.detail}")
        click.echo("Ready: the demo will work." if is_ready(checks) else "Not ready: install what is marked MISSING.")
    return 0 if is_ready(checks) else 1


def _announcer(context: click.Context) -> Callable[[Outcome], None]:
    """What to print when one input is through: a line for a person, nothing for a machine."""

    def announce(outcome: Outcome) -> None:
        if outcome.error is not None:
            click.echo(f"FAILED {outcome.input}: {outcome.error}", err=True)
        elif outcome.report is not None and not context.find_root().obj.json:
            report = outcome.report
            click.echo(f"{report.output}  {report.frames} frames, {report.faces} faces, {report.fps:.1f} fps")
            for warning in report.warnings:
                click.echo(f"  note: {warning}", err=True)

    return announce


def _conclude(context: click.Context, outcomes: list[Outcome]) -> int:
    """Print the machine's object if one was asked for; raise if something failed.

    The object lists one report or error per file as `results`; a single file's keys also stand in the object itself.
    """
    failures = [outcome.error for outcome in outcomes if outcome.error is not None]
    if context.find_root().obj.json:
        results = [_as_json(outcome) for outcome in outcomes]
        alone = results[0] if len(results) == 1 else {}
        click.echo(json.dumps(alone | {"results": results}, default=str))
    if failures:
        raise BatchError(f"{len(failures)} of {len(outcomes)} inputs failed." if len(outcomes) > 1 else "", failures)
    return 0


def _as_json(outcome: Outcome) -> dict[str, Any]:
    if outcome.error is None:
        return {"ok": True} | dataclasses.asdict(outcome.report)  # type: ignore[arg-type]
    return {"ok": False, "input": outcome.input, "kind": type(outcome.error).__name__, "error": str(outcome.error)}
