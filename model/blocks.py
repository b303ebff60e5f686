"""The parts a generator is assembled from: layers, residual blocks, scSE, the CAM head, the AdaLIN head.

Knows no configuration; every part takes numbers. Maps are NCHW. "Paper" is U-GAT-IT, arXiv:1907.10830.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .norms import AdaptiveLayerInstanceNorm, InstanceNorm, LayerInstanceNorm

_TILE = 4  # side of the tile of pixels that `DrawingConv` computes at once


class PaddedConv(nn.Conv2d):
    """Convolution behind reflection padding; an odd size at stride 1 keeps H and W, size 4 takes one off."""

    def __init__(self, in_channels: int, out_channels: int, size: int, *, stride: int = 1, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, size, stride=stride, bias=bias)
        self._margin = ((size - 1) // 2,) * 4

    def forward(self, x: Tensor) -> Tensor:
        """NCHW -> NCHW, H and W divided by the stride."""
        return super().forward(reflect(x, self._margin))


class DrawingConv(PaddedConv):
    """`PaddedConv` of few output channels that is quicker to train on a CPU, whose kernels starve on those."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        is_training_on_cpu = input.device.type == "cpu" and torch.is_grad_enabled()
        if not is_training_on_cpu or (input.shape[2] - weight.shape[2] + 1) % _TILE:
            plain: Tensor = super()._conv_forward(input, weight, bias)
            return plain
        # One position in 4x4, but with the outputs of all 16 as channels: more arithmetic, better used.
        tiled = F.conv2d(input, _tile_weight(weight), None, stride=_TILE)
        drawn = F.pixel_shuffle(tiled, _TILE)
        return drawn if bias is None else drawn + bias[:, None, None].to(drawn.dtype)


def _tile_weight(weight: Tensor) -> Tensor:
    """OIKK -> (16 O)IMM, M = K + 3: the kernel at the 16 places within a tile."""
    margin = _TILE - 1
    size = weight.shape[2] + margin
    places = F.pad(weight, (margin,) * 4).unfold(2, size, 1).unfold(3, size, 1)  # O I 4 4 M M, last place first
    tiled = places.flip(2, 3).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
    return tiled.contiguous(memory_format=torch.channels_last)


def reflect(x: Tensor, margin: Sequence[int]) -> Tensor:
    """Reflection padding in the type of `x`; autocast on a CPU would widen it to float32 and back."""
    if not torch.is_autocast_enabled("cpu"):
        return F.pad(x, margin, mode="reflect")
    with torch.autocast("cpu", enabled=False):
        return F.pad(x, margin, mode="reflect")


class DownLayer(nn.Module):
    """Convolution, instance norm, ReLU: the encoder's layer."""

    def __init__(self, in_channels: int, out_channels: int, size: int, *, stride: int) -> None:
        super().__init__()
        self.conv = PaddedConv(in_channels, out_channels, size, stride=stride, bias=False)
        self.norm = InstanceNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """NCHW -> NCHW, H and W divided by the stride."""
        return F.relu(self.norm(self.conv(x)), inplace=True)


class UpLayer(nn.Module):
    """Doubling of the map, LIN, ReLU: the decoder's layer.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        is_transposed: double by a transposed convolution, not by nearest neighbour and a convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, *, is_transposed: bool) -> None:
        super().__init__()
        self.is_transposed = is_transposed
        self.conv: nn.Module
        if is_transposed:
            self.conv = nn.ConvTranspose2d(in_channels, out_channels, 3, 2, padding=1, output_padding=1)
        else:
            self.conv = PaddedConv(in_channels, out_channels, 3)
        self.norm = LayerInstanceNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """NCHW -> NCHW with H and W doubled."""
        if not self.is_transposed:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return F.relu(self.norm(self.conv(x)), inplace=True)


class ResidualBlock(nn.Module):
    """Two convolutions with instance norm, added to the input."""

    def __init__(self, num_channels: int, *, use_scse: bool) -> None:
        super().__init__()
        self.conv1 = PaddedConv(num_channels, num_channels, 3, bias=False)
        self.norm1 = InstanceNorm(num_channels)
        self.conv2 = PaddedConv(num_channels, num_channels, 3, bias=False)
        self.norm2 = InstanceNorm(num_channels)
        self.scse = SqueezeExcitation(num_channels) if use_scse else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """NCHW -> NCHW."""
        inner: Tensor = F.relu(self.norm1(self.conv1(x)), inplace=True)
        inner = self.scse(self.norm2(self.conv2(inner)))
        return x + inner


class AdaptiveResidualBlock(nn.Module):
    """Two convolutions with AdaLIN, added to the input (paper, section 2.1.1)."""

    def __init__(self, num_channels: int, *, use_scse: bool) -> None:
        super().__init__()
        self.conv1 = PaddedConv(num_channels, num_channels, 3)
        self.norm1 = AdaptiveLayerInstanceNorm(num_channels)
        self.conv2 = PaddedConv(num_channels, num_channels, 3)
        self.norm2 = AdaptiveLayerInstanceNorm(num_channels)
        self.scse = SqueezeExcitation(num_channels) if use_scse else nn.Identity()

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """NCHW -> NCHW; `gamma` and `beta` are NxC and serve both norms."""
        inner: Tensor = F.relu(self.norm1(self.conv1(x), gamma, beta), inplace=True)
        inner = self.scse(self.norm2(self.conv2(inner), gamma, beta))
        return x + inner


class SqueezeExcitation(nn.Module):
    """Concurrent spatial and channel squeeze-and-excitation, gates added (Roy et al., arXiv:1803.02579)."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        num_hidden = max(num_channels // 4, 8)
        self.squeeze = nn.Conv2d(num_channels, num_hidden, 1)
        self.excite = nn.Conv2d(num_hidden, num_channels, 1)
        self.spatial = nn.Conv2d(num_channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """NCHW -> NCHW."""
        channel_gate = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))  # NC11
        return x * (channel_gate + torch.sigmoid(self.spatial(x)))


