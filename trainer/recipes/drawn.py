"""The recipe of the built-in drawn styles: draw a target domain, train the light generator on it, judge, export.

    python -m trainer.recipes.drawn STYLE draw DATA -o RUN_DIR
    python -m trainer.recipes.drawn STYLE train DATA -o RUN_DIR [--start-from STYLE|SNAPSHOT]
    python -m trainer.recipes.drawn STYLE evaluate DATA -o RUN_DIR
    python -m trainer.recipes.drawn STYLE export -o RUN_DIR FILE.safetensors

STYLE is toon, sketch or paint. DATA holds the labelled faces (`portraits/`, `faces/`). Every command goes on where an
earlier call stopped. The modules beside it do the work: `drawn_data` reads, `STYLE_drawing` draws, `drawn_pairs` caches
and augments, `drawn_training` trains, `drawn_styles` says what a style is.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import click
import cv2
import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from model import Generator, Style, StyleCard, load_style
from model.images import to_pictures, to_tensor

from ..errors import TrainingDataError
from .drawn_data import CROP_PX, HELD_OUT, Picture, load_faces, split_faces
from .drawn_pairs import PairSet, draw_pairs
from .drawn_styles import STYLES, DrawnStyle, drawn_style
from .drawn_training import Training, TrainingConfig, train

log = logging.getLogger(__name__)

SHEET_COLUMNS = 6
PROVENANCE = (
    "Trained by trainer/recipes/drawn.py on drawings that rules made of generated portraits: "
    "faker-js/assets-person-portrait (CC0) and SelfishGene/SFHQ-T2I-dataset (MIT); no real person."
)


def stylise(generator: Generator, pictures: list[Picture]) -> list[Picture]:
    """Run the generator on crops, one by one in bfloat16: HxWx3 uint8 RGB -> the same."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return [to_pictures(generator(to_tensor(picture[None])).image)[0] for picture in pictures]


class JudgedPairs(Protocol):
    """Photographs with their drawn truth: a `PairSet`, or folders of pictures (`unpaired`)."""

    keys: list[str]
    """`SPLIT-NAME` of each pair."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def plain(self, index: int) -> tuple[Picture, Picture]:
        """(photograph, drawing) of one pair, HxWx3 uint8 RGB."""
        ...


def write_sheet(generator: Generator, pairs: JudgedPairs, path: Path, count: int = 18) -> None:
    """Save a PNG sheet of held-out faces, each as photograph | output | target from top to bottom."""
    chosen = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int)
    cut = [pairs.plain(int(i)) for i in chosen]
    outputs = stylise(generator, [photo for photo, _ in cut])
    cells = [np.vstack([photo, output, target]) for (photo, target), output in zip(cut, outputs, strict=True)]
    rows = [np.hstack(cells[i : i + SHEET_COLUMNS]) for i in range(0, len(cells), SHEET_COLUMNS)]
    width = rows[0].shape[1]
    sheet = np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def score(generator: Generator, pairs: JudgedPairs) -> dict[str, float]:
    """Mean SSIM and L1 (values in [0, 1]) of outputs and of untouched inputs against the drawn targets, per split."""
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    for index, key in enumerate(pairs.keys):
        photo, target = pairs.plain(index)
        output = stylise(generator, [photo])[0]
        rows.setdefault(key.split("-")[0], []).append((*_compare(output, target), *_compare(photo, target)))
    metrics: dict[str, float] = {}
    for split, values in rows.items():
        metrics[f"{split}_count"] = len(values)
        for name, mean in zip(("ssim", "l1", "input_ssim", "input_l1"), np.mean(values, axis=0), strict=True):
            metrics[f"{split}_{name}"] = round(float(mean), 4)
    return metrics


def _compare(image: Picture, target: Picture) -> tuple[float, float]:
    ssim = structural_similarity(  # type: ignore[no-untyped-call]
        image, target, channel_axis=2
    )
    return float(ssim), float(np.abs(image.astype(np.float32) - target).mean() / 255)


def _held_out(style: DrawnStyle, data: Path, run: Path) -> PairSet:
    return PairSet(run / "pairs", split_faces(load_faces(data))[1], style.is_grey).first(HELD_OUT)


def _load_average(run: Path, config: TrainingConfig) -> Training:
    snapshot = run / "snapshot.pt"
    if not snapshot.exists():
        raise TrainingDataError(f"no snapshot in '{run}'; run the recipe's 'train' first.")
    training = Training(config)
    training.resume(snapshot)
    return training


def _start_weights(source: str | None) -> dict[str, Tensor] | None:
    """Generator weights of a snapshot (.pt), a style file or a built-in style."""
    if source is None:
        return None
    if source.endswith(".pt"):
        weights: dict[str, Tensor] = torch.load(source, weights_only=True)["average"]
        return weights
    return load_style(source).generator.state_dict()


def _run_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "-o",
        "--run",
        "run",
        type=click.Path(path_type=Path),
        required=True,
        metavar="RUN_DIR",
        help="Folder of the run: pairs, snapshot, log, previews.",
    )(command)


_data_argument = click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))


@click.group(help=__doc__)
@click.argument("style", type=click.Choice(list(STYLES)), metavar="STYLE")
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="CPU threads.")
@click.pass_context
def main(context: click.Context, style: str, threads: int) -> None:
    """Set up logging and threads, find the style."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    context.obj = drawn_style(style)


