"""The command `train`: parse, call, print; loop.py does the work. Imports no torch."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import SectionedCommand, flag_of, given_values, resolve_config, resume_config, train_options
from .presets import PRESETS, preset_lines

if TYPE_CHECKING:
    from .plan import Plan, TrainResult

INTERRUPTED = 130
"""Exit code of a run that was stopped by Ctrl-C and can go on."""


@click.command(cls=SectionedCommand, epilog="\b\nPresets:\n" + preset_lines())
@click.argument("data", required=False, type=click.Path(path_type=Path, file_okay=False), metavar="DATA")
@click.option(
    "-o",
    "--output",
    "runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    metavar="RUNS",
    help="Folder of all runs; each gets one of its own there, RUNS/NNNNN-NAME.",
)
@click.option("--name", help="NAME of the run; default: DATA's.")
@click.option(
    "--preset", type=click.Choice(list(PRESETS)), metavar="NAME", help="A starting point, see the end of this text."
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Options from a TOML file, or from the config.json of another run.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on with this run, to the bit as if it had never stopped; `latest` is the newest in RUNS.",
)
@click.option("--dry-run", is_flag=True, help="Show options, parameters and memory; write nothing.")
@train_options
@click.pass_context
def train(
    context: click.Context,
    /,
    data: Path | None,
    runs: Path,
    name: str | None,
    preset: str | None,
    config_file: Path | None,
    resume: Path | None,
    dry_run: bool,
    **_: Any,
) -> int:
    """Train a style from pictures: DATA holds trainA/ (photographs) and trainB/ (the style).

    Pictures in testA/ and testB/ are never trained on; previews and figures are made from them. The run's folder
    receives config.json, log.jsonl, TensorBoard events, previews/, snapshots/ and, at the end and whenever the figures
    are the best so far, style.safetensors, which `convert --style` takes. Ctrl-C saves a snapshot and stops.

    A flag wins over --config, that over --preset, that over the defaults shown here.

    \b
    Examples:
      train faces/ -o runs --preset tiny               does it work? minutes on a CPU
      train faces/ -o runs --preset light --dry-run    how much memory does it need?
      train faces/ -o runs --preset light --steps 200000 --batch-size 4
      train --resume runs/00003-faces                  go on after Ctrl-C, a crash or a power cut
      train --resume runs/00003-faces --steps 300000   and longer than planned
      train --config runs/00003-faces/config.json faces/
      train faces/ -o runs --start-from toon --preset light
      torchrun --nproc-per-node 4 run.py train faces/ -o runs --preset full
    """  # noqa: D301
    from . import plan

    given = given_values(context)
    if resume is not None:
        _refuse(("--preset", preset), ("--config", config_file), ("--name", name))
        planned = plan.resumed(resume, runs, data, lambda config: resume_config(config, given))
    else:
        config = resolve_config(preset, config_file, given)
        planned = plan.begun(config, plan.data_of(data, config_file), runs, name)
    if dry_run:
        return _show(context, planned)
    try:
        result = plan.carry_out(planned)
    except KeyboardInterrupt:  # before the first step, or a second Ctrl-C
        click.echo("Stopped at once; `train --resume RUN` goes on from the last snapshot, if there is one.", err=True)
        return INTERRUPTED
    return 0 if result is None else _conclude(context, result)


def _refuse(*given: tuple[str, object]) -> None:
    """Raise for options that a run that goes on has fixed already."""
    for flag, value in given:
        if value is not None:
            raise click.UsageError(f"{flag} and --resume exclude each other: the run has its own config.json.")


def _show(context: click.Context, planned: Plan) -> int:
    """Print what a run would be."""
    from .dry_run import describe

    told = describe(planned)
    if context.find_root().obj.json:
        click.echo(json.dumps(told))
        return 0
    for section, values in told["config"].items():
        click.echo(f"[{section}]")
        for key, value in values.items():
            click.echo(f"  {flag_of(section, key):24}{value}")
    click.echo("Parameters:")
    for network, count in told["parameters"].items():
        click.echo(f"  {network:24}{count:>13,}")
    click.echo(
        f"Memory: about {told['memory_gb']:.1f} GB on {told['device']} in {told['precision']} "
        f"(networks and optimizer {told['fixed_gb']:.1f}, a step {told['step_gb']:.1f}, and a margin)."
    )
    for way in told["would_need_less"]:
        click.echo(f"  This device has {told['free_gb']:.1f} GB; it would fit with {way}")
    return 0


def _conclude(context: click.Context, result: TrainResult) -> int:
    """Print what came out; return the exit code."""
    from .evaluation import score_lines

    command = f"train --resume {shlex.quote(str(result.folder))}"
    if context.find_root().obj.json:
        told = {"ok": not result.is_interrupted, "run": str(result.folder), "steps": result.step}
        told |= {"skipped_steps": result.skipped_steps, "metrics": result.scores}
        told |= {"style": result.styles.get("a2b"), "style_b2a": result.styles.get("b2a"), "resume": command}
        click.echo(json.dumps(told, default=str))
    elif result.is_interrupted:
        click.echo(f"Stopped after step {result.step}, and saved. Go on with: {command}")
    else:
        click.echo(f"{result.folder}: {result.step} steps, {result.skipped_steps} skipped.")
        for line in score_lines(result.scores):
            click.echo(f"  {line}")
        for path in result.styles.values():
            click.echo(f"Style: {path}")
    return INTERRUPTED if result.is_interrupted else 0
