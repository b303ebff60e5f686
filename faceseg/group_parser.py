"""Probabilities of fixed groups of parts, for those who ask the same of many pictures.

The sums over the groups are part of the network, so that 19 maps are never written out, and the network is run by a
compiler that the caller brings along. Knows no weights files; `parser.py` does.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .parser import BuiltInParser, FaceParser
from .parts import FacePart, PartGroup

PHOTO_SIDE_PX, DRAWING_SIDE_PX = 256, 192
"""Sides at which the built-in network is shown photographs, and drawings made from them. Of a drawing only the head is
asked, which is found as well at 192 px: masks overlap by 98 % and more, and are as steady. Photographs at 224 px make
masks that flicker a tenth more where a hand passes; at 160 px heads are lost."""
_MAX_LOGIT = 60.0
"""No logit is larger; keeps what it is raised to finite."""


CompiledNetwork = Callable[[Tensor], tuple[Tensor, ...]]
"""From an input to the network's outputs."""


class NetworkCompiler(Protocol):
    """Makes a network run faster on the CPU, with the same results but for rounding."""

    def __call__(
        self, network: nn.Module, example: Tensor, *, key: str, precision: str = "fp32", dynamic_batch: bool = False
    ) -> CompiledNetwork | None:
        """Compile a network of one input.

        Args:
            network: in eval mode.
            example: an input of the shape that it will get.
            key: names the weights: equal keys may share what is kept from an earlier run.
            precision: of the arithmetic, `fp32` or `bf16`.
            dynamic_batch: any number of inputs may come at once; none of them has an influence on another's outputs.

        Returns:
            What runs in its place, or None where this machine cannot: then it runs as it is.
        """
        ...


class GroupParser:
    """Answers as `FaceParser.parse_groups` does, on the CPU; each set of groups is compiled when it is first asked for.

    Args:
        parser: the network.
        compile_network: compiles it.
        side_px: pictures are shown to the built-in network no larger than this; a multiple of 32. Others have a working
            size of their own.
        precision: of its arithmetic, see `NetworkCompiler`.
    """

    def __init__(
        self, parser: FaceParser, compile_network: NetworkCompiler, side_px: int, precision: str = "fp32"
    ) -> None:
        self.name = parser.name
        self._parser = parser
        self._compile = compile_network
        self._side_px = side_px if isinstance(parser, BuiltInParser) else None
        self._precision = precision
        self._key = _hash_of(parser)
        self._compiled: dict[tuple[object, ...], CompiledNetwork] = {}
        self._lock = threading.Lock()

    @torch.inference_mode()
    def parse_groups(self, pictures: npt.NDArray[np.uint8], groups: Sequence[PartGroup]) -> Tensor:
        """Compute the probability of groups of parts, at the resolution that the network has.

        Args:
            pictures: NSS3 uint8 RGB, aligned faces.
            groups: G groups of parts; an empty one has probability 0.

        Returns:
            NGhw float32 in [0, 1].
        """
        if self._side_px is not None and pictures.shape[1] != self._side_px:
            pictures = np.stack([_resized(picture, self._side_px) for picture in pictures])
        images = torch.from_numpy(np.ascontiguousarray(pictures))
        [shares] = self._network(groups, images[:1])(images)
        return shares

    def _network(self, groups: Sequence[PartGroup], example: Tensor) -> CompiledNetwork:
        names = tuple(tuple(sorted(int(part) for part in group)) for group in groups)
        wanted = (names, *example.shape[1:])
        with self._lock:
            if wanted not in self._compiled:
                network = GroupNet(self._parser, groups)
                key = hashlib.sha256(f"{self._key} {names}".encode()).hexdigest()
                compiled = self._compile(network, example, key=key, precision=self._precision, dynamic_batch=True)
                self._compiled[wanted] = compiled or (lambda images: (network(images),))
            return self._compiled[wanted]


class GroupNet(nn.Module):
    """A parser that gives the probabilities of groups of parts: NxHxWx3 uint8 RGB to NGhw in [0, 1]."""

    table: Tensor

    def __init__(self, parser: FaceParser, groups: Sequence[PartGroup]) -> None:
        super().__init__()
        self.parser = parser
        table = torch.zeros(len(groups) + 1, len(FacePart), 1, 1)
        for row, group in zip(table, [*groups, frozenset(FacePart)], strict=True):  # the last sums up all of them
            row[sorted(group)] = 1.0
        self.register_buffer("table", table, persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Compute the maps at the network's resolution."""
        images = pictures.permute(0, 3, 1, 2).float() * (1 / 127.5) - 1
        # A softmax, without its own pass over all maps.
        weights = self.parser.logits(images).clamp(max=_MAX_LOGIT).exp()
        sums = F.conv2d(weights, self.table)
        return (sums[:, :-1] / sums[:, -1:]).clamp(0, 1)


def _resized(picture: npt.NDArray[np.uint8], side_px: int) -> npt.NDArray[np.uint8]:
    # Means over what is hardly larger than a pixel take five times as long, and show the same.
    method = cv2.INTER_AREA if 2 * side_px <= picture.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (side_px, side_px), interpolation=method), np.uint8)


def _hash_of(parser: FaceParser) -> str:
    """SHA-256 of the weights."""
    digest = hashlib.sha256(parser.name.encode())
    for name, tensor in parser.state_dict().items():
        digest.update(name.encode())
        as_stored = tensor.detach().cpu()
        if as_stored.ndim == 4 and not as_stored.is_contiguous():  # channels last: no copy this way
            as_stored = as_stored.permute(0, 2, 3, 1)
        digest.update(as_stored.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
