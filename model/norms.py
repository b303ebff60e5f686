"""Normalisation layers of U-GAT-IT: instance norm, LIN and AdaLIN, each as one scale and shift per channel.

Does not know where gamma and beta come from. Statistics are float32 whatever the input's type, so that bfloat16
networks keep their contrast; the input keeps its type and memory format. "Paper" is U-GAT-IT, arXiv:1907.10830.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

EPSILON = 1e-5
"""Added to every variance before the root."""


class InstanceNorm(nn.Module):
    """Instance normalisation (biased variance) with a learned scale and shift.

    Args:
        num_channels: C.
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise NCHW `x`, any float type; the result has the type of `x`."""
        mean, variance = channel_statistics(x)
        scale = _column(self.weight) * torch.rsqrt(variance + EPSILON)
        return _scale_and_shift(x, scale, _column(self.bias) - mean * scale)


class LayerInstanceNorm(nn.Module):
    """LIN: a learned mix of instance and layer normalisation, with learned scale and shift (paper, 2.1.1).

    Args:
        num_channels: C.
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(num_channels))
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise NCHW `x`, any float type; the result has the type of `x`."""
        return layer_instance_norm(x, self.rho, _column(self.weight), _column(self.bias))


class AdaptiveLayerInstanceNorm(nn.Module):
    """AdaLIN: LIN whose scale and shift come with each picture (paper, equation 1).

    Args:
        num_channels: C.
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((num_channels,), 0.9))

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Normalise NCHW `x`, any float type, with NxC `gamma` (scale) and `beta` (shift)."""
        return layer_instance_norm(x, self.rho, gamma[..., None, None], beta[..., None, None])


def layer_instance_norm(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Mix instance and layer normalisation by `rho`, then scale and shift.

    Args:
        x: NCHW, any float type.
        rho: C shares of the instance part, in [0, 1].
        gamma: NC11 or C11 scale.
        beta: NC11 or C11 shift.

    Returns:
        NCHW in the type of `x`. Both parts use the unbiased variance, as the reference implementations do.
    """
    num_pixels, num_values = x.shape[2] * x.shape[3], x.shape[1] * x.shape[2] * x.shape[3]
    mean, variance = channel_statistics(x)  # NC11
    layer_mean = mean.mean(1, keepdim=True)  # N111
    # Law of total variance: that of the layer = mean of the channels' variances + variance of their means.
    layer_variance = variance.mean(1, keepdim=True) + (mean - layer_mean).square().mean(1, keepdim=True)
    rho, gamma, beta = _column(rho), at_least_float32(gamma), at_least_float32(beta)
    instance_scale = rho * torch.rsqrt(variance * _unbiased(num_pixels) + EPSILON)
    layer_scale = (1 - rho) * torch.rsqrt(layer_variance * _unbiased(num_values) + EPSILON)
    scale = gamma * (instance_scale + layer_scale)
    shift = beta - gamma * (mean * instance_scale + layer_mean * layer_scale)
    return _scale_and_shift(x, scale, shift)


def channel_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of every channel of NCHW `x`: two NC11 tensors, at least float32."""
    if torch.is_grad_enabled() and x.requires_grad:
        mean, variance = _ChannelStatistics.apply(x)
        return mean, variance
    return _mean_and_variance(x)


class _ChannelStatistics(torch.autograd.Function):
    """Keeps only the input for the backward pass, where autograd would keep two float32 copies of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = _mean_and_variance(x)
        ctx.save_for_backward(x, mean)
        return mean, variance

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_mean: Tensor, grad_variance: Tensor) -> Tensor:
        x, mean = ctx.saved_tensors
        num_pixels = x.shape[2] * x.shape[3]
        slope = grad_variance * (2 / num_pixels)
        return _scale_and_shift(x, slope, grad_mean / num_pixels - slope * mean)


def _mean_and_variance(x: Tensor) -> tuple[Tensor, Tensor]:
    # Two passes: the one-pass difference E[x^2] - E[x]^2 cancels on nearly constant channels, and
    # torch.var_mean is 2 to 5 times slower than this on channels_last CPU tensors (torch 2.14).
    x = at_least_float32(x)
    mean = x.mean((2, 3), keepdim=True)
    return mean, (x - mean).square().mean((2, 3), keepdim=True)


def _scale_and_shift(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))


def _unbiased(count: int) -> float:
    """Factor from the biased to the unbiased variance of `count` values."""
    return count / max(count - 1, 1)


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32, or as it is where it is float64 already."""
    return x if x.dtype == torch.float64 else x.float()


def _column(values: Tensor) -> Tensor:
    """C -> C11, at least float32."""
    return at_least_float32(values)[:, None, None]
