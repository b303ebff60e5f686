"""Chooses the engine that runs a style's generator as fast as the machine can, with a measured error.

Crops in, stylised crops out; knows nothing of pictures, frames or faces.
"""

from __future__ import annotations

import json
import logging
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from .cuda_engine import CudaEngine, load_cuda_engine
from .deviation import MIN_INT8_PSNR_DB, Deviation, compare, deviation, sample_crop
from .devices import choose_device, choose_precisions
from .errors import DeviceError
from .openvino_cache import read_cached, write_cached
from .openvino_engine import OpenVinoEngine
from .style import Style
from .torch_engine import CompiledEngine, TorchEngine

__all__ = ["Engine", "TorchEngine", "compare", "load_engine", "sample_crop"]

logger = logging.getLogger(__name__)

ENGINES = ("auto", "torch", "compiled", "openvino")
"""What can be asked for."""


class Engine(Protocol):
    """Runs one style's generator."""

    @property
    def name(self) -> str:
        """Kind of engine, for reports: `torch`, `compiled`, `openvino`, `cuda`."""

    @property
    def device(self) -> str:
        """Where it runs: `cpu`, `cuda:0`, `mps`."""

    @property
    def precision(self) -> str:
        """fp32, bf16, fp16 or int8."""

    @property
    def max_error(self) -> float:
        """Largest difference to fp32 on the CPU on the test crop, in 1/255 grey levels."""

    @property
    def psnr_db(self) -> float:
        """Similarity to fp32 on the CPU on the test crop, in dB of the full range."""

    @property
    def mean_error(self) -> float:
        """Mean absolute difference to fp32 on the CPU on the test crop, in 1/255 grey levels."""

    @property
    def batch_size(self) -> int:
        """Crops it likes to be given at once: more do not make it faster."""

    @property
    def num_callers(self) -> int:
        """Threads that keep it busy, one more than calls run at once; 1: calls must come one after the other."""

    def __call__(self, crops: Tensor) -> Tensor:
        """Stylise N3HW float32 crops in [-1, 1], any N; the same shape, type, range and device come back.

        The result for a crop does not depend on the others.
        """


def load_engine(
    style: Style,
    *,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    streams: int = 1,
) -> Engine:
    """Make the best engine for a style on this machine, and measure it.

    Args:
        style: what to run.
        device: `auto` (CUDA, else MPS, else CPU) or a torch device.
        precision: `fp32`, `bf16`, `fp16`, `int8` (after `styles quantise`), or `auto`: the fastest one that stays
            within the bounds of `Deviation.is_small`.
        engine: one of `ENGINES`; `auto` is OpenVINO on a CPU, the recorded engine on an NVIDIA GPU, else PyTorch.
        threads: CPU threads it may use; None is one per core. PyTorch's are set for the whole process, not here.
        streams: calls that an engine for CPUs should run at once, each with its share of the threads: a call takes
            longer, but many take less time than one after the other. Other engines run one.

    Raises:
        DeviceError: there is no such device, engine or precision, or it does not work.
    """
    chosen = choose_device(device)
    waiting = _candidates(engine, precision, chosen)
    while True:
        candidate, *waiting = waiting
        try:
            made = _made(style, chosen, candidate, threads, streams)
            found = _measured(made, style)
        except (RuntimeError, DeviceError) as error:  # what a driver or a kernel refuses shows only when it runs
            if not waiting and isinstance(error, DeviceError):
                raise
            if not waiting:
                raise DeviceError(f"{candidate} does not work on {chosen}: {error}") from error
            logger.warning("%s does not work on %s (%s); %s is used instead.", candidate, chosen, error, waiting[0])
            continue
        made.max_error, made.psnr_db, made.mean_error = found
        waiting = [other for other in waiting if other.precision != candidate.precision]  # the same would be as far off
        # Of int8 the user was told the error by `styles quantise`.
        is_chosen = candidate.precision == "int8" and found.psnr_db >= MIN_INT8_PSNR_DB
        if not found.is_small and not is_chosen:
            logger.warning(
                "Style %r in %s on %s differs from fp32 by up to %.1f of 255 levels (%.1f dB)%s.",
                style.name,
                candidate,
                made.device,
                found.max_error,
                found.psnr_db,
                f"; {waiting[0]} is used instead" if waiting else "",
            )
        if found.is_small or not waiting:
            return made


class _Candidate(NamedTuple):
    """An engine to try."""

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


def _candidates(engine: str, precision: str, device: torch.device) -> list[_Candidate]:
    """What to try for a choice of the user, best first."""
    if engine not in ENGINES:
        raise DeviceError(f"engine {engine!r} is unknown; use {', '.join(ENGINES)}.")
    if engine == "openvino" and device.type != "cpu":
        raise DeviceError(f"engine 'openvino' runs on a CPU, not on {device}; use --device cpu or --engine auto.")
    if precision == "int8":
        if device.type != "cpu" or engine not in ("auto", "openvino"):
            raise DeviceError("precision 'int8' runs in OpenVINO on a CPU; use it with --device cpu and --engine auto.")
        return [_Candidate("openvino", precision)]
    precisions = choose_precisions(precision, device)
    best = {"cpu": "openvino", "cuda": "cuda"}.get(device.type, "torch") if engine == "auto" else engine
    candidates = [_Candidate(best, each) for each in precisions]
    if best == "compiled" or (engine == "auto" and best == "openvino"):  # a compiler or a library may be missing
        candidates.append(_Candidate("torch", precisions[-1]))
    return candidates


def _made(
    style: Style, device: torch.device, candidate: _Candidate, threads: int | None, streams: int
) -> TorchEngine | OpenVinoEngine | CudaEngine:
    """An engine whose error is still to be measured."""
    engine, precision = candidate
    if engine == "openvino":
        return OpenVinoEngine(style, precision=precision, threads=threads, streams=streams)
    if engine == "torch":
        return TorchEngine(style.generator, device=device, precision=precision)
    size_px = style.card.crop_size_px
    if device.type == "cuda":
        return load_cuda_engine(
            style.generator, device=device, precision=precision, size_px=size_px, is_compiled=engine == "compiled"
        )
    return CompiledEngine(style.generator, device=device, precision=precision, size_px=size_px)


def _measured(engine: Engine, style: Style) -> Deviation:
    """How far an engine is off; what is known of OpenVINO's from an earlier start is taken from there."""
    key = f"deviation-{engine.key}" if isinstance(engine, OpenVinoEngine) else None
    kept = read_cached(key) if key else None
    if kept is not None:
        return Deviation(*json.loads(kept))
    crop = sample_crop(style.config.image_size_px)
    with torch.inference_mode():
        found = deviation(engine(crop), style.generator(crop).image)
    if key:
        write_cached(key, json.dumps(found).encode())
    return found
