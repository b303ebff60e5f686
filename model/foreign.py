"""Understands networks of znxlwm/UGATIT-pytorch ("official") and zheng-yuwei/enhanced-UGATIT ("enhanced").

Translates their state dicts to ours and finds the configuration from keys and shapes; reads no files. The map is
written in module names; the parameters of norms differ in name and shape. The official networks have norms
without scale and shift and nearly no biases, which is the same as 1 and 0.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .config import DOWN_SAMPLING, DiscriminatorConfig, GeneratorConfig
from .discriminator import build_discriminator
from .errors import StyleFormatError
from .generator import build_generator

State = Mapping[str, Tensor]

DEFAULT_IMAGE_SIZE_PX = 256
"""Crop side both projects train at unless told otherwise; a pooled head does not tell."""

_LEAVES = {
    "gamma": "weight",
    "beta": "bias",
    "weight_orig": "weight",
    "weight_u": "spectral.u",
    "weight_v": "spectral.v",
}
_CAM = {"gap_fc": "cam.average", "gmp_fc": "cam.maximum", "conv1x1": "cam.merge"}
_SCSE = {"cSE.se.1": "squeeze", "cSE.se.3": "excite", "sSE.conv": "spatial"}
_ENHANCED_ONLY = "DownBlock.2.weight"  # a norm's scale


def is_generator(state: Mapping[str, Any]) -> bool:
    """Do these keys look like a generator of one of the two projects?"""
    return {"DownBlock.1.weight", "FC.0.weight", "gap_fc.weight", "conv1x1.weight"} <= state.keys()


def is_enhanced(state: State) -> bool:
    """Is it a generator of enhanced-UGATIT? Only there do the norms have a scale."""
    return _ENHANCED_ONLY in state


def translate_generator(state: State, *, image_size_px: int | None = None) -> tuple[GeneratorConfig, dict[str, Tensor]]:
    """Find a foreign generator's configuration and rename its weights.

    Args:
        state: the foreign state dict.
        image_size_px: side of the crops it was trained on; None: told by a full head, else 256.

    Returns:
        The configuration and a state dict that `build_generator(config)` loads strictly.

    Raises:
        StyleFormatError: a tensor is missing, left over or of the wrong shape.
    """
    config = infer_generator_config(state, image_size_px=image_size_px)
    with torch.device("meta"):
        wanted = build_generator(config).state_dict()
    return config, _translate(state, dict(_generator_modules(config)), wanted)


def infer_generator_config(state: State, *, image_size_px: int | None = None) -> GeneratorConfig:
    """Configuration of a foreign generator, from keys and shapes (`translate_generator` has the arguments)."""
    is_transposed = "UpBlock2.0.weight" in state
    try:
        num_masks, num_drawn = _candidates(state, is_transposed)
        has_input_candidate = num_masks > 0 and num_drawn == num_masks - 1
        config = GeneratorConfig(
            base_channels=state["DownBlock.1.weight"].shape[0],
            num_blocks=sum(f"UpBlock1_{i}.conv1.weight" in state for i in range(1, 65)),
            use_scse=any(".cSE." in key for key in state),
            num_masks=num_masks,
            has_input_candidate=has_input_candidate,
            mixes_colours=has_input_candidate,
            up_sampling="transposed" if is_transposed else "nearest",
        )
        return _with_head(config, state, image_size_px)
    except (IndexError, KeyError, ValueError) as error:
        raise StyleFormatError(f"not a generator of a known project: {error}") from error


def translate_discriminator(state: State, config: DiscriminatorConfig) -> dict[str, Tensor]:
    """Rename the weights of a foreign discriminator of known configuration.

    Raises:
        StyleFormatError: a tensor is missing, left over or of the wrong shape.
    """
    network = build_discriminator(config)
    modules = {**_CAM, "conv": "judge"}
    modules |= {f"model.{3 * i + 1}": f"body.{i}" for i in range(len(network.body))}
    return _translate(state, modules, network.state_dict())


def _candidates(state: State, is_transposed: bool) -> tuple[int, int]:
    """Number of attention masks and of drawn pictures."""
    final = state.get("UpBlock2.7.weight" if is_transposed else "UpBlock2.11.weight")
    masks = [
        tensor
        for key, tensor in state.items()
        if re.fullmatch(r"UpBlock_attention\.\d+\.weight", key) and tensor.shape[2:] == (1, 1)
    ]
    return (masks[0].shape[0] if masks else 0), (final.shape[0] // 3 if final is not None else 0)


def _with_head(config: GeneratorConfig, state: State, image_size_px: int | None) -> GeneratorConfig:
    """Add head and image size. A pooled head as large as the map is the same as a full one, bit for bit."""
    num_inputs, num_channels = state["FC.0.weight"].shape[1], 4 * config.base_channels
    side = round((num_inputs / num_channels) ** 0.5)
    if side * side * num_channels != num_inputs:
        raise ValueError(f"FC.0 reads {num_inputs} values, not a square map of {num_channels} channels.")
    if image_size_px is None:
        is_full = side > 1 and not is_enhanced(state)  # the official head is pooled to 1 or not at all
        image_size_px = DOWN_SAMPLING * side if is_full else max(DEFAULT_IMAGE_SIZE_PX, DOWN_SAMPLING * side)
    is_full = image_size_px == DOWN_SAMPLING * side
    return replace(config, image_size_px=image_size_px, head_size=None if is_full else side)


def _generator_modules(config: GeneratorConfig) -> Iterator[tuple[str, str]]:
    """(their module, our module) for all modules that hold parameters."""
    for i in range(3):
        yield f"DownBlock.{4 * i + 1}", f"down.{i}.conv"
        yield f"DownBlock.{4 * i + 2}", f"down.{i}.norm"
    yield from _residual_modules("DownBlock", 12, "blocks", config)
    yield from {
        **_CAM,
        "FC.0": "head.hidden1",
        "FC.2": "head.hidden2",
        "gamma": "head.gamma",
        "beta": "head.beta",
    }.items()
    for i in range(config.num_blocks):
        theirs, ours = f"UpBlock1_{i + 1}", f"adaptive_blocks.{i}"
        yield from ((f"{theirs}.{name}", f"{ours}.{name}") for name in ("conv1", "norm1", "conv2", "norm2"))
        yield from _scse_modules(f"{theirs}.se", ours)
    end = yield from _up_modules("UpBlock2", 0, "up", config)
    yield f"UpBlock2.{end + 1}", "draw"  # behind the padding
    if config.num_masks:
        yield from _residual_modules("UpBlock_attention", 0, "mask_branch.blocks", config)
        end = yield from _up_modules("UpBlock_attention", config.num_blocks, "mask_branch.up", config)
        yield f"UpBlock_attention.{end}", "mask_branch.score"


def _residual_modules(theirs: str, start: int, ours: str, config: GeneratorConfig) -> Iterator[tuple[str, str]]:
    for i in range(config.num_blocks):
        block = f"{theirs}.{start + i}.conv_block"
        for number, name in ((1, "conv1"), (2, "norm1"), (5, "conv2"), (6, "norm2")):
            yield f"{block}.{number}", f"{ours}.{i}.{name}"
        yield from _scse_modules(f"{block}.7", f"{ours}.{i}")


def _scse_modules(theirs: str, ours: str) -> Iterable[tuple[str, str]]:
    return ((f"{theirs}.{their_name}", f"{ours}.scse.{our_name}") for their_name, our_name in _SCSE.items())


def _up_modules(theirs: str, start: int, ours: str, config: GeneratorConfig) -> Generator[tuple[str, str], None, int]:
    """As the others; also returns the number of the module that follows."""
    num_before, length = (0, 3) if config.up_sampling == "transposed" else (2, 5)
    for i in range(2):
        conv = start + length * i + num_before
        yield f"{theirs}.{conv}", f"{ours}.{i}.conv"
        yield f"{theirs}.{conv + 1}", f"{ours}.{i}.norm"
    return start + 2 * length


def _translate(state: State, modules: Mapping[str, str], wanted: State) -> dict[str, Tensor]:
    ours = dict(_renamed(state, modules))
    for key in wanted.keys() - ours.keys():
        ours[key] = _default(key, wanted[key], is_allowed=not is_enhanced(state))
    for key, tensor in ours.items():
        if key not in wanted:
            raise StyleFormatError(f"unknown tensor {key!r}; this is not a network of a known project.")
        if tensor.numel() != wanted[key].numel() or (tensor.ndim != wanted[key].ndim and "norm" not in key):
            raise StyleFormatError(
                f"tensor {key!r} is of shape {tuple(tensor.shape)}, expected {tuple(wanted[key].shape)}."
            )
    return {key: tensor.float().reshape(wanted[key].shape) for key, tensor in ours.items()}


def _renamed(state: State, modules: Mapping[str, str]) -> Iterator[tuple[str, Tensor]]:
    for key, tensor in state.items():
        module, _, leaf = key.rpartition(".")
        if module not in modules:
            raise StyleFormatError(f"unknown tensor {key!r}; this is not a network of a known project.")
        yield f"{modules[module]}.{_LEAVES.get(leaf, leaf)}", tensor


def _default(key: str, wanted: Tensor, *, is_allowed: bool) -> Tensor:
    """Value of a parameter that the official networks do not have: scale 1, shift and bias 0."""
    is_scale = ".norm" in key and key.endswith(".weight")
    if not is_allowed or not (is_scale or key.endswith(".bias")):
        raise StyleFormatError(f"tensor {key!r} is missing; the checkpoint is incomplete.")
    return torch.full(wanted.shape, float(is_scale))
