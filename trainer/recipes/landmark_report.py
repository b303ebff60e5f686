"""Measure landmark weights from all sides: `python -m trainer.recipes.landmark_report DATA -o FIGURES.json`.

Everything that the model card and docs/figures.md say about a network comes from here; it trains and changes nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from alignment.landmarks import BUILT_IN_WEIGHTS, load_landmark_predictor
from alignment.yunet import YunetDetector

from .landmark_clips import evaluate_clip
from .landmark_conditions import evaluate_conditions, evaluate_unrest
from .landmark_data import LabelledFace, Picture, load_faces, split_faces
from .landmark_evaluation import evaluate_landmarks, evaluate_presence
from .landmark_faceless import faceless_picture
from .landmark_vanishing import evaluate_vanishing
from .recipe_options import FILE, begin, data_argument

_ASTRONAUT_BOX = (183.5, 53.1, 274.9, 181.8)
_UNREST_EVERY = 3

_logger = logging.getLogger(__name__)


@click.command()
@data_argument
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON file for the figures.",
)
@click.option(
    "--weights",
    default=BUILT_IN_WEIGHTS,
    show_default="the built-in ones",
    type=FILE,
    help="Weights to measure.",
)
@click.option(
    "--clip",
    "clips",
    multiple=True,
    type=FILE,
    help="Video of one scene with a face; several times for several.",
)
@click.option(
    "--yunet",
    type=FILE,
    help="ONNX file of YuNet, to compare with on the clips; otherwise the user's cache or a download.",
)
@click.option(
    "--presence-regions", default=2000, show_default=True, type=click.IntRange(1), help="Regions of each kind."
)
def main(
    data: Path, output: Path, weights: Path, clips: tuple[Path, ...], yunet: Path | None, presence_regions: int
) -> None:
    """Measure landmark weights on the held-out faces of DATA and on clips."""
    begin(threads=1)
    predictor = load_landmark_predictor(weights)
    _, small = split_faces(load_faces(data), 20, 100)
    whole = load_faces(data, names={face.name for face in small}, is_shrunk=False)
    figures: dict[str, Any] = {
        "errors": evaluate_landmarks(predictor, whole),
        **evaluate_conditions(predictor, whole),
        "unrest": evaluate_unrest(predictor, small[::_UNREST_EVERY]),
        "vanishing": evaluate_vanishing(predictor, _vanishing_faces(whole)),
        "presence": vars(evaluate_presence(predictor, small, presence_regions)),
    }
    if clips:
        detector = YunetDetector(yunet)
        figures["clips"] = {clip.stem: evaluate_clip(predictor, *_read_clip(clip), detector) for clip in clips}
    output.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    _logger.info("Wrote '%s'.", output)


def _vanishing_faces(faces: Sequence[LabelledFace]) -> list[tuple[Picture, Any]]:
    """scikit-image's astronaut and the held-out portraits, each with its face's box."""
    astronaut = (faceless_picture("astronaut"), np.array(_ASTRONAUT_BOX, np.float32))
    return [astronaut, *((face.picture, face.boxes_xyxy[0]) for face in faces if face.group == "portraits")]


def _read_clip(path: Path) -> tuple[list[Picture], float]:
    """All frames as uint8 RGB, and frames per second."""
    capture = cv2.VideoCapture(str(path))
    frames: list[Picture] = []
    while True:
        is_read, bgr = capture.read()
        if not is_read:
            return frames, float(capture.get(cv2.CAP_PROP_FPS))
        frames.append(np.ascontiguousarray(bgr[..., ::-1], np.uint8))


if __name__ == "__main__":
    main()
