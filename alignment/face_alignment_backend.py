"""The `sfd` and `blazeface` face detectors: networks of the face-alignment package, with weights we choose.

The package would fetch its weights by itself, unchecked; here they come through downloads.py only. Boxes, no landmarks.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .detectors import FaceDetector
from .downloads import PublicWeights, fetch_weights
from .errors import DetectorUnavailableError, WeightsError
from .faces import Face, box_from_square, suppress_duplicates
from .warp import warp_crop
from .working_scale import resize_short_side, to_frame

SFD_WEIGHTS = PublicWeights(
    file_name="s3fd-619a316812.pth",
    url="https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth",
    sha256="619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
    num_bytes=89_843_225,
    used_by="sfd",
    instead="use 'builtin', which needs none",
)
"""BSD-3-Clause package, weights as published: https://github.com/1adrianb/face-alignment"""

BLAZEFACE_WEIGHTS = PublicWeights(
    file_name="blazeface.pth",
    url="https://github.com/hollance/BlazeFace-PyTorch/raw/852bfd8e3d44ed6775761105bdcead4ef389a538/blazeface.pth",
    sha256="54ecff653feaaaf1f7d44b6aff28fd2fc50e483a4e847563b6dd261369c43ba4",
    num_bytes=420_224,
    used_by="blazeface",
    instead="use 'builtin', which needs none",
)
"""The front-camera network, Apache-2.0: https://github.com/hollance/BlazeFace-PyTorch, from MediaPipe."""

_MIN_FRAME_PX = 8
"""Shorter sides hold no face, but BlazeFace would see one in the border around them."""


class SfdDetector(FaceDetector):
    """Faces of all sizes and poses by S3FD: accurate, and slow without a GPU."""

    name = "sfd"

    def __init__(
        self,
        weights: Path | None = None,
        device: str = "cpu",
        *,
        allow_download: bool = True,
        working_short_side_px: int = 320,
    ) -> None:
        """Build the detector.

        Args:
            weights: .pth file of an S3FD; None looks into the user's cache, then downloads.
            device: torch device.
            allow_download: False stays offline.
            working_short_side_px: short side of the picture searched; it finds faces down to about 16 px.

        Raises:
            DetectorUnavailableError: face-alignment is not installed, or the weights cannot be had.
            WeightsError: the file is not an S3FD.
        """
        module = _import_detection("sfd.sfd_detector")
        path = fetch_weights(SFD_WEIGHTS, weights, allow_download=allow_download)
        with weights_errors(path, "S3FD"):
            self._detector = module.SFDDetector(device, path_to_detector=str(path))
        self._working_short_side_px = working_short_side_px

    def detect(self, frame: npt.NDArray[np.uint8]) -> list[Face]:
        """Find the faces of one frame (HxWx3 uint8 RGB), in source-frame pixels, best first."""
        picture, scale_xy = resize_short_side(frame, self._working_short_side_px)
        with _untouched_cudnn():
            rows = self._detector.detect_from_image(picture)
        boxes = [(to_frame(np.reshape(row[:4], (2, 2)), scale_xy).reshape(4), float(row[4])) for row in rows]
        return suppress_duplicates([Face(box, None, min(score, 1.0)) for box, score in boxes])


