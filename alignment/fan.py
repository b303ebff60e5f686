"""The `fan` landmark predictor: 68 points by the FAN of the face-alignment package, at sub-pixel positions.

The same interface as the built-in predictor of landmarks.py. Its weights are not shipped: see downloads.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .downloads import PublicWeights, fetch_weights
from .errors import LandmarkerUnavailableError
from .face_alignment_backend import weights_errors
from .landmarks import Landmarker, LandmarkResult, Picture
from .points import Points
from .warp import compose

WEIGHTS = PublicWeights(
    file_name="2DFAN4-11f355bf06.pth.tar",
    url="https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar",
    sha256="11f355bf0693120222f5955ce3f9dc8fb5763ebb30a47d7906e509490d32e4aa",
    num_bytes=95_600_000,
    used_by="fan",
    instead="use the built-in landmarks 'mesh', which need none",
    error=LandmarkerUnavailableError,
)
"""2D-FAN-4; BSD-3-Clause package, weights as published: https://github.com/1adrianb/face-alignment"""

_SIZE_PX = 256
"""Side of the picture the network takes."""
_WIDEN = 1.4
"""FAN was trained on wider crops than our regions: about twice the mean side of a detector's box."""
_LIFT = 0.09
"""... and on crops whose centre lies higher, in sides of our region."""
_FULL_PEAK = 0.9
"""Mean height of the heat maps' peaks on a face that is seen well."""


class FanPredictor(Landmarker):
    """68 landmarks (iBUG 300-W order) and a presence score from heat maps."""

    num_landmarks = 68
    roi_size_px = _SIZE_PX

    def __init__(self, weights: Path | None = None, device: str = "cpu", *, allow_download: bool = True) -> None:
        """Build the predictor.

        Args:
            weights: file of a 2D-FAN-4; None looks into the user's cache, then downloads (96 MB).
            device: torch device.
            allow_download: False stays offline.

        Raises:
            LandmarkerUnavailableError: face-alignment is not installed, or the weights cannot be had.
            WeightsError: the file is not a 2D-FAN-4.
        """
        self._network = _load_network(fetch_weights(WEIGHTS, weights, allow_download=allow_download), device)
        self._device = device

    def view_of(self, roi: Points) -> Points:
        """See `Landmarker.view_of`."""
        return compose(_roi_to_crop(), roi)

    def look(self, views: Sequence[Picture]) -> list[LandmarkResult]:
        """See `Landmarker.look`."""
        return [self._look_at(view) for view in views]

    def _look_at(self, crop: Picture) -> LandmarkResult:
        import torch

        tensor = torch.from_numpy(crop).to(self._device).permute(2, 0, 1)[None].float() / 255.0
        with torch.inference_mode():
            heatmaps = self._network(tensor)[-1][0].float().cpu().numpy()  # 68x64x64
        points, peaks = _read_heatmaps(heatmaps)
        presence = float(np.clip(peaks.mean() / _FULL_PEAK, 0.0, 1.0))
        return LandmarkResult(points, presence)


def _load_network(path: Path, device: str) -> Any:
    import torch

    try:
        from face_alignment.models import FAN
    except ImportError as error:
        raise LandmarkerUnavailableError(
            f"the landmarks 'fan' need the face-alignment package, which cannot be imported ({error}). "
            "Install it with: pip install face-alignment"
        ) from error
    network = FAN(4)
    with weights_errors(path, "2D-FAN-4"):
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.to(device).eval()


def _roi_to_crop() -> Points:
    """From our region to the crop FAN knows: smaller, and moved down so that more of what is above is seen."""
    middle, scale = (_SIZE_PX - 1) / 2, 1.0 / _WIDEN
    shift = middle * (1.0 - scale)
    return np.array([[scale, 0.0, shift], [0.0, scale, shift + _LIFT * _SIZE_PX * scale]], np.float32)


def _read_heatmaps(heatmaps: npt.NDArray[np.float32]) -> tuple[Points, npt.NDArray[np.float32]]:
    """Peaks of KxSxS heat maps: Kx2 (x, y) in pixels of the crop, and their K heights.

    The position is the weighted mean of the 5x5 cells around the highest: cells alone would be 4 px apart.
    """
    count, side, _ = heatmaps.shape
    best = heatmaps.reshape(count, -1).argmax(1)
    peaks = heatmaps.reshape(count, -1)[np.arange(count), best]
    around = np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3)), -1).reshape(-1, 2)
    cells = np.stack([best % side, best // side], -1)[:, None] + around  # Kx25x2
    inside = ((cells >= 0) & (cells < side)).all(-1)
    clipped = cells.clip(0, side - 1)
    weights = heatmaps[np.arange(count)[:, None], clipped[..., 1], clipped[..., 0]].clip(0) * inside
    weights[:, 12] += 1e-9  # the peak itself, so that an empty map has a position
    position = (cells * weights[..., None]).sum(1) / weights.sum(1, keepdims=True)
    return ((position + 0.5) * (_SIZE_PX / side) - 0.5).astype(np.float32), peaks
