"""What a generator or discriminator is built from: frozen dataclasses that check their own values.

Holds numbers only; the networks are in `generator.py` and `discriminator.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

UpSampling = Literal["nearest", "transposed"]

DOWN_SAMPLING = 4
"""Source pixels per pixel of the inner map, each way."""


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Everything that fixes a generator's architecture."""

    base_channels: int = 64
    """Channels of the first and last feature maps; the inner ones have four times as many."""
    num_blocks: int = 4
    """Residual blocks before the CAM head, and as many adaptive ones after it."""
    image_size_px: int = 256
    """Side of the square crops the generator is trained on; divisible by 4."""
    head_size: int | None = 1
    """Side of the pooled map the AdaLIN head reads (1: the official light model); None: the full map, which
    ties the generator to `image_size_px`."""
    use_scse: bool = False
    """Concurrent spatial and channel squeeze-and-excitation at the end of every residual block."""
    num_masks: int = 0
    """Attention masks that blend as many candidate pictures; 0: the generator draws the picture itself."""
    has_input_candidate: bool = False
    """The input picture is the first candidate, so untouched parts can pass through."""
    mixes_colours: bool = False
    """Candidates are grouped as in enhanced-UGATIT, across colours; for imported checkpoints only."""
    up_sampling: UpSampling = "nearest"
    """How maps are doubled: nearest neighbour and a convolution, or a transposed convolution."""

    def __post_init__(self) -> None:
        _require_within("base_channels", self.base_channels, 1, 1024)
        _require_within("num_blocks", self.num_blocks, 0, 64)
        _require_within("image_size_px", self.image_size_px, 2 * DOWN_SAMPLING, 4096)
        _require_within("num_masks", self.num_masks, 0, 64)
        if self.head_size is not None:
            _require_within("head_size", self.head_size, 1, 1024)
        if self.image_size_px % DOWN_SAMPLING:
            raise ValueError(f"image_size_px is {self.image_size_px}; use a multiple of {DOWN_SAMPLING}.")
        if self.has_input_candidate and self.num_masks < 2:
            raise ValueError(f"has_input_candidate needs at least 2 masks, num_masks is {self.num_masks}.")
        if self.mixes_colours and not self.has_input_candidate:
            raise ValueError("mixes_colours is True; it means nothing without has_input_candidate.")
        if self.up_sampling not in ("nearest", "transposed"):
            raise ValueError(f"up_sampling is {self.up_sampling!r}; use 'nearest' or 'transposed'.")


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Everything that fixes a discriminator's architecture."""

    base_channels: int = 64
    """Channels of the first map; each layer of stride 2 and the last one double them."""
    depth: int = 7
    """Layers as the reference counts them (7: global, 5: local); the smallest square input is 8 px for 3, 12
    for 4, then 24, 48, 96."""
    use_spectral_norm: bool = True
    """Divide every weight but the merging one by its largest singular value."""
    use_cam_attention: bool = True
    """Weigh the channels by the CAM classifiers' weights; False keeps the classifiers' logits only."""

    def __post_init__(self) -> None:
        _require_within("base_channels", self.base_channels, 1, 1024)
        _require_within("depth", self.depth, 3, 12)


def _require_within(name: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise ValueError(f"{name} is {value}; it must be from {lowest} to {highest}.")
