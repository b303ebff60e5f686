"""The `builtin` face detector: a small network whose weights come with the package, with five landmarks per face.

Finds faces from about 16 px of a picture shrunk to 360 px, turned by up to 60 degrees, half hidden or in profile.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from .compiling import CompiledNetwork, NetworkCompiler
from .detectors import FaceDetector, Shrinkable, scaled
from .errors import WeightsError
from .faces import Face, suppress_duplicates
from .weight_files import key_of, read_weights
from .working_scale import resize_short_side

if TYPE_CHECKING:
    from torch import Tensor

    from .spotter_net import SpotterNet, SpotterOutput

BUILT_IN_WEIGHTS = Path(__file__).parent / "weights" / "detector.safetensors"
"""The built-in network, float16; its model card lies beside it."""

_MAX_COMPILED = 4
"""Picture sizes for which a compiled network is kept: the one used longest ago goes."""
_BATCH_SIZE = 8
_MAX_BATCH_PIXELS = 4_000_000
_MAX_CANDIDATES = 400
_SMALL_PX = 40
"""Largest face for which the finest grid's scores hold as they are: they are lenient, so that small faces are found."""
_STRICTER_LOGITS = 0.6
"""What the finest grid's larger faces must have besides, in log odds: it takes more things for those than for small."""
_LARGEST_AGAIN_PX = 48
"""Largest face, in pixels of the first working picture, that a second look may add: the first knows the larger ones."""

_Frame = npt.NDArray[np.uint8]


class BuiltInDetector(FaceDetector):
    """Faces with five landmarks, by the built-in network in float32.

    A frame's faces do not depend on the frames it is searched together with. On a CPU they are equal to the bit: there
    frames are searched one by one, which costs no more.
    """

    name = "builtin"

    def __init__(
        self,
        network: SpotterNet,
        device: str = "cpu",
        *,
        working_short_side_px: int = 360,
        retry_short_side_px: int = 720,
        min_score: float = 0.5,
        compile_network: NetworkCompiler | None = None,
        key: str = "",
    ) -> None:
        """Detect with `network`, whose norms get folded.

        Args:
            network: the network.
            device: torch device.
            working_short_side_px: short side of the picture searched; it finds faces down to about 16 px.
            retry_short_side_px: larger short side of a second search, made where the first finds nothing and the frame
                has the pixels; 0 for none.
            min_score: score a face needs, 0 to 1.
            compile_network: makes it faster on a CPU, for the size of pictures that come in series.
            key: name of its weights for that.
        """
        import torch

        self._device = torch.device(device)
        self.batch_size = 1 if self._device.type == "cpu" else _BATCH_SIZE
        self._network = network.fold_norms().to(self._device).to(memory_format=torch.channels_last)
        self._short_sides_px = (working_short_side_px, retry_short_side_px)
        self._min_score = min_score
        self._compile_network, self._key = compile_network, key
        self._compiled: OrderedDict[tuple[int, int], CompiledNetwork] = OrderedDict()

    def detect(self, frame: _Frame) -> list[Face]:
        """Find the faces of one frame.

        Args:
            frame: HxWx3 uint8 RGB.

        Returns:
            Faces with five landmarks in source-frame pixels, best first.
        """
        return self.detect_batch([frame])[0]

    def detect_batch(self, frames: Sequence[_Frame]) -> list[list[Face]]:
        """Find the faces of several frames, those of equal size together.

        Args:
            frames: each HxWx3 uint8 RGB.

        Returns:
            For each frame what `detect` gives.
        """
        return self.detect_in([_Array(frame) for frame in frames])

    def detect_in(self, sources: Sequence[Shrinkable], *, is_series: bool = False) -> list[list[Face]]:
        """Find the faces of pictures that can make themselves smaller: see `FaceDetector.detect_in`."""
        first_px, retry_px = self._short_sides_px
        found = self._search(sources, first_px, is_series)
        again = [i for i, faces in enumerate(found) if not faces and min(retry_px, *sources[i].size_wh) > first_px]
        for i, faces in zip(again, self._search([sources[i] for i in again], retry_px, is_series), strict=True):
            largest_px = _LARGEST_AGAIN_PX * min(sources[i].size_wh) / first_px
            found[i] = [face for face in faces if _size_px(face) <= largest_px]
        return found

    def _search(self, sources: Sequence[Shrinkable], short_side_px: int, is_series: bool) -> list[list[Face]]:
        pictures, scales = [], []
        for source in sources:
            side_px = min(short_side_px, 2 * min(source.size_wh))
            picture, _ = resize_short_side(source.thumbnail(side_px), side_px)
            pictures.append(picture)
            scales.append(np.array(picture.shape[1::-1]) / source.size_wh)
        found: list[list[Face]] = [[] for _ in sources]
        for group in _equal_sized(pictures, is_single=self._device.type == "cpu"):
            for i, faces in zip(group, self._run(np.stack([pictures[i] for i in group]), is_series), strict=True):
                found[i] = suppress_duplicates([scaled(face, scales[i]) for face in faces])
        return found

    def _run(self, pictures: npt.NDArray[np.uint8], is_series: bool = False) -> list[list[Face]]:
        """NxHxWx3 uint8 RGB to the faces of each, in its pixels, duplicates included."""
        import torch

        from .spotter_net import SpotterOutput

        with torch.inference_mode():
            height, width = pictures.shape[1:3]
            padded = torch.from_numpy(_planar(pictures)).to(self._device).float().div_(127.5).sub_(1.0)
            padded[:, :, height:] = padded[:, :, :, width:] = 0  # what the network's own convolutions pad with
            size_hw = int(padded.shape[2]), int(padded.shape[3])
            output = SpotterOutput(*self._network_for(size_hw, is_series)(padded))
            return _faces(output, size_hw, self._min_score)

    def _network_for(self, size_hw: tuple[int, int], is_series: bool) -> CompiledNetwork:
        """What runs on pictures of this size: compiling takes longer than a few pictures do."""
        import torch

        if self._compile_network is None or not is_series:
            return self._network
        if size_hw not in self._compiled:
            compiled = self._compile_network(self._network, torch.zeros(1, 3, *size_hw), key=self._key)
            self._compiled[size_hw] = compiled or self._network
            while len(self._compiled) > _MAX_COMPILED:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(size_hw)
        return self._compiled[size_hw]