class BlazefaceDetector(FaceDetector):
    """Large and middling faces by BlazeFace: small and fast, made for phones."""

    name = "blazeface"

    def __init__(self, weights: Path | None = None, device: str = "cpu", *, allow_download: bool = True) -> None:
        """Build the detector.

        Args:
            weights: .pth file of either BlazeFace, front camera (128 px) or back camera (256 px, ten times slower);
                None looks for the front-camera one in the user's cache, then downloads it.
            device: torch device.
            allow_download: False stays offline.

        Raises:
            DetectorUnavailableError: face-alignment is not installed, or the weights cannot be had.
            WeightsError: the file is not a BlazeFace.
        """
        module = _import_detection("blazeface.net_blazeface")
        path = fetch_weights(BLAZEFACE_WEIGHTS, weights, allow_download=allow_download)
        with weights_errors(path, "BlazeFace"):
            self._network, self._size_px = _load_blazeface(module, path, device)

    def detect(self, frame: npt.NDArray[np.uint8]) -> list[Face]:
        """Find the faces of one frame (HxWx3 uint8 RGB), in source-frame pixels, best first.

        The network sees squares: the whole frame with black beside it, and squares along its longer side.
        """
        if min(frame.shape[:2]) < _MIN_FRAME_PX:
            return []
        squares = _squares(frame.shape[1], frame.shape[0])
        views = [self._view(frame, *square) for square in squares]
        found = self._network.predict_on_batch(np.stack(views))
        faces = [_to_face(row, *square) for rows, square in zip(found, squares, strict=True) for row in rows.numpy()]
        return suppress_duplicates(faces)

    def _view(self, frame: npt.NDArray[np.uint8], x0: float, y0: float, side: float) -> npt.NDArray[np.uint8]:
        scale = self._size_px / side
        # The square's first pixel starts at x0 - 0.5; pixel centres lie at integers on both sides.
        to_view = [[scale, 0, (0.5 - x0) * scale - 0.5], [0, scale, (0.5 - y0) * scale - 0.5]]
        return warp_crop(frame, np.array(to_view, np.float32), self._size_px, border="constant")


def _import_detection(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"face_alignment.detection.{name}")
    except ImportError as error:
        raise DetectorUnavailableError(
            "the 'sfd' and 'blazeface' detectors need the face-alignment package, which cannot be imported "
            f"({error}). Install it with: pip install face-alignment"
        ) from error


@contextmanager
def weights_errors(path: Path, network: str) -> Iterator[None]:
    """Turn whatever loading a foreign file raises (it may be anything) into a WeightsError that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        # torch's own words would tell the user to load it without the guard against foreign code.
        is_pickle = isinstance(error, pickle.UnpicklingError)
        reason = "it is no plain file of tensors" if is_pickle else f"{error}".partition("\n")[0]
        raise WeightsError(f"'{path}' does not hold the weights of {network}: {reason}") from error


@contextmanager
def _untouched_cudnn() -> Iterator[None]:
    """Undo what the package does to the whole process: it switches cuDNN's (inexact) benchmark mode on."""
    import torch

    benchmark = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = benchmark


def _load_blazeface(module: Any, path: Path, device: str) -> tuple[Any, int]:
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    is_back = "classifier_8.weight" in state and state["classifier_8.weight"].shape[1] == 96
    network = module.BlazeFace(back_model=is_back)
    network.load_state_dict(state)
    network.load_anchors_from_npy(_anchors(), "cpu")
    network.anchors = network.anchors.to(device)
    return network.to(device).eval(), 256 if is_back else 128


def _anchors() -> npt.NDArray[np.float32]:
    """Anchors of both networks, 896x4 (x, y, 1, 1): 2 per cell of a 16x16 grid, then 6 per cell of an 8x8 grid."""
    parts = []
    for cells, repeats in ((16, 2), (8, 6)):
        centres = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        grid = np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2)
        parts.append(np.repeat(grid, repeats, axis=0))
    anchors = np.concatenate(parts)
    return np.concatenate([anchors, np.ones_like(anchors)], axis=1)


def _squares(width: int, height: int) -> list[tuple[float, float, float]]:
    """Squares (x0, y0, side) to look at: one around the frame, and if it is oblong some along it, half overlapping."""
    longer, shorter = max(width, height), min(width, height)
    squares = [((width - longer) / 2, (height - longer) / 2, float(longer))]
    if longer < 1.2 * shorter:
        return squares
    count = min(2 * round(longer / shorter), 12)
    for start in np.linspace(0.0, longer - shorter, count):
        squares.append((float(start), 0.0, float(shorter)) if width > height else (0.0, float(start), float(shorter)))
    return squares


def _to_face(row: npt.NDArray[np.float32], x0: float, y0: float, side: float) -> Face:
    """One row of 17: top, left, bottom, right as fractions of the square, six points, score."""
    square = np.array([row[1], row[0], row[3], row[2]]) * side + (x0, y0, x0, y0) - 0.5
    return Face(box_from_square(square), None, float(np.clip(row[16], 0.0, 1.0)))
