"""Engines: run a style's generator as fast as the machine can, with a measured error.

Crops in, stylised crops out; knows nothing of pictures, frames or faces.
"""

from __future__ import annotations

import copy
import logging
import math
from typing import Protocol

import torch
from torch import Tensor, nn

from .cuda_engine import CudaEngine, load_cuda_engine
from .devices import PRECISIONS, choose_device, choose_precisions
from .errors import DeviceError
from .generator import Generator
from .style import Style

logger = logging.getLogger(__name__)

MIN_PSNR_DB = 42.0
"""`auto` takes no precision that is further than this from fp32 on the test crop; video encoders stay below it."""
MAX_ERROR_LEVELS = 16.0
"""Nor one that is off by more than this many of 255 grey levels anywhere."""
PSNR_CEILING_DB = 150.0
"""Reported where there is no difference at all."""

_BATCH_SIZES = {"cpu": 1, "cuda": 32}  # more does not help on a CPU: the maps fall out of its caches
_OTHER_BATCH_SIZE = 8


class Engine(Protocol):
    """Runs one style's generator."""

    @property
    def name(self) -> str:
        """Kind of engine, for reports."""

    @property
    def device(self) -> str:
        """Where it runs: `cpu`, `cuda:0`, `mps`."""

    @property
    def precision(self) -> str:
        """fp32, bf16 or fp16."""

    @property
    def max_error(self) -> float:
        """Largest difference to fp32 on the CPU on the test crop, in 1/255 grey levels."""

    @property
    def psnr_db(self) -> float:
        """Similarity to fp32 on the CPU on the test crop, in dB of the full range."""

    @property
    def batch_size(self) -> int:
        """Crops it likes to be given at once: more do not make it faster."""

    def __call__(self, crops: Tensor) -> Tensor:
        """Stylise N3HW float32 crops in [-1, 1], any N; the same shape, type, range and device come back.

        The result for a crop does not depend on the others.
        """


