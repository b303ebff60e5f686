"""The command `bench`: parse, run, print or write. What is measured stands in the package bench."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..bench.output import check_output, print_section, write_chart, write_result
from ..bench.training import (
    TRAINING_CHOICES,
    Measure,
    MeasureJobs,
    TrainingChoices,
    run_training_bench,
    training_options,
)
from ..errors import BatchError, PipelineError, RegressionError
from ..progress import with_progress
from ..settings import ConvertSettings

if TYPE_CHECKING:
    from ..bench.sections import BenchResult, Section, SectionResult
    from ..bench.speed.run import SpeedSettings

OnSection = Callable[["SectionResult"], None]

_FILE = click.Path(path_type=Path, dir_okay=False)
_THERE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--quick", "effort", flag_value="quick", help="Speed in a minute and a half: 720p, one face, few rounds.")
@click.option(
    "--full",
    "effort",
    flag_value="full",
    help="Speed in half an hour: all sizes, compiled engines, training, watching.",
)
@click.option("--quality", is_flag=True, help="Quality instead: seams, steadiness, detection, masks, ids, scopes.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Quality: labelled faces (faces/, portraits/): adds figures on the held-out ones.",
)
@click.option(
    "--clips",
    type=_THERE,
    multiple=True,
    metavar="CLIP",
    help="A video of your own to measure; can be given again, or several at the end.",
)
@click.argument("more_clips", nargs=-1, type=_THERE, metavar="[CLIP]...")
@click.option("--only", metavar="NAME,...", help="Only these sections, separated by commas.")
@click.option(
    "--frames", type=click.IntRange(8, 1000), default=50, show_default=True, help="Quality: length of made clips."
)
@training_options
@click.option("--style", default=ConvertSettings.style, show_default=True, help="Style that is measured.")
@click.option("--device", default=ConvertSettings.device, show_default=True, help="Where the generator runs.")
@click.option(
    "--compare",
    type=_THERE,
    metavar="OLD.json",
    help="Speed: compare with an earlier result. Exit code 20 where a ratio became worse beyond its spread.",
)
@click.option(
    "--from", "earlier", type=_THERE, metavar="FILE.json", help="Speed: show this result, and measure nothing."
)
@click.option(
    "-o",
    "--output",
    "outputs",
    type=_FILE,
    multiple=True,
    help="Also write the figures, .json or .md; can be given again.",
)
@click.option("--chart", type=_FILE, metavar="FILE.png", help="Speed: draw where the time of a frame goes.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there already.")
@click.pass_context
def bench(
    context: click.Context,
    /,
    effort: str | None,
    quality: bool,
    training: bool,
    compare: Path | None,
    earlier: Path | None,
    outputs: tuple[Path, ...],
    chart: Path | None,
    overwrite: bool,
    **choices: Any,
) -> int:
    """Measure how fast this machine converts, against its own limits and the public code; or quality, or training.

    A few minutes on two cores, on clips that are made on the fly. docs/speed.md and docs/figures.md are made by this
    command. Nothing else should run meanwhile; everything is given as ratios within the run.

    \b
    Examples:
      bench                                            speed: stages, generator, conversions, start, memory, goals
      bench --quick                                    the same in a minute
      bench --full -o speed.json -o speed.md           everything, kept and as Markdown
      bench --from speed.json --chart speed.png        draw an earlier result
      bench --only generator,whole --device cuda       some sections, on a GPU
      bench --only whole --clips talk.mp4              conversions of a clip of your own
      bench --compare speed.json                       measure again, and tell what became worse
      bench --from new.json --compare old.json         compare two results, measure nothing
      bench --quality --only steadiness -o steady.md   one section of the quality figures, as Markdown
      bench --quality --data faces/ --clips talk.mp4   quality with labelled faces and a clip
      bench --training -o training.md                  training steps, as ratios
    """  # noqa: D301
    _check_ways((effort, compare, earlier, chart), quality=quality, training=training)
    for output in outputs:
        check_output(output, (".json", ".md"), "--output", overwrite=overwrite)
    if chart is not None:
        check_output(chart, (".png",), "--chart", overwrite=overwrite)
    entry = context.find_root().obj
    is_json = bool(getattr(entry, "json", False))
    on_section: OnSection = (lambda section: None) if is_json else print_section
    of_training = {name: choices.pop(name) for name in TRAINING_CHOICES}
    if training:
        wanted = TrainingChoices(device=choices["device"], **of_training)
        result = _measure_training(wanted, getattr(entry, "measure_training", None), on_section)
    elif quality:
        result = _measure_quality(on_section, **choices)
    else:
        result = _speed(on_section, entry, effort or "default", earlier, **choices)
        result, regressions = _compared(result, compare, on_section)
    for output in outputs:
        write_result(output, result, overwrite=overwrite)
    if chart is not None:
        write_chart(chart, result)
    if is_json:
        click.echo(json.dumps(result.to_json(), default=str))
    _raise_failures(result)
    if not training and not quality and regressions:
        raise RegressionError(f"{len(regressions)} figures became worse: {', '.join(regressions)}.")
    return 0


def _check_ways(of_speed: Sequence[object], *, quality: bool, training: bool) -> None:
    """Refuse options that do not go together."""
    if quality and training:
        raise click.UsageError("choose --quality or --training, not both.")
    if (quality or training) and any(of_speed):
        raise click.UsageError("--quick, --full, --compare, --from and --chart are for the benchmark of speed.")


def _raise_failures(result: BenchResult) -> None:
    failures = [f'"{section.name}": {section.error}' for section in result.sections if section.error]
    if failures:
        raise BatchError("", [PipelineError(failure) for failure in failures])


def _names(only: str | None, sections: Sequence[Section]) -> tuple[str, ...]:
    from ..bench.sections import check_names

    try:
        return check_names([name.strip() for name in only.split(",") if name.strip()] if only else [], sections)
    except PipelineError as error:
        raise click.BadParameter(str(error), param_hint="--only") from error


def _measure_quality(
    on_section: OnSection, *, clips: tuple[Path, ...], more_clips: tuple[Path, ...], only: str | None, **choices: Any
) -> BenchResult:
    from ..bench.quality.run import SECTIONS, BenchSettings, run_bench

    settings = BenchSettings(clips=(*clips, *more_clips), only=_names(only, SECTIONS), **choices)
    try:
        settings.sections()
    except PipelineError as error:
        raise click.UsageError(str(error)) from error
    return with_progress(lambda progress: run_bench(settings, progress, on_section=on_section))


def _speed(on_section: OnSection, entry: object, effort: str, earlier: Path | None, **choices: Any) -> BenchResult:
    """Measure, or read what was measured before."""
    from ..bench.speed.compare import SECTION_NAME, read_result
    from ..bench.speed.run import run_speed

    settings = _speed_settings(entry, effort, **choices)
    if earlier is None:
        return with_progress(lambda progress: run_speed(settings, progress, on_section=on_section))
    result = read_result(earlier)
    result = replace(result, sections=tuple(section for section in result.sections if section.name != SECTION_NAME))
    for section in result.sections:
        on_section(section)
    return result


def _speed_settings(
    entry: object,
    effort: str,
    *,
    clips: tuple[Path, ...],
    more_clips: tuple[Path, ...],
    only: str | None,
    data: Path | None,
    frames: int,
    style: str,
    device: str,
) -> SpeedSettings:
    from ..bench.speed.effort import EFFORTS
    from ..bench.speed.run import SECTIONS, SpeedSettings

    if data is not None:
        raise click.UsageError("--data is for --quality.")
    training: Measure | None = getattr(entry, "measure_training", None)
    jobs: MeasureJobs | None = getattr(entry, "measure_jobs", None)
    names = _names(only, SECTIONS)
    settings = SpeedSettings(EFFORTS[effort], names, (*clips, *more_clips), style, device, training, jobs)
    try:
        settings.sections()
    except PipelineError as error:
        raise click.UsageError(str(error)) from error
    return settings


def _compared(result: BenchResult, old: Path | None, on_section: OnSection) -> tuple[BenchResult, list[str]]:
    """The result with the comparison as its last section where one is wanted, and the names of what became worse."""
    from ..bench.speed.compare import compare, read_result, to_section

    if old is None:
        return result, []
    comparison = compare(read_result(old), result)
    section = to_section(comparison, old.name)
    on_section(section)
    regressions = [change.new.name for change in comparison.regressions]
    return replace(result, sections=(*result.sections, section)), regressions


def _measure_training(choices: TrainingChoices, measure: Measure | None, on_section: OnSection) -> BenchResult:
    result = with_progress(lambda progress: run_training_bench(choices, measure, progress))
    on_section(result.sections[0])
    return result
