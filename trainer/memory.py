"""What a run needs: parameters of each network, memory of a step, and which settings would need less.

Builds networks without their numbers (torch's meta device) and counts what their backward passes would keep; measures
nothing on the machine. An estimate: workspaces of convolutions and the pieces that an allocator wastes are a margin.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.discriminator import build_discriminator
from model.generator import build_generator

from .config import TrainConfig, merged
from .errors import OutOfMemoryError
from .networks import discriminator_config, generator_config

_logger = logging.getLogger(__name__)

MARGIN = 1.25
"""Factor for what is not counted: workspaces, gradients of activations, waste of the allocator."""

_FLOAT_BYTES = 4
_GENERATOR_PASSES = 6  # each generator translates, brings back and repeats the target domain: all kept for one backward


@dataclass(frozen=True)
class Needs:
    """What a run needs."""

    parameters: dict[str, int]
    """Of each network, by name."""
    fixed_bytes: int
    """Weights, gradients, Adam's two moments, averaged generators."""
    step_bytes: int
    """What a step keeps for its backward pass."""

    @property
    def total_bytes(self) -> int:
        """Memory of the device, margin included."""
        return int(MARGIN * (self.fixed_bytes + self.step_bytes))


def estimate_needs(config: TrainConfig, precision: str) -> Needs:
    """Estimate what a run needs.

    Args:
        config: of the run.
        precision: `fp32` or `bf16`, in which the networks compute.
    """
    generator = generator_config(config)
    critics = {
        depth: dataclasses.replace(discriminator_config(config, depth), use_spectral_norm=False)  # meta has no autocast
        for depth in (config.networks.global_depth, config.networks.local_depth)
    }
    with torch.device("meta"):
        networks: dict[str, nn.Module] = {"generator": build_generator(generator)}
        networks |= {f"critic_{depth}": build_discriminator(critic) for depth, critic in critics.items()}
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    parameters = _by_name(config, counts)
    size, batch = config.networks.image_size_px, config.optimizer.batch_size
    kept = {name: _kept_bytes(network, batch, size) for name, network in networks.items()}
    return Needs(parameters, _fixed_bytes(config, parameters), _step_bytes(config, kept, counts, precision))


def smaller_settings(config: TrainConfig, precision: str, free_bytes: int) -> list[str]:
    """Return settings, as one would type them, with which a run would fit, the least change first.

    Args:
        config: of the run that did not fit.
        precision: in which it computed.
        free_bytes: memory of the device.
    """
    fitting = []
    for flags, changes, other_precision in _ways_down(config, precision):
        other = merged(config, changes, source="a smaller run")
        if estimate_needs(other, other_precision).total_bytes <= free_bytes:
            fitting.append(flags)
    return fitting[:3]


def device_bytes(device: torch.device) -> int:
    """Return how much memory a device has; for the CPU, that of the machine."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def warn_if_too_large(config: TrainConfig, precision: str, device: torch.device) -> None:
    """Say so before the first step if a run will probably not fit: Linux kills a process without a word."""
    needed, there = estimate_needs(config, precision).total_bytes, device_bytes(device)
    if needed > there:
        _logger.warning(
            "This run needs about %.1f GB, %s has %.1f. %s",
            needed / 1e9,
            device,
            there / 1e9,
            _advice(config, precision, there),
        )


@contextmanager
def lack_of_memory_told(config: TrainConfig, precision: str, device: torch.device) -> Iterator[None]:
    """Turn torch's "out of memory" into our own error.

    Raises:
        OutOfMemoryError: memory ran out; the message says which settings would fit.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_lack_of_memory(error):
            raise
        needed, there = estimate_needs(config, precision).total_bytes, device_bytes(device)
        raise OutOfMemoryError(
            f"a step did not fit into the memory of {device} ({there / 1e9:.1f} GB, some of it maybe used by others; "
            f"the run needs about {needed / 1e9:.1f}). {_advice(config, precision, min(there, needed * 9 // 10))}"
        ) from error


def _is_lack_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return "DefaultCPUAllocator" in text or "out of memory" in text


def _advice(config: TrainConfig, precision: str, there: int) -> str:
    ways = smaller_settings(config, precision, there)
    if not ways:
        return "Even --batch-size 1 with --channels 16 would not fit; use a smaller --size too."
    return f"It would fit with {' or with '.join(ways)}."


def _by_name(config: TrainConfig, counts: dict[str, int]) -> dict[str, int]:
    depths = {"global": config.networks.global_depth, "local": config.networks.local_depth}
    generators = {f"gen_{direction}": counts["generator"] for direction in ("a2b", "b2a")}
    critics = {f"disc_{kind}_{domain}": counts[f"critic_{depth}"] for domain in "ab" for kind, depth in depths.items()}
    return generators | critics


def _fixed_bytes(config: TrainConfig, parameters: dict[str, int]) -> int:
    copies = 4 * sum(parameters.values())  # weight, gradient, two moments
    if config.optimizer.ema_half_life_kimg:
        copies += sum(count for name, count in parameters.items() if name.startswith("gen_"))
    return _FLOAT_BYTES * copies


def _step_bytes(config: TrainConfig, kept: dict[str, int], counts: dict[str, int], precision: str) -> int:
    critics = [f"critic_{depth}" for depth in (config.networks.global_depth, config.networks.local_depth)]
    activations = _GENERATOR_PASSES * kept["generator"] + 2 * sum(kept[name] for name in critics)
    # bf16 halves what convolutions keep, not the norms' statistics and masks; it adds casts of all weights.
    activations = activations * 6 // 10 if precision == "bf16" else activations
    casts = 2 * sum(counts[name] for name in critics) * (_FLOAT_BYTES if config.networks.use_spectral_norm else 0)
    return activations + casts


def _kept_bytes(network: nn.Module, batch: int, size_px: int) -> int:
    """Bytes that one forward pass keeps for its backward pass, parameters aside."""
    kept: dict[int, tuple[Tensor, int]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = (tensor, storage.nbytes())  # holds the tensor: a storage's address must not be reused
        return tensor

    picture = torch.empty(batch, 3, size_px, size_px, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(picture)
    own = {p.untyped_storage()._cdata for p in network.parameters()}
    return sum(size for address, (_, size) in kept.items() if address not in own)


def _ways_down(config: TrainConfig, precision: str) -> Iterator[tuple[str, dict[str, dict[str, int | str]], str]]:
    """Flags, the values they stand for, and the precision, from the least change to the greatest."""
    batch, accumulate = config.optimizer.batch_size, config.optimizer.accumulate
    size, channels = config.networks.image_size_px, config.networks.base_channels
    if precision == "fp32":
        yield "--precision bf16", {}, "bf16"
    smaller = batch // 2
    while smaller >= 1:
        together = accumulate * batch // smaller
        values: dict[str, int | str] = {"batch_size": smaller, "accumulate": together}
        yield f"--batch-size {smaller} --accumulate {together}", {"optimizer": values}, precision
        smaller //= 2
    if config.networks.head == "full":
        yield "--batch-size 1 --head pooled", _at_batch_one({"head": "pooled"}), precision
    if size >= 256:
        yield f"--batch-size 1 --size {size // 2}", _at_batch_one({"image_size_px": size // 2}), precision
    while channels >= 32:
        channels //= 2
        yield (
            f"--batch-size 1 --channels {channels}",
            _at_batch_one({"base_channels": channels, "disc_channels": channels}),
            precision,
        )


def _at_batch_one(networks: dict[str, int | str]) -> dict[str, dict[str, int | str]]:
    return {"networks": networks, "optimizer": {"batch_size": 1}}
