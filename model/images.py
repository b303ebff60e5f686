"""The one place where pictures (NHWC uint8 RGB arrays) meet tensors (NCHW float32 in [-1, 1]).

Knows no colour conversion and no files.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Pictures = npt.NDArray[np.uint8]


def to_tensor(pictures: Pictures, device: str = "cpu") -> Tensor:
    """Turn pictures into what a generator takes.

    Args:
        pictures: NxHxWx3 uint8 RGB.
        device: where the tensor is wanted: bytes travel to a GPU, and become floats there.

    Returns:
        N3HW float32 in [-1, 1] in channels-last memory; 0 becomes -1, 255 becomes 1.

    Raises:
        ValueError: another shape or type.
    """
    if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8:
        raise ValueError(f"pictures are {pictures.dtype} of shape {pictures.shape}, expected uint8 NxHxWx3.")
    values = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)
    if device.startswith("cuda"):
        values = values.pin_memory().to(device, non_blocking=True)
    elif device != "cpu":
        values = values.to(device)
    return values.float().mul_(1 / 127.5).sub_(1)


def to_pictures(tensor: Tensor) -> Pictures:
    """Turn what a generator gives back into pictures; rounds, and clips what is out of range.

    Args:
        tensor: N3HW of any float type in [-1, 1], on any device, without NaN.

    Returns:
        NxHxWx3 uint8 RGB.

    Raises:
        ValueError: another shape.
    """
    if tensor.ndim != 4 or tensor.shape[1] != 3:
        raise ValueError(f"the tensor is of shape {tuple(tensor.shape)}, expected N3HW.")
    levels = tensor.detach().float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
    pictures: Pictures = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pictures


def to_sound_pictures(tensor: Tensor) -> list[Pictures | None]:
    """Turn pictures as `to_pictures` does, one by one; None stands for those that hold a NaN or an infinity.

    Args:
        tensor: N3HW of any float type in [-1, 1], on any device.

    Returns:
        N of HxWx3 uint8 RGB or None.
    """
    sums = tensor.detach().float().sum((1, 2, 3))  # what is broken breaks the sum
    are_sound = sums.isfinite().tolist()
    return [picture if is_sound else None for picture, is_sound in zip(to_pictures(tensor), are_sound, strict=True)]
