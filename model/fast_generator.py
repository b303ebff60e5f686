"""A generator rewritten for inference: the same function with fewer multiplications and fewer passes over its maps.

What is done, each exact but for rounding:
- Enlarging by nearest neighbour and a 3x3 convolution is one transposed 4x4 convolution of the small map.
- The CAM head's weights, its classifiers' and the merging convolution's, become one 1x1 convolution.
- The last 7x7 convolution draws tiles of 4x4 pixels where its few outputs would leave vectors empty.
- The inner 3x3 convolutions are Winograd's (`winograd.py`), in float32 on a CPU.
- In bfloat16 neither the picture nor the first convolution's weights lose a digit: most of its error came from there.
- Norms are those of `fast_norms.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import AdaptiveResidualBlock, DownLayer, PaddedConv, ResidualBlock, UpLayer, _tile_weight, reflect
from .config import DOWN_SAMPLING
from .fast_norms import instance_norm, instance_norm_rows, mixed_norm, mixed_norm_rows
from .generator import Generator
from .norms import InstanceNorm, at_least_float32
from .winograd import WinogradConv, tiled_order

_TILE = 4  # side of the tile of pixels that the last convolution draws at once
_LANES = 16  # output channels that a CPU's kernels compute together
_HALF_RANGE, _GRID = 127.5, 128  # levels from grey to white, and what bfloat16 divides [0, 1] into everywhere
_MIN_WINOGRAD_CHANNELS = 48  # below, the transforms take longer than the multiplications that they save
_MAX_WINOGRAD_BYTES = 48 * 1024**2  # of an inner map; its products take nine times as much memory in all


class FastGenerator(nn.Module):
    """A `Generator` that gives nothing but the picture, for evaluation only.

    Args:
        generator: what it computes, with all its options; most weights are shared, so they must stay as they are.
        use_winograd: for the inner convolutions: then it takes one float32 picture at a time.
        is_narrow: its convolutions will run in less than float32.
    """

    def __init__(self, generator: Generator, *, use_winograd: bool = False, is_narrow: bool = False) -> None:
        super().__init__()
        source: Any = generator  # modules do not tell the types of their parts
        self.down: Any = nn.ModuleList([_ExactLayer(source.down[0]), *source.down[1:]]) if is_narrow else source.down
        self.blocks = _blocks(source.blocks, use_winograd)
        self.merge = _merging(source.cam)
        self.head = source.head
        self.adaptive_blocks = _blocks(source.adaptive_blocks, use_winograd)
        self.up = nn.Sequential(*(_EnlargingLayer(layer, is_narrow) for layer in source.up))
        self.draw = _Drawing(source.draw)
        branch = source.mask_branch
        self.mask_blocks = None if branch is None else _blocks(branch.blocks, use_winograd)
        self.score: Any = None
        if branch is not None:
            self.score = nn.Sequential(*(_EnlargingLayer(layer, is_narrow) for layer in branch.up), branch.score)
        self._blend, self._check_size = source._blend, source._check_size
        self._is_narrow = is_narrow
        self._layout = _Rows if use_winograd else _Maps
        self.eval()

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """N3HW in [-1, 1] -> the stylised picture, N3HW in [-1, 1]; see `Generator.forward`."""
        self._check_size(image)
        x = image if self._is_narrow else image.to(self.merge.weight.dtype)
        for layer in self.down:
            x = F.relu(instance_norm(layer.conv(x), layer.norm, is_narrow=self._is_narrow))
        layout = self._layout(x.shape, self._is_narrow)
        inner = layout.entered(x)
        for block in self.blocks:
            inner = block(inner, layout)
        inner = weighed = F.relu(layout.merged(inner, self.merge))
        gamma, beta = self.head(layout.pooled(weighed, self.head.pooled_size))
        for block in self.adaptive_blocks:
            inner = block(inner, layout, gamma, beta)
        drawn = torch.tanh(at_least_float32(self.draw(self.up(layout.left(inner)))))
        if self.mask_blocks is None:
            return drawn
        for block in self.mask_blocks:
            weighed = block(weighed, layout)
        scores = at_least_float32(self.score(layout.left(weighed)))
        blended: Tensor = self._blend(image, drawn, torch.softmax(scores, 1))
        return blended


def suits_winograd(generator: Generator, size_hw: Sequence[int]) -> bool:
    """Whether Winograd's convolutions are faster for pictures of a size (float32, CPU), in memory that is there."""
    num_channels = generator.cam.merge.out_channels
    num_bytes = 4 * num_channels * (size_hw[0] // DOWN_SAMPLING) * (size_hw[1] // DOWN_SAMPLING)
    return num_channels >= _MIN_WINOGRAD_CHANNELS and num_bytes <= _MAX_WINOGRAD_BYTES


class _ExactLayer(nn.Module):
    """The first `DownLayer`, for pictures of 8 bits and convolutions in bfloat16."""

    def __init__(self, layer: DownLayer) -> None:
        super().__init__()
        self.conv = _ExactConv(layer.conv)
        self.norm = layer.norm


class _ExactConv(PaddedConv):
    """A convolution of a picture that is exact in bfloat16, up to the same number everywhere in each output channel.

    The picture is put where bfloat16 has all of its 256 levels: on whole numbers / 128. It is given twice, to the
    weights as bfloat16 rounds them and to what is left of them. The norm behind takes the shift out.
    """

    def __init__(self, conv: PaddedConv) -> None:
        size, stride = conv.kernel_size[0], conv.stride[0]
        super().__init__(2 * conv.in_channels, conv.out_channels, size, stride=stride, bias=False)
        weight = conv.weight.detach() * (_GRID / _HALF_RANGE)
        rounded = weight.bfloat16().to(weight.dtype)
        self.weight = nn.Parameter(torch.cat([rounded, weight - rounded], 1), requires_grad=False)

    def forward(self, image: Tensor) -> Tensor:
        """N3HW float32 in [-1, 1] -> NCHW in the type of the weights."""
        picture = (image * (_HALF_RANGE / _GRID) - 0.5 / _GRID).to(self.weight.dtype)
        return super().forward(torch.cat([picture, picture], 1))


class _Layout(Protocol):
    """How the inner maps lie in memory while the blocks work on them."""

    def __init__(self, shape_nchw: torch.Size, is_narrow: bool) -> None: ...
    def entered(self, x: Tensor) -> Tensor:
        """NCHW -> this layout."""

    def left(self, inner: Tensor) -> Tensor:
        """The reverse."""

    def convolved(self, inner: Tensor, conv: nn.Module) -> Tensor:
        """By a 3x3 convolution with reflection padding."""

    def merged(self, inner: Tensor, conv: nn.Conv2d) -> Tensor:
        """By a 1x1 convolution."""

    def normalised(self, inner: Tensor, norm: InstanceNorm) -> Tensor:
        """By instance norm."""

    def adapted(self, inner: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor, bias: Tensor) -> Tensor:
        """By AdaLIN; `bias` is that of the convolution before it."""

    def excited(self, inner: Tensor, scse: nn.Module) -> Tensor:
        """By scSE."""

    def pooled(self, inner: Tensor, size: int | None) -> Tensor:
        """NCHW whose average over `size` x `size` parts is that of the map; None: the map."""


class _Maps:
    """Maps as they are, NCHW."""

    def __init__(self, shape_nchw: torch.Size, is_narrow: bool) -> None:
        self._is_narrow = is_narrow

    def entered(self, x: Tensor) -> Tensor:
        return x

    def left(self, inner: Tensor) -> Tensor:
        return inner

    def convolved(self, inner: Tensor, conv: nn.Module) -> Tensor:
        mapped: Tensor = conv(inner)
        return mapped

    def merged(self, inner: Tensor, conv: nn.Conv2d) -> Tensor:
        mapped: Tensor = conv(inner)
        return mapped

    def normalised(self, inner: Tensor, norm: InstanceNorm) -> Tensor:
        return instance_norm(inner, norm, is_narrow=self._is_narrow)

    def adapted(self, inner: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor, bias: Tensor) -> Tensor:
        return mixed_norm(inner, rho, gamma, beta, is_narrow=self._is_narrow)  # the bias is in the map already

    def excited(self, inner: Tensor, scse: nn.Module) -> Tensor:
        gated: Tensor = scse(inner)
        return gated

    def pooled(self, inner: Tensor, size: int | None) -> Tensor:
        return inner


class _Rows:
    """One map as PC rows, in the order in which Winograd's convolutions give them."""

    def __init__(self, shape_nchw: torch.Size, is_narrow: bool) -> None:
        num_pictures, _, height, width = (int(side) for side in shape_nchw)
        if num_pictures != 1:
            raise ValueError(f"there are {num_pictures} pictures; this generator takes one at a time.")
        self._order = tiled_order(height, width)

    def entered(self, x: Tensor) -> Tensor:
        return self._order.to_rows(x[0].permute(1, 2, 0).reshape(-1, x.shape[1]))

    def left(self, inner: Tensor) -> Tensor:
        pixels = self._order.to_pixels(inner)
        return pixels.reshape(1, self._order.height, self._order.width, -1).permute(0, 3, 1, 2)

    def convolved(self, inner: Tensor, conv: nn.Module) -> Tensor:
        mapped: Tensor = conv(inner, self._order)
        return mapped

    def merged(self, inner: Tensor, conv: nn.Conv2d) -> Tensor:
        return F.linear(inner, conv.weight[:, :, 0, 0], conv.bias)

    def normalised(self, inner: Tensor, norm: InstanceNorm) -> Tensor:
        return instance_norm_rows(inner, norm)

    def adapted(self, inner: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor, bias: Tensor) -> Tensor:
        return mixed_norm_rows(inner, rho, gamma, beta, bias)

    def excited(self, inner: Tensor, scse: nn.Module) -> Tensor:
        gated: Tensor = scse(inner[None, :, None].permute(0, 3, 1, 2))  # it does not ask where a pixel is
        return gated[0, :, :, 0].permute(1, 0)

    def pooled(self, inner: Tensor, size: int | None) -> Tensor:
        if size != 1:
            return self.left(inner)
        # In two steps: OpenVINO adds one by one, and thousands of values at once lose two digits.
        lines = inner.reshape(self._order.height, self._order.width, -1)
        return lines.mean(1).mean(0)[None, :, None, None]


class _Block(nn.Module):
    """A `ResidualBlock` or an `AdaptiveResidualBlock` in a layout."""

    def __init__(self, block: ResidualBlock | AdaptiveResidualBlock, use_winograd: bool) -> None:
        super().__init__()
        self.block: Any = block
        convs = (block.conv1, block.conv2)
        self.convs = nn.ModuleList(WinogradConv(conv) if use_winograd else conv for conv in convs)

    def forward(
        self, inner: Tensor, layout: _Layout, gamma: Tensor | None = None, beta: Tensor | None = None
    ) -> Tensor:
        block = self.block
        y = F.relu(self._normalised(0, layout.convolved(inner, self.convs[0]), layout, gamma, beta))
        y = self._normalised(1, layout.convolved(y, self.convs[1]), layout, gamma, beta)
        return inner + (y if isinstance(block.scse, nn.Identity) else layout.excited(y, block.scse))

    def _normalised(self, index: int, x: Tensor, layout: _Layout, gamma: Tensor | None, beta: Tensor | None) -> Tensor:
        norm = (self.block.norm1, self.block.norm2)[index]
        if gamma is None or beta is None:
            return layout.normalised(x, norm)
        bias = (self.block.conv1, self.block.conv2)[index].bias
        return layout.adapted(x, norm.rho, gamma, beta, bias)


class _EnlargingLayer(nn.Module):
    """An `UpLayer` that convolves the small map, which takes less than half of the multiplications."""

    def __init__(self, layer: UpLayer, is_narrow: bool) -> None:
        super().__init__()
        self.is_narrow = is_narrow
        self.norm: Any = layer.norm
        self.conv: Any = layer.conv if layer.is_transposed else _DoublingConv(layer.conv)

    def forward(self, x: Tensor) -> Tensor:
        norm = self.norm
        return F.relu(mixed_norm(self.conv(x), norm.rho, norm.weight, norm.bias, is_narrow=self.is_narrow))


class _DoublingConv(nn.ConvTranspose2d):
    """Doubling by nearest neighbour and a padded 3x3 convolution behind it, in one."""

    def __init__(self, conv: Any) -> None:
        super().__init__(conv.in_channels, conv.out_channels, 4, stride=2, padding=3, device=conv.weight.device)
        weight = conv.weight.detach()
        for dim in (2, 3):
            # A small pixel is seen from four large ones: from its own two by two taps, from those beside them by one.
            first, second, third = weight.unbind(dim)
            weight = torch.stack([third, second + third, first + second, first], dim)
        self.weight = nn.Parameter(weight.transpose(0, 1).contiguous(), requires_grad=False)
        self.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """NCHW -> NC(2H)(2W)."""
        # Reflecting the doubled map by one pixel is repeating the small one's border.
        return super().forward(F.pad(x, (1,) * 4, mode="replicate"), output_size)


class _Drawing(nn.Module):
    """A `DrawingConv` that draws tiles where that is less work."""

    def __init__(self, conv: PaddedConv) -> None:
        super().__init__()
        self.is_tiled = _draws_tiles(conv)
        self.margin = conv._margin
        self.conv = _convolution(_tile_weight(conv.weight), conv.bias, _TILE**2, _TILE) if self.is_tiled else conv

    def forward(self, x: Tensor) -> Tensor:
        drawn: Tensor = self.conv(reflect(x, self.margin) if self.is_tiled else x)
        return F.pixel_shuffle(drawn, _TILE) if self.is_tiled else drawn


def _blocks(blocks: Iterable[Any], use_winograd: bool) -> nn.ModuleList:
    return nn.ModuleList(_Block(block, use_winograd) for block in blocks)


def _merging(cam: Any) -> nn.Conv2d:
    """The CAM head's convolution of the weighed copies of a map, as one of the map itself."""
    return _convolution(cam._weighed_merge(), cam.merge.bias, 1, 1)


def _draws_tiles(conv: nn.Conv2d) -> bool:
    """Is the larger kernel with full vectors less work per pixel than the plain one?"""
    size, num_outputs = conv.kernel_size[0], conv.out_channels
    return (size + _TILE - 1) ** 2 * num_outputs < size**2 * (-(-num_outputs // _LANES) * _LANES)


def _convolution(weight: Tensor, bias: Tensor | None, repeats: int, stride: int) -> nn.Conv2d:
    """A convolution without padding; each value of `bias` serves `repeats` outputs."""
    num_outputs, num_inputs, size, _ = weight.shape
    conv = nn.Conv2d(num_inputs, num_outputs, size, stride, bias=bias is not None, device=weight.device)
    conv.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        conv.bias = nn.Parameter(bias.detach().repeat_interleave(repeats), requires_grad=False)
    return conv
