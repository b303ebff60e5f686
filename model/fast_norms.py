"""The norms of `norms.py` in the forms that run fastest: in PyTorch, and in graphs recorded for OpenVINO.

Exact but for rounding; no parameters of their own. Maps are NCHW, rows are PC: the P pixels of one map, in any order.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from .norms import EPSILON, InstanceNorm, layer_instance_norm


def instance_norm(x: Tensor, norm: InstanceNorm) -> Tensor:
    """Instance norm of NCHW `x`."""
    if not torch.jit.is_tracing():
        return cast(Tensor, norm(x))
    # OpenVINO has a kernel for this which goes over the map once; its sums are float32 in bfloat16 networks too.
    return F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=EPSILON)


def mixed_norm(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """LIN or AdaLIN of NCHW `x` with C `rho` and C or NxC `gamma` and `beta`."""
    gamma, beta = gamma[..., None, None], beta[..., None, None]
    if not torch.jit.is_tracing():
        return layer_instance_norm(x, rho, gamma, beta)
    # OpenVINO's kernel again, once for each part. It divides by n, AdaLIN by n - 1: with epsilon likewise scaled, the
    # roots differ by a constant factor.
    share, layer_share = _biased(x[0, 0].numel()), _biased(x[0].numel())
    rho = rho[:, None, None]
    of_instance = F.instance_norm(x, eps=EPSILON * share)
    of_layer = F.layer_norm(x, x.shape[1:], eps=EPSILON * layer_share)
    scale, layer_scale = gamma * (rho * share**0.5), gamma * ((1 - rho) * layer_share**0.5)
    return of_instance * scale + (of_layer * layer_scale + beta)


def instance_norm_rows(rows: Tensor, norm: InstanceNorm) -> Tensor:
    """Instance norm of PC `rows`."""
    mean, variance, centred = _moments(rows)
    scale = norm.weight * torch.rsqrt(variance + EPSILON)
    return _affine(rows, mean, centred, scale, norm.bias)


def mixed_norm_rows(rows: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor, bias: Tensor) -> Tensor:
    """LIN or AdaLIN of PC `rows + bias`, all others C or 1C."""
    mean, variance, centred = _moments(rows)
    biased_mean = mean + bias  # a constant per channel does nothing else
    about_layer = biased_mean - biased_mean.mean(1, keepdim=True)
    layer_variance = (variance + about_layer.square()).mean(1, keepdim=True)
    instance = torch.rsqrt(variance / _biased(rows.shape[0]) + EPSILON)
    layer = (1 - rho) * torch.rsqrt(layer_variance / _biased(rows.numel()) + EPSILON)
    return _affine(rows, mean, centred, gamma * (rho * instance + layer), beta + gamma * layer * about_layer)


def _moments(rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Mean and biased variance of each channel (1C), and the rows less the mean where that is at hand.

    In two passes: the one-pass difference E[x^2] - E[x]^2 cancels on nearly constant channels.
    """
    if not torch.jit.is_tracing() and rows.device.type == "cpu":
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
    return centred * scale + shift


def _biased(count: int) -> float:
    """Factor from the unbiased to the biased variance of `count` values."""
    return (count - 1) / count