class _Array:
    """A picture in memory that can make itself smaller."""

    def __init__(self, frame: _Frame) -> None:
        self._frame = frame
        self.size_wh = frame.shape[1], frame.shape[0]

    def thumbnail(self, short_side: int) -> _Frame:
        """See `Shrinkable`."""
        is_larger = min(self.size_wh) > short_side
        return resize_short_side(self._frame, short_side)[0] if is_larger else self._frame


def load_builtin_detector(weights: Path | None = None, device: str = "cpu", **options: Any) -> BuiltInDetector:
    """Load the built-in detector.

    Args:
        weights: .safetensors file of a `SpotterNet` with folded norms; None is BUILT_IN_WEIGHTS.
        device: torch device.
        options: passed on to `BuiltInDetector`.

    Raises:
        WeightsError: the file is missing, unreadable, or of another network.
    """
    import torch

    from .spotter_net import SpotterNet

    path = weights or BUILT_IN_WEIGHTS
    with torch.device("meta"):  # shapes only; the file's tensors become the parameters
        network = SpotterNet().fold_norms()
    try:
        network.load_state_dict(read_weights(path, "face detector"), assign=True)
    except RuntimeError as error:
        raise WeightsError(
            f"'{path}' holds another network than the built-in face detector; give a file written by its recipe. "
            f"{error}"
        ) from error
    return BuiltInDetector(network, device, key=key_of(path), **options)


def _equal_sized(pictures: Sequence[_Frame], *, is_single: bool) -> list[list[int]]:
    """Indices of pictures that can be searched together."""
    groups: list[list[int]] = []
    open_groups: dict[tuple[int, ...], list[int]] = {}
    for i, picture in enumerate(pictures):
        limit = 1 if is_single else max(_MAX_BATCH_PIXELS // (picture.shape[0] * picture.shape[1]), 1)
        group = open_groups.get(picture.shape)
        if group is None or len(group) >= limit:
            group = open_groups[picture.shape] = []
            groups.append(group)
        group.append(i)
    return groups


def _planar(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """NxHxWx3 to Nx3xHxW with sides that are multiples of 32; what is beyond the pictures means nothing."""
    count, height, width, _ = pictures.shape
    planes = np.empty((count, 3, height + -height % 32, width + -width % 32), np.uint8)
    for picture, own in zip(pictures, planes, strict=True):
        for channel, plane in enumerate(own):  # a third of the time that splitting takes
            plane[:height, :width] = cv2.extractChannel(picture, channel)
    return planes


def _faces(output: SpotterOutput, size_hw: tuple[int, int], min_score: float) -> list[list[Face]]:
    scores = (output.score_logits - _strictness(output.boxes, size_hw)).sigmoid()
    picked = (scores >= min_score) & _is_peak(scores, size_hw)
    faces = []
    for n in range(len(scores)):
        cells = picked[n].nonzero().squeeze(1)
        own = scores[n, cells]
        order = own.argsort(descending=True, stable=True)[:_MAX_CANDIDATES]
        rows = [x[n, cells[order]].cpu().numpy() for x in (output.boxes, output.points)]
        values = own[order].cpu().tolist()
        faces.append([Face(box, points, score) for box, points, score in zip(*rows, values, strict=True)])
    return faces


def _is_peak(scores: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """NxC bool: no cell beside it on its grid scores higher."""
    import torch

    from .spotter_net import STRIDES

    peaks, start = [], 0
    for stride in STRIDES:
        height, width = size_hw[0] // stride, size_hw[1] // stride
        grid = scores[:, start : start + height * width].reshape(-1, 1, height, width)
        peaks.append((grid >= torch.nn.functional.max_pool2d(grid, 3, 1, 1)).flatten(1))
        start += height * width
    return torch.cat(peaks, dim=1)


def _strictness(boxes: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """NxC log odds to take off scores: what is taken for a larger face on the finest grid is more often none."""
    from .spotter_net import STRIDES

    num_finest = (size_hw[0] // STRIDES[0]) * (size_hw[1] // STRIDES[0])
    is_large = (boxes[..., 2:] - boxes[..., :2]).prod(2) > _SMALL_PX**2
    is_large[:, num_finest:] = False
    return _STRICTER_LOGITS * is_large.float()


def _size_px(face: Face) -> float:
    return float(np.sqrt(np.prod(face.box_xyxy[2:] - face.box_xyxy[:2])))
