"""Face parsing for callers: pictures in, part probabilities out; and where a parser's weights are found.

Two networks share one interface: the built-in one, which is always there, and BiSeNet, which is used where the user
has its weights. The one place of this room where uint8 pictures become tensors. Finds no faces (it wants aligned crops)
and downloads nothing.
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from .bisenet import NUM_PARTS, BiSeNet
from .errors import ParserUnavailableError, ParserWeightsError
from .part_net import CROP_SIZE_PX, PartNet
from .parts import PartGroup

WEIGHTS_NAME = "79999_iter.pth"
"""File name of BiSeNet's published weights."""
WEIGHTS_SOURCE = "https://github.com/zllrunning/face-parsing.PyTorch"
"""Its README links to the published weights."""
WEIGHTS_VARIABLE = "UGATIT_FACE_PARSER"
"""Environment variable that may hold the weights' path."""
WORKING_SIZE_PX = 512
"""BiSeNet's published weights were trained on pictures of this size."""
BUILT_IN_WEIGHTS = Path(__file__).parent / "weights" / "parser.safetensors"
"""The built-in network's weights."""

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

_log = logging.getLogger(__name__)


class FaceParser(nn.Module):
    """A parsing network together with the size and scaling that its weights expect; frozen, always in eval mode."""

    name: str
    """`built-in` or `bisenet`."""

    def __init__(self, network: nn.Module, working_size_px: int) -> None:
        super().__init__()
        self.network = network
        self.working_size_px = working_size_px
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Compute part probabilities of image tensors; gradients flow to `images`, never to the weights.

        Args:
            images: N3HW float32 RGB in [-1, 1], aligned faces, of any size.

        Returns:
            N19HW float32 in [0, 1] at the size of `images`, summing to 1 over the parts in `FacePart` order.
        """
        raise NotImplementedError

    @torch.inference_mode()
    def parse(self, pictures: npt.NDArray[np.uint8]) -> Tensor:
        """Compute part probabilities of pictures.

        Args:
            pictures: NHWC uint8 RGB, aligned faces, of any size.

        Returns:
            N19HW float32 in [0, 1] on the parser's device, at the size of `pictures`.

        Raises:
            ValueError: `pictures` has another shape or type.
        """
        probabilities: Tensor = self(self._images(pictures))
        return probabilities

    @torch.inference_mode()
    def parse_groups(self, pictures: npt.NDArray[np.uint8], groups: Sequence[PartGroup]) -> Tensor:
        """Compute the probability of groups of parts, at the resolution that the network has: faster than `parse`.

        Args:
            pictures: NHWC uint8 RGB, aligned faces, of any size.
            groups: G groups of parts; an empty one has probability 0.

        Returns:
            NGhw float32 in [0, 1] on the parser's device.

        Raises:
            ValueError: `pictures` has another shape or type.
        """
        probabilities = self._coarse(self._images(pictures))
        table = probabilities.new_zeros(len(groups), probabilities.shape[1])
        for row, group in zip(table, groups, strict=True):
            row[sorted(group)] = 1.0
        return torch.einsum("gp,nphw->nghw", table, probabilities).clamp(0, 1)

    def logits(self, images: Tensor) -> Tensor:
        """Compute what a softmax over the parts makes probabilities of, at the resolution that the network has.

        Args:
            images: N3HW float32 RGB in [-1, 1], aligned faces.

        Returns:
            N19hw float32.
        """
        raise NotImplementedError

    def _coarse(self, images: Tensor) -> Tensor:
        """Probabilities before they are enlarged: N19hw."""
        return torch.softmax(self.logits(images).contiguous(), dim=1)

    def _images(self, pictures: npt.NDArray[np.uint8]) -> Tensor:
        if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8:
            got = f"{pictures.dtype} of shape {pictures.shape}"
            raise ValueError(f"pictures must be NHWC uint8 RGB, got {got}.")
        device = next(self.parameters()).device
        images = torch.from_numpy(np.ascontiguousarray(pictures)).to(device).permute(0, 3, 1, 2)
        return images.float() / 127.5 - 1

    def train(self, mode: bool = True) -> FaceParser:
        """Stay in inference mode whatever the caller's training loop switches: the batch norms are frozen."""
        super().train(False)
        return self


