"""BiSeNet, the network that labels every pixel of a face with its part.

Computes logits from normalised pictures; knows no weights file and no picture format (parser.py does).

The architecture is Yu et al., "BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation",
ECCV 2018 (arXiv:1808.00897), figures 2 and 3, in the variant of
https://github.com/zllrunning/face-parsing.PyTorch, which takes the spatial path from the backbone's stride-8
features. Modules carry that project's parameter names, so that its published weights load without a key map.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .parts import FacePart

NUM_PARTS = len(FacePart)


class BiSeNetOutput(NamedTuple):
    """Logits of the main head and of the two that only training uses, each NPHW at the input's size."""

    out: Tensor
    out16: Tensor
    out32: Tensor


class ConvNormReLU(nn.Module):
    """Convolution without bias, batch norm, ReLU; keeps the size at stride 1."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map NCHW to NC'HW, at least 0."""
        return torch.relu(self.bn(self.conv(x)))


class AttentionRefinement(nn.Module):
    """Features weighted channel by channel by their own average over the picture."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvNormReLU(in_channels, out_channels)
        self.conv_atten = nn.Conv2d(out_channels, out_channels, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map NCHW to NC'HW."""
        features = self.conv(x)
        weights = self.bn_atten(self.conv_atten(_average(features)))  # NC'11
        return torch.mul(features, torch.sigmoid(weights))


class ContextPath(nn.Module):
    """ResNet-18 and two refinement steps that carry the whole picture's context up to stride 8."""

    def __init__(self) -> None:
        from torchvision.models import resnet18  # a second to import, for weights that few people have

        super().__init__()
        self.resnet = resnet18(weights=None)
        del self.resnet.avgpool, self.resnet.fc  # the classifier's end
        self.arm16 = AttentionRefinement(256, 128)
        self.arm32 = AttentionRefinement(512, 128)
        self.conv_head32 = ConvNormReLU(128, 128)
        self.conv_head16 = ConvNormReLU(128, 128)
        self.conv_avg = ConvNormReLU(512, 128, kernel_size=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map N3HW to backbone features at stride 8 and context at strides 8 and 16, 128 channels each."""
        features8, features16, features32 = self._backbone(x)
        context32 = self.arm32(features32) + self.conv_avg(_average(features32))
        context16 = self.conv_head32(_grow_to(features16, context32))
        context8 = self.conv_head16(_grow_to(features8, self.arm16(features16) + context16))
        return features8, context8, context16

    def _backbone(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        net = self.resnet
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        features8 = net.layer2(net.layer1(x))
        features16 = net.layer3(features8)
        return features8, features16, net.layer4(features16)


class FeatureFusion(nn.Module):
    """Backbone and context features joined, their channels re-weighted by a squeeze-and-excitation gate."""

    def __init__(self, in_channels: int, out_channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.convblk = ConvNormReLU(in_channels, out_channels, kernel_size=1)
        self.conv1 = nn.Conv2d(out_channels, out_channels // reduction, 1, bias=False)
        self.conv2 = nn.Conv2d(out_channels // reduction, out_channels, 1, bias=False)

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        """Join two NCHW feature maps of one size."""
        features = self.convblk(torch.cat([spatial, context], dim=1))
        gate = torch.sigmoid(self.conv2(torch.relu(self.conv1(_average(features)))))  # NC11
        return torch.addcmul(features, features, gate)


class PartHead(nn.Module):
    """Logits from features."""

    def __init__(self, in_channels: int, mid_channels: int, num_parts: int) -> None:
        super().__init__()
        self.conv = ConvNormReLU(in_channels, mid_channels)
        self.conv_out = nn.Conv2d(mid_channels, num_parts, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map NCHW features to NPHW logits."""
        logits: Tensor = self.conv_out(self.conv(x))
        return logits


class BiSeNet(nn.Module):
    """The whole face-parsing network: 13.3 million parameters."""

    def __init__(self, num_parts: int = NUM_PARTS) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = FeatureFusion(256, 256)
        self.conv_out = PartHead(256, 256, num_parts)
        self.conv_out16 = PartHead(128, 64, num_parts)
        self.conv_out32 = PartHead(128, 64, num_parts)

    def forward(self, x: Tensor) -> BiSeNetOutput:
        """Compute the logits of all three heads.

        Args:
            x: N3HW float32 RGB, ImageNet-normalised; the published weights expect 512 x 512.

        Returns:
            Three NPHW float32 logit maps at the input's size.
        """
        features8, context8, context16 = self.cp(x)
        fused = self.ffm(features8, context8)
        logits = self.conv_out(fused), self.conv_out16(context8), self.conv_out32(context16)
        return BiSeNetOutput(*(_resize_to(x, head) for head in logits))


def _average(x: Tensor) -> Tensor:
    return x.mean(dim=(2, 3), keepdim=True)


def _grow_to(like: Tensor, x: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="nearest")


def _resize_to(like: Tensor, x: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=True)
