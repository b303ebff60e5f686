"""Which of the faces that were found are like those in the pictures of `--face-like`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from alignment.identity import FaceEmbedder, likeness
from alignment.points import eye_distance

from .canvas import PictureCanvas
from .errors import UnreadableInputError
from .finder import FaceFinder
from .samples import FaceSample, take_sample
from .stills import read_picture

logger = logging.getLogger(__name__)

NUM_SAMPLES = 5
"""Pictures of every face that are compared."""


class FaceSearch:
    """Compares faces with those that are looked for."""

    def __init__(self, embedder: FaceEmbedder, references: Sequence[FaceSample], min_likeness: float) -> None:
        """Look for some faces.

        Args:
            embedder: what compares.
            references: the faces that are looked for, at least one.
            min_likeness: cosine similarity from which a face is taken for one of them.
        """
        self._embedder = embedder
        self._references = [embedder.embed(sample.picture(), sample.points) for sample in references]
        self._min_likeness = min_likeness

    def compare(self, samples_of: Mapping[int, Sequence[FaceSample]]) -> dict[int, float]:
        """Return for each track its cosine similarity to the most similar reference; tracks without pictures lack."""
        return {
            track_id: likeness([self._embedder.embed(s.picture(), s.points) for s in samples], self._references)
            for track_id, samples in samples_of.items()
            if samples
        }

    def is_alike(self, similarity: float) -> bool:
        """Tell whether a similarity is enough."""
        return similarity >= self._min_likeness


def read_reference(path: Path, finder: FaceFinder) -> FaceSample:
    """Find the face of a reference picture, the largest if there are several.

    Raises:
        InputError: the picture cannot be read.
        UnreadableInputError: it shows no face.
    """
    canvas = PictureCanvas(read_picture(path).rgb)
    faces = [face for face in finder.find(canvas) if face.landmarks is not None]
    if not faces:
        raise UnreadableInputError(
            f'no face was found in "{path}" of --face-like; give a picture with the face large and seen from the front.'
        )
    if len(faces) > 1:
        logger.warning('"%s" of --face-like shows %d faces; the largest is looked for.', path, len(faces))
    largest = max(faces, key=lambda face: 0.0 if face.landmarks is None else eye_distance(face.landmarks))
    return take_sample(canvas, largest)
