"""Whose face is it: an embedding of a face, and how like two faces are by it.

The one back end is SFace in OpenCV's own runtime; its weights are not shipped, see downloads.py. Which tracks are kept
is the pipeline's decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from .downloads import PublicWeights, fetch_weights
from .errors import EmbedderUnavailableError, WeightsError
from .points import Points, five_points
from .yunet import quiet_opencv

Embedding = npt.NDArray[np.float32]

SAME_PERSON = 0.363
"""Cosine similarity from which SFace takes two faces for one person: best on the LFW pictures, 99.6 % right.
https://docs.opencv.org/4.5.4/d0/dd4/tutorial_dnn_face.html"""

WEIGHTS = PublicWeights(
    file_name="face_recognition_sface_2021dec.onnx",
    url=(
        "https://github.com/opencv/opencv_zoo/raw/main/models/face_recognition_sface/"
        "face_recognition_sface_2021dec.onnx"
    ),
    sha256="0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
    num_bytes=38_696_353,
    used_by="sface",
    instead="choose faces by their numbers with --faces",
    error=EmbedderUnavailableError,
)
"""Apache-2.0 licence: https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface"""


class FaceEmbedder(Protocol):
    """Turns a face into numbers that are alike for pictures of one person."""

    @property
    def name(self) -> str:
        """Kind of embedder, for reports."""
        ...

    def embed(self, picture: npt.NDArray[np.uint8], landmarks: Points) -> Embedding:
        """Describe one face.

        Args:
            picture: HxWx3 uint8 RGB that holds the face.
            landmarks: Kx2 (x, y) in its pixels, K in {5, 68, 152}.

        Returns:
            (D,) float32 of length 1.
        """
        ...


class SFaceEmbedder:
    """128 numbers per face, by SFace; not to be shared between threads."""

    name = "sface"

    def __init__(self, weights: Path | None = None, *, allow_download: bool = True) -> None:
        """Load the network.

        Args:
            weights: ONNX file of an SFace; None looks into the user's cache, then downloads.
            allow_download: False stays offline.

        Raises:
            EmbedderUnavailableError: the weights are not here and cannot be downloaded.
            WeightsError: the file is not an SFace.
        """
        self._network = _load(fetch_weights(WEIGHTS, weights, allow_download=allow_download))

    def embed(self, picture: npt.NDArray[np.uint8], landmarks: Points) -> Embedding:
        """Describe one face: see `FaceEmbedder.embed`. It is aligned by its five points, as the network was trained."""
        row = np.zeros((1, 15), np.float32)  # a row of YuNet's: box, five points, score; only the points are read
        row[0, 4:14] = five_points(landmarks).ravel()
        aligned = self._network.alignCrop(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), row)
        return unit_length(self._network.feature(aligned))


def _load(path: Path) -> Any:
    model, nothing = np.frombuffer(path.read_bytes(), np.uint8), np.empty(0, np.uint8)
    try:
        with quiet_opencv():
            try:
                network = cv2.FaceRecognizerSF.create("onnx", model, nothing)
            except TypeError:  # older than 4.11: it reads files only
                network = cv2.FaceRecognizerSF.create(str(path), "")
            network.feature(np.zeros((112, 112, 3), np.uint8))
    except cv2.error as error:
        raise WeightsError(f"'{path}' is not an SFace network that OpenCV can read: {error.err}") from error
    return network


def unit_length(values: npt.ArrayLike) -> Embedding:
    """Return any numbers as a flat float32 vector of length 1 (of length 0 where all are 0)."""
    flat = np.asarray(values, np.float32).ravel()
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-12), np.float32)


def likeness(samples: Sequence[Embedding], references: Sequence[Embedding]) -> float:
    """Tell how like the person in some samples the most similar reference is.

    Args:
        samples: embeddings of one person's face, N >= 1; a few bad ones do no harm: the median over them counts.
        references: embeddings of the faces that are looked for, M >= 1.

    Returns:
        Cosine similarity, -1 to 1; compare with SAME_PERSON.
    """
    cosines = np.stack(samples) @ np.stack(references).T  # NxM
    return float(np.median(cosines, axis=0).max())
