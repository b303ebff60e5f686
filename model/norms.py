"""Normalisation layers of U-GAT-IT: instance norm, LIN and AdaLIN, each as one scale and shift per channel.

Does not know where gamma and beta come from. Statistics are float32 whatever the input's type, so that
bfloat16 networks keep their contrast; type and memory format stay those of the input. "Paper" is U-GAT-IT,
arXiv:1907.10830.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

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
        return centred_affine(x, mean, _column(self.weight) * torch.rsqrt(variance + EPSILON), _column(self.bias))


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
    shift = beta + gamma * layer_scale * (mean - layer_mean)
    return centred_affine(x, mean, gamma * (instance_scale + layer_scale), shift)


@torch.no_grad()
def clip_rho(network: nn.Module, *, adaptive_upper: float = 1.0) -> None:
    """Bring every rho of a network back into its range, in place; to be called after each optimiser step.

    Args:
        network: any module that holds norms of this file.
        adaptive_upper: upper bound in AdaLIN; 1 as in the paper, 0.9 in enhanced-UGATIT. LIN's is always 1.
    """
    for module in network.modules():
        if isinstance(module, AdaptiveLayerInstanceNorm):
            module.rho.clamp_(0, adaptive_upper)
        elif isinstance(module, LayerInstanceNorm):
            module.rho.clamp_(0, 1)


def channel_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of every channel of NCHW `x`: two NC11 tensors, at least float32."""
    if torch.is_grad_enabled() and x.requires_grad:
        mean, variance = _ChannelStatistics.apply(x)
        return mean, variance
    return _mean_and_variance(x)


def centred_affine(x: Tensor, mean: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """`(x - mean) * scale + shift`, computed as one scale and one shift.

    Args:
        x: NCHW, any float type.
        mean: NC11, at least float32.
        scale: NC11 or C11, at least float32.
        shift: NC11 or C11, at least float32.

    Returns:
        NCHW in the type and memory format of `x`.
    """
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, mean, scale, shift)):
        y: Tensor = _CentredAffine.apply(x, mean, scale, shift)
        return y
    return _affine(x, scale, shift - mean * scale)


class _ChannelStatistics(torch.autograd.Function):
    """Keeps only the input for the backward pass, where autograd would keep two float32 copies of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = _mean_and_variance(x)
        ctx.save_for_backward(x, mean)
        return mean, variance

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_mean: Tensor, grad_variance: Tensor) -> Tensor:
        x, mean = ctx.saved_tensors
        num_pixels = x.shape[2] * x.shape[3]
        slope = grad_variance * (2 / num_pixels)
        return _affine(x, slope, grad_mean / num_pixels - slope * mean)


class _CentredAffine(torch.autograd.Function):
    """Sums the gradient of the scale over centred values, as autograd on `x * a + b` would cancel digits there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(x, mean, scale)
        ctx.shift_shape = shift.shape
        return _affine(x, scale, shift - mean * scale)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, mean, scale = ctx.saved_tensors
        grad_sum = at_least_float32(grad).sum((2, 3), keepdim=True)
        grad_scale = ((x - mean) * grad).sum((2, 3), keepdim=True)
        return (
            grad * scale.to(grad.dtype),
            -grad_sum * scale,
            grad_scale.sum_to_size(scale.shape),
            grad_sum.sum_to_size(ctx.shift_shape),
        )


def _mean_and_variance(x: Tensor) -> tuple[Tensor, Tensor]:
    # Two passes: the one-pass difference E[x^2] - E[x]^2 cancels on nearly constant channels, and
    # torch.var_mean is 2 to 5 times slower than this on channels_last CPU tensors (torch 2.14).
    x = at_least_float32(x)
    mean = x.mean((2, 3), keepdim=True)
    centred = x - mean
    return mean, centred.mul_(centred).mean((2, 3), keepdim=True)


def _affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))


def _unbiased(count: int) -> float:
    """Factor from the biased to the unbiased variance of `count` values."""
    return count / (count - 1)


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32, or as it is where it is float64 already."""
    return x if x.dtype == torch.float64 else x.float()


def _column(values: Tensor) -> Tensor:
    """C -> C11, at least float32."""
    return at_least_float32(values)[:, None, None]
