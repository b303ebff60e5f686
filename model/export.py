"""Exports a style's generator to formats that other programs run, and checks what was written.

The exported network takes one N3HW float32 tensor, `image`, RGB in [-1, 1], any N, and gives the stylised one,
`stylised`. What a user of the file must know travels in it. The formats themselves are in `export_formats.py`.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from .engine import sample_crop
from .errors import ExportError
from .export_formats import FORMATS, Format
from .generator import Generator
from .style import Style

MAX_EXPORT_ERROR = 1e-4
"""Largest difference to the style's own output that an export may show, of a range of 2."""

DEFAULT_FORMAT = "torchscript"
"""The format of a file whose name does not tell one."""


def format_of(path: str | os.PathLike[str]) -> str:
    """Tell a key of `FORMATS` from the ending of a file's name; `DEFAULT_FORMAT` where it tells nothing."""
    suffix = Path(path).suffix.lower()
    return next((name for name, made in FORMATS.items() if suffix in made.suffixes), DEFAULT_FORMAT)


def exported_files(path: str | os.PathLike[str], file_format: str) -> list[Path]:
    """The files that an export writes: the named one, and for OpenVINO the weights beside it.

    Raises:
        ExportError: unknown format, or the programs that read it want another ending.
    """
    return [Path(path), *(Path(path).with_suffix(suffix) for suffix in _format(path, file_format).companions)]


def export_style(style: Style, path: str | os.PathLike[str], file_format: str = DEFAULT_FORMAT) -> float:
    """Write a style's generator in a format other programs run.

    Args:
        style: what to export.
        path: the file to write; an existing one is replaced.
        file_format: a key of `FORMATS`.

    Returns:
        Largest difference between the written files' output and the style's own, of a range of 2.

    Raises:
        ExportError: unknown format, a name that does not fit it, or the written network differs by more than
            `MAX_EXPORT_ERROR`; then nothing is written.
        OSError: it cannot be written.
    """
    made, targets = _format(path, file_format), exported_files(path, file_format)
    network = _ImageOnly(style.generator).eval()
    targets[0].parent.mkdir(parents=True, exist_ok=True)
    # Written and read back beside the target, on its file system: publishing is a rename.
    with tempfile.TemporaryDirectory(dir=targets[0].parent, prefix=".export-") as folder:
        drafts = [Path(folder) / target.name for target in targets]
        error = _write_checked(made, network, style, drafts[0])
        if not error <= MAX_EXPORT_ERROR:
            raise ExportError(f"the {file_format} export of {style.name!r} is off by {error:.2g} and was not written.")
        _publish(drafts, targets)
    return error


def describe(style: Style) -> dict[str, str]:
    """What a user of an exported file must know, as texts by name."""
    card, size_px = style.card, style.config.image_size_px
    return {
        "style": style.name,
        "description": card.description,
        "licence": card.licence,
        "provenance": card.provenance,
        "style_sha256": style.sha256,
        "input": f"image: N x 3 x {size_px} x {size_px} float32, RGB, pixel / 127.5 - 1",
        "output": f"stylised: N x 3 x {size_px} x {size_px} float32, RGB, (value + 1) * 127.5",
        "crop_template": card.template,
        "crop_size_px": str(card.crop_size_px),
        "mask_group": card.mask_group,
    }


class _ImageOnly(nn.Module):
    """A generator that returns nothing but the picture."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.generator(image).image
        return output


def _format(path: str | os.PathLike[str], name: str) -> Format:
    if name not in FORMATS:
        raise ExportError(f"format {name!r} is unknown; use {', '.join(FORMATS)}.")
    made = FORMATS[name]
    if made.is_strict and Path(path).suffix.lower() not in made.suffixes:
        raise ExportError(
            f"{os.fspath(path)!r} cannot hold {name}: programs read that from files that end in {made.suffixes[0]}."
        )
    return made


def _write_checked(made: Format, network: nn.Module, style: Style, draft: Path) -> float:
    """Write a draft, read it back; largest difference over batches of one and of two crops."""
    crop = sample_crop(style.config.image_size_px)
    pair = torch.cat([crop, -crop])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit: deprecated, but what other programs still read
        made.write(network, pair, describe(style), draft)
        reread = made.read(draft)
        errors = [(reread(crops) - network(crops)).abs().max() for crops in (pair, -crop)]
    return float(torch.stack(errors).max())


def _publish(drafts: list[Path], targets: list[Path]) -> None:
    """Give drafts their names, the named file last: where that fails there is none of them."""
    pairs = list(zip(drafts, targets, strict=True))
    for draft in drafts:
        draft.chmod(0o644)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
    placed = list[Path]()
    try:
        for draft, target in reversed(pairs):
            os.replace(draft, target)
            placed.append(target)
    except OSError:
        for target in placed:
            target.unlink(missing_ok=True)
        raise
