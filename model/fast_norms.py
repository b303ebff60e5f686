"""The norms of `norms.py` in the forms that run fastest: in PyTorch, and in graphs recorded for OpenVINO.

Exact but for rounding; no parameters of their own. Maps are NCHW, rows are PC: the P pixels of one map, in any order.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from .norms import EPSILON, InstanceNorm, layer_instance_norm


def is_recorded() -> bool:
    """Whether the operations are being recorded, for OpenVINO, instead of done."""
    return torch._C._get_tracing_state() is not None


def instance_norm(x: Tensor, norm: InstanceNorm, *, is_narrow: bool) -> Tensor:
    """Instance norm of NCHW `x`; `is_narrow`: what is recorded will run in less than float32."""
    if not is_recorded():
        return cast(Tensor, norm(x))
    if is_narrow:
        # OpenVINO has a kernel for this, whose sums are float32 always; but their order depends on the threads.
        return F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=EPSILON)
    _, centred, variance = _map_moments(x)
    column = (..., None, None)
    scaled: Tensor = centred * (norm.weight[column] * torch.rsqrt(variance + EPSILON)) + norm.bias[column]
    return scaled


def mixed_norm(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor, *, is_narrow: bool) -> Tensor:
    """LIN or AdaLIN of NCHW `x` with C `rho` and C or NxC `gamma` and `beta`.

    Args:
        x: the map.
        rho: shares of the instance part.
        gamma: scale.
        beta: shift.
        is_narrow: what is recorded will run in less than float32.
    """
    column = (..., None, None)
    gamma, beta = gamma[column], beta[column]
    if not is_recorded():
        return layer_instance_norm(x, rho, gamma, beta)
    mix = _mixed_by_kernels if is_narrow else _mixed_by_sums
    return mix(x, rho[column], gamma, beta)


def _mixed_by_kernels(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """By OpenVINO's kernel, once for each part: its sums are float32, those of other operations would be narrow."""
    # It divides by n, AdaLIN by n - 1: with epsilon likewise scaled, the roots differ by a constant factor.
    share, layer_share = _biased(x[0, 0].numel()), _biased(x[0].numel())
    of_instance = F.instance_norm(x, eps=EPSILON * share)
    of_layer = F.layer_norm(x, x.shape[1:], eps=EPSILON * layer_share)
    scale, layer_scale = gamma * (rho * share**0.5), gamma * ((1 - rho) * layer_share**0.5)
    mixed: Tensor = of_instance * scale + (of_layer * layer_scale + beta)
    return mixed


def _mixed_by_sums(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """By sums over channels: the kernel's sum over a whole large map is off by up to 1e-4 in float32."""
    mean, centred, variance = _map_moments(x)
    scale, shift = _mixed_affine(mean, variance, rho, gamma, beta, x[0, 0].numel())
    return centred * scale + shift


def _map_moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of NCHW `x`: each channel's mean (NC11), `x` less the mean, and the biased variance (NC11)."""
    mean = x.mean((2, 3), keepdim=True)
    centred = x - mean
    return mean, centred, centred.square().mean((2, 3), keepdim=True)


def instance_norm_rows(rows: Tensor, norm: InstanceNorm) -> Tensor:
    """Instance norm of PC `rows`."""
    mean, variance, centred = _moments(rows)
    scale = norm.weight * torch.rsqrt(variance + EPSILON)
    return _affine(rows, mean, centred, scale, norm.bias)


def mixed_norm_rows(rows: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor, bias: Tensor) -> Tensor:
    """LIN or AdaLIN of PC `rows + bias`, all others C or 1C."""
    mean, variance, centred = _moments(rows)
    scale, shift = _mixed_affine(mean + bias, variance, rho, gamma, beta, rows.shape[0])  # all that a bias does
    return _affine(rows, mean, centred, scale, shift)


def _mixed_affine(
    mean: Tensor, variance: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor, num_pixels: int
) -> tuple[Tensor, Tensor]:
    """Scale and shift of what is centred per channel, from the channels' moments (1C...); see norms.py."""
    about_layer = mean - mean.mean(1, keepdim=True)
    layer_variance = (variance + about_layer.square()).mean(1, keepdim=True)
    instance = torch.rsqrt(variance / _biased(num_pixels) + EPSILON)
    layer = (1 - rho) * torch.rsqrt(layer_variance / _biased(num_pixels * mean.shape[1]) + EPSILON)
    return gamma * (rho * instance + layer), beta + gamma * layer * about_layer


def _moments(rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Mean and biased variance of each channel (1C), and the rows less the mean where that is at hand.

    In two passes: the one-pass difference E[x^2] - E[x]^2 cancels on nearly constant channels.
    """
    if not is_recorded() and rows.device.type == "cpu":
        zero = rows.new_zeros(rows.shape[1])
        as_map = rows[None, :, None].permute(0, 3, 1, 2)  # 1CP1
        mean, variance = torch.batch_norm_update_stats(as_map, zero, zero, 0.0)  # goes over the map once
        return mean[None], variance[None], None
    mean = rows.mean(0, keepdim=True)
    centred = rows - mean
    # OpenVINO sums squares without storing them when they are called a norm.
    length = torch.linalg.vector_norm(centred, dim=0, keepdim=True)
    return mean, length.square() / rows.shape[0], centred


def _affine(rows: Tensor, mean: Tensor, centred: Tensor | None, scale: Tensor, shift: Tensor) -> Tensor:
    """`(rows - mean) * scale + shift`."""
    if centred is None:
        return torch.addcmul(shift - mean * scale, rows, scale)
    shifted: Tensor = centred * scale + shift
    return shifted


def _biased(count: int) -> float:
    """Factor from the unbiased to the biased variance of `count` values."""
    return (count - 1) / count
