"""Hands the rooms' networks to OpenVINO where they run on a CPU. How compiling is done is model's business."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from model.errors import DeviceError

if TYPE_CHECKING:
    from torch import Tensor, nn

logger = logging.getLogger(__name__)


class CpuCompiler:
    """What rooms take as their `NetworkCompiler`: exact float32 by OpenVINO, cached on disk.

    Args:
        threads: CPU threads of each network; None is one per core.
    """

    def __init__(self, threads: int | None) -> None:
        self._threads = threads

    def __call__(
        self, network: nn.Module, example: Tensor, *, key: str, dynamic_batch: bool = False
    ) -> Callable[[Tensor], tuple[Tensor, ...]] | None:
        """Compile a network, or tell why it runs as it is and return None."""
        from model.openvino_runtime import compile_network

        try:
            return compile_network(network, example, key=key, threads=self._threads, dynamic_batch=dynamic_batch)
        except (DeviceError, ImportError) as error:
            logger.warning("%s runs in PyTorch, which is slower: %s", type(network).__name__, error)
            return None
