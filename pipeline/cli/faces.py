"""The `faces` command: which faces are in a file, and by which numbers they are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..progress import with_progress
from ..settings import ConvertSettings, some_options

FACE_FIELDS = (
    "device",
    "detector",
    "detector_weights",
    "landmarks",
    "face_like",
    "face_like_weights",
    "min_track_secs",
    "max_gap_secs",
    "detect_every",
    "strict",
)
"""The options of `convert` that decide which faces are found, and so their numbers."""


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="INPUT")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="SHEET.png", help="Also draw the faces."
)
@click.option("--overwrite", is_flag=True, help="Replace the sheet if it is there already.")
@some_options(FACE_FIELDS)
@click.pass_context
def faces(context: click.Context, /, source: Path, output: Path | None, overwrite: bool, **choices: Any) -> int:
    """List the faces of a video or a picture with their numbers.

    Faces are numbered in the order in which they appear, from left to right where several appear at once; in a picture
    from left to right. After a cut everybody gets a new number. The same file gives the same numbers as long as the
    options below are the same, here and for `convert`.

    \b
    Examples:
      faces party.mp4 -o sheet.png          then: convert party.mp4 --faces 1,3
      faces group.jpg                       then: convert group.jpg --style-for 2=sketch
      faces film.mp4 --face-like anna.jpg   shows how like the picture each face is
    """  # noqa: D301
    from ..face_sheet import list_faces
    from ..publish import check_absent, out_of_space_told
    from ..studio import Studio

    if output is not None:
        check_absent(output, overwrite=overwrite)
    studio = Studio(ConvertSettings(**choices))
    found = with_progress(lambda progress: list_faces(source, studio, progress))
    if output is not None and found:
        with out_of_space_told(output):
            _write_sheet(output, found)
    records = [face.record for face in found]
    if context.find_root().obj.json:
        click.echo(json.dumps({"input": str(source), "faces": records, "sheet": str(output) if output else None}))
    elif records:
        _print_table(records)
    else:
        click.echo("No face was found.")
    return 0


def _write_sheet(path: Path, found: list[Any]) -> None:
    import cv2

    from ..errors import OutputError
    from ..face_sheet import draw_sheet

    is_drawn, data = cv2.imencode(path.suffix or ".png", draw_sheet(found)[..., ::-1])
    if not is_drawn:
        raise OutputError(f'"{path}" cannot be drawn; name a sheet ending in .png or .jpg.')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())


def _print_table(records: list[dict[str, Any]]) -> None:
    has_likeness = any(record["likeness"] is not None for record in records)
    click.echo("number   seconds            frames  size       at" + ("           likeness" if has_likeness else ""))
    for record in records:
        x0, y0, x1, y1 = record["box_xyxy"]
        times = f"{record['first_secs']:.2f} - {record['last_secs']:.2f}"
        line = f"{record['number']:<8} {times:18} {record['frames']:<7} {f'{x1 - x0}x{y1 - y0}':10} {f'{x0},{y0}':12}"
        likeness = "" if record["likeness"] is None else f" {record['likeness']:.2f}"
        click.echo((line + likeness).rstrip())
