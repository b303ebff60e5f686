"""Hands the rooms' networks to OpenVINO where they run on a CPU. How compiling is done is model's business."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from model.errors import DeviceError

if TYPE_CHECKING:
    from torch import Tensor, nn

logger = logging.getLogger(__name__)


class CpuCompiler:
    """What rooms take as their `NetworkCompiler`: float32 or bfloat16 by OpenVINO, or the faster; cached on disk.

    Args:
        threads: CPU threads of each network; None is one per core.
        streams: calls of a network that run at once, each with its share of the threads.
    """

    def __init__(self, threads: int | None, streams: int = 1) -> None:
        self._threads, self._streams = threads, streams

    def __call__(
        self,
        network: nn.Module,
        example: Tensor,
        *,
        key: str,
        precision: str = "fp32",
        dynamic_batch: bool = False,
    ) -> Callable[[Tensor], tuple[Tensor, ...]]:
        """Compile a network; where OpenVINO cannot, tell why and let PyTorch run it as it is."""
        from model.devices import fast_precision
        from model.openvino_runtime import compile_network

        if precision == "fast":
            precision = fast_precision("cpu")
        try:
            return compile_network(
                network,
                example,
                key=key,
                precision=precision,
                threads=self._threads,
                streams=self._streams,
                dynamic_batch=dynamic_batch,
            )
        except (DeviceError, ImportError) as error:
            logger.warning("%s runs in PyTorch, which is slower: %s", type(network).__name__, error)
            return partial(_run, network)


def _run(network: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    import torch

    with torch.inference_mode():
        outputs = network(images)
    return outputs if isinstance(outputs, tuple) else (outputs,)
