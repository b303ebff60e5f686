"""The formats a network can be exported to: how each is written with its metadata, and read back.

A network here takes and gives one N3HW float32 tensor. Big libraries are imported where they are used.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import ExportError
from .openvino_import import import_openvino

METADATA_NAME = "ugatit_style.json"
"""Name of the extra file with the metadata in TorchScript and torch.export archives."""
OPENVINO_SECTION = "ugatit_style"
"""Section of the metadata in an OpenVINO model's rt_info."""
ONNX_OPSET = 18
"""Version of ONNX's operators in written files: the lowest that PyTorch's exporter writes."""

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Format:
    """One format."""

    write: Callable[[nn.Module, Tensor, Mapping[str, str], Path], None]
    """Writes a network to a file: traced with these two crops, with this metadata."""
    read: Callable[[Path], Network]
    """Reads the network of a written file back."""
    suffixes: tuple[str, ...]
    """Endings of names that mean this format."""
    is_strict: bool = False
    """Programs that read the format insist on the ending."""
    companions: tuple[str, ...] = ()
    """Endings of further files that are written beside the named one."""


def _write_torchscript(network: nn.Module, crops: Tensor, metadata: Mapping[str, str], path: Path) -> None:
    traced = torch.jit.trace(network, crops)  # type: ignore[no-untyped-call]
    torch.jit.save(traced, str(path), _extra_files={METADATA_NAME: _as_json(metadata)})  # type: ignore[no-untyped-call]


def _read_torchscript(path: Path) -> Network:
    reread: Any = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    return reread  # type: ignore[no-any-return]


def _write_pt2(network: nn.Module, crops: Tensor, metadata: Mapping[str, str], path: Path) -> None:
    # Through memory: torch warns of names that do not end in .pt2.
    buffer = io.BytesIO()
    program = torch.export.export(network, (crops,), dynamic_shapes=_shapes())
    torch.export.save(program, buffer, extra_files={METADATA_NAME: _as_json(metadata)})
    path.write_bytes(buffer.getvalue())


def _read_pt2(path: Path) -> Network:
    return torch.export.load(io.BytesIO(path.read_bytes())).module()


def _write_onnx(network: nn.Module, crops: Tensor, metadata: Mapping[str, str], path: Path) -> None:
    with _quiet("torch.onnx", "onnxscript", "onnx_ir"):
        program = torch.onnx.export(
            network,
            (crops,),
            dynamo=True,
            opset_version=ONNX_OPSET,
            input_names=["image"],
            output_names=["stylised"],
            dynamic_shapes=_shapes(),
            verbose=False,
        )
        if program is None:
            raise ExportError("PyTorch's exporter gave no ONNX network.")
        program.model.metadata_props.update(metadata)
        program.save(str(path), external_data=False)


def _write_openvino(network: nn.Module, crops: Tensor, metadata: Mapping[str, str], path: Path) -> None:
    openvino = import_openvino()
    traced = torch.jit.trace(network, crops, check_trace=False)  # type: ignore[no-untyped-call]
    model = openvino.convert_model(traced, input=[([-1, *crops.shape[1:]], openvino.Type.f32)])
    model.inputs[0].get_tensor().set_names({"image"})
    model.outputs[0].get_tensor().set_names({"stylised"})
    for name, text in metadata.items():
        model.set_rt_info(text, [OPENVINO_SECTION, name])
    openvino.save_model(model, str(path), compress_to_fp16=False)


def _read_with_openvino(path: Path) -> Network:
    """Read ONNX or OpenVINO's own format, computing in float32 whatever is fastest here."""
    core = import_openvino().Core()
    # A copy in memory: the model would keep the file open, and its folder from being removed, on Windows.
    weights = path.with_suffix(".bin")
    content = path.read_bytes()
    model = core.read_model(content, weights.read_bytes()) if weights.exists() else core.read_model(content)
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda crops: torch.from_numpy(compiled(crops.numpy())[0].copy())


def _shapes() -> dict[str, Any]:
    """Any batch size."""
    return {"image": {0: torch.export.Dim("batch")}}


def _as_json(metadata: Mapping[str, str]) -> str:
    return json.dumps(dict(metadata), ensure_ascii=False)


@contextlib.contextmanager
def _quiet(*loggers: str) -> Iterator[None]:
    """Keep loggers of libraries, and what they print, off the terminal."""
    levels = {name: logging.getLogger(name).level for name in loggers}
    try:
        for name in loggers:
            logging.getLogger(name).setLevel(logging.ERROR)
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


FORMATS: dict[str, Format] = {
    "torchscript": Format(_write_torchscript, _read_torchscript, (".pt", ".ts")),
    "pt2": Format(_write_pt2, _read_pt2, (".pt2",)),
    "onnx": Format(_write_onnx, _read_with_openvino, (".onnx",), is_strict=True),
    "openvino": Format(_write_openvino, _read_with_openvino, (".xml",), is_strict=True, companions=(".bin",)),
}
"""Formats by name: TorchScript (also read by C++ programs), torch.export's archive, ONNX, and OpenVINO's own. Any batch
size, the style's crop size."""
