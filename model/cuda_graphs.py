"""Recording of a network's run into a CUDA graph, which starts all its kernels at once. Knows no generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

_NUM_WARM_UPS = 2


class Record(Protocol):
    """Makes a run of a network repeatable."""

    def __call__(self, network: Callable[[Tensor], Tensor], crops: Tensor) -> Callable[[], Tensor]:
        """Run the network on `crops` once; the function that comes back runs it again on what stands there then.

        Its result is overwritten by the next run of this or of another recorded function.
        """
        ...


class GraphRecorder:
    """Records CUDA graphs that share one pool of memory, so they must run one after the other.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        with torch.cuda.device(device):
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            self._pool = torch.cuda.graph_pool_handle()  # type: ignore[no-untyped-call]

    def __call__(self, network: Callable[[Tensor], Tensor], crops: Tensor) -> Callable[[], Tensor]:
        """See `Record`."""
        stream = self._stream
        stream.wait_stream(torch.cuda.current_stream())  # `crops` is filled there
        with torch.cuda.stream(stream):
            for _ in range(_NUM_WARM_UPS):  # libraries set themselves up, Triton compiles: neither can be recorded
                network(crops)
            graph = torch.cuda.CUDAGraph()
            # Other threads may decode on the GPU meanwhile, which the strictest mode would forbid.
            with torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
                output = network(crops).contiguous(memory_format=torch.channels_last)
        torch.cuda.current_stream().wait_stream(stream)

        def replay() -> Tensor:
            graph.replay()
            return output

        return replay