class TorchEngine:
    """Runs a generator with plain PyTorch, convolutions in half precision where asked for, in channels-last memory.

    Args:
        generator: the network; it is copied and stays as it is.
        device: where to run.
        precision: one of `devices.PRECISIONS`. Norms compute in fp32 in any case.
    """

    name = "torch"

    def __init__(self, generator: Generator, *, device: torch.device, precision: str = "fp32") -> None:
        self.device = str(device)
        self.precision = precision
        self.max_error = 0.0
        self.psnr_db = PSNR_CEILING_DB
        self.batch_size = _BATCH_SIZES.get(device.type, _OTHER_BATCH_SIZE)
        network = copy.deepcopy(generator).eval().requires_grad_(False).float()
        if device.type in _BATCH_SIZES:  # channels-last is slower or unsupported elsewhere
            network = network.to(memory_format=torch.channels_last)
        self._network = _with_convolutions_in(network, PRECISIONS[precision]).to(device)

    @torch.inference_mode()
    def __call__(self, crops: Tensor) -> Tensor:
        """Stylise N3HW float32 crops in [-1, 1] (see `Engine`)."""
        if crops.ndim != 4 or crops.shape[1] != 3:
            raise ValueError(f"crops are of shape {tuple(crops.shape)}, expected N3HW.")
        output = torch.empty_like(crops, dtype=torch.float32)
        start = 0
        while start < len(crops):
            batch = crops[start : start + self.batch_size]
            image = self._run(batch.to(self.device))
            if image is None:
                self.batch_size = max(len(batch) // 2, 1)
                continue
            output[start : start + len(batch)] = image
            start += len(batch)
        return output

    def _run(self, batch: Tensor) -> Tensor | None:
        """Stylise a batch; None where the device's memory is too small for it."""
        try:
            image: Tensor = self._network(batch).image
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            logger.warning("A batch of %d crops is too large for %s; going on in halves.", len(batch), self.device)
            return None
        return image


def load_engine(
    style: Style, *, device: str = "auto", precision: str = "auto", engine: str = "auto", threads: int | None = None
) -> Engine:
    """Make the best engine for a style on this machine, and measure it.

    Args:
        style: what to run.
        device: `auto` (CUDA, else MPS, else CPU) or a torch device.
        precision: `fp32`, `bf16`, `fp16`, or `auto`: the fastest one that stays within `MIN_PSNR_DB` and
            `MAX_ERROR_LEVELS` of fp32.
        engine: `torch`, `compiled`, `openvino`, or `auto`: the fastest for the device.
        threads: CPU threads it may use; None is one per core.

    Raises:
        DeviceError: there is no such device or precision, or it does not work.
    """
    chosen = choose_device(device)
    candidates = choose_precisions(precision, chosen)
    crop = sample_crop(style.config.image_size_px)
    reference = TorchEngine(style.generator, device=torch.device("cpu"))
    if candidates == ("fp32",) and chosen.type == "cpu":
        return reference
    wanted = reference(crop)
    for candidate in candidates:
        is_last = candidate == candidates[-1]
        try:
            made = _on_device(style, chosen, candidate, engine)
            made.max_error, made.psnr_db = compare(made(crop), wanted)
        except RuntimeError as error:  # what a driver or a kernel refuses shows only when it runs
            if is_last:
                raise DeviceError(f"{candidate} does not work on {chosen}: {error}") from error
            logger.warning("%s does not work on %s (%s); fp32 is used instead.", candidate, chosen, error)
            continue
        if made.psnr_db >= MIN_PSNR_DB and made.max_error <= MAX_ERROR_LEVELS:
            break
        logger.warning(
            "Style %r in %s on %s differs from fp32 by up to %.1f of 255 levels (%.1f dB)%s.",
            style.name,
            candidate,
            made.device,
            made.max_error,
            made.psnr_db,
            "" if is_last else "; fp32 is used instead",
        )
    return made


def _on_device(style: Style, device: torch.device, precision: str, engine: str) -> TorchEngine | CudaEngine:
    """An engine whose error is still to be measured: on NVIDIA GPUs the recorded one, unless PyTorch is asked for."""
    if device.type != "cuda" or engine == "torch":
        return TorchEngine(style.generator, device=device, precision=precision)
    return load_cuda_engine(
        style.generator,
        device=device,
        precision=precision,
        size_px=style.card.crop_size_px,
        is_compiled=engine == "compiled",
    )


def compare(image: Tensor, wanted: Tensor) -> tuple[float, float]:
    """Largest difference in 1/255 grey levels, and PSNR in dB, of two tensors in [-1, 1].

    What is not finite counts as the full range.
    """
    difference = (image.double() - wanted.double()).abs().nan_to_num(nan=2, posinf=2)
    mean_square = difference.square().mean().item()
    psnr_db = 10 * math.log10(4 / mean_square) if mean_square else PSNR_CEILING_DB
    return difference.max().item() * 127.5, min(psnr_db, PSNR_CEILING_DB)


def sample_crop(size_px: int) -> Tensor:
    """A fixed test crop, 1x3xSxS float32 in [-1, 1]: a bright oval before a dark gradient, with fine texture."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size_px)] * 2, indexing="ij")
    oval = torch.sigmoid(24 * (0.6 - torch.hypot(x / 0.8, y)))
    texture = 0.06 * torch.sin(97 * x * y + 31 * x) + 0.04 * torch.sin(151 * y)
    colours = torch.stack([0.7 * oval - 0.3, 0.5 * oval - 0.3 + 0.2 * x, 0.3 * oval - 0.4 + 0.3 * y])
    return (colours + texture).clamp(-1, 1).unsqueeze(0)


def _with_convolutions_in(network: Generator, dtype: torch.dtype) -> Generator:
    """Convert, in place, what multiplies matrices; scales and shifts of norms stay float32."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.to(dtype)
    return network
