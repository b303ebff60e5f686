"""The `styles` commands list, show, preview and import. They parse and print; the work is done elsewhere.

Those that write a style's generator in other forms, export and quantise, are in `style_forms.py`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..progress import with_progress
from ..settings import ConvertSettings
from .style_forms import echo_json, export_command, overwrite_option, quantise_command, refuse_existing, wants_json

if TYPE_CHECKING:
    from model import GeneratorConfig, StyleCard, StyleInfo


@click.group()
def styles() -> None:
    """Look at, import and export styles.

    A style is one .safetensors file: a generator and everything needed to use it. More styles are found by name in
    the folder that UGATIT_STYLE_DIR names.
    """


styles.add_command(export_command)
styles.add_command(quantise_command)


@styles.command("list")
@click.pass_context
def list_command(context: click.Context) -> None:
    """List the styles that can be used by name."""
    from model import list_styles

    infos = list_styles()
    if wants_json(context):
        echo_json({"styles": [_info_record(info) for info in infos]})
    elif infos:
        _print_table(infos)
    else:
        click.echo("No styles. Put .safetensors style files into the folder that UGATIT_STYLE_DIR names.")


@styles.command("show")
@click.argument("name")
@click.pass_context
def show_command(context: click.Context, name: str) -> None:
    """Show all about one style: NAME from the list, or a style file."""
    from model import find_style, load_style
    from model.summary import count_parameters

    style = load_style(name)
    parts = count_parameters(style.config)
    record = {"name": style.name, "path": str(find_style(name)), "sha256": style.sha256, **_card_record(style.card)}
    record |= {
        "config": dataclasses.asdict(style.config),
        "parameters": sum(parts.values()),
        "parameters_by_part": parts,
    }
    if wants_json(context):
        echo_json(record)
    else:
        _print_record(record)


@styles.command("preview")
@click.argument("source", type=click.Path(path_type=Path), metavar="INPUT")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("styles.png"),
    show_default=True,
    help="The sheet, .png or .jpg.",
)
@click.option("--style", "more", multiple=True, metavar="NAME|FILE", help="One more style; can be given again.")
@click.option("--only", is_flag=True, help="Show the styles of --style only, not all that are installed.")
@click.option(
    "--tile",
    "tile_px",
    type=click.IntRange(64, 2000),
    default=400,
    show_default=True,
    metavar="PX",
    help="Longer side of each picture on the sheet.",
)
@click.option("--at", "at_secs", type=click.FloatRange(0), metavar="SECS", help="Which frame of a video.")
@click.option(
    "--scope",
    type=click.Choice(["face", "head", "frame"]),
    default=ConvertSettings.scope,
    show_default=True,
    help="How much is restyled, as in convert.",
)
@click.option("--device", default=ConvertSettings.device, show_default=True, help="Where the generator runs.")
@overwrite_option
@click.pass_context
def preview_command(
    context: click.Context,
    /,
    source: Path,
    output: Path,
    more: tuple[str, ...],
    only: bool,
    at_secs: float | None,
    tile_px: int,
    **choices: Any,
) -> None:
    """Draw one sheet with every installed style on your own picture or video.

    Of a video the frame with the largest face is taken, or that of --at. Where no face is found, the whole picture is
    restyled.

    \b
    Examples:
      styles preview holiday.jpg                       -> styles.png
      styles preview talk.mp4 --at 12.5 -o sheet.jpg --style my.safetensors
    """  # noqa: D301
    from model import list_styles

    from ..preview import preview

    if only and not more:
        raise click.UsageError("--only shows the styles of --style: name at least one.")
    installed = sorted((info.name for info in list_styles()), key=lambda name: name != ConvertSettings.style)
    names = dict.fromkeys([*(() if only else installed), *more])
    if not names:
        raise click.UsageError("no style is installed; name a style file with --style.")
    settings = ConvertSettings(**choices)
    report = with_progress(
        lambda progress: preview(source, list(names), output, settings, progress, at_secs=at_secs, tile_px=tile_px)
    )
    if wants_json(context):
        echo_json(dataclasses.asdict(report))
        return
    frame = "" if report.at_secs is None else f", frame at {report.at_secs:g} s"
    count = "1 face" if report.faces == 1 else f"{report.faces} faces"
    click.echo(f"{report.output}  {count}{frame}: {', '.join(report.styles)}")
    for text in [*report.warnings, *(f"{name} is not shown: {why}" for name, why in report.failed.items())]:
        click.echo(f"  note: {text}", err=True)


@styles.command("import")
@click.argument("checkpoint", type=click.Path(path_type=Path), metavar="CKPT")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Style file to write, NAME.safetensors.",
)
@click.option(
    "--network",
    type=click.Choice(["auto", "genA2B_ema", "genA2B"]),
    default="auto",
    show_default=True,
    help="Which generator of the checkpoint; auto prefers the averaged one.",
)
@click.option(
    "--image-size",
    "image_size_px",
    type=click.IntRange(8, 4096),
    metavar="PX",
    help="Side of the crops it was trained on.  [default: told by a full head, else 256]",
)
@click.option("--name", help="What the style is called in reports.  [default: the name of FILE]")
@click.option("--description", help="One sentence: what the result looks like.")
@click.option("--template", help="Crop template it was trained with: head or tight.  [default: by project]")
@click.option("--licence", help="Licence of the weights.  [default: unknown]")
@overwrite_option
@click.pass_context
def import_command(
    context: click.Context,
    /,
    checkpoint: Path,
    output: Path,
    network: str,
    image_size_px: int | None,
    name: str | None,
    overwrite: bool,
    **card_fields: str | None,
) -> None:
    """Turn a checkpoint of U-GAT-IT into a style file.

    Reads .pt and .pth files of znxlwm/UGATIT-pytorch and zheng-yuwei/enhanced-UGATIT; finds the architecture itself,
    and refuses files that would run code.

    \b
    Example:
      styles import selfie2anime_params_latest.pt -o anime.safetensors --licence "ask the author"
    """  # noqa: D301 (click wants the control character)
    from model import import_checkpoint

    refuse_existing(output, overwrite)
    _check_template(card_fields["template"])
    style = import_checkpoint(checkpoint, network, image_size_px=image_size_px)
    given: dict[str, Any] = {key: text for key, text in card_fields.items() if text is not None}
    card = dataclasses.replace(style.card, **given)
    style = dataclasses.replace(style, name=name or output.stem, card=card)
    style.save(output)
    record = {
        "name": style.name,
        "path": str(output),
        "provenance": card.provenance,
        "config": dataclasses.asdict(style.config),
    }
    if wants_json(context):
        echo_json(record)
    else:
        click.echo(f"Wrote {str(output)!r}: {_architecture(style.config)}. Try: convert INPUT --style {output}")


def _check_template(name: str | None) -> None:
    from alignment.templates import TEMPLATES

    if name is not None and name not in TEMPLATES:
        raise click.BadParameter(f"{name!r} is none of {', '.join(TEMPLATES)}.", param_hint="--template")


def _info_record(info: StyleInfo) -> dict[str, Any]:
    from model.summary import count_parameters

    return {
        "name": info.name,
        "path": str(info.path),
        "built_in": info.is_built_in,
        "size_bytes": info.path.stat().st_size,
        "parameters": sum(count_parameters(info.config).values()),
        **_card_record(info.card),
    }


def _card_record(card: StyleCard) -> dict[str, Any]:
    return {field.name: getattr(card, field.name) for field in dataclasses.fields(card)}


def _architecture(config: GeneratorConfig) -> str:
    head = "full head" if config.head_size is None else f"light head of {config.head_size}"
    masks = f", {config.num_masks} attention masks" if config.num_masks else ""
    return f"{config.base_channels} base channels, {config.num_blocks} blocks, {head}{masks}, {config.image_size_px} px"


def _print_table(infos: list[StyleInfo]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("Name", "Crop", "Architecture", "Licence", "Description", box=None, pad_edge=False)
    for info in infos:
        crop = f"{info.card.template} {info.card.crop_size_px} px"
        table.add_row(info.name, crop, _architecture(info.config), info.card.licence, info.card.description)
    Console(markup=False, highlight=False).print(table)


def _print_record(record: dict[str, Any], indent: str = "") -> None:
    for key, value in record.items():
        if isinstance(value, dict):
            click.echo(f"{indent}{key}:")
            _print_record(value, indent + "  ")
        else:
            click.echo(f"{indent}{key}: {value}")
