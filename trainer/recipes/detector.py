"""Recipe of the built-in face detector: `python -m trainer.recipes.detector train DATA -o RUN_DIR`, then `evaluate`.

`train` trains and exports float16 weights with folded norms; started again with the same RUN_DIR it goes on where it
stopped. `evaluate` measures detectors on scenes of held-out people and on clips. Neither puts the weights into the
package: copy them when the figures are good.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path

import click

from alignment.spotter_net import SpotterNet
from trainer.errors import TrainingDataError

from .detector_data import load_held_parts, load_training_parts
from .detector_evaluation import build_rivals, evaluate_detectors
from .detector_training import DetectorTrainingConfig, train_detector
from .recipe_options import (
    FILE,
    PROVENANCE,
    begin,
    data_argument,
    run_option,
    schedule_options,
    threads_option,
    write_folded,
)

_DEFAULTS = DetectorTrainingConfig()
WEIGHTS_NAME = "detector.safetensors"
_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
_PROVENANCE = {
    "network": "spotter_net",
    "recipe": "python -m trainer.recipes.detector train",
    **PROVENANCE,
}


@click.group()
@threads_option
def main(threads: int) -> None:
    """Train and measure the built-in face detector."""
    begin(threads)


@main.command()
@data_argument
@run_option(": snapshots, log and weights")
@schedule_options(_DEFAULTS, "scenes")
@click.option(
    "--batch-size", default=_DEFAULTS.batch_size, show_default=True, type=click.IntRange(2), help="Scenes per step."
)
@click.option(
    "--learning-rate",
    default=_DEFAULTS.learning_rate,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Its peak.",
)
@click.option(
    "--thresholds",
    default=(0.5, 0.5, 0.5),
    show_default=True,
    type=(_SHARE, _SHARE, _SHARE),
    help="Scores from which each grid, the finest first, is believed; exported scores are shifted so that they become "
    "0.5.",
)
@click.option("--start-from", type=FILE, help="Snapshot of another run to take the first weights from.")
def train(
    data: Path,
    run_dir: Path,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    thresholds: tuple[float, float, float],
    start_from: Path | None,
) -> None:
    """Train on DATA, a folder that holds portraits/ and faces/ with boxes, landmarks, masks and label maps."""
    config = DetectorTrainingConfig(steps=steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    try:
        training = load_training_parts(data)
    except (TrainingDataError, OSError) as error:
        raise click.ClickException(str(error)) from error
    network = train_detector(training, run_dir, config, start_from=start_from)
    export_weights(network, run_dir / WEIGHTS_NAME, thresholds)


@main.command()
@data_argument
@run_option(" with detector.safetensors; figures.json and figures.md are written there")
@click.option("--yunet", type=FILE, help="Weights of YuNet, to compare with; without them clips have no reference.")
@click.option("--blazeface", type=FILE, help="Weights of BlazeFace, to compare with.")
@click.option("--clip", "clips", type=FILE, multiple=True, help="Video to look for faces in; may be repeated.")
@click.option(
    "--trials", default=150, show_default=True, type=click.IntRange(1), help="Pictures of two faces in each series."
)
def evaluate(
    data: Path, run_dir: Path, yunet: Path | None, blazeface: Path | None, clips: tuple[Path, ...], trials: int
) -> None:
    """Measure detectors on scenes of the people of DATA that were held out, and on clips."""
    rivals = build_rivals(run_dir / WEIGHTS_NAME, yunet, blazeface)
    try:
        held = load_held_parts(data)
    except (TrainingDataError, OSError) as error:
        raise click.ClickException(str(error)) from error
    evaluate_detectors(rivals, held, clips, run_dir, num_trials=trials)


def export_weights(network: SpotterNet, path: Path, thresholds: tuple[float, float, float] = (0.5, 0.5, 0.5)) -> None:
    """Write a network as float16 with folded norms, the form the back end `builtin` reads.

    Args:
        network: left as it is.
        path: where to.
        thresholds: for each grid the score that becomes 0.5, the back end's default threshold; the others move along in
            log odds.
    """
    folded = copy.deepcopy(network).fold_norms()
    for head, threshold in zip(folded.heads, thresholds, strict=True):
        head.bias.data[0] -= math.log(threshold / (1 - threshold))  # type: ignore[operator, union-attr, index]
    write_folded(folded, path, _PROVENANCE)


if __name__ == "__main__":
    main()
