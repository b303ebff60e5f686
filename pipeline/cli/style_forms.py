"""The commands `styles export` and `styles quantise`: a style's generator in other forms. They parse and print."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import OutputExistsError
from ..progress import with_progress
from ..settings import ConvertSettings, some_options

if TYPE_CHECKING:
    from ..calibration import QuantiseReport

SEARCH_FIELDS = ("detector", "detector_weights", "landmarks", "strict")
"""The options of `convert` that decide which faces are found."""

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace the file if it is there already.")


@click.command("export")
@click.argument("name", metavar="STYLE")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE", help="The file."
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["torchscript", "pt2", "onnx", "openvino"]),
    help="What to write.  [default: by FILE's ending: .onnx, .xml (OpenVINO), .pt2, else torchscript]",
)
@overwrite_option
@click.pass_context
def export_command(context: click.Context, name: str, output: Path, file_format: str | None, overwrite: bool) -> None:
    """Write the generator of STYLE for other programs.

    The file takes N crops at once and holds what its user must know: name, licence, and how pictures become its
    numbers. It is read back and must give what the style gives, or it is not written. OpenVINO's weights stand beside
    the .xml in a .bin.

    \b
    Examples:
      styles export toon -o toon.onnx
      styles export toon -o toon.xml                   -> toon.xml, toon.bin
      styles export my.safetensors -o my.pt --format torchscript
    """  # noqa: D301
    from model import load_style
    from model.export import export_style, exported_files, format_of

    file_format = file_format or format_of(output)
    files = exported_files(output, file_format)
    for path in files:
        refuse_existing(path, overwrite)
    style = load_style(name)
    error = export_style(style, output, file_format)
    size_px = style.config.image_size_px
    if wants_json(context):
        echo_json(
            {
                "name": style.name,
                "path": str(output),
                "files": [str(path) for path in files],
                "format": file_format,
                "max_error": error,
                "input_shape": ["N", 3, size_px, size_px],
            }
        )
        return
    names = " and ".join(repr(str(path)) for path in files)
    click.echo(f"Wrote {names} ({file_format}): N x 3 x {size_px} x {size_px} in [-1, 1], off by {error:.1g} at most.")


@click.command("quantise")
@click.argument("name", metavar="STYLE")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--crops",
    "num_crops",
    type=click.IntRange(10, 5000),
    default=200,
    show_default=True,
    help="Faces to look at, spread over all inputs; every fifth measures the error and is not learnt from.",
)
@some_options(SEARCH_FIELDS)
@click.pass_context
def quantise_command(
    context: click.Context, /, name: str, inputs: tuple[str, ...], num_crops: int, **choices: Any
) -> int:
    """Calibrate the generator of STYLE in 8 bits for this CPU, for `convert --precision int8`.

    INPUT: your own videos, pictures or folders of them, such as you want to restyle. Their faces are cut as `convert`
    cuts them. The result goes into the folder where networks for this machine are kept; it is kept only where its
    error on faces that it was not calibrated with stays small.

    \b
    Examples:
      styles quantise toon holiday.mp4 talk.mp4
      styles quantise toon clips/ --crops 400
      convert talk.mp4 --style toon --precision int8
    """  # noqa: D301
    from ..calibration import quantise_on

    search = ConvertSettings(**choices)
    report = with_progress(lambda progress: quantise_on(name, inputs, num_crops, search, progress))
    for text in report.notes:
        click.echo(f"  note: {text}", err=True)
    if wants_json(context):
        echo_json(dataclasses.asdict(report))
    else:
        _print_quantised(report)
    return 0


def _print_quantised(report: QuantiseReport) -> None:
    click.echo(
        f"{report.style}: {report.num_calibrated} crops calibrated, {report.num_held_out} held out.\n"
        f"  error on those: {report.psnr_db:.1f} dB (worst crop {report.worst_psnr_db:.1f} dB), "
        f"mean {report.mean_error:.2f} and max {report.max_error:.0f} of 255 levels\n"
        f"  speed: {report.times_fp32:.2f}x of fp32 here"
        + (f", {report.times_bf16:.2f}x of bf16" if report.times_bf16 is not None else "")
        + f" ({report.ms:.1f} ms a crop)\n"
        f"Use it: convert INPUT --style {report.name} --precision int8"
    )


def wants_json(context: click.Context) -> bool:
    """Did the user ask for JSON?"""
    return bool(getattr(context.find_root().obj, "json", False))


def echo_json(record: dict[str, Any]) -> None:
    """Print one object on one line."""
    click.echo(json.dumps(record, ensure_ascii=False))


def refuse_existing(output: Path, overwrite: bool) -> None:
    """Raise where a file is there that was not to be replaced.

    Raises:
        OutputExistsError: so it is.
    """
    if output.exists() and not overwrite:
        raise OutputExistsError(f"{str(output)!r} is there already; choose another --output or add --overwrite.")
