"""Recipe of the built-in landmark network: `python -m trainer.recipes.landmarks DATA -o RUN_DIR`.

Trains, exports float16 weights with folded norms, and measures them on held-out faces. Started again with the same
RUN_DIR it goes on where it stopped. It does not put the weights into the package: copy them when the figures are good.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import click
import torch

from alignment.detectors import build_detector
from alignment.landmark_net import ROI_SIZE_PX, LandmarkNet
from alignment.landmarks import load_landmark_predictor
from trainer.errors import TrainingDataError

from .landmark_data import LabelledFace, load_faces, split_faces
from .landmark_evaluation import evaluate_landmarks, evaluate_presence
from .landmark_training import LandmarkTrainingConfig, train_landmarks
from .recipe_options import (
    FILE,
    PROVENANCE,
    begin,
    data_argument,
    hold_options,
    run_option,
    schedule_options,
    threads_option,
    write_folded,
)
from .training_state import read_snapshot

_DEFAULTS = LandmarkTrainingConfig()
_WEIGHTS_NAME = "landmarks.safetensors"
_PROVENANCE = {
    "network": "landmark_net",
    "roi_size_px": str(ROI_SIZE_PX),
    "recipe": "python -m trainer.recipes.landmarks",
    **PROVENANCE,
}

_logger = logging.getLogger(__name__)


@click.command()
@data_argument
@run_option(": snapshots, log, weights and figures")
@schedule_options(_DEFAULTS, "regions")
@click.option(
    "--batch-size", default=_DEFAULTS.batch_size, show_default=True, type=click.IntRange(2), help="Regions per step."
)
@click.option(
    "--learning-rate", default=_DEFAULTS.learning_rate, show_default=True, type=click.FloatRange(0.0), help="Its peak."
)
@click.option(
    "--start-from",
    type=FILE,
    help="snapshot.pt of another run: a new run begins with its averaged weights.",
)
@click.option(
    "--keep-share",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0.0, 1.0),
    help="With --start-from: export a mean of the weights begun with, by this share, and the trained ones.",
)
@threads_option
@hold_options
@click.option(
    "--presence-regions",
    default=2000,
    show_default=True,
    type=click.IntRange(1),
    help="Regions with and without a face that the presence score is measured on.",
)
def main(
    data: Path,
    run_dir: Path,
    steps: int,
    batch_size: int,
    learning_rate: float,
    start_from: Path | None,
    keep_share: float,
    seed: int,
    threads: int,
    hold_portraits: int,
    hold_faces: int,
    presence_regions: int,
) -> None:
    """Train the built-in landmark network on DATA, a folder that holds portraits/ and faces/ with their labels."""
    begin(threads)
    if keep_share > 0 and start_from is None:
        raise click.UsageError(f"--keep-share {keep_share:g} needs --start-from: it names the weights to keep.")
    config = LandmarkTrainingConfig(steps=steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    try:
        training, held = split_faces(load_faces(data), hold_portraits, hold_faces)
    except TrainingDataError as error:
        raise click.ClickException(str(error)) from error
    network = train_landmarks(training, run_dir, config, start_from=start_from)
    if start_from is not None:
        mix_weights(network, read_snapshot(start_from)["average"], keep_share)
    export_weights(network, run_dir / _WEIGHTS_NAME)
    whole = load_faces(data, names={face.name for face in held}, is_shrunk=False)
    measure(run_dir, whole, presence_regions)


@torch.no_grad()
def mix_weights(network: LandmarkNet, others: dict[str, torch.Tensor], share: float) -> None:
    """Move a network's weights and norms towards others, in place; share 0 leaves them, 1 takes the others over.

    Two networks of which one was trained on from the other lie in one valley of the loss, so that their mean is a
    network too: it has most of what the second learnt and most of what the first knew (Wortsman et al., "Robust
    fine-tuning of zero-shot models", 2022).
    """
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(others[name], share)


def export_weights(network: LandmarkNet, path: Path) -> None:
    """Write a network as float16 with folded norms, the form `load_landmark_predictor` reads."""
    write_folded(network, path, _PROVENANCE)


def measure(run_dir: Path, held: list[LabelledFace], presence_regions: int) -> None:
    """Measure the exported weights on held-out faces (whole pictures) and write figures.json beside them."""
    predictor = load_landmark_predictor(run_dir / _WEIGHTS_NAME)
    errors = evaluate_landmarks(predictor, held, build_detector("hog"))
    figures = {"errors": errors, "presence": vars(evaluate_presence(predictor, held, presence_regions))}
    text = json.dumps(figures, indent=2)
    (run_dir / "figures.json").write_text(text, encoding="utf-8")
    _logger.info("Held-out figures: %s", text)


if __name__ == "__main__":
    main()
