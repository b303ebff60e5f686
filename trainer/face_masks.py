"""Which pixels of the training pictures are face: parsed once per picture and kept on disk.

Computes maps and stores them; how they move with a picture and what they do to a loss is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from faceseg import FaceParser, FacePart, load_face_parser
from faceseg.masks import combine_parts
from faceseg.parser import find_weights
from faceseg.parts import EYEWEAR, HEAD

from .config import TrainConfig
from .errors import TrainingDataError
from .picture_files import CheckedPicture, Picture, Progress, read_picture, write_whole
from .transforms import Pixels, fit_short_side

_BATCH_SIZE = 8

_log = logging.getLogger(__name__)


def face_and_core(
    probabilities: Tensor, *, is_hard: bool = False, keep_eyewear_mouth: bool = False
) -> tuple[Tensor, Tensor]:
    """Compute the two masks that training uses, as the segmentation options of zheng-yuwei/enhanced-UGATIT do.

    Args:
        probabilities: N19HW float in [0, 1] of a face parser.
        is_hard: masks of 0 and 1 instead of a soft edge.
        keep_eyewear_mouth: the rim of glasses and the inside of the mouth are not part of the core.

    Returns:
        N1HW float in [0, 1] each: the head as parsed, and the head eroded.
    """
    is_soft = not is_hard
    face = combine_parts(probabilities, normal=HEAD, is_soft=is_soft)
    core = combine_parts(probabilities, eroded=HEAD, is_soft=is_soft)
    if keep_eyewear_mouth:
        stylised = HEAD - EYEWEAR - {FacePart.MOUTH}
        core = core * combine_parts(probabilities, normal=stylised, eroded=EYEWEAR, is_soft=is_soft)
    return face, core


@dataclass(frozen=True)
class MaskStore:
    """Maps of pictures by the hash of their content, in one folder per parser, size and choice of masks."""

    folder: Path
    size_px: int
    """Short side of the maps."""
    is_hard: bool = False
    keep_eyewear_mouth: bool = False

    def path_of(self, picture: CheckedPicture) -> Path:
        """Where a picture's maps are, or will be."""
        return self.folder / picture.sha256[:2] / f"{picture.sha256}.png"

    def has(self, picture: CheckedPicture) -> bool:
        """Tell whether a picture's maps can be read."""
        return self._read(picture) is not None

    def load(self, picture: CheckedPicture) -> Pixels:
        """Read a picture's maps.

        Returns:
            HxWx2 uint8: face and core, 255 inside; the short side is `size_px`.

        Raises:
            TrainingDataError: they are missing or damaged.
        """
        maps = self._read(picture)
        if maps is None:
            raise TrainingDataError(
                f"The face mask '{self.path_of(picture)}' of '{picture.path}' is missing or damaged: resume the run, "
                f"missing masks are computed at its start."
            )
        return maps

    def save(self, picture: CheckedPicture, face: Pixels, core: Pixels) -> None:
        """Write a picture's maps, whole or not at all.

        Raises:
            TrainingDataError: the disk is full, or the folder cannot be written to.
        """
        _, code = cv2.imencode(".png", np.dstack([face, core, np.zeros_like(face)]))
        try:
            write_whole(self.path_of(picture), code.tobytes())
        except OSError as error:
            raise TrainingDataError(
                f"The face mask '{self.path_of(picture)}' cannot be written: {error.strerror}."
            ) from error

    def _read(self, picture: CheckedPicture) -> Pixels | None:
        try:
            code = np.frombuffer(self.path_of(picture).read_bytes(), np.uint8)
        except OSError:
            return None
        maps = cv2.imdecode(code, cv2.IMREAD_COLOR) if code.size else None
        return None if maps is None else np.ascontiguousarray(maps[..., :2], dtype=np.uint8)


def build_store(config: TrainConfig, cache_dir: Path) -> MaskStore:
    """Return the store for a run's parser, size and choice of masks; the parser's weights are part of its name.

    Raises:
        ParserUnavailableError: there are no weights where the config names them.
    """
    wanted = config.objective
    weights = _weights_of(config)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    size_px = config.networks.image_size_px
    words = [weights.stem, digest, str(size_px), "hard" if wanted.hard_mask else "soft"]
    words += ["kept"] if wanted.keep_eyewear_mouth else []
    return MaskStore(cache_dir / "masks" / "-".join(words), size_px, wanted.hard_mask, wanted.keep_eyewear_mouth)


def compute_missing(
    store: MaskStore,
    pictures: Sequence[CheckedPicture],
    config: TrainConfig,
    *,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> int:
    """Parse the pictures whose maps are not in the store; pictures of one shape are parsed together.

    Several processes may do this at once, each beginning elsewhere: what one finds done it leaves alone.

    Args:
        store: where the maps go.
        pictures: all that training uses.
        config: names the parser.
        device: where the parser runs.
        progress: told after each batch.

    Returns:
        How many pictures were parsed.
    """
    missing = [p for p in {p.sha256: p for p in pictures}.values() if not store.has(p)]
    if not missing:
        return 0
    _log.info("Computing the face masks of %d pictures.", len(missing))
    parser = load_face_parser(_weights_of(config), device)
    num_done = num_parsed = 0
    for group in _grouped(missing):
        todo = [picture for picture in group if not store.has(picture)]
        _parse(store, todo, parser)
        num_parsed, num_done = num_parsed + len(todo), num_done + len(group)
        if progress:
            progress(num_done, len(missing))
    return num_parsed


def _weights_of(config: TrainConfig) -> Path:
    named = config.objective.parser_weights
    return find_weights(Path(named) if named else None)


def _grouped(pictures: Sequence[CheckedPicture]) -> Iterator[Sequence[CheckedPicture]]:
    """Batches of pictures of equal shape that follow each other."""
    for _, group in itertools.groupby(pictures, key=lambda picture: (picture.width, picture.height)):
        alike = list(group)
        yield from (alike[i : i + _BATCH_SIZE] for i in range(0, len(alike), _BATCH_SIZE))


def _parse(store: MaskStore, pictures: Sequence[CheckedPicture], parser: FaceParser) -> None:
    if not pictures:
        return
    fitted: list[Picture] = [fit_short_side(read_picture(picture.path), store.size_px) for picture in pictures]
    probabilities = parser.parse(np.stack(fitted))
    masks = face_and_core(probabilities, is_hard=store.is_hard, keep_eyewear_mouth=store.keep_eyewear_mouth)
    face, core = (mask[:, 0].mul(255).round().to(torch.uint8).cpu().numpy() for mask in masks)
    for picture, one_face, one_core in zip(pictures, face, core, strict=True):
        store.save(picture, one_face, one_core)
