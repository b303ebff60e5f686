"""The built-in landmark network: a small residual encoder whose cells vote for every landmark, and a presence score.

It takes face regions as tensors; cutting them out of frames and reading weights is `landmarks.py`'s work.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .conv_blocks import ConvNormAct, FoldableNet, ResidualBlock
from .points import NUM_LANDMARKS

ROI_SIZE_PX = 128
"""Side of the square region the built-in network was trained on."""

_GRID_STRIDE = 8


class LandmarkOutput(NamedTuple):
    """What the network says about N regions."""

    landmarks: Tensor
    """NxKx2 float32 (x, y) as fractions of the region's side; pixel i of a region of S px lies at (i + 0.5) / S."""
    presence_logits: Tensor
    """N float32; positive where a face is well inside the region."""


class LandmarkNet(FoldableNet):
    """Residual encoder, features joined at stride 8, landmarks by attention-weighted votes of the grid's cells.

    For each landmark every cell gives a weight and an offset; the landmark is the weighted mean of (cell centre +
    offset). A vote is as fine as a regression, moves with the face as a heat map does, and may leave the region.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int, int] = (16, 32, 64, 96, 128),
        num_blocks: tuple[int, int, int, int] = (1, 1, 2, 2),
        num_landmarks: int = NUM_LANDMARKS,
        joint_width: int = 64,
    ) -> None:
        """Build the network with random weights.

        Args:
            widths: channels at strides 2, 4, 8, 16 and 32.
            num_blocks: residual blocks at strides 4, 8, 16 and 32.
            num_landmarks: K.
            joint_width: channels of the joined features that the landmark head reads.
        """
        super().__init__()
        self.num_landmarks = num_landmarks
        self.stem = ConvNormAct(3, widths[0], stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(ConvNormAct(narrow, wide, stride=2), *(ResidualBlock(wide) for _ in range(count)))
            for narrow, wide, count in zip(widths[:-1], widths[1:], num_blocks, strict=True)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, joint_width, 1) for width in widths[2:])
        self.join = ConvNormAct(joint_width, joint_width)
        self.vote_head = nn.Conv2d(joint_width, 3 * num_landmarks, 1)
        self.presence_head = nn.Linear(widths[-1], 1)

    def forward(self, regions: Tensor) -> LandmarkOutput:
        """Find the landmarks of one face in each region.

        Args:
            regions: N3HW float32 RGB in [-1, 1], H and W multiples of 32.
        """
        votes, presence_logits = self.votes(regions)
        return LandmarkOutput(self.count_votes(votes), presence_logits)

    def votes(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Let the cells vote; see `forward`.

        Returns:
            N(3K)hw float32: K weights, K offsets in x and K in y; and the N presence logits.
        """
        features = [self.stages[0](self.stem(regions))]
        for stage in self.stages[1:]:
            features.append(stage(features[-1]))
        joined = self.laterals[2](features[3])
        for lateral, feature in ((self.laterals[1], features[2]), (self.laterals[0], features[1])):
            joined = F.interpolate(joined, scale_factor=2.0, mode="nearest") + lateral(feature)
        votes: Tensor = self.vote_head(self.join(joined)).float()
        presence: Tensor = self.presence_head(features[-1].mean((2, 3))).float()
        return votes, presence.squeeze(1)

    def count_votes(self, votes: Tensor) -> Tensor:
        """Make landmarks of what `votes` gave: NxKx2, see `LandmarkOutput`."""
        count, _, height, width = votes.shape
        votes = votes.reshape(count, 3, self.num_landmarks, height * width)
        weights = votes[:, 0].softmax(-1)
        xs = (torch.arange(width, device=votes.device) + 0.5) / width
        ys = (torch.arange(height, device=votes.device) + 0.5) / height
        cells = torch.stack([xs.repeat(height), ys.repeat_interleave(width)])
        offsets = (weights[:, None] * votes[:, 1:]).sum(-1) * (_GRID_STRIDE / ROI_SIZE_PX)
        return (weights @ cells.T) + offsets.transpose(1, 2)


class VotingNet(nn.Module):
    """All of a `LandmarkNet` but the counting, which needs float32 where the network itself bears less."""

    def __init__(self, network: LandmarkNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """See `LandmarkNet.votes`."""
        return self.network.votes(regions)
