"""The public U-GAT-IT generator as its users run it: plain torch modules, nothing fused, nothing shared.

A yardstick for benchmarks (and, with the discriminator of trainer/reference_networks.py, for whole training steps);
never used to make pictures: the networks of this project are in generator.py. Written from the description in the
paper ("paper" is U-GAT-IT, arXiv:1907.10830) and checked against recordings of znxlwm/UGATIT-pytorch ("official") and
zheng-yuwei/enhanced-UGATIT ("enhanced"). Modules have the names that our own have, so that one set of weights serves
both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PlainAdaLin(nn.Module):
    """AdaLIN, written as the paper's equation 1 is."""

    def __init__(self, num_channels: int, rho: float = 0.9) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((num_channels,), rho))

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """NCHW -> NCHW; `gamma` and `beta` are NxC."""
        of_instance = _standardised(x, (2, 3))
        of_layer = _standardised(x, (1, 2, 3))
        rho = self.rho.view(1, -1, 1, 1).expand(x.shape[0], -1, -1, -1)
        mixed = rho * of_instance + (1 - rho) * of_layer
        return mixed * gamma[:, :, None, None] + beta[:, :, None, None]


class PlainLin(PlainAdaLin):
    """LIN: the same with a scale and a shift of its own."""

    def __init__(self, num_channels: int) -> None:
        super().__init__(num_channels, rho=0.0)
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """NCHW -> NCHW."""
        num_pictures = x.shape[0]
        return super().forward(x, self.weight.expand(num_pictures, -1), self.bias.expand(num_pictures, -1))


class PlainConv(nn.Sequential):
    """Reflection padding, then the convolution, as two layers."""

    def __init__(
        self, num_in: int, num_out: int, size: int, *, stride: int = 1, bias: bool = True, is_spectral: bool = False
    ) -> None:
        conv = nn.Conv2d(num_in, num_out, size, stride, bias=bias)
        super().__init__(nn.ReflectionPad2d((size - 1) // 2), nn.utils.spectral_norm(conv) if is_spectral else conv)


class PlainLayer(nn.Module):
    """Convolution, norm, ReLU."""

    def __init__(self, conv: PlainConv, norm: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """NCHW -> NCHW."""
        return F.relu(self.norm(self.conv(x)), inplace=True)


class PlainBlock(nn.Module):
    """Residual block with instance norms."""

    def __init__(self, num_channels: int, *, is_affine: bool) -> None:
        super().__init__()
        self.conv1 = PlainConv(num_channels, num_channels, 3, bias=False)
        self.norm1 = nn.InstanceNorm2d(num_channels, affine=is_affine)
        self.conv2 = PlainConv(num_channels, num_channels, 3, bias=False)
        self.norm2 = nn.InstanceNorm2d(num_channels, affine=is_affine)

    def forward(self, x: Tensor) -> Tensor:
        """NCHW -> NCHW."""
        inner: Tensor = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)), inplace=True)))
        return x + inner


class PlainAdaptiveBlock(nn.Module):
    """Residual block with AdaLIN."""

    def __init__(self, num_channels: int, *, bias: bool) -> None:
        super().__init__()
        self.conv1 = PlainConv(num_channels, num_channels, 3, bias=bias)
        self.norm1 = PlainAdaLin(num_channels)
        self.conv2 = PlainConv(num_channels, num_channels, 3, bias=bias)
        self.norm2 = PlainAdaLin(num_channels)

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """NCHW -> NCHW."""
        inner: Tensor = F.relu(self.norm1(self.conv1(x), gamma, beta), inplace=True)
        inner = self.norm2(self.conv2(inner), gamma, beta)
        return inner + x


