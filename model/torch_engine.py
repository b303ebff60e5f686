"""Engines that run in PyTorch, as it is and compiled."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .deviation import PSNR_CEILING_DB, sample_crop
from .devices import PRECISIONS
from .fast_generator import FastGenerator, suits_winograd
from .generator import Generator

logger = logging.getLogger(__name__)

_BATCH_SIZES = {"cpu": 1, "cuda": 32}  # more does not help on a CPU: the maps fall out of its caches
_OTHER_BATCH_SIZE = 8

Network = Callable[[Tensor], Tensor]
"""N3HW in [-1, 1] -> N3HW in [-1, 1]."""


class TorchEngine:
    """Runs a generator with plain PyTorch, convolutions in half precision where asked for, in channels-last memory.

    On a CPU it is rewritten first (`fast_generator.py`).

    Args:
        generator: the network; it is copied or only read, and stays as it is.
        device: where to run.
        precision: one of `devices.PRECISIONS`. Norms compute in fp32 in any case.
    """

    name = "torch"
    num_callers = 1

    def __init__(self, generator: Generator, *, device: torch.device, precision: str = "fp32") -> None:
        self.device = str(device)
        self.precision = precision
        self.max_error = self.mean_error = 0.0
        self.psnr_db = PSNR_CEILING_DB
        self.batch_size = _BATCH_SIZES.get(device.type, _OTHER_BATCH_SIZE)
        self._network = _network_for(generator, device, precision)

    @torch.inference_mode()
    def __call__(self, crops: Tensor) -> Tensor:
        """Stylise N3HW float32 crops in [-1, 1] (see `engine.Engine`)."""
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
            image: Tensor = self._network(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            logger.warning("A batch of %d crops is too large for %s; going on in halves.", len(batch), self.device)
            return None
        return image


class CompiledEngine(TorchEngine):
    """Runs a generator that torch.compile made a program of, one program for each size of picture.

    Args:
        generator: the network; it stays as it is.
        device: where to run.
        precision: one of `devices.PRECISIONS`.
        size_px: side of the crops that it is tried with.

    Raises:
        RuntimeError: it cannot be compiled here, most often because there is no C++ compiler.
    """

    name = "compiled"

    def __init__(self, generator: Generator, *, device: torch.device, precision: str = "fp32", size_px: int) -> None:
        super().__init__(generator, device=device, precision=precision)
        self.batch_size = 1 if device.type == "cpu" else self.batch_size
        self._network = torch.compile(self._network, dynamic=False)
        try:
            self(sample_crop(size_px))
        except Exception as error:  # those of compilers and linkers have no root
            raise RuntimeError(_first_line(error)) from error


class _OnCpu:
    """A rewritten generator: Winograd's convolutions in float32, where the map is not too large for them.

    Args:
        generator: it is only read.
        dtype: of the convolutions.
    """

    def __init__(self, generator: Generator, dtype: torch.dtype) -> None:
        self._generator = generator
        self._dtype = dtype
        self._networks: dict[bool, FastGenerator] = {}

    def __call__(self, crops: Tensor) -> Tensor:
        """See `Network`."""
        use_winograd = self._dtype == torch.float32 and suits_winograd(self._generator, crops.shape[2:])
        if use_winograd not in self._networks:
            self._networks[use_winograd] = self._rewritten(use_winograd)
        network = self._networks[use_winograd]
        crops = crops.contiguous(memory_format=torch.channels_last)
        return torch.cat([network(crop[None]) for crop in crops])

    def _rewritten(self, use_winograd: bool) -> FastGenerator:
        is_narrow = self._dtype != torch.float32
        network = FastGenerator(self._generator, use_winograd=use_winograd, is_narrow=is_narrow)
        rewritten: FastGenerator = _with_convolutions_in(network.to(memory_format=torch.channels_last), self._dtype)
        return rewritten


def _network_for(generator: Any, device: torch.device, precision: str) -> Network:
    if device.type == "cpu" and isinstance(generator, Generator):
        return _OnCpu(copy.deepcopy(generator).eval().requires_grad_(False).float(), PRECISIONS[precision])
    network = copy.deepcopy(generator).eval().requires_grad_(False).float()
    if device.type in _BATCH_SIZES:  # channels-last is slower or unsupported elsewhere
        network = network.to(memory_format=torch.channels_last)
    network = _with_convolutions_in(network, PRECISIONS[precision]).to(device)

    def image(crops: Tensor) -> Tensor:
        drawn: Tensor = network(crops).image
        return drawn

    return image


def _with_convolutions_in(network: Any, dtype: torch.dtype) -> Any:
    """Convert, in place, what multiplies matrices; scales and shifts of norms stay float32."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.to(dtype)
    return network


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
