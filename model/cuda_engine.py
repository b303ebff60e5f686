"""The engine for NVIDIA GPUs: half-precision convolutions in channels-last memory, recorded once into CUDA graphs.

A recorded batch has a fixed size; smaller ones are filled up. Whether the plain generator is recorded or the one with
fused norms is decided by timing both. Choosing the device and judging the error is engine.py's part.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from .cuda_graphs import GraphRecorder, Record
from .devices import PRECISIONS
from .generator import Generator

logger = logging.getLogger(__name__)

Network = Callable[[Tensor], Tensor]
"""N3HW float32 in [-1, 1] -> N3HW float32 in [-1, 1], on one device."""

_BATCH_SIZE = 32
_MAX_SHAPES = 3
_MAX_STAGINGS = 2
_NUM_TIMED = 3


@dataclass(frozen=True)
class _Batch:
    """A recorded run of the network."""

    crops: Tensor
    """M3HW float32 on the device, what the run reads."""
    replay: Callable[[], Tensor]
    """Start it; gives M3HW float32 on the device, which the next run of any batch may overwrite."""


@dataclass(frozen=True)
class _Staging:
    """Pinned memory of the CPU, through which copying goes on beside computing."""

    given: Tensor
    """M3HW float32."""
    taken: Tensor
    """The same for what comes back."""


class CudaEngine:
    """Runs a network in recorded batches (see engine.Engine).

    Args:
        network: what is run.
        name: for reports.
        device: where it is.
        precision: in what it convolves, one of `devices.PRECISIONS`.
        size_px: side of the crops that it will mostly get.
        sizes: batch sizes to record, the largest last.
        record: makes a run repeatable; None records CUDA graphs.
    """

    num_callers = 1

    def __init__(
        self,
        network: Network,
        name: str,
        *,
        device: torch.device,
        precision: str,
        size_px: int,
        sizes: Sequence[int] = (1, 2, 4, 8, 16, _BATCH_SIZE),
        record: Record | None = None,
    ) -> None:
        self.name = name
        self.device = str(device)
        self.precision = precision
        self.max_error = self.mean_error = 0.0
        self.psnr_db = 0.0
        self.batch_size = max(sizes)
        self._network, self._device, self._size_px, self._sizes = network, device, size_px, sizes
        self._record = record or GraphRecorder(device)
        self._batches: dict[tuple[int, int], dict[int, _Batch]] = {}
        self._staging: dict[torch.Size, tuple[_Staging, _Staging]] = {}
        self._lock = threading.Lock()  # the buffers serve one call at a time

    @torch.inference_mode()
    def __call__(self, crops: Tensor) -> Tensor:
        """Stylise N3HW float32 crops in [-1, 1] (see `engine.Engine`)."""
        if crops.ndim != 4 or crops.shape[1] != 3:
            raise ValueError(f"crops are of shape {tuple(crops.shape)}, expected N3HW.")
        output = torch.empty_like(crops, dtype=torch.float32)
        if len(crops):
            with self._lock, self._on_device():
                self._run(crops, output)
        return output

    @torch.inference_mode()
    def secs_per_crop(self) -> float:
        """How long a crop of a full batch takes on the device, copies left out; the best of some runs."""
        with self._lock, self._on_device():
            batches = self._batches_for((self._size_px, self._size_px))
            batch = batches[max(batches)]
            return min(self._secs(batch.replay) for _ in range(_NUM_TIMED)) / len(batch.crops)

    def _run(self, crops: Tensor, output: Tensor) -> None:
        batches = self._batches_for((crops.shape[2], crops.shape[3]))
        waiting: list[Callable[[], None]] = []
        for number, start in enumerate(range(0, len(crops), max(batches))):
            given, taken = (part[start : start + max(batches)] for part in (crops, output))
            batch = batches[min(size for size in batches if size >= len(given))]
            if self._is_here(crops):
                batch.crops[: len(given)].copy_(given)
                taken.copy_(batch.replay()[: len(given)])  # whoever reads it comes later in the same stream
                continue
            waiting.append(self._start(batch, self._staging_for(batch)[number % 2], given, taken))
            if len(waiting) == 2:  # one batch is copied on the CPU while another is computed
                waiting.pop(0)()
        for finish in waiting:
            finish()

    def _start(self, batch: _Batch, staging: _Staging, given: Tensor, taken: Tensor) -> Callable[[], None]:
        """Begin with a batch; the function that comes back waits for it and fills `taken`."""
        count = len(given)
        ready = staging.taken[:count]
        staging.given[:count].copy_(given)
        batch.crops[:count].copy_(staging.given[:count], non_blocking=True)
        ready.copy_(batch.replay()[:count], non_blocking=True)
        wait = self._mark()

        def finish() -> None:
            wait()
            taken.copy_(ready)

        return finish

    def _staging_for(self, batch: _Batch) -> tuple[_Staging, _Staging]:
        """Two of them, to be used in turn; only those of the last batches are kept."""
        shape = batch.crops.shape
        if shape not in self._staging:
            while len(self._staging) >= _MAX_STAGINGS:
                del self._staging[next(iter(self._staging))]
            is_pinned, layout = self._device.type == "cuda", torch.channels_last
            made = [torch.empty(shape, pin_memory=is_pinned, memory_format=layout) for _ in range(4)]
            self._staging[shape] = (_Staging(*made[:2]), _Staging(*made[2:]))
        return self._staging[shape]

    def _is_here(self, crops: Tensor) -> bool:
        return crops.device == self._device

    def _batches_for(self, size_hw: tuple[int, int]) -> dict[int, _Batch]:
        """The recorded batches for pictures of a size, by how many they hold."""
        if size_hw not in self._batches:
            if len(self._batches) == _MAX_SHAPES:
                del self._batches[next(iter(self._batches))]
            self._batches[size_hw] = self._recorded(size_hw)
        return self._batches[size_hw]

    def _recorded(self, size_hw: tuple[int, int]) -> dict[int, _Batch]:
        most = max(int(max(self._sizes) * self._size_px**2 / (size_hw[0] * size_hw[1])), 1)
        sizes = [size for size in self._sizes if size <= most] or [most]
        while True:
            batches = self._try_to_record(size_hw, sizes)
            if batches is not None:
                return batches
            # Here, not where the error is caught: it holds on to what was allocated.
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            logger.warning(
                "%d pictures of %dx%d are too many for %s at once; going on with half.",
                sizes[-1],
                *size_hw,
                self.device,
            )
            sizes = sizes[:-1] if len(sizes) > 1 else [sizes[0] // 2]
            if size_hw == (self._size_px, self._size_px):
                self.batch_size = sizes[-1]

    def _try_to_record(self, size_hw: tuple[int, int], sizes: Sequence[int]) -> dict[int, _Batch] | None:
        """Record all sizes; None where the device's memory is too small for the largest."""
        try:
            batches = {size: self._record_one(size_hw, size) for size in reversed(sizes)}
        except RuntimeError as error:
            # An error while recording ends in another one about the recording.
            is_full = any(isinstance(e, torch.OutOfMemoryError) for e in (error, error.__context__))
            if not is_full or sizes[-1] == 1:
                raise
            return None
        return self._alike(batches)

    def _record_one(self, size_hw: tuple[int, int], size: int) -> _Batch:
        crops = torch.empty(size, 3, *size_hw, device=self._device, memory_format=torch.channels_last).zero_()
        with self._arithmetic():
            return _Batch(crops, self._record(self._network, crops))

    def _alike(self, batches: dict[int, _Batch]) -> dict[int, _Batch]:
        """Those sizes that give bit for bit what the largest gives: a library may compute a small batch otherwise.

        What becomes of a frame must not depend on how frames are grouped.
        """
        largest = batches[max(batches)]
        noise = torch.rand(largest.crops.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
        largest.crops.copy_(noise)
        wanted = largest.replay().clone()
        kept = {max(batches): largest}
        for size, batch in batches.items():
            batch.crops.copy_(noise[:size])
            if torch.equal(batch.replay(), wanted[:size]):
                kept[size] = batch
        logger.debug("%s on %s runs batches of %s.", self.name, self.device, ", ".join(map(str, sorted(kept))))
        return kept

    def _arithmetic(self) -> AbstractContextManager[Any]:
        """Kernels that are chosen by rules, not by timing, so that all processes choose the same; fp32 means fp32."""
        has_tf32 = self.precision != "fp32"
        return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=has_tf32)  # type: ignore[no-untyped-call,no-any-return]

    def _on_device(self) -> AbstractContextManager[Any]:
        return torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()

    def _mark(self) -> Callable[[], object]:
        """Mark the place in the stream that is reached now; the function that comes back waits for it."""
        if self._device.type != "cuda":
            return lambda: None
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        return event.synchronize

    def _secs(self, replay: Callable[[], Tensor]) -> float:
        self._mark()()
        before = perf_counter()
        replay()
        self._mark()()
        return perf_counter() - before


