"""The U-GAT-IT discriminator: judges patches of a picture, with class-activation attention.

Assembles `blocks.py` and `spectral.py`; knows no losses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import CamHead, PaddedConv
from .config import DiscriminatorConfig
from .spectral import SpectralConv, SpectralLinear

_SLOPE = 0.2  # of every leaky ReLU


class DiscriminatorOutput(NamedTuple):
    """What a discriminator returns."""

    patch_logits: Tensor
    """N1hw: how real each patch looks."""
    cam_logits: Tensor
    """Nx2: how real the picture looks, from the channels' averages and from their maxima."""
    heatmap: Tensor
    """N1(h+1)(w+1): sum of the weighed map's channels."""


class Discriminator(nn.Module):
    """Patch discriminator; the meaning of every argument is in `DiscriminatorConfig`."""

    def __init__(
        self,
        *,
        base_channels: int,
        depth: int,
        use_spectral_norm: bool = True,
        use_cam_attention: bool = True,
    ) -> None:
        super().__init__()
        conv = SpectralConv if use_spectral_norm else PaddedConv
        linear = SpectralLinear if use_spectral_norm else nn.Linear
        self.body = nn.ModuleList(
            conv(num_in, num_out, size, stride=stride)
            for num_in, num_out, size, stride in _layers(base_channels, depth)
        )
        last = base_channels * 2 ** (depth - 2)
        self.cam = CamHead(linear(last, 1), linear(last, 1), use_attention=use_cam_attention)
        self.judge = conv(last, 1, 4)

    def forward(
        self, image: Tensor, cam_input: Tensor | None = None, mask: Tensor | None = None
    ) -> DiscriminatorOutput:
        """Judge pictures.

        Args:
            image: N3HW in [-1, 1].
            cam_input: N3HW picture the CAM classifiers look at instead, for instance without background.
            mask: N1HW in [0, 1], share of each pixel that the CAM classifiers see.
        """
        features = self._features(image)
        evidence = features if cam_input is None else self._features(cam_input)
        if mask is not None:
            evidence = F.interpolate(mask, evidence.shape[2:], mode="area") * evidence
        weighed, cam_logits = self.cam(features, evidence)
        weighed = F.leaky_relu(weighed, _SLOPE)
        return DiscriminatorOutput(self.judge(weighed), cam_logits, weighed.sum(1, keepdim=True))

    def _features(self, x: Tensor) -> Tensor:
        for conv in self.body:
            x = F.leaky_relu(conv(x), _SLOPE)
        return x


def build_discriminator(config: DiscriminatorConfig) -> Discriminator:
    """A discriminator with fresh weights."""
    return Discriminator(**asdict(config))


def _layers(base_channels: int, depth: int) -> Iterator[tuple[int, int, int, int]]:
    """Input channels, output channels, size and stride of each convolution of the body."""
    yield 3, base_channels, 4, 2
    width = base_channels
    for _ in range(depth - 3):
        yield width, 2 * width, 4, 2
        width *= 2
    # Shallow ones get their layers back at stride 1 (enhanced-UGATIT).
    yield from ((width, width, 3, 1) for _ in range(5 - depth))
    yield width, 2 * width, 4, 1
