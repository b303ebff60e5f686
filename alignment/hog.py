"""The `hog` face detector: dlib's frontal detector, which needs no weights and no torch.

Finds faces that look towards the camera (to about 45 degrees) and stand upright; gives boxes, no landmarks.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .detectors import FaceDetector
from .errors import DetectorUnavailableError
from .faces import Face, box_from_square, suppress_duplicates
from .working_scale import resize_short_side, to_frame


class HogDetector(FaceDetector):
    """Faces by histograms of oriented gradients and a linear classifier (dlib)."""

    name = "hog"

    def __init__(
        self, *, working_short_side_px: int = 360, retry_short_side_px: int = 720, min_margin: float = 0.0
    ) -> None:
        """Build the detector; not to be shared between threads.

        Args:
            working_short_side_px: short side of the picture searched; it finds faces down to about 75 px.
            retry_short_side_px: larger short side of a second search, made where the first finds nothing and the frame
                has the pixels; 0 for none.
            min_margin: classifier margin a face needs; dlib's own threshold is 0.

        Raises:
            DetectorUnavailableError: dlib is not installed.
        """
        self._detector = _frontal_detector()
        self._short_sides_px = (working_short_side_px, retry_short_side_px)
        self._min_margin = min_margin

    def detect(self, frame: npt.NDArray[np.uint8]) -> list[Face]:
        """Find the faces of one frame.

        Args:
            frame: HxWx3 uint8 RGB.

        Returns:
            Faces without landmarks in source-frame pixels, best first.
        """
        grey = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
        first_px, retry_px = self._short_sides_px
        faces = self._search(grey, first_px)
        retry_px = min(retry_px, *grey.shape)
        return self._search(grey, retry_px) if not faces and retry_px > first_px else faces

    def _search(self, grey: npt.NDArray[np.uint8], short_side_px: int) -> list[Face]:
        picture, scale_xy = resize_short_side(grey, short_side_px)
        rectangles, margins, _ = self._detector.run(picture, 0, self._min_margin)
        found = zip(rectangles, margins, strict=True)
        return suppress_duplicates([_to_face(rectangle, margin, scale_xy) for rectangle, margin in found])


def _frontal_detector() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise DetectorUnavailableError(
            "the 'hog' face detector needs dlib, which is not installed. Install it: pip install dlib-bin"
        ) from error
    return dlib.get_frontal_face_detector()


def _to_face(rectangle: Any, margin: float, scale_xy: npt.NDArray[np.float64]) -> Face:
    # dlib's corners are the first and last pixel: half a pixel more on each side is the border.
    corners = np.array(
        [[rectangle.left() - 0.5, rectangle.top() - 0.5], [rectangle.right() + 0.5, rectangle.bottom() + 0.5]]
    )
    score = 1.0 / (1.0 + np.exp(-2.0 * margin))
    return Face(box_from_square(to_frame(corners, scale_xy).reshape(4)), None, float(score))
