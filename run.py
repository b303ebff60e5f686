#!/usr/bin/env python3
"""The command line: one Click group, and the one table that turns exceptions into exit codes.

Rooms are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click

from jobs.cli_dashboard import dashboard
from jobs.cli_jobs import jobs
from jobs.cli_selftest import selftest
from jobs.cli_watch import watch
from pipeline.bench.training import Measure, MeasureJobs, TrainingChoices
from pipeline.cli.bench import bench
from pipeline.cli.camera import camera
from pipeline.cli.crop import crop
from pipeline.cli.faces import faces
from pipeline.cli.main import convert, demo, doctor
from pipeline.cli.styles import styles
from pipeline.errors import BatchError
from trainer.cli import train
from trainer.cli_evaluate import evaluate

EXIT_OK = 0
"""Everything asked for was done."""
EXIT_FAILURE = 1
"""Something unforeseen; `--log-level DEBUG` shows the traceback."""
EXIT_USAGE = 2
"""Click's own: an unknown option or a value out of bounds."""

EXIT_CODES: dict[str, int] = {
    # Class name -> code. Names, not classes, because importing the rooms here would import torch; the nearest class
    # of an exception's own tree that is listed counts.
    "UnreadableInputError": 3,
    "UnsupportedInputError": 4,
    "InputError": 3,
    "OutputError": 5,
    "FfmpegError": 6,
    "VerificationError": 7,
    "OutOfSpaceError": 8,
    "ModelError": 9,
    "UnsuitableStyleError": 9,
    "AlignmentError": 10,
    "FaceSegError": 11,
    "TrainerError": 12,
    "PipelineError": 13,
    "WatchConfigError": EXIT_USAGE,  # what a wrong option has too
    "StoreError": 15,
    "WatchFolderError": 16,
    "AlreadyWatchedError": 17,
    "SelftestError": 18,
    "DashboardError": 19,
    "RegressionError": 20,
    "JobsError": 14,
    "KeyboardInterrupt": 130,
}


@dataclass
class Globals:
    """What the options before the command say; filled when they are parsed."""

    json: bool = False
    """One machine-readable JSON object on stdout instead of text."""
    log_level: str = "WARNING"
    """Name of the lowest level that is logged to stderr."""
    measure_training: Measure | None = None
    """Measures training steps for `bench`, whose room knows no trainer."""
    measure_jobs: MeasureJobs | None = None
    """Measures what watching costs for `bench`, whose room knows no jobs."""


def _measure_training(choices: TrainingChoices, on_step: Callable[[int, int], None]) -> list[dict[str, Any]]:
    from trainer.step_bench import StepBenchSettings, measure_steps

    return [asdict(table) for table in measure_steps(StepBenchSettings(**asdict(choices)), on_step)]


def _measure_jobs(on_step: Callable[[int, int], None]) -> list[dict[str, Any]]:
    from jobs.bench_watching import measure_watching

    return [asdict(figure) for figure in measure_watching(on_step)]


def exit_code(error: BaseException) -> int:
    """Return the exit code of an exception's kind; EXIT_FAILURE for one that is in no table."""
    if isinstance(error, BatchError):
        return exit_code(error.failures[0])
    for kind in type(error).__mro__:
        if kind.__name__ in EXIT_CODES:
            return EXIT_CODES[kind.__name__]
    return EXIT_FAILURE


@click.group(context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "UGATIT"})
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="WARNING",
    show_default=True,
    help="Lowest level written to stderr. DEBUG also shows tracebacks.",
)
@click.option(
    "--json", "as_json", is_flag=True, envvar="UGATIT_JSON", help="Print one machine-readable JSON object on stdout."
)
@click.version_option(package_name="ugatit-pipeline", prog_name="ugatit-pipeline")
@click.pass_context
def cli(context: click.Context, log_level: str, as_json: bool) -> None:
    """Restyle the faces in videos and pictures; everything else in them stays as it is.

    \b
    First steps:
      python run.py demo                              make and restyle a short clip
      python run.py convert holiday.mp4 -o out        restyle a video
      python run.py convert photos/ -o out            restyle a folder
      python run.py watch inbox -o outbox             restyle whatever is dropped into a folder
      python run.py jobs list -o outbox               what became of it
      python run.py faces party.mp4 -o sheet.png      who is in it, by which number
      python run.py camera --show --mirror            restyle yourself, live
      python run.py crop photos/ -o data --split 0.1  faces to train with
      python run.py train data -o runs --preset light a style of your own
      python run.py doctor                            what is here, what is missing

    Every option can also be set by an environment variable: UGATIT_CONVERT_STYLE=toon is `convert --style toon`.
    """  # noqa: D301
    chosen = context.ensure_object(Globals)
    chosen.json, chosen.log_level = as_json, log_level.upper()
    logging.basicConfig(
        level=log_level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True
    )


cli.add_command(bench)
cli.add_command(camera)
cli.add_command(convert)
cli.add_command(crop)
cli.add_command(dashboard)
cli.add_command(demo)
cli.add_command(doctor)
cli.add_command(evaluate)
cli.add_command(faces)
cli.add_command(jobs)
cli.add_command(selftest)
cli.add_command(styles)
cli.add_command(train)
cli.add_command(watch)


def _report_failure(error: BaseException, *, as_json: bool) -> int:
    """Tell the user in one line, re-raise for developers; return the exit code."""
    code = exit_code(error)
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        logging.getLogger(__name__).debug("Traceback of the failure.", exc_info=error)
    if isinstance(error, BatchError):  # each failure was told when it happened
        if str(error):
            click.echo(f"Error: {error}", err=True)
        return code
    message = str(error) or type(error).__name__
    if code == EXIT_FAILURE:
        message = f"{type(error).__name__}: {message} (run again with --log-level DEBUG for the traceback)"
    click.echo(f"Error: {message}", err=True)
    if as_json:
        click.echo(json.dumps({"error": message, "kind": type(error).__name__, "exit_code": code}))
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (the console script passes it to sys.exit)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 26))  # read once, when cv2 is imported
    chosen = Globals(measure_training=_measure_training, measure_jobs=_measure_jobs)
    try:
        result = cli.main(args=arguments, prog_name="ugatit-pipeline", standalone_mode=False, obj=chosen)
    except click.exceptions.Abort:
        click.echo("Interrupted. The same command goes on from the finished chunks.", err=True)
        return EXIT_CODES["KeyboardInterrupt"]
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Exception as error:
        return _report_failure(error, as_json=chosen.json)
    return result if isinstance(result, int) else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
