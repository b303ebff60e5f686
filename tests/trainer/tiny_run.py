"""A run that a test can afford: six networks of four channels and batches of random pictures, in float64.

In float64, so that what must be equal is equal to many digits, whatever the order of the sums.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from trainer.batch import Batch, DomainBatch
from trainer.config import NetworkConfig, TrainConfig, merged
from trainer.networks import Networks, build_networks

SIZE_PX = 32
CONFIG = TrainConfig(
    networks=NetworkConfig(image_size_px=SIZE_PX, base_channels=4, num_blocks=1, global_depth=5, local_depth=3)
)


def configured(**sections) -> TrainConfig:
    """The tiny run with some values replaced, by section."""
    return merged(CONFIG, sections, source="test")


def networks_of(config: TrainConfig) -> Networks:
    networks = build_networks(config, "cpu")
    for network in networks.all.values():
        network.to(torch.float64, memory_format=torch.contiguous_format)  # torch has no other float64 convolution
    return networks


def random_batch(num_pictures: int = 1, seed: int = 0) -> Batch:
    """With everything a batch can have."""
    generator = torch.Generator().manual_seed(seed)
    return Batch(a=_domain(num_pictures, generator), b=_domain(num_pictures, generator))


def split(batch: Batch) -> list[Batch]:
    """One batch per picture."""
    return [Batch(a=_picture(batch.a, i), b=_picture(batch.b, i)) for i in range(len(batch.a.real))]


def weights_of(networks: Networks) -> dict[str, torch.Tensor]:
    """A copy of every tensor, by network and key."""
    return {
        f"{name}.{key}": tensor.detach().clone()
        for name, network in networks.all.items()
        for key, tensor in network.state_dict().items()
    }


def _domain(num_pictures, generator):
    def uniform(channels):
        return torch.rand(num_pictures, channels, SIZE_PX, SIZE_PX, generator=generator, dtype=torch.float64)

    face = uniform(1)
    return DomainBatch(real=uniform(3) * 2 - 1, blurred=uniform(3) * 2 - 1, face=face, core=face / 2)


def _picture(domain, i):
    names = ("real", "blurred", "face", "core")
    return replace(domain, **{name: getattr(domain, name)[i : i + 1] for name in names})
