"""The built-in parsing network: a small encoder and decoder that labels every pixel of a head crop with its part.

It takes normalised tensors and gives logits; reading weights and pictures is `parser.py`'s work, training it the
recipe's (`trainer/recipes/parser.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .parts import FacePart

CROP_SIZE_PX = 256
"""Side of the head crops the built-in network was trained on."""
STRIDE_PX = 32
"""Sides of pictures are multiples of this."""

_OUTPUT_STRIDE = 2


class PartNet(nn.Module):
    """U-shaped network of dense 3x3 convolutions that predicts at half the picture's size.

    The encoder's residual stages stand at strides 4 to 32; a decoder joins them from the coarsest to stride 2. The mean
    over the whole picture is added at the coarsest stage, so that every pixel knows what kind of picture it is in.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int, int] = (16, 32, 64, 128, 176),
        num_blocks: tuple[int, int, int, int] = (1, 1, 2, 1),
        joint_widths: tuple[int, int, int, int] = (20, 32, 48, 64),
        num_parts: int = len(FacePart),
    ) -> None:
        """Build the network with random weights.

        Args:
            widths: channels of the encoder at strides 2, 4, 8, 16 and 32.
            num_blocks: residual blocks at strides 4, 8, 16 and 32.
            joint_widths: channels of the decoder at strides 2, 4, 8 and 16.
            num_parts: P.
        """
        super().__init__()
        self.num_parts = num_parts
        self.stem = ConvNormAct(3, widths[0], stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(ConvNormAct(narrow, wide, stride=2), *(ResidualBlock(wide) for _ in range(count)))
            for narrow, wide, count in zip(widths[:-1], widths[1:], num_blocks, strict=True)
        )
        self.context = nn.Conv2d(widths[-1], widths[-1], 1)
        below = (*joint_widths[1:], widths[-1])
        self.lifts = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for coarse, fine in zip(below, joint_widths, strict=True))
        self.laterals = nn.ModuleList(
            nn.Conv2d(width, joint, 1) for width, joint in zip(widths[:-1], joint_widths, strict=True)
        )
        self.joins = nn.ModuleList(ConvNormAct(joint, joint) for joint in joint_widths)
        self.head = nn.Conv2d(joint_widths[0], num_parts, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits at the size of the pictures.

        Args:
            images: N3HW float32 RGB in [-1, 1], H and W multiples of 32.

        Returns:
            NPHW float32 logits, in the order of `FacePart`.
        """
        return F.interpolate(
            self.half_size_logits(images), scale_factor=_OUTPUT_STRIDE, mode="bilinear", align_corners=False
        )

    def half_size_logits(self, images: Tensor) -> Tensor:
        """Compute the logits before they are enlarged: NPHW float32 with half the pictures' H and W."""
        features = [self.stem(images)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        joined = features[-1] + self.context(features[-1].mean((2, 3), keepdim=True))
        for level in reversed(range(len(self.joins))):
            lifted = F.interpolate(self.lifts[level](joined), scale_factor=2.0, mode="nearest")
            joined = self.joins[level](lifted + self.laterals[level](features[level]))
        logits: Tensor = self.head(joined).float()
        return logits

    def fold_norms(self) -> PartNet:
        """Fold every batch norm into the convolution before it, in place; for inference only.

        Returns:
            The network itself, in eval mode, with the same outputs and fewer operations.
        """
        self.eval()
        for module in self.modules():
            if isinstance(module, ConvNormAct):
                module.fold()
        return self


class ConvNormAct(nn.Module):
    """3x3 convolution, batch norm, and ReLU unless it is switched off."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, is_activated: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out_channels)
        self.is_activated = is_activated

    def forward(self, x: Tensor) -> Tensor:
        """Map NCHW to NC'HW, or half of H and W at stride 2."""
        x = self.norm(self.conv(x))
        return torch.relu(x) if self.is_activated else x

    def fold(self) -> None:
        """Fold the batch norm into the convolution; does nothing the second time."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = _unfilled(self.conv) if self.conv.weight.is_meta else fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNormAct(channels, channels)
        self.second = ConvNormAct(channels, channels, is_activated=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map NCHW to NCHW."""
        return torch.relu(x + self.second(self.first(x)))


def _unfilled(conv: nn.Conv2d) -> nn.Conv2d:
    """A convolution that can take what folding makes of this one, where there are no weights yet to fold."""
    return nn.Conv2d(conv.in_channels, conv.out_channels, 3, conv.stride[0], 1, device="meta")