class BuiltInParser(FaceParser):
    """The small network of `part_net.py`: head crops, photographed or drawn; what is before the face is background.

    Left and right parts are the person's own, as in `alignment.points`.
    """

    name = "built-in"

    def __init__(self, network: PartNet, working_size_px: int = CROP_SIZE_PX) -> None:
        super().__init__(network.to(memory_format=torch.channels_last), working_size_px)
        self.part_net = network

    def forward(self, images: Tensor) -> Tensor:
        """Compute part probabilities; see `FaceParser.forward`."""
        return F.interpolate(self._coarse(images), images.shape[-2:], mode="bilinear", align_corners=False)

    def logits(self, images: Tensor) -> Tensor:
        """Compute logits at half the size of the images, whatever that is; see `FaceParser.logits`."""
        images = images.to(self.part_net.head.weight.dtype)  # a parser may be moved to bfloat16
        return self.part_net.half_size_logits(images.contiguous(memory_format=torch.channels_last))

    def _coarse(self, images: Tensor) -> Tensor:
        working = (self.working_size_px, self.working_size_px)
        if images.shape[-2:] != working:
            images = F.interpolate(images, working, mode="bilinear", align_corners=False, antialias=True)
        return super()._coarse(images)


class BiSeNetParser(FaceParser):
    """BiSeNet with the published weights' working size and ImageNet scaling."""

    name = "bisenet"
    mean: Tensor
    std: Tensor

    def __init__(self, network: BiSeNet, working_size_px: int = WORKING_SIZE_PX) -> None:
        super().__init__(network, working_size_px)
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Compute part probabilities; see `FaceParser.forward`."""
        return self._coarse(images)

    def logits(self, images: Tensor) -> Tensor:
        """Compute logits at the size of the images; see `FaceParser.logits`."""
        logits = self.network(self._prepared(images)).out
        return F.interpolate(logits, images.shape[-2:], mode="bicubic", align_corners=True)

    def _prepared(self, images: Tensor) -> Tensor:
        size = (self.working_size_px, self.working_size_px)
        unit = F.interpolate(images * 0.5 + 0.5, size, mode="bilinear", align_corners=True)
        return (unit - self.mean) / self.std


def find_weights(weights: Path | None = None) -> Path:
    """Return the path of the weights in use: those given, else UGATIT_FACE_PARSER, the user's cache, the built-in ones.

    Raises:
        ParserUnavailableError: there is no file where one was named; the message says where to get it.
    """
    named = weights or os.environ.get(WEIGHTS_VARIABLE)
    path = Path(named).expanduser() if named else cache_folder() / WEIGHTS_NAME
    if path.is_file():
        return path
    if not named and BUILT_IN_WEIGHTS.is_file():
        return BUILT_IN_WEIGHTS
    where = "" if weights or not named else f" ({WEIGHTS_VARIABLE} names it)"
    raise ParserUnavailableError(
        f"There are no face parser's weights at '{path}'{where}: get {WEIGHTS_NAME} through the README of "
        f"{WEIGHTS_SOURCE} and put it there, or name no weights to use the built-in parser."
    )


def cache_folder() -> Path:
    """Return the user's cache, the same one alignment/ keeps its weights in; it need not exist.

    UGATIT_CACHE, else the platform's cache folder.
    """
    if os.environ.get("UGATIT_CACHE"):
        return Path(os.environ["UGATIT_CACHE"]).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ugatit-pipeline"


def load_face_parser(weights: Path | None = None, device: str | torch.device = "cpu") -> FaceParser:
    """Load a face parser from a weights file; nothing in the file is executed.

    Args:
        weights: `79999_iter.pth` is BiSeNet, a `.safetensors` file the built-in network; None takes BiSeNet where
            UGATIT_FACE_PARSER or the user's cache has its weights, else the built-in network with its own.
        device: where the parser shall run.

    Raises:
        ParserUnavailableError: there is no such file.
        ParserWeightsError: the file is damaged or holds another network.
    """
    path = find_weights(weights)
    parser: FaceParser
    if path.suffix == ".safetensors":
        with torch.device("meta"):  # shapes only; the file's tensors become the parameters
            network = PartNet().fold_norms()
        _load_state(network, _read_tensors(path), path)
        parser = BuiltInParser(network)
    else:
        bisenet = BiSeNet(NUM_PARTS)
        _load_state(bisenet, _read_checkpoint(path), path)
        parser = BiSeNetParser(bisenet)
    _log.info("Loaded the face parser '%s' from '%s'.", parser.name, path)
    return parser.to(device)


def _load_state(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    try:
        network.load_state_dict(state, assign=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ParserWeightsError(
            f"'{path}' does not hold the face parser's weights ({reason}): {_advice(path)}"
        ) from error


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise ParserWeightsError(
            f"'{path}' cannot be read as a checkpoint, it may be damaged: {_advice(path)}"
        ) from error
    return state


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call]
            return {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise ParserWeightsError(f"'{path}' cannot be read as weights, it may be damaged: {_advice(path)}") from error


def _advice(path: Path) -> str:
    if path.suffix == ".safetensors":
        return "name no weights to use the built-in parser, or train a file with trainer.recipes.parser."
    return f"get {WEIGHTS_NAME} through the README of {WEIGHTS_SOURCE}."
