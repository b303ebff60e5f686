"""The U-GAT-IT generator: photograph in, stylised picture out.

Assembles `blocks.py`; knows neither files nor devices.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import (
    AdaptiveHead,
    AdaptiveResidualBlock,
    CamHead,
    DownLayer,
    DrawingConv,
    ResidualBlock,
    UpLayer,
)
from .config import DOWN_SAMPLING, GeneratorConfig, UpSampling
from .norms import at_least_float32


class GeneratorOutput(NamedTuple):
    """What a generator returns."""

    image: Tensor
    """N3HW in [-1, 1], at least float32: the stylised picture."""
    cam_logits: Tensor
    """Nx2: is this picture of the source domain? From the average and from the maximum."""
    heatmap: Tensor
    """N1hw, h = H / 4: sum of the weighed map's channels, what the CAM head looks at."""
    attention: Tensor | None
    """NkHW, not negative, sums to 1 over k: share of each candidate; None without attention masks."""


class Generator(nn.Module):
    """U-GAT-IT generator; the meaning of every argument is in `GeneratorConfig`.

    With a pooled head (`head_size` given) any picture size divisible by 4 works.
    """

    def __init__(
        self,
        *,
        base_channels: int,
        num_blocks: int,
        image_size_px: int,
        head_size: int | None,
        use_scse: bool = False,
        num_masks: int = 0,
        has_input_candidate: bool = False,
        mixes_colours: bool = False,
        up_sampling: UpSampling = "nearest",
    ) -> None:
        super().__init__()
        inner = 4 * base_channels
        is_transposed = up_sampling == "transposed"
        self.down = nn.Sequential(
            DownLayer(3, base_channels, 7, stride=1),
            DownLayer(base_channels, 2 * base_channels, 3, stride=2),
            DownLayer(2 * base_channels, inner, 3, stride=2),
        )
        self.blocks = nn.Sequential(*(ResidualBlock(inner, use_scse=use_scse) for _ in range(num_blocks)))
        self.cam = CamHead(nn.Linear(inner, 1), nn.Linear(inner, 1))
        self.head = AdaptiveHead(inner, pooled_size=head_size, map_size=image_size_px // DOWN_SAMPLING)
        self.adaptive_blocks = nn.ModuleList(AdaptiveResidualBlock(inner, use_scse=use_scse) for _ in range(num_blocks))
        self.up = _up_layers(base_channels, is_transposed)
        self.mask_branch: MaskBranch | None = None
        num_drawn = 1
        if num_masks:
            num_drawn = num_masks - has_input_candidate
            self.mask_branch = MaskBranch(base_channels, num_blocks, num_masks, use_scse, is_transposed)
        self.draw = DrawingConv(base_channels, 3 * num_drawn, 7)
        self.has_input_candidate = has_input_candidate
        self.mixes_colours = mixes_colours

    def forward(self, image: Tensor) -> GeneratorOutput:
        """Stylise pictures.

        Args:
            image: N3HW in [-1, 1], H and W multiples of 4; exactly `image_size_px` if the head is not pooled.

        Raises:
            ValueError: the size does not fit.
        """
        self._check_size(image)
        # The weights may be of a smaller float type than the picture, which stays as it is.
        weighed, cam_logits = self.cam(self.blocks(self.down(image.to(self.draw.weight.dtype))))
        weighed = F.relu(weighed)
        gamma, beta = self.head(weighed)
        inner = weighed
        for block in self.adaptive_blocks:
            inner = block(inner, gamma, beta)
        drawn = torch.tanh(at_least_float32(self.draw(self.up(inner))))
        heatmap = weighed.sum(1, keepdim=True)
        if self.mask_branch is None:
            return GeneratorOutput(drawn, cam_logits, heatmap, None)
        attention = self.mask_branch(weighed)
        return GeneratorOutput(self._blend(image, drawn, attention), cam_logits, heatmap, attention)

    def _blend(self, image: Tensor, drawn: Tensor, attention: Tensor) -> Tensor:
        """Sum of the candidates, weighed by their masks."""
        if self.has_input_candidate and not self.mixes_colours:
            candidates = torch.cat([image.unsqueeze(2), _per_colour(drawn)], 2)
        else:
            candidates = _per_colour(torch.cat([image, drawn], 1) if self.has_input_candidate else drawn)
        return (candidates * attention.unsqueeze(1)).sum(2)

    def _check_size(self, image: Tensor) -> None:
        height, width = image.shape[2:]
        side = DOWN_SAMPLING * self.head.map_size
        if self.head.pooled_size is None and (height, width) != (side, side):
            raise ValueError(f"image is {height}x{width}; this generator's full head takes {side}x{side}.")
        if height % DOWN_SAMPLING or width % DOWN_SAMPLING:
            raise ValueError(f"image is {height}x{width}; use sides that are multiples of {DOWN_SAMPLING}.")


class MaskBranch(nn.Module):
    """Attention masks from the weighed map: residual blocks, two up layers, softmax over k masks."""

    def __init__(
        self, base_channels: int, num_blocks: int, num_masks: int, use_scse: bool, is_transposed: bool
    ) -> None:
        super().__init__()
        inner = 4 * base_channels
        self.blocks = nn.Sequential(*(ResidualBlock(inner, use_scse=use_scse) for _ in range(num_blocks)))
        self.up = _up_layers(base_channels, is_transposed)
        self.score = nn.Conv2d(base_channels, num_masks, 1)

    def forward(self, weighed: Tensor) -> Tensor:
        """NChw -> NkHW, H = 4h."""
        return torch.softmax(at_least_float32(self.score(self.up(self.blocks(weighed)))), 1)


def build_generator(config: GeneratorConfig) -> Generator:
    """A generator with fresh weights."""
    return Generator(**asdict(config))


def _per_colour(x: Tensor) -> Tensor:
    """N(3k)HW -> N3kHW."""
    return x.reshape(x.shape[0], 3, -1, *x.shape[2:])


def _up_layers(base_channels: int, is_transposed: bool) -> nn.Sequential:
    return nn.Sequential(
        UpLayer(4 * base_channels, 2 * base_channels, is_transposed=is_transposed),
        UpLayer(2 * base_channels, base_channels, is_transposed=is_transposed),
    )
