"""What this room asks of whoever makes its networks run faster: the interface only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

CompiledNetwork = Callable[["Tensor"], tuple["Tensor", ...]]
"""From an input to the network's outputs, in the order of its own tuple."""


class NetworkCompiler(Protocol):
    """Makes a network run faster on the CPU, with the same results but for rounding."""

    def __call__(
        self, network: nn.Module, example: Tensor, *, key: str, precision: str = "fp32", dynamic_batch: bool = False
    ) -> CompiledNetwork | None:
        """Compile a network of one input and a tuple of outputs.

        Args:
            network: in eval mode.
            example: an input of the shape that it will get.
            key: names the weights: equal keys may share what is kept from an earlier run.
            precision: of the arithmetic: `fp32`, or `fast`, whatever this machine is fastest in.
            dynamic_batch: any number of inputs may come at once; none of them has an influence on another's outputs.

        Returns:
            What runs in its place, or None where this machine cannot: then it runs as it is.
        """
        ...
