"""Landmarks of the faces in a frame: regions to look at, and the predictors that look.

A predictor is told where to look by a region of interest: `roi_from_box` after a detection, `roi_from_landmarks` to
follow a face or to refine a first answer. It does not find faces and keeps nothing from frame to frame.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from .compiling import CompiledNetwork, NetworkCompiler
from .errors import LandmarkerUnavailableError, WeightsError
from .points import NUM_LANDMARKS, Points, five_points
from .warp import invert, transform_points, warp_crop
from .weight_files import key_of, read_weights

if TYPE_CHECKING:
    from .landmark_net import LandmarkNet

logger = logging.getLogger(__name__)

LANDMARK_PREDICTOR_NAMES = ("auto", "mesh", "fan")
"""What `build_landmark_predictor` understands."""

BUILT_IN_WEIGHTS = Path(__file__).parent / "weights" / "landmarks.safetensors"
"""The built-in network, float16; its model card lies beside it."""

PRESENCE_THRESHOLD = 0.5
"""Presence from which a region counts as showing a face. On 2,000 regions of each kind from held-out pictures, half of
them occluded and degraded, it misses 1.6 % of the faces and takes 1.05 % of the rest for one (weights/landmarks.md)."""

Picture = npt.NDArray[np.uint8]
"""HxWx3 RGB."""
_Floats = npt.NDArray[np.float64]

_MARGIN = 1.5
"""Side of a region over the longer side of its face's 152 landmarks."""
_BOX_SCALE = 1.04
"""That longer side over sqrt(w * h) of a detector's box: 1.02 for YuNet, 1.06 for dlib's (medians)."""
_BOX_DROP = 0.02
"""The landmarks' centre below the box's, over sqrt(w * h): 0.06 for YuNet, -0.02 for dlib's (medians)."""
_FIVE_SCALE = 2.45
"""That longer side over the size of the five alignment points (median of 1,527 faces; 5 to 95 %: 2.26 to 2.81)."""
_FIVE_DROP = -0.1
"""The landmarks' centre below the mean of the five points, over their size (median)."""


@dataclass(frozen=True, eq=False)
class LandmarkResult:
    """What a predictor saw in one region."""

    landmarks: Points
    """Kx2 float32 (x, y) in pixels of the frame (of `look`: of the view); meaningless where no face is present."""
    presence: float
    """How sure the predictor is that the region shows a face about where it should be, 0 to 1."""


class Landmarker(Protocol):
    """Finds the landmarks of a face in each region it is pointed at; keeps no state between calls."""

    @property
    def num_landmarks(self) -> int:
        """K: 152 or 68."""
        ...

    @property
    def roi_size_px(self) -> int:
        """Side of the regions it looks at: the `size_px` of the `roi_from_...` functions."""
        ...

    def view_of(self, roi: Points) -> Points:
        """Tell what must be cut out for a region: the 2x3 similarity from frame to the view that `look` takes."""
        return roi

    def look(self, views: Sequence[Picture]) -> list[LandmarkResult]:
        """Look at what was cut out for some regions.

        Args:
            views: each SxSx3 uint8 RGB, S being `roi_size_px`, cut as `view_of` says.

        Returns:
            One result per region, in order, its landmarks in pixels of the view.
        """
        ...

    def predict(self, frame: Picture, rois: Sequence[Points]) -> list[LandmarkResult]:
        """Look at regions of one frame.

        Args:
            frame: HxWx3 uint8 RGB.
            rois: for each region its 2x3 `source_to_roi` similarity from the frame's pixels.

        Returns:
            One result per region, in order, its landmarks in pixels of the frame.

        Raises:
            ValueError: the frame is no HxWx3 uint8 picture.
        """
        _check_frame(frame)
        views = [self.view_of(roi) for roi in rois]
        seen = self.look([warp_crop(frame, view, self.roi_size_px) for view in views])
        return [
            LandmarkResult(transform_points(invert(view), result.landmarks), result.presence)
            for view, result in zip(views, seen, strict=True)
        ]


