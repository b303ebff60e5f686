"""A style: one generator with everything needed to use it, and the one file it is kept in.

The file is a `.safetensors`: weights of any float type, and in its header one JSON text with name, configuration
and card. Nothing in it can run. Where styles are found by name: `library.py`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .config import DOWN_SAMPLING, GeneratorConfig
from .errors import StyleFormatError
from .generator import Generator, build_generator

SUFFIX = ".safetensors"
"""How the names of style files end."""

_HEADER_KEY = "ugatit_style"
_FORMAT = 1  # raised when old programs could misread new files
_NEXT_STEP = "Style files are made by `run.py styles import`, which reads .pt checkpoints, and by the trainer."


@dataclass(frozen=True, kw_only=True)
class StyleCard:
    """What a user should know of a style, and what the pipeline needs beside the generator."""

    description: str = ""
    """One or two sentences: what the result looks like."""
    template: str = "head"
    """Name of the crop template it was trained with (alignment/templates.py)."""
    crop_size_px: int = 256
    """Side of the crops it is given."""
    mask_group: str = "head"
    """Name of the group of face parts that is pasted back (faceseg/parts.py)."""
    licence: str = "unknown"
    """Licence of the weights."""
    provenance: str = ""
    """Where the weights come from: training recipe and data, or the imported file."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Figures on held-out data, by name."""


@dataclass(frozen=True, eq=False)
class Style:
    """A generator, ready to use, with its configuration and card."""

    name: str
    """What it is called in reports and lists."""
    card: StyleCard
    """What it is and how to cut crops for it."""
    config: GeneratorConfig
    """Architecture of the generator."""
    generator: Generator
    """The network; in evaluation mode and float32 when it comes from a file."""
    file_sha256: str | None = field(default=None, init=False)
    """SHA-256 of the file it was loaded from; None for one that was made in memory, by `replace` too."""

    def __post_init__(self) -> None:
        _check_crop_size(self.card, self.config)

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the file it was loaded from, or of the file that `save` would write."""
        return self.file_sha256 or hashlib.sha256(self._to_bytes(torch.float32)).hexdigest()

    def save(self, path: str | os.PathLike[str], *, dtype: torch.dtype = torch.float32) -> None:
        """Write the style file; it appears under its name only when it is complete.

        Args:
            path: where; the name must end in `.safetensors`. Missing folders are made.
            dtype: float type of the stored weights; float16 halves the file.

        Raises:
            StyleFormatError: the name ends otherwise, or a weight is not finite in `dtype`.
            OSError: it cannot be written.
        """
        path = Path(path)
        if path.suffix != SUFFIX:
            raise StyleFormatError(f"style file {str(path)!r} must have a name that ends in {SUFFIX}.")
        write_atomically(path, self._to_bytes(dtype))

    def _to_bytes(self, dtype: torch.dtype) -> bytes:
        tensors = {
            key: tensor.detach().to("cpu", dtype).contiguous() for key, tensor in self.generator.state_dict().items()
        }
        for key, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise StyleFormatError(f"style {self.name!r}: {key!r} has weights that are not finite in {dtype}.")
        header = {
            "format": _FORMAT,
            "name": self.name,
            "config": dataclasses.asdict(self.config),
            "card": {**dataclasses.asdict(self.card), "metrics": dict(self.card.metrics)},
        }
        # One header key only: safetensors writes several in no fixed order, and equal styles have equal files.
        return safetensors.torch.save(tensors, {_HEADER_KEY: json.dumps(header, sort_keys=True)})


@dataclass(frozen=True)
class StyleHeader:
    """What a style file says of itself, read without its weights."""

    name: str
    """What the style is called in reports and lists."""
    config: GeneratorConfig
    """Architecture of the generator."""
    card: StyleCard
    """What it is and how to cut crops for it."""


def read_style(path: str | os.PathLike[str]) -> Style:
    """Load a style from its file.

    Args:
        path: the file.

    Raises:
        StyleFormatError: damaged, not a style file, or written by a newer version.
        OSError: it cannot be read.
    """
    path = Path(path)
    content = _read_bytes(path)
    header = read_header(path)
    try:
        tensors = safetensors.torch.load(content)
    except SafetensorError as error:
        raise _format_error(path, f"damaged ({error})") from error
    with torch.device("meta"):  # shapes only; the file's tensors become the parameters
        generator = build_generator(header.config)
    _check_tensors(path, tensors, generator.state_dict())
    generator.load_state_dict({key: tensor.float() for key, tensor in tensors.items()}, assign=True)
    style = Style(header.name, header.card, header.config, generator.eval())
    object.__setattr__(style, "file_sha256", hashlib.sha256(content).hexdigest())
    return style


def read_header(path: str | os.PathLike[str]) -> StyleHeader:
    """Read name, configuration and card of a style file, but not its weights (`read_style` has the errors)."""
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_HEADER_KEY)
    except SafetensorError as error:
        raise _format_error(path, f"damaged or of another kind ({error})") from error
    if text is None:
        raise _format_error(path, "a safetensors file without a style's header")
    try:
        return _parse_header(json.loads(text), fallback_name=path.stem)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _format_error(path, f"its header is not understood: {error}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that appears under its name only when it is complete and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's is 0600
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _parse_header(header: Mapping[str, Any], fallback_name: str) -> StyleHeader:
    if header["format"] != _FORMAT:
        raise ValueError(f"format {header['format']!r} is unknown to this version; update the program")
    # A card may gain fields; a configuration with unknown fields would build another network.
    known = {f.name for f in dataclasses.fields(StyleCard)}
    card = StyleCard(**{key: value for key, value in header["card"].items() if key in known})
    config = GeneratorConfig(**header["config"])
    _check_crop_size(card, config)
    return StyleHeader(str(header["name"] or fallback_name), config, card)


def _check_crop_size(card: StyleCard, config: GeneratorConfig) -> None:
    is_fitting = config.head_size is not None or card.crop_size_px == config.image_size_px
    if not is_fitting or card.crop_size_px % DOWN_SAMPLING:
        raise ValueError(
            f"crop_size_px is {card.crop_size_px}; this generator takes "
            + (f"{config.image_size_px}" if config.head_size is None else f"multiples of {DOWN_SAMPLING}")
            + "."
        )


def _check_tensors(path: Path, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    different = sorted(tensors.keys() ^ wanted.keys())
    if different:
        raise _format_error(path, f"{len(different)} tensors missing or left over, the first is {different[0]!r}")
    for key, tensor in tensors.items():
        if tensor.shape != wanted[key].shape:
            raise _format_error(
                path,
                f"tensor {key!r} is of shape {tuple(tensor.shape)}, its configuration says {tuple(wanted[key].shape)}",
            )
        # One pass and no copy: a sum in float64 does not overflow, and keeps what is not finite.
        if not tensor.is_floating_point() or not tensor.sum(dtype=torch.float64).isfinite():
            raise _format_error(path, f"tensor {key!r} holds something else than finite numbers")


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise _format_error(path, "a folder")
    return path.read_bytes()


def _format_error(path: Path, reason: str) -> StyleFormatError:
    return StyleFormatError(f"{str(path)!r} is not a usable style file: {reason}. {_NEXT_STEP}")
