"""What this room's networks are built of: 3x3 convolutions whose batch norms can be folded away for inference."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval


class FoldableNet(nn.Module):
    """A network of `ConvNormAct`s."""

    def fold_norms(self) -> Self:
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
        return F.relu(x, inplace=True) if self.is_activated else x

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
        return F.relu(x + self.second(self.first(x)), inplace=True)


def _unfilled(conv: nn.Conv2d) -> nn.Conv2d:
    """A convolution that can take what folding makes of this one, where there are no weights yet to fold."""
    return nn.Conv2d(conv.in_channels, conv.out_channels, 3, conv.stride[0], 1, device="meta")
