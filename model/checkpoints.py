"""Imports checkpoints (.pt, .pth) of znxlwm/UGATIT-pytorch and zheng-yuwei/enhanced-UGATIT as styles.

Reads tensors only: a file that would have to run code to be read is refused. What the tensors mean: `foreign.py`.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import StyleFormatError, StyleNotFoundError
from .foreign import is_enhanced, is_generator, translate_generator
from .generator import build_generator
from .style import Style, StyleCard

NETWORKS = ("genA2B_ema", "genA2B")
"""The generators a checkpoint may hold under a name, best first: the averaged one, the one as trained."""

_UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    ValueError,
    KeyError,
    EOFError,
    AttributeError,
    TypeError,
    IndexError,
    UnicodeDecodeError,
)


def import_checkpoint(
    path: str | os.PathLike[str],
    network: str = "auto",
    *,
    image_size_px: int | None = None,
) -> Style:
    """Make a style of a foreign checkpoint's generator.

    Args:
        path: the .pt or .pth file.
        network: which of its networks, `genA2B_ema` or `genA2B`; `auto` takes the first of them that is there, or
            the file's only content.
        image_size_px: side of the crops it was trained on; None: told by a full head, else 256.

    Returns:
        The style, named like the file; its generator gives what the project it comes from gives, up to rounding.

    Raises:
        StyleNotFoundError: there is no such file.
        StyleFormatError: not such a checkpoint, without that network, damaged, or one that would run code.
    """
    path = Path(path)
    try:
        label, state = _choose_network(_read_tensors(path), network)
        config, translated = translate_generator(state, image_size_px=image_size_px)
    except StyleFormatError as error:
        raise StyleFormatError(f"cannot import {str(path)!r}: {error}") from error
    generator = build_generator(config)
    generator.load_state_dict(translated)
    project = "zheng-yuwei/enhanced-UGATIT" if is_enhanced(state) else "znxlwm/UGATIT-pytorch"
    card = StyleCard(
        # The enhanced project cuts crops by landmarks, brow to chin; the official one takes whole heads.
        template="tight" if is_enhanced(state) else "head",
        crop_size_px=config.image_size_px,
        provenance=f"{label} of {path.name!r} (sha256 {_sha256(path)}), in the layout of {project}.",
    )
    return Style(path.stem, card, config, generator.eval())


def _read_tensors(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        raise StyleNotFoundError(f"no checkpoint {str(path)!r}: there is no such file.")
    if path.is_dir():
        raise StyleFormatError("it is a folder; name a .pt file inside.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of its reader's limits; we tell what failed
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise StyleFormatError(
            "it is damaged, no PyTorch checkpoint, or holds more than tensors and would have "
            f"to run code ({reason}). Save its state dicts alone and try again."
        ) from error
    if not isinstance(content, Mapping):
        raise StyleFormatError(f"it holds a {type(content).__name__}, not state dicts.")
    return content


def _choose_network(content: Mapping[str, Any], network: str) -> tuple[str, dict[str, Tensor]]:
    if network == "auto" and is_generator(content):
        return "the state dict", _tensors_only(content)
    for name in NETWORKS if network == "auto" else (network,):
        state = content.get(name)
        if isinstance(state, Mapping) and is_generator(state):
            return name, _tensors_only(state)
    present = ", ".join(sorted(str(key) for key in content)[:12]) or "nothing"
    wanted = " or ".join(NETWORKS) if network == "auto" else network
    raise StyleFormatError(f"no U-GAT-IT generator under {wanted}; the file holds: {present}.")


def _tensors_only(state: Mapping[str, Any]) -> dict[str, Tensor]:
    for key, tensor in state.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise StyleFormatError(f"{key!r} is not a tensor of floats.")
        if not tensor.isfinite().all():
            raise StyleFormatError(f"{key!r} holds numbers that are not finite; the training had failed.")
    return dict(state)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
