"""The command `bench`: parse, run, print or write the tables. What is measured stands in bench.py and its sections."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .bench_training import TRAINING_CHOICES, Measure, TrainingChoices, run_training_bench, training_options
from .errors import BatchError, PipelineError
from .progress import with_progress
from .publish import check_absent, make_output_folder, write_text
from .settings import ConvertSettings

if TYPE_CHECKING:
    from .bench import BenchResult, SectionResult


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
@training_options
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
    training: bool,
    output: Path | None,
    overwrite: bool,
    **choices: Any,
) -> int:
    """Measure how good the results are, on material that is made on the fly; or how fast training is.

    A few minutes on two cores. The figures of docs/figures.md are made by this command.

    \b
    Examples:
      bench --quality                                  everything that needs no data
      bench --quality --only steadiness -o steady.md   one section, as Markdown
      bench --quality --data faces/ --clips talk.mp4   with labelled faces and a clip
      bench --training -o training.md                  training steps, as ratios
    """  # noqa: D301
    if quality == training:
        raise click.UsageError("say what to measure: bench --quality or bench --training.")
    if output is not None:
        _check_output(output, overwrite)
    entry = context.find_root().obj
    is_json = bool(getattr(entry, "json", False))
    on_section: Callable[[SectionResult], None] = (lambda section: None) if is_json else _print
    of_training = {name: choices.pop(name) for name in TRAINING_CHOICES}
    if training:
        wanted = TrainingChoices(device=choices["device"], **of_training)
        result = _measure_training(wanted, getattr(entry, "measure_training", None), on_section)
    else:
        result = _measure_quality(on_section, **choices)
    if output is not None:
        _write(output, result, overwrite)
    if is_json:
        click.echo(json.dumps(result.to_json(), default=str))
    failures = [f'"{section.name}": {section.error}' for section in result.sections if section.error]
    if failures:
        raise BatchError("", [PipelineError(failure) for failure in failures])
    return 0


def _measure_quality(
    on_section: Callable[[SectionResult], None],
    *,
    clips: tuple[Path, ...],
    more_clips: tuple[Path, ...],
    only: str | None,
    **choices: Any,
) -> BenchResult:
    from .bench import BenchSettings, check_names, run_bench

    try:
        names = check_names([name.strip() for name in only.split(",") if name.strip()] if only else [])
    except PipelineError as error:
        raise click.BadParameter(str(error), param_hint="--only") from error
    settings = BenchSettings(clips=(*clips, *more_clips), only=names, **choices)
    try:
        settings.sections()
    except PipelineError as error:
        raise click.UsageError(str(error)) from error
    return with_progress(lambda progress: run_bench(settings, progress, on_section=on_section))


def _measure_training(
    choices: TrainingChoices, measure: Measure | None, on_section: Callable[[SectionResult], None]
) -> BenchResult:
    result = with_progress(lambda progress: run_training_bench(choices, measure, progress))
    on_section(result.sections[0])
    return result


def _check_output(output: Path, overwrite: bool) -> None:
    if output.suffix.lower() not in (".json", ".md"):
        raise click.BadParameter(f'"{output.name}" ends neither in .json nor in .md.', param_hint="--output")
    check_absent(output, overwrite=overwrite)


def _write(output: Path, result: BenchResult, overwrite: bool) -> None:
    from .bench import to_markdown

    is_json = output.suffix.lower() == ".json"
    text = json.dumps(result.to_json(), indent=2, default=str) + "\n" if is_json else to_markdown(result)
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
