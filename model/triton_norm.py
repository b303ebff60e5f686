"""Normalisation for CUDA: one kernel for the sums, a small one for scale and shift, one that applies them.

The last one also does what stands around a norm in the generator: ReLU or the addition to the block's input, and the
padding of the next convolution, so that a map is read twice and written once between two convolutions. Equal to
norms.py up to rounding (everything here is float32). Needs Triton; importing it needs no GPU.

A *phased* map is a map of 2h x 2w pixels as `blocks.UpLayer` makes one, kept as its convolution computes it on the
small map: N(4C)(h+1)(w+1), where pixel (2i + p, 2j + q) has its C channels at (i + p, j + q), from channel
(2p + q) C on.
"""

# Kernels are typed by Triton, when they are called.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .norms import EPSILON

_MIN_CHUNK_PIXELS = 256
_MAX_CHUNKS = 128
"""A map is summed up in no more parts than this. Their number does not depend on the batch, so neither do the sums."""
_TILE_PIXELS = 32
_TILE_CHUNKS = 16
_MAX_TILE_CHANNELS = 64

Affine = tuple[Tensor, Tensor]
"""NxC scale and NxC shift, float32."""


@triton.jit
def _sums_kernel(
    x, means, moments, num_pixels, width, num_channels, num_chunks, x_n,
    per_chunk: tl.constexpr, is_phased: tl.constexpr, p: tl.constexpr, c: tl.constexpr,
):  # fmt: skip
    """Mean and sum of squared differences of a chunk of pixels, per channel."""
    chunk, picture = tl.program_id(0), tl.program_id(2).to(tl.int64)
    channels = tl.program_id(1) * c + tl.arange(0, c)
    mean = tl.zeros([c], tl.float32)
    moment = tl.zeros([c], tl.float32)
    seen = 0.0
    first = chunk * per_chunk
    for start in range(0, per_chunk, p):
        pixels = first + start + tl.arange(0, p)
        inside = (pixels < num_pixels)[:, None] & (channels < num_channels)[None, :]
        place = picture * x_n + _place(pixels // width, pixels % width, width, num_channels, is_phased)[:, None]
        values = tl.load(x + place + channels[None, :], mask=inside, other=0.0).to(tl.float32)
        count = tl.minimum(tl.maximum(num_pixels - first - start, 0), p).to(tl.float32)
        share = tl.maximum(count, 1.0)
        tile_mean = tl.sum(values, 0) / share
        apart = tl.where(inside, values - tile_mean[None, :], 0.0)
        # Chan's merge: E[x^2] - E[x]^2 would cancel on nearly constant channels.
        total = tl.maximum(seen + count, 1.0)
        step = tile_mean - mean
        mean += step * (count / total)
        moment += tl.sum(apart * apart, 0) + step * step * (seen * count / total)
        seen += count
    place = (picture * num_chunks + chunk) * num_channels + channels
    tl.store(means + place, mean, mask=channels < num_channels)
    tl.store(moments + place, moment, mask=channels < num_channels)


@triton.jit
def _affine_kernel(
    means, moments, rho, gamma, beta, scale, shift, num_pixels, num_channels, num_chunks, gamma_stride, beta_stride,
    per_chunk: tl.constexpr, s: tl.constexpr, c: tl.constexpr, is_layer: tl.constexpr, eps: tl.constexpr,
):  # fmt: skip
    """Scale and shift of one picture's channels from the sums of its chunks."""
    picture = tl.program_id(0).to(tl.int64)
    channels = tl.arange(0, c)
    inside = channels < num_channels
    rows = tl.arange(0, s)
    table = picture * num_chunks * num_channels + rows[:, None] * num_channels + channels[None, :]
    mean = tl.zeros([c], tl.float32)
    for first in range(0, num_chunks, s):
        counts = tl.minimum(tl.maximum(num_pixels - (first + rows) * per_chunk, 0), per_chunk).to(tl.float32)
        there = (counts > 0)[:, None] & inside[None, :]
        parts = tl.load(means + table + first * num_channels, mask=there, other=0.0)
        mean += tl.sum(parts * (counts / num_pixels)[:, None], 0)
    moment = tl.zeros([c], tl.float32)
    for first in range(0, num_chunks, s):
        counts = tl.minimum(tl.maximum(num_pixels - (first + rows) * per_chunk, 0), per_chunk).to(tl.float32)
        there = (counts > 0)[:, None] & inside[None, :]
        apart = tl.load(means + table + first * num_channels, mask=there, other=0.0) - mean[None, :]
        own = tl.load(moments + table + first * num_channels, mask=there, other=0.0)
        moment += tl.sum(own + tl.where(there, apart * apart, 0.0) * counts[:, None], 0)
    factor = tl.load(gamma + picture * gamma_stride + channels, mask=inside, other=0.0).to(tl.float32)
    offset = tl.load(beta + picture * beta_stride + channels, mask=inside, other=0.0).to(tl.float32)
    if is_layer:
        share = tl.load(rho + channels, mask=inside, other=0.0).to(tl.float32)
        centred = tl.where(inside, mean - tl.sum(mean, 0) / num_channels, 0.0)
        num_values = num_pixels * 1.0 * num_channels
        layer_moment = tl.sum(moment, 0) + tl.sum(centred * centred, 0) * num_pixels
        instance = 1.0 / tl.sqrt(moment / (num_pixels - 1.0) + eps)
        layer = 1.0 / tl.sqrt(layer_moment / (num_values - 1.0) + eps)
        of_layer = factor * (1.0 - share) * layer
        factor = factor * share * instance + of_layer
        offset += of_layer * centred - mean * factor
    else:
        factor = factor / tl.sqrt(moment / num_pixels + eps)
        offset -= mean * factor
    tl.store(scale + picture * num_channels + channels, factor, mask=inside)
    tl.store(shift + picture * num_channels + channels, offset, mask=inside)


@triton.jit
def _apply_kernel(
    x, scale, shift, addend, y, height, width, num_channels, x_n, addend_n, addend_h, addend_w,
    margin: tl.constexpr, reflects: tl.constexpr, is_phased: tl.constexpr, relu: tl.constexpr, adds: tl.constexpr,
    p: tl.constexpr, c: tl.constexpr,
):  # fmt: skip
    """Scale, shift, activate or add, and pad a map, all by where an output pixel reads from."""
    picture = tl.program_id(2).to(tl.int64)
    out_height, out_width = height + 2 * margin, width + 2 * margin
    pixels = tl.program_id(0) * p + tl.arange(0, p)
    channels = tl.program_id(1) * c + tl.arange(0, c)
    inside = (pixels < out_height * out_width)[:, None] & (channels < num_channels)[None, :]
    row = _within(pixels // out_width - margin, height, reflects)
    column = _within(pixels % out_width - margin, width, reflects)
    place = picture * x_n + _place(row, column, width, num_channels, is_phased)[:, None] + channels[None, :]
    values = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    at = picture * num_channels + channels
    factor = tl.load(scale + at, mask=channels < num_channels, other=0.0)
    offset = tl.load(shift + at, mask=channels < num_channels, other=0.0)
    values = values * factor[None, :] + offset[None, :]
    if relu:
        values = tl.where(values < 0.0, 0.0, values)  # what is not a number stays so, for the guard to see
    if adds:
        other = picture * addend_n + (row * addend_h + column * addend_w)[:, None] + channels[None, :]
        values += tl.load(addend + other, mask=inside, other=0.0).to(tl.float32)
    out = picture * out_height * out_width * num_channels + pixels[:, None] * num_channels + channels[None, :]
    tl.store(y + out, values.to(y.dtype.element_ty), mask=inside)


@triton.jit
def _within(index, size, reflects: tl.constexpr):
    """Bring an index that is a margin outside back: mirrored about the first and last pixel, or to these."""
    if reflects:
        index = tl.abs(index)
        return tl.where(index >= size, 2 * (size - 1) - index, index)
    return tl.minimum(tl.maximum(index, 0), size - 1)


@triton.jit
def _place(row, column, width, num_channels, is_phased: tl.constexpr):
    """Where the first channel of a pixel is in one picture's map."""
    if is_phased:
        phase = row % 2 * 2 + column % 2
        corner = (row // 2 + row % 2) * (width // 2 + 1) + column // 2 + column % 2
        return (corner * 4 + phase) * num_channels
    return (row * width + column) * num_channels


def instance_affine(x: Tensor, weight: Tensor, bias: Tensor) -> Affine:
    """Scale and shift of instance normalisation (norms.InstanceNorm).

    Args:
        x: NCHW, any float type, in channels-last memory.
        weight: C.
        bias: C.

    Returns:
        NxC scale and NxC shift, float32: `x * scale + shift` is normalised.
    """
    return _affine(x, None, weight, bias, is_phased=False)


def layer_instance_affine(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor, *, is_phased: bool = False) -> Affine:
    """Scale and shift of LIN and AdaLIN (norms.layer_instance_norm).

    Args:
        x: NCHW, any float type, in channels-last memory.
        rho: C shares of the instance part.
        gamma: C or NxC scale.
        beta: C or NxC shift.
        is_phased: `x` is a phased map, of C channels.

    Returns:
        NxC scale and NxC shift, float32: `x * scale + shift` is normalised.
    """
    return _affine(x, rho, gamma, beta, is_phased=is_phased)


def applied(
    x: Tensor,
    affine: Affine,
    *,
    relu: bool = False,
    addend: Tensor | None = None,
    margin: int = 0,
    reflects: bool = True,
    is_phased: bool = False,
) -> Tensor:
    """Scale and shift a map, then do what the generator does next with it.

    Args:
        x: NCHW, any float type, in channels-last memory.
        affine: NxC scale and shift.
        relu: cut off what is negative.
        addend: NCHW of the same sizes and type, channels side by side in memory; added last, before the padding.
        margin: pixels of padding, fewer than H and W.
        reflects: pad by reflection, else by repeating the edge.
        is_phased: `x` is a phased map, of C channels and HxW pixels.

    Returns:
        NC(H + 2 margin)(W + 2 margin) in the type of `x`, in channels-last memory.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    n, c, height, width = _sizes(x, is_phased)
    size = n, c, height + 2 * margin, width + 2 * margin
    y = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    strides = (0, 0, 0) if addend is None else (addend.stride(0), addend.stride(2), addend.stride(3))
    tile = _tile_channels(c)
    grid = (triton.cdiv(size[2] * size[3], _TILE_PIXELS), triton.cdiv(c, tile), n)
    _apply_kernel[grid](
        x, *affine, x if addend is None else addend, y, height, width, c, x.stride(0), *strides,
        margin=margin, reflects=reflects, is_phased=is_phased, relu=relu, adds=addend is not None,
        p=_TILE_PIXELS, c=tile,
    )  # fmt: skip
    return y


def _affine(x: Tensor, rho: Tensor | None, gamma: Tensor, beta: Tensor, *, is_phased: bool) -> Affine:
    x = x.contiguous(memory_format=torch.channels_last)
    n, c, height, width = _sizes(x, is_phased)
    num_pixels, tile = height * width, _tile_channels(c)
    chunk = max(int(triton.next_power_of_2(triton.cdiv(num_pixels, _MAX_CHUNKS))), _MIN_CHUNK_PIXELS)
    num_chunks = triton.cdiv(num_pixels, chunk)
    means, moments = x.new_empty((2, n, num_chunks, c), dtype=torch.float32)
    _sums_kernel[(num_chunks, triton.cdiv(c, tile), n)](
        x, means, moments, num_pixels, width, c, num_chunks, x.stride(0),
        per_chunk=chunk, is_phased=is_phased, p=_TILE_PIXELS, c=tile,
    )  # fmt: skip
    scale, shift = x.new_empty((2, n, c), dtype=torch.float32)
    strides = (gamma.stride(0) if gamma.ndim == 2 else 0, beta.stride(0) if beta.ndim == 2 else 0)
    _affine_kernel[(n,)](
        means, moments, gamma if rho is None else rho, gamma, beta, scale, shift, num_pixels, c, num_chunks,
        *strides, per_chunk=chunk, s=_TILE_CHUNKS, c=triton.next_power_of_2(c), is_layer=rho is not None, eps=EPSILON,
    )  # fmt: skip
    return scale, shift


def _sizes(x: Tensor, is_phased: bool) -> tuple[int, int, int, int]:
    """N, C, H, W of the map that `x` stands for."""
    n, c, height, width = x.shape
    return (n, c // 4, 2 * (height - 1), 2 * (width - 1)) if is_phased else (n, c, height, width)


def _tile_channels(num_channels: int) -> int:
    return min(int(triton.next_power_of_2(num_channels)), _MAX_TILE_CHANNELS)