class LandmarkPredictor(Landmarker):
    """The built-in predictor: 152 mesh landmarks and a presence score from one small network.

    In float32, or compiled in what the machine is fastest in: bfloat16 moves landmarks by 0.02 px of a region of 128.

    It gives the same answer for the same region every time, whatever else is in the batch (up to float rounding).
    """

    def __init__(
        self,
        network: LandmarkNet,
        device: str = "cpu",
        *,
        compile_network: NetworkCompiler | None = None,
        key: str = "",
    ) -> None:
        """Predict with `network`, whose norms get folded.

        Args:
            network: in eval mode.
            device: torch device.
            compile_network: makes it faster on a CPU.
            key: name of its weights for that.
        """
        import torch

        from .landmark_net import ROI_SIZE_PX, VotingNet

        self._size_px = ROI_SIZE_PX
        self._device = torch.device(device)
        self._network = network.fold_norms().to(self._device).to(memory_format=torch.channels_last)
        compiled = None
        if compile_network is not None:
            example, voting = torch.zeros(1, 3, ROI_SIZE_PX, ROI_SIZE_PX), VotingNet(self._network).eval()
            compiled = compile_network(voting, example, key=f"{key} votes", precision="fast", dynamic_batch=True)
        self._votes: CompiledNetwork = compiled or self._network.votes

    @property
    def num_landmarks(self) -> int:
        """K."""
        return self._network.num_landmarks

    @property
    def roi_size_px(self) -> int:
        """Side of the regions it looks at."""
        return self._size_px

    def look(self, views: Sequence[Picture]) -> list[LandmarkResult]:
        """See `Landmarker.look`."""
        if not views:
            return []
        fractions, presences = self._run(np.stack(views))
        pixels = fractions * self._size_px - 0.5
        return [LandmarkResult(points, float(presence)) for points, presence in zip(pixels, presences, strict=True)]

    def _run(self, crops: Picture) -> tuple[Points, Points]:
        """NxSxSx3 uint8 RGB to NxKx2 fractions of the side and N presences, float32."""
        import torch

        with torch.inference_mode():
            regions = torch.from_numpy(crops).to(self._device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
            votes, presence_logits = self._votes(regions)
            return self._network.count_votes(votes).cpu().numpy(), presence_logits.sigmoid().cpu().numpy()


def build_landmark_predictor(
    name: str = "auto",
    *,
    weights: Path | None = None,
    device: str = "cpu",
    compile_network: NetworkCompiler | None = None,
) -> Landmarker:
    """Build a landmark predictor by name.

    Args:
        name: one of LANDMARK_PREDICTOR_NAMES. `mesh` is the built-in network, `fan` the 68-point FAN of the
            face-alignment package; `auto` is `mesh`: always there, faster, and the only one with a forehead and irises.
        weights: the predictor's weights file; None is the built-in one, or for `fan` the user's cache or a download.
        device: torch device ("cpu", "cuda", "cuda:1", "mps").
        compile_network: makes `mesh` faster on a CPU.

    Raises:
        LandmarkerUnavailableError: there is no predictor of that name, or its library or weights are not there.
        WeightsError: the weights are not the ones the predictor knows.
    """
    if name in ("auto", "mesh"):
        return load_landmark_predictor(weights, device, compile_network=compile_network)
    if name == "fan":
        from .fan import FanPredictor

        return FanPredictor(weights=weights, device=device)
    choices = ", ".join(LANDMARK_PREDICTOR_NAMES)
    raise LandmarkerUnavailableError(f"there is no landmark predictor '{name}'; choose one of {choices}.")


def load_landmark_predictor(
    weights: Path | None = None, device: str = "cpu", *, compile_network: NetworkCompiler | None = None
) -> LandmarkPredictor:
    """Load the built-in predictor.

    Args:
        weights: .safetensors file of a `LandmarkNet` with folded norms; None is BUILT_IN_WEIGHTS.
        device: torch device.
        compile_network: makes it faster on a CPU.

    Raises:
        WeightsError: the file is missing, unreadable, or of another network.
    """
    import torch

    from .landmark_net import LandmarkNet

    path = weights or BUILT_IN_WEIGHTS
    with torch.device("meta"):  # shapes only; the file's tensors become the parameters
        network = LandmarkNet().fold_norms()
    tensors = read_weights(path, "landmark")
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise WeightsError(
            f"'{path}' holds another network than the built-in landmark network; give a file written by its recipe. "
            f"{error}"
        ) from error
    return LandmarkPredictor(network, device, compile_network=compile_network, key=key_of(path))


def roi_from_box(box_xyxy: Points, size_px: int) -> Points:
    """Region of interest around a detector's box, upright.

    One rule serves YuNet's boxes (forehead to chin) and dlib's (brow to chin, square): what differs is within what
    the network was trained to bear, and a second look with `roi_from_landmarks` takes it out.

    Args:
        box_xyxy: (4,) float32 in source-frame pixels.
        size_px: side of the region.

    Returns:
        2x3 float32 `source_to_roi` similarity.
    """
    x1, y1, x2, y2 = (float(v) for v in box_xyxy)
    side = max(float(np.sqrt(max(x2 - x1, 0.0) * max(y2 - y1, 0.0))), 1.0)
    centre = np.array([(x1 + x2) / 2, (y1 + y2) / 2 + _BOX_DROP * side])
    return _source_to_roi(centre, side * _BOX_SCALE, np.array([1.0, 0.0]), size_px)


def roi_from_landmarks(landmarks: Points, size_px: int) -> Points:
    """Region of interest around known landmarks, turned so that the face stands upright in it.

    Args:
        landmarks: Kx2 float32 in source-frame pixels, K in {5, 68, 152}. Sets without a forehead give about the
            same region as the 152 landmarks of the face would.
        size_px: side of the region.

    Returns:
        2x3 float32 `source_to_roi` similarity.

    Raises:
        LandmarkSetError: K is none of the known sets.
    """
    five = five_points(landmarks).astype(np.float64)
    across = five[1] - five[0]
    down = five[3:].mean(0) - five[:2].mean(0)
    # A profile's eyes leave little to measure an angle by: the eyes-to-mouth line, turned by 90 degrees, joins them.
    axis = across + np.array([down[1], -down[0]])
    size = float(np.linalg.norm(axis)) / 2
    axis = axis / (2 * size) if size > 1e-3 else np.array([1.0, 0.0])
    if len(landmarks) != NUM_LANDMARKS:
        centre = five.mean(0) + _FIVE_DROP * size * np.array([-axis[1], axis[0]])
        return _source_to_roi(centre, max(_FIVE_SCALE * size, 1.0), axis, size_px)
    turned = np.asarray(landmarks, np.float64) @ _rotation(axis).T
    low, high = turned.min(0), turned.max(0)
    return _source_to_roi(_rotation(axis).T @ ((low + high) / 2), max(float((high - low).max()), 1.0), axis, size_px)


def _rotation(axis: _Floats) -> _Floats:
    return np.array([[axis[0], axis[1]], [-axis[1], axis[0]]])


def _source_to_roi(centre: _Floats, extent: float, axis: _Floats, size_px: int) -> Points:
    linear = _rotation(axis) * (size_px / (_MARGIN * extent))
    shift = (size_px - 1) / 2 - linear @ centre
    return np.concatenate([linear, shift[:, None]], axis=1).astype(np.float32)


def _check_frame(frame: npt.NDArray[Any]) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"frame is {frame.dtype} of shape {frame.shape}; expected HxWx3 uint8 RGB.")
