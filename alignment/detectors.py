"""One door to the face detectors: the interface they share, and which one a name or `auto` means.

The detectors themselves live in a file per back end.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .errors import DetectorUnavailableError, WeightsError
from .faces import Face

logger = logging.getLogger(__name__)

DETECTOR_NAMES = ("auto", "builtin", "hog", "yunet", "sfd", "blazeface")
"""What `build_detector` understands."""


class FaceDetector(Protocol):
    """Finds faces in single frames; keeps no state between them."""

    name: str
    """The back end's name, one of DETECTOR_NAMES without `auto`."""
    batch_size: int = 1
    """Frames that are best given to `detect_batch` together."""

    def detect(self, frame: npt.NDArray[np.uint8]) -> list[Face]:
        """Find the faces of one frame.

        Args:
            frame: HxWx3 uint8 RGB of any size; resized to the detector's working scale inside.

        Returns:
            Faces in source-frame pixels, best score first, no two on the same face; empty if there is none.
        """
        ...

    def detect_batch(self, frames: Sequence[npt.NDArray[np.uint8]]) -> list[list[Face]]:
        """Find the faces of several frames; back ends that gain by it search them together.

        Args:
            frames: each HxWx3 uint8 RGB, of any size.

        Returns:
            For each frame what `detect` finds in it, whatever the others are.
        """
        return [self.detect(frame) for frame in frames]


def build_detector(
    name: str = "auto", *, weights: Path | None = None, device: str = "cpu", allow_download: bool = True
) -> FaceDetector:
    """Build a face detector by name.

    Args:
        name: one of DETECTOR_NAMES. `auto` is yunet where its weights are on this machine, else builtin; it
            never downloads.
        weights: the back end's weights file; None is the package's own for builtin, and for others looks into the
            user's cache, then downloads. With `auto`: a YuNet, or a .safetensors file for builtin.
        device: torch device for the back ends that use torch ("cpu", "cuda", "cuda:1", "mps").
        allow_download: False stays offline.

    Raises:
        DetectorUnavailableError: unknown name, or its library or weights are not there.
        WeightsError: the weights are not the ones the back end knows.
    """
    if name == "auto":
        name = _best_present(weights)
        logger.info("The face detector is '%s'.", name)
    if name == "builtin":
        from .spotter import load_builtin_detector

        return load_builtin_detector(weights, device)
    if name == "hog":
        from .hog import HogDetector

        return HogDetector()
    if name == "yunet":
        from .yunet import YunetDetector

        return YunetDetector(weights, allow_download=allow_download)
    if name == "sfd":
        from .face_alignment_backend import SfdDetector

        return SfdDetector(weights, device, allow_download=allow_download)
    if name == "blazeface":
        from .face_alignment_backend import BlazefaceDetector

        return BlazefaceDetector(weights, device, allow_download=allow_download)
    choices = ", ".join(DETECTOR_NAMES)
    raise DetectorUnavailableError(f"there is no face detector '{name}'; choose one of {choices}.")


def _best_present(weights: Path | None) -> str:
    """The best detector that needs no download; a broken file in the cache is no reason to stop."""
    from .downloads import find_weights
    from .yunet import WEIGHTS

    if weights is not None:
        return "builtin" if weights.suffix == ".safetensors" else "yunet"
    try:
        return "builtin" if find_weights(WEIGHTS) is None else "yunet"
    except WeightsError as error:
        logger.warning("Not using the face detector 'yunet': %s", error)
        return "builtin"
