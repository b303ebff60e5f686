"""Runs PyTorch networks with OpenVINO on the CPU; what was compiled once is read from the user's cache folder.

Knows no generators. OpenVINO is imported when the first network is compiled, its PyTorch reader only where nothing is
cached.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import platform
import tempfile
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .errors import DeviceError
from .openvino_cache import read_cached, write_cached
from .openvino_import import import_openvino

logger = logging.getLogger(__name__)

PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}
"""OpenVINO's names of the precisions it computes in."""


def compile_network(
    network: nn.Module,
    example: Tensor,
    *,
    key: str,
    precision: str = "fp32",
    threads: int | None = None,
    streams: int = 1,
    dynamic_batch: bool = False,
) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Make a network of one input run with OpenVINO.

    Args:
        network: gives a tensor or a tuple of tensors; it is only read, and left in its mode.
        example: an input (float32 or uint8, contents do not matter); the result takes this shape and type only.
        key: names the weights, such as their SHA-256: equal keys share a file in the cache. Shape, precision, versions,
            the code of the network's classes and the CPU are added here.
        precision: `fp32` (exact but for rounding) or `bf16`.
        threads: CPU threads; None is one per core.
        streams: calls that run at once, each with its share of the threads; more wait for one another.
        dynamic_batch: take any number of inputs. They run one by one, so that no result depends on the others.

    Returns:
        A function from an input to the network's outputs as new tensors; any thread may call it.

    Raises:
        DeviceError: OpenVINO cannot run it.
    """
    shape = [1, *example.shape[1:]] if dynamic_batch else list(example.shape)
    code = code_key(type(module).__module__ for module in network.modules())
    return open_network(
        lambda: convert(network, shape, example.dtype),
        key=combined_key(
            key=key, shape=shape, type=str(example.dtype), precision=precision, code=code, machine=machine_key()
        ),
        precision=precision,
        threads=threads,
        streams=streams,
        dynamic_batch=dynamic_batch,
    )


def open_network(
    build: Callable[[], Any],
    *,
    key: str,
    precision: str,
    threads: int | None = None,
    streams: int = 1,
    dynamic_batch: bool = False,
) -> OpenVinoNetwork:
    """Read a compiled network from the cache, or compile and keep it.

    Args:
        build: makes the `openvino.Model`, of a fixed shape; called only where nothing is cached.
        key: the whole key, as `combined_key` gives it.
        precision: see `compile_network`.
        threads: see `compile_network`.
        streams: see `compile_network`.
        dynamic_batch: see `compile_network`.

    Raises:
        DeviceError: OpenVINO is not there or cannot run it.
    """
    options = _options(precision, threads, streams)
    try:
        compiled = _read_compiled(key, options)
        if compiled is None:
            compiled = _core().compile_model(build(), "CPU", options)
            _keep_compiled(key, compiled)
    except Exception as error:  # those of OpenVINO have no root of their own
        raise DeviceError(f"OpenVINO cannot run this network on this CPU: {_last_line(error)}") from error
    return OpenVinoNetwork(compiled, is_repeated=dynamic_batch, streams=streams)


def compile_model(model: Any, *, precision: str = "fp32", threads: int | None = None) -> OpenVinoNetwork:
    """Compile an `openvino.Model` of a fixed shape, without the cache."""
    return OpenVinoNetwork(_core().compile_model(model, "CPU", _options(precision, threads)), is_repeated=False)


def convert(network: nn.Module, shape: list[int], dtype: torch.dtype = torch.float32) -> Any:
    """Turn a network of one input, float32 or uint8, into an `openvino.Model` with that input shape."""
    openvino = import_openvino()

    is_training = network.training
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sizes become constants, which is wanted, and torch.jit is deprecated
            example = torch.zeros(shape, dtype=dtype)
            traced = torch.jit.trace(network.eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
            wanted = {torch.float32: openvino.Type.f32, torch.uint8: openvino.Type.u8}[dtype]
            model = openvino.convert_model(traced, input=[(shape, wanted)])
    finally:
        network.train(is_training)
    return model


def combined_key(**parts: Any) -> str:
    """Hash (hex) of named values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def pack_model(model: Any) -> bytes:
    """An `openvino.Model` as bytes, its weights as they are."""
    openvino = import_openvino()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        openvino.save_model(model, path, compress_to_fp16=False)
        description, weights = path.read_bytes(), path.with_suffix(".bin").read_bytes()
    return len(description).to_bytes(8, "little") + description + weights


