"""A generator arranged for CUDA: what stands between two convolutions is done by the kernels of triton_norm.py.

The same arithmetic as generator.py, norms in float32 throughout; only the picture comes out. Needs Triton.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import _TILE, AdaptiveResidualBlock, ResidualBlock, _tile_weight
from .generator import Generator
from .triton_norm import applied, instance_affine, layer_instance_affine

_DRAW_MARGIN = 3


class FusedGenerator(nn.Module):
    """Runs the layers of a generator.

    Maps are handed on padded as the next convolution reads them, so that nothing else has to do that. The decoder's
    convolutions are done on the map before it is doubled, which takes less than half of the multiplications.

    Args:
        generator: in evaluation mode, its convolutions in one float type and in channels-last memory; it is shared, not
            copied, and its weights must stay as they are.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator: Any = generator  # modules do not tell the types of their parts
        self._merged: Tensor
        self._tiled: Tensor
        doubling: Any = () if self.generator.up[0].is_transposed else self.generator.up
        with torch.no_grad():
            merged = generator.cam._weighed_merge()
            self.register_buffer("_merged", merged.contiguous(memory_format=torch.channels_last), persistent=False)
            # Three output channels starve the tensor cores; 48 outputs for each 4x4 tile of pixels do not.
            self.register_buffer("_tiled", _tile_weight(generator.draw.weight), persistent=False)
            for i, layer in enumerate(doubling):
                self.register_buffer(f"_phases{i}", _phase_weight(layer.conv.weight), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """N3HW in [-1, 1], H and W multiples of 4 -> N3HW float32 in [-1, 1]."""
        g = self.generator
        g._check_size(image)
        x = F.pad(image.to(g.draw.weight.dtype), (_DRAW_MARGIN,) * 4, mode="reflect")
        for layer in g.down:
            mapped = _conv(layer.conv, x)
            x = applied(mapped, instance_affine(mapped, layer.norm.weight, layer.norm.bias), relu=True, margin=1)
        for i, block in enumerate(g.blocks):
            x = _residual(block, x, margin=int(i + 1 < len(g.blocks)))
        padded = _laid_out(F.conv2d(x, self._merged, g.cam.merge.bias), relu=True, margin=1)
        weighed = _inside(padded)
        drawn = self._drawn(padded, *g.head(weighed))
        return drawn if g.mask_branch is None else g._blend(image, drawn, g.mask_branch(weighed))

    def _drawn(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """The adaptive half: NC(h+2)(w+2) -> NkHW float32 with H = 4h."""
        g = self.generator
        is_phased = not g.up[0].is_transposed
        for_up: dict[str, Any] = {"margin": int(is_phased), "reflects": False}
        for i, block in enumerate(g.adaptive_blocks):
            is_last = i + 1 == len(g.adaptive_blocks)
            x = _adaptive(block, x, gamma, beta, **(for_up if is_last else {"margin": 1}))
        for i, (layer, layout) in enumerate(zip(g.up, (for_up, {"margin": _DRAW_MARGIN}), strict=True)):
            mapped = self._phases(i, layer.conv.bias, x) if is_phased else layer.conv(x)
            norm = layer.norm
            affine = layer_instance_affine(mapped, norm.rho, norm.weight, norm.bias, is_phased=is_phased)
            x = applied(mapped, affine, relu=True, is_phased=is_phased, **layout)
        tiles = F.conv2d(x, self._tiled, None, stride=_TILE)
        return torch.tanh(F.pixel_shuffle(tiles, _TILE).float() + g.draw.bias.float()[:, None, None])

    def _phases(self, index: int, bias: Tensor, x: Tensor) -> Tensor:
        """Convolution of a doubled map, as a phased map, from the small one with a margin of 1 that repeats edges."""
        return F.conv2d(x, getattr(self, f"_phases{index}"), bias.repeat(4))


def _phase_weight(weight: Tensor) -> Tensor:
    """OI33 -> (4 O)I22: what the kernel does to a doubled map, for each of the four pixels of a pair of rows.

    The first row of a pair sees the row before once and its own twice, the second its own twice and the next one once;
    columns likewise.
    """
    rows = torch.tensor([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], dtype=torch.float32, device=weight.device)
    phases = torch.einsum("pak,qbl,oikl->pqoiab", rows, rows, weight.float()).flatten(0, 2)
    return phases.to(weight.dtype).contiguous(memory_format=torch.channels_last)


def _residual(block: ResidualBlock, x: Tensor, *, margin: int) -> Tensor:
    """A block on a map with a margin of 1, which comes back with `margin`."""
    mapped = _conv(block.conv1, x)
    inner = applied(mapped, instance_affine(mapped, block.norm1.weight, block.norm1.bias), relu=True, margin=1)
    mapped = _conv(block.conv2, inner)
    return _added(block, x, mapped, instance_affine(mapped, block.norm2.weight, block.norm2.bias), margin=margin)


def _adaptive(block: AdaptiveResidualBlock, x: Tensor, gamma: Tensor, beta: Tensor, **layout: Any) -> Tensor:
    """The same with AdaLIN; the map comes back as `layout` says (arguments of `applied`)."""
    mapped = _conv(block.conv1, x)
    affine = layer_instance_affine(mapped, block.norm1.rho, gamma, beta)
    mapped = _conv(block.conv2, applied(mapped, affine, relu=True, margin=1))
    return _added(block, x, mapped, layer_instance_affine(mapped, block.norm2.rho, gamma, beta), **layout)


def _added(
    block: ResidualBlock | AdaptiveResidualBlock,
    x: Tensor,
    mapped: Tensor,
    affine: tuple[Tensor, Tensor],
    **layout: Any,
) -> Tensor:
    """The end of a block: the norm of its last map is added to what it was given, `x` with a margin of 1."""
    if isinstance(block.scse, nn.Identity):
        return applied(mapped, affine, addend=_inside(x), **layout)
    return _laid_out(_inside(x) + block.scse(applied(mapped, affine)), **layout)


def _laid_out(x: Tensor, **layout: Any) -> Tensor:
    """A map with nothing done to it but what `applied` does besides."""
    ones = torch.ones(x.shape[:2], dtype=torch.float32, device=x.device)
    return applied(x, (ones, torch.zeros_like(ones)), **layout)


def _inside(x: Tensor) -> Tensor:
    """A view of a map without its margin of 1."""
    return x[:, :, 1:-1, 1:-1]


def _conv(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution of a map that is padded already."""
    return F.conv2d(x, conv.weight, conv.bias, conv.stride)
