"""Read the weights that come with the package, and name them by their content."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from .errors import WeightsError


def read_weights(path: Path, owner: str) -> dict[str, Any]:
    """Read a .safetensors file.

    Args:
        path: the file.
        owner: whose weights they are, for messages.

    Returns:
        Tensors by name, float32.

    Raises:
        WeightsError: the file is missing or is none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{owner} weights '{path}' cannot be read: {error}. Reinstall the package, or give the path of a "
            ".safetensors file."
        ) from error


def key_of(path: Path) -> str:
    """Name the weights of a file by their content (hex)."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
