"""Face parsing for callers: pictures in, part probabilities out; and where the parser's weights are found.

The one place of this room where uint8 pictures become tensors. Finds no faces (it wants aligned crops) and
downloads nothing.
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .bisenet import NUM_PARTS, BiSeNet
from .errors import ParserUnavailableError, ParserWeightsError

WEIGHTS_NAME = "79999_iter.pth"
"""File name of the published weights."""
WEIGHTS_SOURCE = "https://github.com/zllrunning/face-parsing.PyTorch"
"""Its README links to the published weights."""
WEIGHTS_VARIABLE = "UGATIT_FACE_PARSER"
"""Environment variable that may hold the weights' path."""
WORKING_SIZE_PX = 512
"""The published weights were trained on pictures of this size."""

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

_log = logging.getLogger(__name__)


class FaceParser(nn.Module):
    """A parsing network together with the scaling its weights expect."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: BiSeNet, working_size_px: int = WORKING_SIZE_PX) -> None:
        super().__init__()
        self.network = network
        self.working_size_px = working_size_px
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Compute part probabilities of image tensors; gradients flow to `images`, never to the weights.

        Args:
            images: N3HW float32 RGB in [-1, 1], aligned faces, of any size.

        Returns:
            N19HW float32 in [0, 1] at the size of `images`, summing to 1 over the parts in `FacePart` order.
        """
        logits = self.network(self._prepared(images)).out
        logits = F.interpolate(logits, images.shape[-2:], mode="bicubic", align_corners=True)
        return torch.softmax(logits, dim=1)

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
        if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8:
            got = f"{pictures.dtype} of shape {pictures.shape}"
            raise ValueError(f"pictures must be NHWC uint8 RGB, got {got}.")
        images = torch.from_numpy(np.ascontiguousarray(pictures)).to(self.mean.device).permute(0, 3, 1, 2)
        probabilities: Tensor = self(images.float() / 127.5 - 1)
        return probabilities

    def _prepared(self, images: Tensor) -> Tensor:
        size = (self.working_size_px, self.working_size_px)
        unit = F.interpolate(images * 0.5 + 0.5, size, mode="bilinear", align_corners=True)
        return (unit - self.mean) / self.std

    def train(self, mode: bool = True) -> FaceParser:
        """Stay in inference mode whatever the caller's training loop switches: the batch norms are frozen."""
        super().train(False)
        return self


def find_weights(weights: Path | None = None) -> Path:
    """Return the path of the parser's weights: the one given, else UGATIT_FACE_PARSER, else the user's cache.

    Raises:
        ParserUnavailableError: there is no file; the message says where to get it and where to put it.
    """
    named = weights or os.environ.get(WEIGHTS_VARIABLE)
    path = Path(named).expanduser() if named else cache_folder() / WEIGHTS_NAME
    if path.is_file():
        return path
    raise ParserUnavailableError(
        f"The face parser's weights are not at '{path}': get {WEIGHTS_NAME} through the README of "
        f"{WEIGHTS_SOURCE} and put it there, or name its place in {WEIGHTS_VARIABLE}."
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
    """Load the face parser from a checkpoint file; nothing in the file is executed.

    Args:
        weights: path of `79999_iter.pth`; None looks in UGATIT_FACE_PARSER and in the user's cache.
        device: where the parser shall run.

    Raises:
        ParserUnavailableError: there is no such file.
        ParserWeightsError: the file is damaged or holds another network.
    """
    path = find_weights(weights)
    network = BiSeNet(NUM_PARTS)
    try:
        network.load_state_dict(_read_state(path))
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ParserWeightsError(
            f"'{path}' does not hold the face parser's weights ({reason}): get "
            f"{WEIGHTS_NAME} through the README of {WEIGHTS_SOURCE}."
        ) from error
    _log.info("Loaded the face parser's weights from '%s'.", path)
    return FaceParser(network).to(device)


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise ParserWeightsError(
            f"'{path}' cannot be read as a checkpoint, it may be damaged: get "
            f"{WEIGHTS_NAME} through the README of {WEIGHTS_SOURCE}."
        ) from error
    return state
