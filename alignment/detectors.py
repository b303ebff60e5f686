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

from .compiling import NetworkCompiler
from .errors import DetectorUnavailableError, WeightsError
from .faces import Face
from .working_scale import to_frame

logger = logging.getLogger(__name__)

DETECTOR_NAMES = ("auto", "builtin", "hog", "yunet", "sfd", "blazeface")
"""What `build_detector` understands."""


_SHORT_SIDE_PX = 720
"""Pictures are shrunk to this for detectors that do not say what they need; they shrink them further themselves."""


class Shrinkable(Protocol):
    """A picture that can make itself smaller."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        ...

    def thumbnail(self, short_side: int) -> npt.NDArray[np.uint8]:
        """Return the whole picture as HxWx3 uint8 RGB, its short side no longer than `short_side` pixels."""
        ...


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

    def detect_in(self, sources: Sequence[Shrinkable], *, is_series: bool = False) -> list[list[Face]]:
        """Find the faces of pictures that can make themselves smaller; no larger ones are asked for than are needed.

        Args:
            sources: the pictures.
            is_series: many more of this size will come: it is worth while to prepare for that.

        Returns:
            For each picture its faces, in pixels of the whole picture.
        """
        thumbnails = [source.thumbnail(_SHORT_SIDE_PX) for source in sources]
        scales = [np.array(t.shape[1::-1]) / source.size_wh for t, source in zip(thumbnails, sources, strict=True)]
        found = self.detect_batch(thumbnails)
        return [[scaled(face, scale) for face in faces] for faces, scale in zip(found, scales, strict=True)]


def scaled(face: Face, scale_xy: npt.NDArray[np.float64]) -> Face:
    """Bring a face of a shrunk picture to the whole one, given the factors (x, y) by which it was shrunk."""
    box = to_frame(face.box_xyxy.reshape(2, 2), scale_xy).reshape(4)
    points = None if face.landmarks is None else to_frame(face.landmarks, scale_xy)
    return Face(box, points, face.score)


def build_detector(
    name: str = "auto",
    *,
    weights: Path | None = None,
    device: str = "cpu",
    allow_download: bool = True,
    compile_network: NetworkCompiler | None = None,
) -> FaceDetector:
    """Build a face detector by name.

    Args:
        name: one of DETECTOR_NAMES. `auto` is yunet where its weights are on this machine, else builtin; it
            never downloads.
        weights: the back end's weights file; None is the package's own for builtin, and for others looks into the
            user's cache, then downloads. With `auto`: a YuNet, or a .safetensors file for builtin.
        device: torch device for the back ends that use torch ("cpu", "cuda", "cuda:1", "mps").
        allow_download: False stays offline.
        compile_network: makes `builtin` faster on a CPU.

    Raises:
        DetectorUnavailableError: unknown name, or its library or weights are not there.
        WeightsError: the weights are not the ones the back end knows.
    """
    if name == "auto":
        name = _best_present(weights)
        logger.info("The face detector is '%s'.", name)
    if name == "builtin":
        from .spotter import load_builtin_detector

        return load_builtin_detector(weights, device, compile_network=compile_network)
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
