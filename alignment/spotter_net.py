"""The built-in face detector's network: anchor-free, three grids of cells, a score, a box and five points per cell.

It takes pictures as tensors and gives raw grids; choosing among the cells is `spotter.py`'s work.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .conv_blocks import ConvNormAct, FoldableNet, ResidualBlock

STRIDES = (8, 16, 32)
"""Pixels between the cells of each grid; a picture's sides are multiples of the last."""

_NUM_VALUES = 15
_MAX_LOG_SIZE = 4.0


class SpotterOutput(NamedTuple):
    """What the network says about N pictures: C cells, grid after grid, each grid row by row."""

    score_logits: Tensor
    """NxC float32; high where a face's middle is near the cell."""
    boxes: Tensor
    """NxCx4 float32 (x, y, x, y) in pixels of the picture, pixel centres at integer coordinates."""
    points: Tensor
    """NxCx5x2 float32 (x, y): the eye left in the picture, the other, the nose's tip, the mouth's corners likewise."""


class SpotterNet(FoldableNet):
    """Residual encoder, features joined from coarse to fine, one small head per grid."""

    def __init__(
        self,
        widths: tuple[int, int, int, int, int] = (16, 32, 48, 64, 80),
        num_blocks: tuple[int, int, int, int] = (0, 1, 2, 1),
        joint_width: int = 48,
    ) -> None:
        """Build the network with random weights.

        Args:
            widths: channels at strides 2, 4, 8, 16 and 32.
            num_blocks: residual blocks at strides 4, 8, 16 and 32.
            joint_width: channels of the joined features that the heads read.
        """
        super().__init__()
        self.stem = ConvNormAct(3, widths[0], stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(ConvNormAct(narrow, wide, stride=2), *(ResidualBlock(wide) for _ in range(count)))
            for narrow, wide, count in zip(widths[:-1], widths[1:], num_blocks, strict=True)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, joint_width, 1) for width in widths[2:])
        self.joins = nn.ModuleList(ConvNormAct(joint_width, joint_width) for _ in STRIDES)
        self.heads = nn.ModuleList(nn.Conv2d(joint_width, _NUM_VALUES, 1) for _ in STRIDES)
        for head in self.heads:
            nn.init.constant_(head.bias[0], -4.6)  # type: ignore[index, arg-type]  # a hundredth of the cells at first

    def forward(self, pictures: Tensor) -> SpotterOutput:
        """Look at pictures.

        Args:
            pictures: N3HW float32 RGB in [-1, 1], H and W multiples of 32.
        """
        features = [self.stages[0](self.stem(pictures))]
        for stage in list(self.stages)[1:]:
            features.append(stage(features[-1]))
        joined, grids = None, []
        for i in (2, 1, 0):  # coarse to fine
            lateral = self.laterals[i](features[i + 1])
            joined = lateral if joined is None else F.interpolate(joined, scale_factor=2.0, mode="nearest") + lateral
            grids.append(self.heads[i](self.joins[i](joined)).float())
        return _decode(grids[::-1])


def cell_centres(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where the cells of a picture lie.

    Args:
        height: of the picture in pixels, a multiple of 32.
        width: likewise.

    Returns:
        Cx2 float32 centres (x, y) in pixels and (C,) float32 strides, in the order of `SpotterOutput`.
    """
    centres, strides = [], []
    for stride in STRIDES:
        ys = (torch.arange(height // stride) + 0.5) * stride - 0.5
        xs = (torch.arange(width // stride) + 0.5) * stride - 0.5
        grid = torch.stack([xs.repeat(len(ys)), ys.repeat_interleave(len(xs))], dim=1)
        centres.append(grid)
        strides.append(torch.full((len(grid),), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def _decode(grids: list[Tensor]) -> SpotterOutput:
    height, width = (side * STRIDES[0] for side in grids[0].shape[2:])
    values = torch.cat([grid.flatten(2) for grid in grids], dim=2).transpose(1, 2)  # NxCx15
    centres, strides = (t.to(values.device) for t in cell_centres(height, width))
    middles = centres + values[..., 1:3] * strides[:, None]
    halves = values[..., 3:5].clamp(max=_MAX_LOG_SIZE).exp() * strides[:, None]
    points = centres[:, None] + values[..., 5:].reshape(*values.shape[:2], 5, 2) * strides[:, None, None]
    return SpotterOutput(values[..., 0], torch.cat([middles - halves, middles + halves], dim=2), points)