class CamHead(nn.Module):
    """Class-activation attention: two auxiliary classifiers whose weights weigh the channels (paper, 2.1.1).

    Args:
        average: Linear C -> 1 that classifies by the channels' averages.
        maximum: Linear C -> 1 that classifies by their maxima.
        use_attention: weigh the channels; False merges them as they are.
    """

    def __init__(self, average: nn.Linear, maximum: nn.Linear, *, use_attention: bool = True) -> None:
        super().__init__()
        self.average = average
        self.maximum = maximum
        self.use_attention = use_attention
        self.merge = nn.Conv2d(2 * average.in_features, average.in_features, 1)

    def forward(self, x: Tensor, evidence: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Weigh the channels of a map.

        Args:
            x: NCHW map to weigh.
            evidence: NCHW map to classify; None: `x`.

        Returns:
            NCHW weighed map before its activation, and Nx2 class logits (from the averages, from the maxima).
        """
        evidence = x if evidence is None else evidence
        logits = self._logits(evidence)
        if self.use_attention and x.numel() < self.merge.in_channels * x.shape[1]:
            return self.merge(self._weighed_copies(x)), logits  # the map is smaller than the weights
        return F.conv2d(x, self._weighed_merge(), self.merge.bias), logits

    def _logits(self, evidence: Tensor) -> Tensor:
        """Nx2, in the weights' own type: bfloat16 would round a logit off by as much as its loss is to fall."""
        dtype = self.average.weight.dtype
        averages, maxima = evidence.mean((2, 3)).to(dtype), evidence.amax((2, 3)).to(dtype)
        with _without_autocast(evidence.device.type):
            return torch.cat([self.average(averages), self.maximum(maxima)], 1)

    def _weighed_copies(self, x: Tensor) -> Tensor:
        return torch.cat([x * _channel_weights(c).to(x.dtype) for c in (self.average, self.maximum)], 1)

    def _weighed_merge(self) -> Tensor:
        # merge(cat(x * a, x * m)) is one convolution with the weights A * a + M * m.
        by_average, by_maximum = self.merge.weight.chunk(2, 1)  # C x C x 1 x 1 each
        if not self.use_attention:
            return by_average + by_maximum
        return by_average * _channel_weights(self.average) + by_maximum * _channel_weights(self.maximum)


def _without_autocast(device_type: str) -> AbstractContextManager[Any]:
    if device_type == "meta" or not torch.is_autocast_enabled(device_type):
        return nullcontext()
    return torch.autocast(device_type, enabled=False)


def _channel_weights(classifier: nn.Linear) -> Tensor:
    """1C11: not normalised and with the bias added to each, as the reference implementations do."""
    return (classifier.weight + classifier.bias)[..., None, None]


class AdaptiveHead(nn.Module):
    """Computes the AdaLIN scale and shift from the weighed map.

    Args:
        num_channels: C.
        pooled_size: side of the map it is pooled to; None reads the whole map.
        map_size: side of the whole map, used where it is not pooled.
    """

    def __init__(self, num_channels: int, *, pooled_size: int | None, map_size: int) -> None:
        super().__init__()
        self.pooled_size = pooled_size
        self.map_size = map_size
        self.hidden1 = nn.Linear((pooled_size or map_size) ** 2 * num_channels, num_channels)
        self.hidden2 = nn.Linear(num_channels, num_channels)
        self.gamma = nn.Linear(num_channels, num_channels)
        self.beta = nn.Linear(num_channels, num_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """NCHW -> NxC gamma, NxC beta."""
        if self.pooled_size is not None:
            x = F.adaptive_avg_pool2d(x, self.pooled_size)
        hidden = F.relu(self.hidden2(F.relu(self.hidden1(x.flatten(1)))))
        return self.gamma(hidden), self.beta(hidden)
