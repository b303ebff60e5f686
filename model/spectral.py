"""Spectral normalisation: layers that divide their weight by its largest singular value.

Own layers and not torch's: the reference implementations iterate v before u (the one in
torch.nn.utils.parametrizations does u first), CAM attention needs the weight as it is, and large weights are slow to
divide. So the layers here divide what comes out instead, which is the same, and touch a weight once each way.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
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

    def forward(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The weight (rows first, any further shape) and its largest singular value, a scalar.

        The weight comes back in the type that autocast computes in, the value at least in float32.
        """
        kind = weight.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        with torch.autocast(kind, enabled=False):
            v = _in_memory_order(self.v, weight)
            if self.training:
                v = self._iterate(weight, v)
            # A clone, because a second call moves the buffer before the first one's backward pass reads it.
            cast, value = _WeightAndValue.apply(weight, self.u.clone(), v, dtype)
        return cast, value

    @torch.no_grad()
    def _iterate(self, weight: Tensor, v: Tensor) -> Tensor:
        """Move the buffers on; return the new v in the weight's own order."""
        matrix = _matrix(weight)
        v = F.normalize(matrix.t().mv(self.u), dim=0, eps=EPSILON)
        self.v.copy_(_in_row_order(v, weight))
        self.u.copy_(F.normalize(matrix.mv(v), dim=0, eps=EPSILON))
        return v


class SpectralConv(PaddedConv):
    """`PaddedConv` with spectral normalisation."""

    def __init__(self, in_channels: int, out_channels: int, size: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, size, stride=stride)
        self.spectral = SpectralNorm(out_channels, in_channels * size * size)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        weight, value = self.spectral(weight)
        output = self._product(input, weight) if self._is_wide(input) else super()._conv_forward(input, weight, None)
        return _divided(output, value, None if bias is None else bias[:, None, None])

    def _output_hw(self, input: Tensor) -> tuple[int, int]:
        (height, width), (size, _), (stride, _) = input.shape[2:], self.kernel_size, self.stride
        return (height - size) // stride + 1, (width - size) // stride + 1

    def _is_wide(self, input: Tensor) -> bool:
        """Is it a large weight over a small map, on a CPU? Its convolutions lay the weight out anew at each call."""
        height, width = self._output_hw(input)
        is_small = len(input) * height * width <= self.out_channels
        return input.device.type == "cpu" and is_small and _is_channels_last(self.weight)

    def _product(self, input: Tensor, weight: Tensor) -> Tensor:
        """The convolution as one matrix product with the weight as it lies in memory."""
        (size, _), (stride, _) = self.kernel_size, self.stride
        patches = input.permute(0, 2, 3, 1).unfold(1, size, stride).unfold(2, size, stride)  # N h w C size size
        columns = patches.permute(0, 1, 2, 4, 5, 3).flatten(3)
        return F.linear(columns, _matrix(weight)).permute(0, 3, 1, 2)


class SpectralLinear(nn.Linear):
    """`nn.Linear` with spectral normalisation."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.spectral = SpectralNorm(out_features, in_features)

    def forward(self, input: Tensor) -> Tensor:
        """NxC -> NxD."""
        weight, value = self.spectral(self.weight)
        return _divided(F.linear(input, weight), value, self.bias)


class _WeightAndValue(torch.autograd.Function):
    """A cast of the weight, and u'Wv; the gradients of both reach the weight as one tensor, written once."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, u: Tensor, v: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(u, v)
        ctx.dtype = weight.dtype
        ctx.order = torch.channels_last if _is_channels_last(weight) else torch.contiguous_format
        return weight.to(dtype), torch.dot(u, _matrix(weight).mv(v))

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_weight: Tensor, grad_value: Tensor) -> tuple[Tensor, None, None, None]:
        u, v = ctx.saved_tensors
        # In the weight's order, which is that of v; kernels give gradients in an order of their own.
        grad = grad_weight.to(ctx.dtype, copy=True, memory_format=ctx.order)
        _matrix(grad).addr_(u * grad_value, v)
        return grad, None, None, None


def _divided(output: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    share = (1 / value).to(output.dtype)
    return output * share if bias is None else torch.addcmul(bias.to(output.dtype), output, share)


def _is_channels_last(weight: Tensor) -> bool:
    return weight.ndim == 4 and not weight.is_contiguous() and weight.is_contiguous(memory_format=torch.channels_last)


def _matrix(weight: Tensor) -> Tensor:
    """A weight as a matrix, rows first, columns as they lie in memory: no copy."""
    return (weight.permute(0, 2, 3, 1) if _is_channels_last(weight) else weight).flatten(1)


def _in_memory_order(v: Tensor, weight: Tensor) -> Tensor:
    """A copy of `v`, whose values belong to the weight's columns in the order of its shape, ordered as `_matrix`."""
    if not _is_channels_last(weight):
        return v.clone()
    return v.view(weight.shape[1:]).permute(1, 2, 0).flatten()


def _in_row_order(v: Tensor, weight: Tensor) -> Tensor:
    """The inverse of `_in_memory_order`."""
    if not _is_channels_last(weight):
        return v
    channels, *size = weight.shape[1:]
    return v.view(*size, channels).permute(2, 0, 1).flatten()
