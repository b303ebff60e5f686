"""The `yunet` face detector: a very small network run by OpenCV, with five landmarks per face.

Finds faces of all sizes and poses. Its weights are not shipped: see downloads.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .detectors import FaceDetector
from .downloads import PublicWeights, fetch_weights
from .errors import WeightsError
from .faces import Face, suppress_duplicates
from .working_scale import resize_short_side, to_frame

WEIGHTS = PublicWeights(
    file_name="face_detection_yunet_2023mar.onnx",
    url="https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
    sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    num_bytes=232_589,
    used_by="yunet",
    instead="use 'builtin', which needs none",
)
"""MIT licence: https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet"""

_MAX_FACES = 200
_NMS_IOU = 0.3


class YunetDetector(FaceDetector):
    """Faces with five landmarks, by YuNet in OpenCV's own runtime."""

    name = "yunet"

    def __init__(
        self,
        weights: Path | None = None,
        *,
        allow_download: bool = True,
        working_short_side_px: int = 320,
        min_score: float = 0.6,
    ) -> None:
        """Build the detector; not to be shared between threads.

        Args:
            weights: ONNX file of a YuNet; None looks into the user's cache, then downloads.
            allow_download: False stays offline.
            working_short_side_px: short side of the picture searched; it finds faces down to about 12 px.
            min_score: score a face needs, 0 to 1.

        Raises:
            DetectorUnavailableError: the weights are not here and cannot be downloaded.
            WeightsError: the file is not a YuNet.
        """
        self._detector = _load(fetch_weights(WEIGHTS, weights, allow_download=allow_download), min_score)
        self._working_short_side_px = working_short_side_px

    def detect(self, frame: npt.NDArray[np.uint8]) -> list[Face]:
        """Find the faces of one frame.

        Args:
            frame: HxWx3 uint8 RGB.

        Returns:
            Faces with five landmarks in source-frame pixels, best first.
        """
        picture, scale_xy = resize_short_side(frame, self._working_short_side_px)
        self._detector.setInputSize((picture.shape[1], picture.shape[0]))
        _, rows = self._detector.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return suppress_duplicates([_to_face(row, scale_xy) for row in (() if rows is None else rows)])


def _load(path: Path, min_score: float) -> Any:
    # Read here, not by OpenCV: on Windows it cannot open paths with letters outside the code page.
    model = np.frombuffer(path.read_bytes(), np.uint8)
    try:
        with quiet_opencv():
            detector = cv2.FaceDetectorYN.create(
                "onnx", model, np.empty(0, np.uint8), (320, 320), min_score, _NMS_IOU, _MAX_FACES
            )
            detector.detect(np.zeros((320, 320, 3), np.uint8))
    except cv2.error as error:
        raise WeightsError(f"'{path}' is not a YuNet face detector that OpenCV can read: {error.err}") from error
    return detector


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV 5 from telling every user that its graph engine takes no targets."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _to_face(row: npt.NDArray[np.float32], scale_xy: npt.NDArray[np.float64]) -> Face:
    """One row of 15: x, y, w, h; eye, eye, nose, mouth corner, mouth corner, left in the picture first; score."""
    corners = np.stack([row[:2], row[:2] + row[2:4]])
    landmarks = to_frame(row[4:14].reshape(5, 2), scale_xy)
    return Face(to_frame(corners, scale_xy).reshape(4), landmarks, float(np.clip(row[14], 0.0, 1.0)))