class PlainCam(nn.Module):
    """Class-activation attention: two weighed copies of the map, joined and merged."""

    def __init__(self, num_channels: int, *, bias: bool, is_spectral: bool = False) -> None:
        super().__init__()
        self.average = _linear(num_channels, 1, bias, is_spectral)
        self.maximum = _linear(num_channels, 1, bias, is_spectral)
        self.merge = nn.Conv2d(2 * num_channels, num_channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """NCHW -> NCHW before its activation, and Nx2 logits."""
        average_logit = self.average(F.adaptive_avg_pool2d(x, 1).flatten(1))
        maximum_logit = self.maximum(F.adaptive_max_pool2d(x, 1).flatten(1))
        by_average, by_maximum = x * _raw_weights(self.average), x * _raw_weights(self.maximum)
        logits = torch.cat([average_logit, maximum_logit], 1)
        return self.merge(torch.cat([by_average, by_maximum], 1)), logits


class PlainHead(nn.Module):
    """Gamma and beta from the map's averages (the light model)."""

    def __init__(self, num_channels: int, *, bias: bool) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(num_channels, num_channels, bias=bias)
        self.hidden2 = nn.Linear(num_channels, num_channels, bias=bias)
        self.gamma = nn.Linear(num_channels, num_channels, bias=bias)
        self.beta = nn.Linear(num_channels, num_channels, bias=bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """NCHW -> NxC gamma, NxC beta."""
        hidden = F.relu(self.hidden1(F.adaptive_avg_pool2d(x, 1).flatten(1)), inplace=True)
        hidden = F.relu(self.hidden2(hidden), inplace=True)
        return self.gamma(hidden), self.beta(hidden)


class PlainGenerator(nn.Module):
    """The light generator with nearest-neighbour enlargement.

    Args:
        base_channels: of the first map.
        num_blocks: residual blocks on each side of the CAM head.
        is_enhanced: norms with scale and shift and biases everywhere, as in enhanced-UGATIT; else as in the official.
    """

    def __init__(self, base_channels: int, num_blocks: int, *, is_enhanced: bool) -> None:
        super().__init__()
        inner = 4 * base_channels
        shapes = ((3, base_channels, 7, 1), (base_channels, 2 * base_channels, 3, 2), (2 * base_channels, inner, 3, 2))
        self.down = nn.Sequential(
            *(
                PlainLayer(
                    PlainConv(num_in, num_out, size, stride=stride, bias=False),
                    nn.InstanceNorm2d(num_out, affine=is_enhanced),
                )
                for num_in, num_out, size, stride in shapes
            )
        )
        self.blocks = nn.Sequential(*(PlainBlock(inner, is_affine=is_enhanced) for _ in range(num_blocks)))
        self.cam = PlainCam(inner, bias=is_enhanced)
        self.head = PlainHead(inner, bias=is_enhanced)
        self.adaptive_blocks = nn.ModuleList(PlainAdaptiveBlock(inner, bias=is_enhanced) for _ in range(num_blocks))
        self.up = nn.ModuleList(
            PlainLayer(PlainConv(width, width // 2, 3, bias=is_enhanced), PlainLin(width // 2))
            for width in (inner, inner // 2)
        )
        self.draw = PlainConv(base_channels, 3, 7, bias=is_enhanced)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """N3HW -> N3HW picture, Nx2 logits, N1hw heat map."""
        weighed, logits = self.cam(self.blocks(self.down(image)))
        x = weighed = F.relu(weighed, inplace=True)
        gamma, beta = self.head(weighed)
        for block in self.adaptive_blocks:
            x = block(x, gamma, beta)
        for layer in self.up:
            x = layer(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return torch.tanh(self.draw(x)), logits, weighed.sum(1, keepdim=True)


def load_ours(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a plain network the weights of one of model/; what it does not have (scales, biases) is left out.

    Raises:
        KeyError: the state is of another architecture.
    """
    network.load_state_dict({key: state[_our_key(key)] for key in network.state_dict()})


def our_keys(network: nn.Module) -> set[str]:
    """Names in model/ of everything that a plain network has."""
    return {_our_key(key) for key in network.state_dict()}


def _our_key(key: str) -> str:
    """Name in model/ of a tensor of a plain network: `body.0.1.weight_u` is `body.0.spectral.u` there."""
    key = re.sub(r"\.1\.(?=(weight|bias)[^.]*$)", ".", key)  # behind the padding
    for theirs, ours in (("weight_orig", "weight"), ("weight_u", "spectral.u"), ("weight_v", "spectral.v")):
        key = key.removesuffix(theirs) + ours if key.endswith(theirs) else key
    return key


def _standardised(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Zero mean and unit variance (unbiased) over some dimensions."""
    mean, variance = x.mean(dims, keepdim=True), x.var(dims, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5)


def _linear(num_in: int, num_out: int, bias: bool, is_spectral: bool) -> nn.Linear:
    linear = nn.Linear(num_in, num_out, bias=bias)
    return nn.utils.spectral_norm(linear) if is_spectral else linear


def _raw_weights(classifier: nn.Linear) -> Tensor:
    """1C11: without spectral norm, and with the bias (if there is one) added to each."""
    weight: Tensor = getattr(classifier, "weight_orig", classifier.weight)
    if classifier.bias is not None:
        weight = weight + classifier.bias
    return weight[:, :, None, None]