def load_cuda_engine(
    generator: Generator, *, device: torch.device, precision: str, size_px: int, is_compiled: bool = False
) -> CudaEngine:
    """Make the fastest engine for a generator on a GPU; its error is still to be measured.

    Args:
        generator: the network; it is copied and stays as it is.
        device: a CUDA device.
        precision: one of `devices.PRECISIONS`. Norms compute in fp32 in any case.
        size_px: side of its crops.
        is_compiled: let torch.compile look for the best kernels, for minutes, instead.
    """
    if device.index is None:
        device = torch.device(device.type, torch.cuda.current_device())
    made = cuda_engines(generator, device=device, precision=precision, size_px=size_px, is_compiled=is_compiled)
    return made[0] if len(made) == 1 else min(made, key=CudaEngine.secs_per_crop)


def cuda_engines(
    generator: Generator, *, device: torch.device, precision: str, size_px: int, is_compiled: bool = False
) -> list[CudaEngine]:
    """All engines that `load_cuda_engine` chooses among, for the same arguments; those that do not run are left out."""
    network = copy.deepcopy(generator).eval().requires_grad_(False).float().to(memory_format=torch.channels_last)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.to(PRECISIONS[precision])
    network = network.to(device)
    options: dict[str, Any] = {"device": device, "precision": precision, "size_px": size_px}
    if is_compiled:
        compiled: Network = torch.compile(_image_of(network), mode="max-autotune-no-cudagraphs", dynamic=False)
        return [CudaEngine(compiled, "compiled", sizes=(_BATCH_SIZE,), **options)]
    made = [CudaEngine(_image_of(network), "cuda", **options)]
    try:
        from .cuda_generator import FusedGenerator

        fused = CudaEngine(FusedGenerator(network), "cuda fused", **options)
        fused.secs_per_crop()
    except Exception as error:  # Triton, its compiler or a kernel: whatever is wrong, the plain one runs
        logger.debug("Fused norms do not work on %s (%s).", device, error)
        return made
    return [*made, fused]


def _image_of(network: Generator) -> Network:
    def image(crops: Tensor) -> Tensor:
        drawn: Tensor = network(crops).image
        return drawn

    return image
