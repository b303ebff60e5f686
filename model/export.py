"""Exports a style's generator to formats that other programs run, and checks what was written.

The exported network takes one N3HW float32 tensor in [-1, 1] and gives the stylised one.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .engine import sample_crop
from .errors import ExportError
from .generator import Generator
from .style import Style, write_atomically

MAX_EXPORT_ERROR = 1e-4
"""Largest difference to the style's own output that an export may show, of a range of 2."""


def export_style(style: Style, path: str | os.PathLike[str], file_format: str = "torchscript") -> float:
    """Write a style's generator in a format other programs run.

    Args:
        style: what to export.
        path: the file to write; an existing one is replaced.
        file_format: a key of `FORMATS`. ONNX is not among them: PyTorch's exporter needs the packages onnx and
            onnxscript, which this project does not depend on.

    Returns:
        Largest difference between the written file's output and the style's own, of a range of 2.

    Raises:
        ExportError: unknown format, or the written network differs by more than `MAX_EXPORT_ERROR`.
    """
    if file_format not in FORMATS:
        raise ExportError(
            f"format {file_format!r} is unknown; use {' or '.join(FORMATS)}. ONNX needs the packages "
            "onnx and onnxscript: `pip install onnx onnxscript`, then torch.onnx.export on "
            "`Style.generator`."
        )
    crops = torch.cat([sample_crop(style.config.image_size_px), -sample_crop(style.config.image_size_px)])
    network = _ImageOnly(style.generator).eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit: deprecated, but what other programs still read
        content, reloaded = FORMATS[file_format](network, crops)
        error = float((reloaded(crops) - network(crops)).abs().max())
    if not error <= MAX_EXPORT_ERROR:
        raise ExportError(f"the {file_format} export of {style.name!r} is off by {error:.2g} and was not written.")
    write_atomically(Path(path), content)
    return error


class _ImageOnly(nn.Module):
    """A generator that returns nothing but the picture."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.generator(image).image
        return output


_Export = tuple[bytes, Callable[[Tensor], Tensor]]  # content of the file, and the network read back from it


def _to_torchscript(network: nn.Module, crops: Tensor) -> _Export:
    buffer = io.BytesIO()
    traced = torch.jit.trace(network, crops)  # type: ignore[no-untyped-call]
    torch.jit.save(traced, buffer)  # type: ignore[no-untyped-call]
    reloaded: Any = torch.jit.load(io.BytesIO(buffer.getvalue()))  # type: ignore[no-untyped-call]
    return buffer.getvalue(), reloaded


def _to_pt2(network: nn.Module, crops: Tensor) -> _Export:
    buffer = io.BytesIO()
    shapes = {"image": {0: torch.export.Dim("batch")}}
    torch.export.save(torch.export.export(network, (crops,), dynamic_shapes=shapes), buffer)
    return buffer.getvalue(), torch.export.load(io.BytesIO(buffer.getvalue())).module()


FORMATS: dict[str, Callable[[nn.Module, Tensor], _Export]] = {"torchscript": _to_torchscript, "pt2": _to_pt2}
"""Formats by name: TorchScript (also read by C++ programs), and torch.export's archive. Any batch size, the style's
crop size."""
