"""The command `bench`: parse, run, print or write the tables. What is measured stands in bench.py and its sections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import BatchError, PipelineError
from .progress import with_progress
from .publish import check_absent, make_output_folder, write_text
from .settings import ConvertSettings

if TYPE_CHECKING:
    from .bench import BenchResult, BenchSettings, SectionResult


@click.command()
@click.option("--quality", is_flag=True, help="Measure quality: seams, steadiness, detection, masks, ids, scopes.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Labelled faces (faces/, portraits/): adds figures on the held-out ones.",
)
@click.option(
    "--clips",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    metavar="CLIP",
    help="A video of your own to measure; can be given again, or several at the end.",
)
@click.argument(
    "more_clips", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="[CLIP]..."
)
@click.option("--only", metavar="NAME,...", help="Only these sections, separated by commas.")
@click.option("--frames", type=click.IntRange(8, 1000), default=50, show_default=True, help="Length of made clips.")
@click.option("--style", default=ConvertSettings.style, show_default=True, help="Style that is measured.")
@click.option("--device", default=ConvertSettings.device, show_default=True, help="Where the generator runs.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Also write the figures, .json or .md."
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there already.")
@click.pass_context
def bench(
    context: click.Context,
    /,
    quality: bool,
    data: Path | None,
    clips: tuple[Path, ...],
    more_clips: tuple[Path, ...],
    only: str | None,
    output: Path | None,
    overwrite: bool,
    **choices: Any,
) -> int:
    """Measure how good the results are, on material that is made on the fly.

    A few minutes on two cores. The figures of docs/figures.md are made by this command.

    \b
    Examples:
      bench --quality                                  everything that needs no data
      bench --quality --only steadiness -o steady.md   one section, as Markdown
      bench --quality --data faces/ --clips talk.mp4   with labelled faces and a clip
    """  # noqa: D301
    if not quality:
        raise click.UsageError("say what to measure: bench --quality (speed is not measured yet).")
    from .bench import BenchSettings, check_names, run_bench

    if output is not None:
        _check_output(output, overwrite)
    try:
        names = check_names([name.strip() for name in only.split(",") if name.strip()] if only else [])
    except PipelineError as error:
        raise click.BadParameter(str(error), param_hint="--only") from error
    settings = BenchSettings(data=data, clips=(*clips, *more_clips), only=names, **choices)
    try:
        settings.sections()
    except PipelineError as error:
        raise click.UsageError(str(error)) from error
    is_json = bool(getattr(context.find_root().obj, "json", False))
    result = with_progress(
        lambda progress: run_bench(settings, progress, on_section=(lambda section: None) if is_json else _print)
    )
    if output is not None:
        _write(output, result, settings, overwrite)
    if is_json:
        click.echo(json.dumps(result.to_json(), default=str))
    failures = [f'"{section.name}": {section.error}' for section in result.sections if section.error]
    if failures:
        raise BatchError("", [PipelineError(failure) for failure in failures])
    return 0


def _check_output(output: Path, overwrite: bool) -> None:
    if output.suffix.lower() not in (".json", ".md"):
        raise click.BadParameter(f'"{output.name}" ends neither in .json nor in .md.', param_hint="--output")
    check_absent(output, overwrite=overwrite)


def _write(output: Path, result: BenchResult, settings: BenchSettings, overwrite: bool) -> None:
    from .bench import to_markdown

    is_json = output.suffix.lower() == ".json"
    text = json.dumps(result.to_json(), indent=2, default=str) + "\n" if is_json else to_markdown(result, settings)
    make_output_folder(output.absolute().parent)
    write_text(output, text, overwrite=overwrite)


def _print(section: SectionResult) -> None:
    """One section as tables for a person."""
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(markup=False, highlight=False)
    console.print(f"\n{section.title} ({section.secs:.0f} s)", style="bold")
    console.print(section.about)
    if section.error:
        click.echo(f"FAILED {section.name}: {section.error}", err=True)
    for table in section.tables:
        shown = RichTable(title=table.title, title_justify="left", box=None, pad_edge=False)
        for number, column in enumerate(table.columns):
            shown.add_column(column, justify="left" if number == 0 else "right")
        for row in table.text():
            shown.add_row(*row)
        console.print(shown)
        if table.note:
            console.print(table.note, style="dim")
