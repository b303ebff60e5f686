"""Spectral normalisation: layers that divide their weight by its largest singular value.

Own layers and not torch's, for two reasons: the reference implementations iterate v before u (the one in
torch.nn.utils.parametrizations does u first), and CAM attention needs the weight as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import PaddedConv

EPSILON = 1e-12
"""Lower bound of the norms that vectors are divided by."""


class SpectralNorm(nn.Module):
    """Estimates a matrix' largest singular value, one power iteration per call in training mode.

    Args:
        num_rows: rows of the matrix.
        num_columns: columns of the matrix.
    """

    def __init__(self, num_rows: int, num_columns: int) -> None:
        super().__init__()
        self.u: Tensor
        self.v: Tensor
        self.register_buffer("u", F.normalize(torch.randn(num_rows), dim=0, eps=EPSILON))
        self.register_buffer("v", F.normalize(torch.randn(num_columns), dim=0, eps=EPSILON))

    def forward(self, weight: Tensor) -> Tensor:
        """`weight` (rows first, any further shape) divided by its largest singular value."""
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.flatten(1)
            if self.training:
                self._iterate(matrix.detach())
            # Clones, because a second call moves the buffers before the first one's backward pass reads them.
            normalised: Tensor = weight / torch.dot(self.u.clone(), matrix.mv(self.v.clone()))
        return normalised

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.v.copy_(F.normalize(matrix.t().mv(self.u), dim=0, eps=EPSILON))
        self.u.copy_(F.normalize(matrix.mv(self.v), dim=0, eps=EPSILON))


class SpectralConv(PaddedConv):
    """`PaddedConv` with spectral normalisation."""

    def __init__(self, in_channels: int, out_channels: int, size: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, size, stride=stride)
        self.spectral = SpectralNorm(out_channels, in_channels * size * size)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        output: Tensor = super()._conv_forward(input, self.spectral(weight), bias)
        return output


class SpectralLinear(nn.Linear):
    """`nn.Linear` with spectral normalisation."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.spectral = SpectralNorm(out_features, in_features)

    def forward(self, input: Tensor) -> Tensor:
        """NxC -> NxD."""
        return F.linear(input, self.spectral(self.weight), self.bias)
