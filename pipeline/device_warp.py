"""Cut aligned crops on the device of the networks: what they show travels there once, for a whole batch of frames.

Does what plane_views.py does on the CPU, within a level; colours are converted by the frame as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from alignment.points import Points
from alignment.warp import compose, invert, scale_of

from .plane_views import HALVE_BELOW, CropWish, bounds, chroma_to_luma, even_bounds, smoothing_kernels

Plane = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

_STEPS_PER_LEVEL = 128


class _Part(NamedTuple):
    """Planes of one geometry, cut to what is seen of them."""

    planes: list[Plane]
    to_crop: Points


def cut_on(device: str, wishes: Sequence[CropWish]) -> list[list[Floats]]:
    """Cut crops, all in one go.

    Args:
        device: where.
        wishes: what is wanted, at least one, all of one size.

    Returns:
        For each wish what `plane_views.crop_planes` would give: float32 samples that are not rounded.
    """
    size_px = wishes[0].size_px
    parts = [part for wish in wishes for part in _parts(wish)]
    tensors = uploaded([plane for part in parts for plane in part.planes], device)
    cuts, start = [], 0
    for part in parts:
        stop = start + len(part.planes)
        cuts.append(_cut(torch.stack(tensors[start:stop]), part.to_crop, size_px))
        start = stop
    samples = iter(_downloaded(torch.cat(cuts), are_bytes=all(p.dtype == np.uint8 for w in wishes for p in w.planes)))
    return [[next(samples) for _ in wish.planes] for wish in wishes]


def _downloaded(samples: Tensor, *, are_bytes: bool) -> Floats:
    """Samples as float32 on the CPU; those of bytes travel as 1/128 levels in half the size."""
    if not are_bytes:
        return np.asarray(samples.cpu().numpy(), np.float32)
    packed = (samples * _STEPS_PER_LEVEL).round_().to(torch.int16).cpu().numpy()
    return np.asarray(packed.astype(np.float32) * np.float32(1 / _STEPS_PER_LEVEL), np.float32)


def uploaded(planes: Sequence[Plane], device: str) -> list[Tensor]:
    """Planes (HxW uint8 or uint16, with any strides) as HxW float32 on a device, sent together."""
    num_bytes = sum(-(-plane.nbytes // 2) * 2 for plane in planes)
    packed = torch.empty(num_bytes, dtype=torch.uint8, pin_memory=device.startswith("cuda"))
    memory, start = packed.numpy(), 0
    for plane in planes:
        np.copyto(memory[start : start + plane.nbytes].view(plane.dtype).reshape(plane.shape), plane)
        start += -(-plane.nbytes // 2) * 2
    there, start, tensors = packed.to(device, non_blocking=True), 0, []
    for plane in planes:
        samples = there[start : start + plane.nbytes]
        start += -(-plane.nbytes // 2) * 2
        wide = samples if plane.dtype == np.uint8 else samples.view(torch.int16).to(torch.int32) & 0xFFFF
        tensors.append(wide.view(plane.shape).float())
    return tensors


def sampled(
    planes: Tensor, to_planes: Points, size_wh: tuple[int, int], *, mode: str = "bilinear", border: str = "border"
) -> Tensor:
    """Sample planes at the pixels of a rectangle.

    Args:
        planes: CxHxW float32.
        to_planes: 2x3 from the rectangle's pixels to those of the planes.
        size_wh: width and height of the rectangle.
        mode: `bilinear`, or `bicubic` as OpenCV's.
        border: `border` repeats edges, `zeros` puts 0 outside.

    Returns:
        CxHxW float32 of the rectangle.
    """
    height, width = planes.shape[1:]
    matrix = np.asarray(to_planes, np.float64)
    x, y = (torch.arange(side, device=planes.device, dtype=torch.float32) for side in size_wh)
    places = [float(a) * x[None, :] + (float(b) * y[:, None] + float(c)) for a, b, c in matrix]
    grid = torch.stack(
        [place * (2 / max(side - 1, 1)) - 1 for place, side in zip(places, (width, height), strict=True)], -1
    )
    return F.grid_sample(planes[None], grid[None], mode, border, align_corners=True)[0]


def _parts(wish: CropWish) -> list[_Part]:
    chroma_to_crop = compose(wish.source_to_crop, chroma_to_luma(wish.chroma_shifts))
    grouped = [(list(wish.planes[:1]), wish.source_to_crop), (list(wish.planes[1:]), chroma_to_crop)]
    return [_seen(planes, to_crop, wish.size_px) for planes, to_crop in grouped if planes]


def _seen(planes: list[Plane], to_crop: Points, size_px: int) -> _Part:
    """The part of planes that a crop shows; of an even size where it will be halved."""
    look = even_bounds if scale_of(to_crop) < HALVE_BELOW else bounds
    x0, y0, x1, y1 = look(planes[0].shape, to_crop, size_px)
    shift = np.array([[1, 0, x0], [0, 1, y0]], np.float32)
    return _Part([plane[y0:y1, x0:x1] for plane in planes], compose(to_crop, shift))


def _cut(planes: Tensor, to_crop: Points, size_px: int) -> Tensor:
    """CxHxW -> CxSxS, each pixel the mean over what it shows."""
    while 0 < scale_of(to_crop) < HALVE_BELOW:
        x0, y0, x1, y1 = even_bounds(tuple(planes.shape[1:]), to_crop, size_px)
        if x1 - x0 < 2 or y1 - y0 < 2:
            break
        planes = F.avg_pool2d(planes[None, :, y0:y1, x0:x1], 2)[0]
        to_crop = compose(to_crop, np.array([[2, 0, x0 + 0.5], [0, 2, y0 + 0.5]]))
    kernels = smoothing_kernels(to_crop)
    if kernels is not None:
        in_x, in_y = (torch.from_numpy(kernel).to(planes) for kernel in kernels)
        padded = F.pad(planes[:, None], (1, 1, 1, 1), "replicate")
        planes = F.conv2d(padded, torch.outer(in_y, in_x)[None, None])[:, 0]
    return sampled(planes, invert(to_crop), (size_px, size_px))