def unpack_model(content: bytes) -> Any:
    """The `openvino.Model` that `pack_model` took."""
    openvino = import_openvino()

    end = 8 + int.from_bytes(content[:8], "little")
    weights = np.frombuffer(content, np.uint8, offset=end)
    return _core().read_model(content[8:end], openvino.Tensor(weights.copy()))


def code_key(module_names: Iterable[str]) -> list[str]:
    """Hashes of the code of some modules of ours: what it compiles to changes with it."""
    return sorted(_code_hash(name) for name in set(module_names))


@cache
def machine_key() -> str:
    """Names what compiles and what runs: versions, CPU and what it can do."""
    openvino = import_openvino()

    core = _core()
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    name = core.get_property("CPU", "FULL_DEVICE_NAME")
    has_tiles = torch.cpu._is_amx_tile_supported() if hasattr(torch.cpu, "_is_amx_tile_supported") else None
    return json.dumps(
        [openvino.__version__, torch.__version__, platform.machine(), name, sorted(capabilities), has_tiles]
    )


class OpenVinoNetwork:
    """A compiled network and the requests that run it; their tensors are OpenVINO's, without a copy.

    Args:
        compiled: `openvino.CompiledModel` with one input of a fixed shape.
        is_repeated: the input is one item; a batch runs item by item.
        streams: requests, as many as calls may run at once.
    """

    def __init__(self, compiled: Any, *, is_repeated: bool, streams: int = 1) -> None:
        self._compiled = compiled
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(streams):
            self._idle.put(compiled.create_infer_request())
        self._is_repeated = is_repeated
        self.input_shape = tuple(compiled.input(0).shape)
        self._input_type = _torch_type(compiled.input(0).element_type)
        self._outputs = [(list(output.shape), _torch_type(output.element_type)) for output in compiled.outputs]

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """Run on an input (CPU, of the type that it was compiled for); new tensors come back."""
        wanted = self.input_shape[1:] if self._is_repeated else self.input_shape
        if tuple(x.shape[1:] if self._is_repeated else x.shape) != wanted:
            raise ValueError(f"input is of shape {tuple(x.shape)}; this network was compiled for {self.input_shape}.")
        x = x.detach().to("cpu", self._input_type).contiguous()
        if not self._is_repeated:
            return tuple(self._run(x, [torch.empty(shape, dtype=dtype) for shape, dtype in self._outputs]))
        outputs = [torch.empty([len(x), *shape[1:]], dtype=dtype) for shape, dtype in self._outputs]
        for i in range(len(x)):
            self._run(x[i : i + 1], [output[i : i + 1] for output in outputs])
        return tuple(outputs)

    def _run(self, x: Tensor, outputs: list[Tensor]) -> list[Tensor]:
        """Fill the outputs."""
        shared = import_openvino().Tensor

        request = self._idle.get()
        try:
            request.set_input_tensor(shared(x.numpy(), shared_memory=True))
            for i, output in enumerate(outputs):
                request.set_output_tensor(i, shared(output.numpy(), shared_memory=True))
            request.infer()
        finally:
            self._idle.put(request)
        return outputs


def _options(precision: str, threads: int | None, streams: int = 1) -> dict[str, Any]:
    options = {
        "INFERENCE_PRECISION_HINT": PRECISION_HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": streams,
        # Another process or the encoder would be pinned to the same cores, and all wait for one.
        "ENABLE_CPU_PINNING": False,
    }
    return options if threads is None else {**options, "INFERENCE_NUM_THREADS": threads}


def _read_compiled(key: str, options: dict[str, Any]) -> Any:
    """The compiled network of a key, None where there is none that can be used."""
    content = read_cached(key)
    if content is None:
        return None
    try:
        return _core().import_model(content, "CPU", options)
    except RuntimeError as error:
        logger.warning("A cached network cannot be read (%s); it is compiled anew.", _last_line(error))
        return None


def _keep_compiled(key: str, compiled: Any) -> None:
    content = compiled.export_model()
    write_cached(key, content.getvalue() if isinstance(content, BytesIO) else bytes(content))


@cache
def _core() -> Any:
    openvino = import_openvino()

    return openvino.Core()


@cache
def _code_hash(module_name: str) -> str:
    """Hash of the file of a module of ours; others are known by their version."""
    path = importlib.import_module(module_name).__file__
    if path is None or module_name.partition(".")[0] == "torch":
        return module_name
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _torch_type(element_type: Any) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, element_type.to_dtype().name)
    return dtype


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
