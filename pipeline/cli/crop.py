"""The `crop` command: a data set of aligned faces from videos and pictures. It parses, calls and prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..face_set.settings import FaceSetSettings, QualityLimits
from ..progress import with_progress
from ..settings import ConvertSettings, some_options

if TYPE_CHECKING:
    from ..face_set.making import FaceSetReport, SourceOutcome

SEARCH_FIELDS = (
    "device",
    "detector",
    "detector_weights",
    "landmarks",
    "min_track_secs",
    "detect_every",
    "strict",
)
"""The options of `convert` that decide which faces are found."""

LIMIT_OPTIONS = ("min_face", "max_blur", "max_yaw", "max_pitch", "max_outside", "min_score")
"""The options that are fields of face_quality.QualityLimits."""


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the crops."
)
@click.option(
    "--size",
    "size_px",
    type=click.IntRange(32, 2048),
    default=FaceSetSettings.size_px,
    show_default=True,
    help="Side in pixels.",
)
@click.option(
    "--template",
    type=click.Choice(["head", "tight"]),
    default=FaceSetSettings.template,
    show_default=True,
    help="Whole head with margin, as the built-in styles take it, or brow to chin.",
)
@click.option(
    "--min-face",
    type=click.IntRange(1),
    default=QualityLimits.min_face,
    show_default=True,
    help="Smallest face, in pixels of the source.",
)
@click.option(
    "--max-blur",
    type=click.FloatRange(0, 1),
    default=QualityLimits.max_blur,
    show_default=True,
    help="Greatest blur, 0 sharp to 1 blurred.",
)
@click.option(
    "--max-yaw",
    type=click.FloatRange(0, 180),
    default=QualityLimits.max_yaw,
    show_default=True,
    help="Greatest turn aside, degrees.",
)
@click.option(
    "--max-pitch",
    type=click.FloatRange(0, 180),
    default=QualityLimits.max_pitch,
    show_default=True,
    help="Greatest nod, degrees.",
)
@click.option(
    "--max-outside",
    type=click.FloatRange(0, 1),
    default=QualityLimits.max_outside,
    show_default=True,
    help="Greatest share of a crop that lies outside its picture.",
)
@click.option(
    "--min-score",
    type=click.FloatRange(0, 1),
    default=QualityLimits.min_score,
    show_default=True,
    help="How sure the landmarks must be that it is a face.",
)
@click.option(
    "--dedupe",
    type=click.FloatRange(0, 1),
    default=FaceSetSettings.dedupe,
    show_default=True,
    help="Leave out crops that correlate so much with a kept one; 0 keeps them all.",
)
@click.option(
    "--every-secs",
    type=click.FloatRange(0, min_open=True),
    default=FaceSetSettings.every_secs,
    show_default=True,
    help="Of every face in a video take the sharpest picture in so many seconds.",
)
@click.option(
    "--split",
    type=click.FloatRange(0, 1, max_open=True),
    default=None,
    help="Make trainA and testA (or trainB, testB), with this share for testing.",
)
@click.option(
    "--domain",
    type=click.Choice(["A", "B"]),
    default=FaceSetSettings.domain,
    show_default=True,
    help="Which side --split makes.",
)
@click.option("--limit", type=click.IntRange(1), default=None, help="Keep at most N new crops, evenly spread.")
@click.option("--overwrite", is_flag=True, help="Cut anew what the folder has crops of already; replace files.")
@some_options(SEARCH_FIELDS)
@click.pass_context
def crop(context: click.Context, /, inputs: tuple[str, ...], output: Path, **choices: Any) -> int:
    """Cut the faces out of videos, pictures and folders of them, aligned as `convert` shows them to a style.

    Small, blurred, turned and doubtful faces are left out, and those that look the same as one that was kept. Beside
    the crops stand a table of all faces (crops.csv) with what was measured and decided, and a contact sheet
    (sheet.png). What the folder holds already stays; inputs that it has crops of are passed over, so the same command
    goes on where it stopped.

    \b
    Examples:
      crop holiday.mp4 photos/ -o faces
      crop photos/ -o data --split 0.1                   -> data/trainA, data/testA
      crop drawings/ -o data --split 0.1 --domain B      -> data/trainB, data/testB
      crop film.mkv -o faces --every-secs 5 --min-face 200 --size 512 --limit 1000
    """  # noqa: D301
    from ..face_set.making import make_face_set, raise_failures

    search = ConvertSettings(**{name: choices.pop(name) for name in SEARCH_FIELDS})
    limits = QualityLimits(**{name: choices.pop(name) for name in LIMIT_OPTIONS})
    settings = FaceSetSettings(limits=limits, search=search, **choices)
    report = with_progress(lambda progress: make_face_set(inputs, output, settings, progress))
    for outcome in report.outcomes:
        if outcome.error is not None:
            click.echo(f"FAILED {outcome.input}: {outcome.error}", err=True)
        for note in outcome.notes:
            click.echo(f"note: {outcome.input}: {note}", err=True)
    if context.find_root().obj.json:
        click.echo(json.dumps(_as_json(report)))
    else:
        _print_summary(report)
    raise_failures(report)
    return 0


def _print_summary(report: FaceSetReport) -> None:
    root = report.table.parent
    for name, count in report.folders.items():
        click.echo(f"{root / name}  {count} crops")
    known = sum(outcome.is_known for outcome in report.outcomes)
    if known:
        click.echo(f"{known} inputs are in the folder already; --overwrite cuts them anew.")
    decisions = ", ".join(f"{count} {word}" for word, count in report.decisions.most_common())
    if decisions:
        click.echo(f"this time: {decisions}")
    click.echo(f"all faces: {report.table}" + (f"; contact sheet: {report.sheet}" if report.sheet else ""))


def _as_json(report: FaceSetReport) -> dict[str, Any]:
    return {
        "kept": report.decisions["kept"],
        "decisions": dict(report.decisions),
        "folders": report.folders,
        "csv": str(report.table),
        "sheet": str(report.sheet) if report.sheet else None,
        "results": [_outcome_as_json(outcome) for outcome in report.outcomes],
    }


def _outcome_as_json(outcome: SourceOutcome) -> dict[str, Any]:
    if outcome.error is not None:
        kind = type(outcome.error).__name__
        return {"ok": False, "input": outcome.input, "kind": kind, "error": str(outcome.error)}
    return {
        "ok": True,
        "input": outcome.input,
        "known": outcome.is_known,
        "decisions": dict(outcome.decisions),
        "warnings": list(outcome.notes),
    }
