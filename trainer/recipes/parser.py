"""Recipe of the built-in face parser: `python -m trainer.recipes.parser DATA -o RUN_DIR`.

Trains, exports float16 weights with folded norms, and measures them on held-out heads. Started again with the same
RUN_DIR it goes on where it stopped. It does not put the weights into the package: copy them when the figures are good.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from faceseg.errors import FaceSegError
from faceseg.parser import load_face_parser
from faceseg.part_net import CROP_SIZE_PX, PartNet
from trainer.errors import TrainingDataError

from .parser_data import Heads, find_heads, load_heads, split_heads, without_likenesses
from .parser_occluders import OccluderPainter
from .parser_training import ParserTrainingConfig, build_state, train_parser
from .parser_views import SceneMaterial
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

_DEFAULTS = ParserTrainingConfig()
WEIGHTS_NAME = "parser.safetensors"
"""Name of the exported file in the run folder and in the package."""
_PROVENANCE = {
    "network": "part_net",
    "crop_size_px": str(CROP_SIZE_PX),
    "recipe": "python -m trainer.recipes.parser",
    **PROVENANCE,
}

_logger = logging.getLogger(__name__)


@click.command()
@data_argument
@run_option(": cached heads, snapshots, log, weights and figures")
@schedule_options(_DEFAULTS, "scenes")
@click.option(
    "--scenes", default=_DEFAULTS.num_scenes, show_default=True, type=click.IntRange(1), help="Scenes per step."
)
@threads_option
@click.option(
    "--teacher",
    type=FILE,
    help="BiSeNet weights (79999_iter.pth) whose probabilities are learnt too.",
)
@click.option(
    "--start-from",
    type=FILE,
    help="Another run's snapshot.pt to begin with, e.g. to distil a teacher further.",
)
@click.option(
    "--drawings",
    default=600,
    show_default=True,
    type=click.IntRange(0),
    help="Heads drawn by the style `toon` to learn from as well; 0 leaves them out.",
)
@click.option(
    "--occluders", default=800, show_default=True, type=click.IntRange(1), help="Different things before the faces."
)
@hold_options
@click.option(
    "--clips",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of .mp4 clips that the masks' flicker is measured on.",
)
@click.option("--only-measure", is_flag=True, help="Measure the last snapshot, do not train.")
def main(
    data: Path,
    run_dir: Path,
    steps: int,
    scenes: int,
    seed: int,
    threads: int,
    teacher: Path | None,
    start_from: Path | None,
    drawings: int,
    occluders: int,
    hold_portraits: int,
    hold_faces: int,
    clips: Path | None,
    only_measure: bool,
) -> None:
    """Train the built-in face parser on DATA, a folder that holds portraits/ and faces/ with their labels."""
    begin(threads)
    config = ParserTrainingConfig(steps=steps, num_scenes=scenes, seed=seed)
    try:
        training, held = read_heads(data, run_dir / "cache", hold_portraits, hold_faces)
        if only_measure:
            state = build_state(config)
            state.restore(read_snapshot(run_dir / "snapshot.pt"))
            network = state.average
        else:
            material = gather_material(training, held, run_dir / "cache", drawings, occluders, seed)
            opinion = None if teacher is None else load_face_parser(teacher)
            network = train_parser(material, run_dir, config, teacher=opinion, start_from=start_from)
    except (TrainingDataError, FaceSegError, FileNotFoundError) as error:
        raise click.ClickException(str(error)) from error
    export_weights(network, run_dir / WEIGHTS_NAME)
    measure(run_dir, held, clips)


def read_heads(data: Path, cache: Path, num_portraits: int, num_faces: int) -> tuple[Heads, Heads]:
    """Training and held-out heads, aligned and cleaned the first time and kept in `cache`."""
    training, held = split_heads(find_heads(data), num_portraits, num_faces)
    return load_heads(data, training, cache / "training"), load_heads(data, held, cache / "held")


def gather_material(
    training: Heads, held: Heads, cache: Path, drawings: int, num_occluders: int, seed: int
) -> SceneMaterial:
    """What training scenes are made of: heads unlike the held-out ones, painted occluders, drawn heads."""
    indices = without_likenesses(training, held)
    occluders = paint_occluders(training, indices, num_occluders, seed)
    if not drawings:
        return SceneMaterial(training, indices, occluders)
    from .parser_drawn import draw_heads

    drawn, drawn_indices = draw_heads(training, indices, cache / "training", limit=drawings)
    return SceneMaterial(training, indices, occluders, drawn, drawn_indices)


def paint_occluders(heads: Heads, indices: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.uint8]:
    """Paint `count` occluders with skin and textures of some heads: NxSxSx4 uint8 premultiplied RGBA."""
    chosen = indices[:: max(1, len(indices) // 400)]
    painter = OccluderPainter(heads.pictures[chosen], heads.labels[chosen])
    return np.stack([painter.paint(np.random.default_rng((seed, 7, i))) for i in range(count)])


def export_weights(network: PartNet, path: Path) -> None:
    """Write a network as float16 with folded norms, the form `load_face_parser` reads."""
    write_folded(network, path, _PROVENANCE)


def measure(run_dir: Path, held: Heads, clips: Path | None) -> None:
    """Measure the exported weights on held-out heads and write figures.json beside them."""
    from .parser_evaluation import evaluate_parser
    from .parser_flicker import evaluate_flicker

    parser = load_face_parser(run_dir / WEIGHTS_NAME)
    figures = evaluate_parser(parser, held)
    if clips is not None:
        figures["flicker"] = {clip.stem: evaluate_flicker(parser, clip) for clip in sorted(clips.glob("*.mp4"))}
    text = json.dumps(figures, indent=2)
    (run_dir / "figures.json").write_text(text, encoding="utf-8")
    _logger.info("Held-out figures: %s", text)


if __name__ == "__main__":
    main()
