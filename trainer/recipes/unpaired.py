"""The recipe that trains a drawn style on, unpaired: makes the training folders and judges what comes out.

    python -m trainer.recipes.unpaired prepare DATA PAIRS -o DIR
    python run.py train DIR -o RUNS --start-from toon --pairs DIR/pairs --pair-steps N ...
    python -m trainer.recipes.unpaired judge STYLE DIR [--sheet FILE.png]
    python -m trainer.recipes.unpaired mix STYLE OTHER FILE.safetensors --share 0.25

DATA holds the labelled faces, PAIRS the drawings that `trainer.recipes.drawn STYLE draw` made of them. The photographs
of DIR/trainA and the drawings of DIR/trainB show different people; DIR/testA and DIR/testB hold the faces that
`trainer.recipes.drawn` holds out too, photograph and drawing by equal names, so that a style it trained can go on here
and still be judged on faces it never saw. DIR/pairs has all training pairs, for a supervised start of the way back.
The training itself is `run.py train`. What has drifted too far is brought back half-way by `mix`.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import click
import cv2
import numpy as np
import torch

from model import Style, load_style

from ..errors import TrainingDataError
from .drawn import score, write_sheet
from .drawn_data import HELD_OUT, RUN_LENGTHS, Face, Picture, load_faces, split_faces
from .drawn_pairs import PairSet

log = logging.getLogger(__name__)

PAIRS_FOLDER = "pairs"
"""Where below DIR the pairs of the supervised start are."""


def halves(faces: Sequence[Face]) -> tuple[list[Face], list[Face]]:
    """Part faces into photographs and drawings: (A, B), nobody in both.

    Neighbours by name can show one person, so whole runs of them go to one side.
    """
    sides: tuple[list[Face], list[Face]] = [], []
    for split, run in RUN_LENGTHS.items():
        for index, face in enumerate(face for face in faces if face.split == split):
            sides[index // run % 2].append(face)
    return sides


def prepare(data: Path, cache: Path, folder: Path) -> dict[str, int]:
    """Write the training layout; pictures that are there already are written again.

    Args:
        data: folder of the labelled faces.
        cache: folder of the drawn pairs.
        folder: gets trainA, trainB, testA, testB, and pairs/A, pairs/B.

    Returns:
        Pictures per folder.
    """
    training, held_out = split_faces(load_faces(data))
    judged = PairSet(cache, held_out)
    photographed, drawn = (PairSet(cache, half).without_likenesses(judged) for half in halves(training))
    drawn = drawn.without_likenesses(photographed)
    every = PairSet(cache, training).without_likenesses(judged)
    judged = judged.first(HELD_OUT)
    pairs = folder / PAIRS_FOLDER
    return {
        "trainA": _write(photographed, 0, folder / "trainA"),
        "trainB": _write(drawn, 1, folder / "trainB"),
        "testA": _write(judged, 0, folder / "testA"),
        "testB": _write(judged, 1, folder / "testB"),
        "pairs/A": _write(every, 0, pairs / "A"),
        "pairs/B": _write(every, 1, pairs / "B"),
    }


def _write(pairs: PairSet, side: int, folder: Path) -> int:
    """Save one side of all pairs (0: photographs, 1: drawings) as PNGs named by their keys."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, key in enumerate(pairs.keys):
        picture = cv2.cvtColor(pairs.plain(index)[side], cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(str(folder / f"{key}.png"), picture):
            raise TrainingDataError(f"'{folder / key}.png' cannot be written.")
    return len(pairs)


class HeldOutPairs:
    """The pairs of equal names in testA and testB of a prepared folder.

    Raises:
        TrainingDataError: there is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = [{path.stem for path in (folder / side).glob("*.png")} for side in ("testA", "testB")]
        self.keys = sorted(names[0] & names[1])
        if not self.keys:
            raise TrainingDataError(
                f"no pairs of equal names in 'testA' and 'testB' of '{folder}'; run this recipe's 'prepare' first."
            )

    def __len__(self) -> int:
        return len(self.keys)

    def plain(self, index: int) -> tuple[Picture, Picture]:
        """(photograph, drawing) of one pair: HxWx3 uint8 RGB."""
        photo, drawing = (_read(self.folder / side / f"{self.keys[index]}.png") for side in ("testA", "testB"))
        return photo, drawing


def _read(path: Path) -> Picture:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise TrainingDataError(f"'{path}' cannot be read as a picture.")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def mix(style: Style, other: Style, share: float) -> Style:
    """Interpolate weights: 0 gives the first style's, 1 the other's; name and card are the first one's.

    Raises:
        TrainingDataError: they are of different architectures.
    """
    if style.config != other.config:
        raise TrainingDataError(f"the styles '{style.name}' and '{other.name}' have different networks; mix like ones.")
    generator, weights = copy.deepcopy(style.generator), other.generator.state_dict()
    generator.load_state_dict(
        {name: torch.lerp(own, weights[name], share) for name, own in style.generator.state_dict().items()}
    )
    return Style(style.name, style.card, style.config, generator)


@click.group(help=__doc__)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
def main(threads: int) -> None:
    """Set up logging and threads."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)


_folder = click.Path(exists=True, file_okay=False, path_type=Path)


@main.command("prepare")
@click.argument("data", type=_folder)
@click.argument("pairs", type=_folder)
@click.option(
    "-o", "--output", "folder", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="DIR"
)
def prepare_command(data: Path, pairs: Path, folder: Path) -> None:
    """Write the training layout into DIR."""
    for name, count in prepare(data, pairs, folder).items():
        log.info("%s: %d pictures.", name, count)


@main.command("judge")
@click.argument("style")
@click.argument("folder", type=_folder, metavar="DIR")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Also save a sheet of held-out faces.")
def judge_command(style: str, folder: Path, sheet: Path | None) -> None:
    """Compare a style's outputs with the drawn truth of DIR/testA: SSIM and L1 in one JSON line."""
    pairs, generator = HeldOutPairs(folder), load_style(style).generator
    click.echo(json.dumps({"style": style, **score(generator, pairs)}))
    if sheet is not None:
        write_sheet(generator, pairs, sheet, 36)


@main.command("mix")
@click.argument("style")
@click.argument("other")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.safetensors")
@click.option("--share", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Of OTHER.")
def mix_command(style: str, other: str, target: Path, share: float) -> None:
    """Write a float16 style whose weights lie between those of two styles, of which one came from the other."""
    mix(load_style(style), load_style(other), share).save(target, dtype=torch.float16)


if __name__ == "__main__":
    main()