@main.command("draw")
@_data_argument
@_run_option
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that draw.")
@click.pass_obj
def draw_command(style: DrawnStyle, data: Path, run: Path, workers: int) -> None:
    """Draw all pairs into RUN_DIR/pairs."""
    training, held_out = split_faces(load_faces(data))
    usable = draw_pairs(data, run / "pairs", held_out + training, style.draw, workers)
    log.info("%d of %d faces have a pair.", usable, len(training) + len(held_out))


@main.command("train")
@_data_argument
@_run_option
@click.option(
    "--start-from",
    "start",
    metavar="STYLE|SNAPSHOT",
    help="Begin a new run with the weights of a style (name or file) or of another run's snapshot.pt.",
)
@click.pass_obj
def train_command(style: DrawnStyle, data: Path, run: Path, start: str | None) -> None:
    """Train on the drawn pairs, resuming from RUN_DIR/snapshot.pt."""
    faces, held_out = split_faces(load_faces(data))
    every, held = (PairSet(run / "pairs", split, style.is_grey) for split in (faces, held_out))
    pairs, judged = every.without_likenesses(held), held.first(HELD_OUT)
    log.info(
        "%d pairs to train on, %d left out as likenesses of those held out, %d to judge by.",
        len(pairs),
        len(every) - len(pairs),
        len(judged),
    )
    train(style.config, pairs, run, lambda network, path: write_sheet(network, judged, path), _start_weights(start))


@main.command("evaluate")
@_data_argument
@_run_option
@click.pass_obj
def evaluate_command(style: DrawnStyle, data: Path, run: Path) -> None:
    """Score the averaged weights on the held-out pairs; writes RUN_DIR/metrics.json and held-out.png."""
    training, pairs = _load_average(run, style.config), _held_out(style, data, run)
    metrics = score(training.average, pairs) | {"steps": training.step}
    (run / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    write_sheet(training.average, pairs, run / "held-out.png", 36)
    click.echo(json.dumps(metrics))


@main.command("export")
@_run_option
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE.safetensors")
@click.pass_obj
def export_command(style: DrawnStyle, run: Path, target: Path) -> None:
    """Save the averaged weights as a float16 style file with the figures of the last evaluation."""
    training, figures = _load_average(run, style.config), run / "metrics.json"
    metrics = json.loads(figures.read_text()) if figures.exists() else {}
    card = StyleCard(
        description=style.description,
        template="head",
        crop_size_px=CROP_PX,
        mask_group=style.mask_group,
        licence="MIT",
        provenance=f"{PROVENANCE} {training.step} steps.",
        metrics=metrics,
    )
    exported = Style(style.name, card, style.config.generator, training.average)
    exported.save(target, dtype=torch.float16)
    log.info("Wrote '%s', %.2f MB.", target, target.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
