"""Normalisation layers of U-GAT-IT: instance norm, LIN and AdaLIN, each as one scale and shift per channel.

Does not know where gamma and beta come from. Statistics are float32 whatever the input's type, so that
bfloat16 networks keep their contrast; type and memory format stay those of the input. "Paper" is U-GAT-IT,
arXiv:1907.10830.
"""

from __future__ import annotations

from collections.abc import Iterable
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
        return _normalised(_InstanceNorm, x, _column(self.weight), _column(self.bias))


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
    return _normalised(_LayerInstanceNorm, x, _column(rho), at_least_float32(gamma), at_least_float32(beta))


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


class _InstanceNorm(torch.autograd.Function):
    """Its backward pass goes over the map three times; autograd's own would do so fifteen times, in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        mean, variance = _mean_and_variance(x)
        inverse = torch.rsqrt(variance + EPSILON)
        scale = weight * inverse
        ctx.save_for_backward(x, mean, scale, inverse, weight)
        return _affine(x, scale, bias - mean * scale)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, mean, scale, inverse, weight = ctx.saved_tensors
        total, moment = _grad_sums(grad, x, mean)
        grad_variance = moment * weight * inverse**3 * -0.5
        grad_x = _grad_input(grad, x, mean, scale, -total * scale, grad_variance)
        return grad_x, (moment * inverse).sum_to_size(weight.shape), total.sum_to_size(weight.shape)


class _LayerInstanceNorm(torch.autograd.Function):
    """The same for LIN: `y = (x - mean) * scale + shift`, all three NC11."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        mean, variance = _mean_and_variance(x)
        centred = mean - mean.mean(1, keepdim=True)  # the channels' means about that of the layer
        # Law of total variance: that of the layer = mean of the channels' variances + variance of their means.
        layer_variance = (variance + centred.square()).mean(1, keepdim=True)  # N111
        instance = torch.rsqrt(variance * _unbiased(x[0, 0].numel()) + EPSILON)
        layer = torch.rsqrt(layer_variance * _unbiased(x[0].numel()) + EPSILON)
        scale = gamma * (rho * instance + (1 - rho) * layer)
        ctx.save_for_backward(x, mean, scale, centred, instance, layer, rho, gamma)
        ctx.beta_shape = beta.shape
        return _affine(x, scale, beta + gamma * (1 - rho) * layer * centred - mean * scale)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, mean, scale, centred, instance, layer, rho, gamma = ctx.saved_tensors
        total, moment = _grad_sums(grad, x, mean)  # the gradients of shift and scale
        of_layer = moment + total * centred  # what reaches gamma * (1 - rho) * layer
        grad_layer = (gamma * (1 - rho) * of_layer).sum(1, keepdim=True)
        grad_layer_variance = grad_layer * layer**3 * (-0.5 * _unbiased(x[0].numel()) / x.shape[1])
        grad_variance = moment * gamma * rho * instance**3 * (-0.5 * _unbiased(x[0, 0].numel())) + grad_layer_variance
        grad_centred = total * gamma * (1 - rho) * layer + 2 * grad_layer_variance * centred
        grad_mean = grad_centred - grad_centred.mean(1, keepdim=True) - total * scale
        return (
            _grad_input(grad, x, mean, scale, grad_mean, grad_variance),
            (gamma * (moment * instance - of_layer * layer)).sum_to_size(rho.shape),
            (moment * rho * instance + of_layer * (1 - rho) * layer).sum_to_size(gamma.shape),
            total.sum_to_size(ctx.beta_shape),
        )


class _NoContext:
    """Takes what a forward pass keeps for a backward pass that will not come."""

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Keep nothing."""


def _normalised(norm: type[torch.autograd.Function], x: Tensor, *parameters: Tensor) -> Tensor:
    """Apply one of the norms above to NCHW `x`; the parameters are at least float32."""
    y: Tensor
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *parameters)):
        y = norm.apply(x, *parameters)  # type: ignore[no-untyped-call]
    else:
        y = norm.forward(_NoContext(), x, *parameters)
    return y


def _mean_and_variance(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of every channel of NCHW `x`: two NC11 tensors, at least float32."""
    if _has_kernels(x):
        zero = x.new_zeros(x.shape[1], dtype=_wide(x))  # takes part with no share, and makes the results wide
        return _stacked(torch.batch_norm_update_stats(picture, zero, zero, 0.0) for picture in torch.split(x, 1))
    # Two passes: the one-pass difference E[x^2] - E[x]^2 cancels on nearly constant channels.
    x = at_least_float32(x)
    mean = x.mean((2, 3), keepdim=True)
    return mean, (x - mean).square_().mean((2, 3), keepdim=True)


def _grad_sums(grad: Tensor, x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over each channel, NC11: of `grad`, and of `grad * (x - mean)`."""
    if _has_kernels(x):
        one = x.new_ones(x.shape[1], dtype=_wide(x))
        rows = zip(torch.split(grad, 1), torch.split(x, 1), mean.flatten(1), strict=True)
        moment, total = _stacked(
            torch.ops.aten.native_batch_norm_backward(g, v, one, None, None, m, one, True, 0.0, [False, True, True])[1:]
            for g, v, m in rows
        )
        return total, moment
    total = at_least_float32(grad).sum((2, 3), keepdim=True)
    return total, ((x - mean) * grad).sum((2, 3), keepdim=True)


def _grad_input(
    grad: Tensor, x: Tensor, mean: Tensor, scale: Tensor, grad_mean: Tensor, grad_variance: Tensor
) -> Tensor:
    """The gradient of `x`, which reaches the result itself and through its statistics."""
    num_pixels = x.shape[2] * x.shape[3]
    slope = grad_variance * (2 / num_pixels)
    return torch.addcmul(_affine(x, slope, grad_mean / num_pixels - slope * mean), grad, scale.to(grad.dtype))


def _has_kernels(x: Tensor) -> bool:
    """Is it a CPU tensor in eager mode?

    There the kernels of batch norm go over a map once where plain operations do three times; a compiler joins those.
    """
    is_recorded = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    return x.device.type == "cpu" and not is_recorded


def _stacked(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Pairs of C values, one per picture, as two NC11 tensors."""
    first, second = zip(*pairs, strict=True)
    return torch.stack(first)[..., None, None], torch.stack(second)[..., None, None]


def _affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))


def _wide(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _unbiased(count: int) -> float:
    """Factor from the biased to the unbiased variance of `count` values."""
    return count / (count - 1)


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32, or as it is where it is float64 already."""
    return x.to(_wide(x))


def _column(values: Tensor) -> Tensor:
    """C -> C11, at least float32."""
    return at_least_float32(values)[:, None, None]
