"""The six networks of a run, and the two modules that bring them to work. Knows no losses and no optimizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model import (
    Discriminator,
    DiscriminatorConfig,
    DiscriminatorOutput,
    Generator,
    GeneratorConfig,
    build_discriminator,
    build_generator,
)
from model.config import UpSampling
from model.spectral import SpectralConv, SpectralLinear

from .compat import COMPAT
from .config import TrainConfig

SCOPES = ("global", "local")
"""The two discriminators of a domain: the deeper one sees larger patches."""

_FIRST_ITERATIONS = 5


@dataclass(frozen=True)
class Direction:
    """One of the two translations."""

    source: str
    """Domain it starts from."""
    target: str
    """Domain it leads to."""

    @property
    def name(self) -> str:
        """`a2b` or `b2a`."""
        return f"{self.source}2{self.target}"

    @property
    def discriminators(self) -> tuple[str, ...]:
        """Names of those that judge its pictures."""
        return tuple(f"disc_{scope}_{self.target}" for scope in SCOPES)


DIRECTIONS = (Direction("a", "b"), Direction("b", "a"))


@dataclass(frozen=True)
class Networks:
    """All that is trained."""

    gen_a2b: Generator
    gen_b2a: Generator
    disc_global_a: Discriminator
    disc_local_a: Discriminator
    disc_global_b: Discriminator
    disc_local_b: Discriminator

    @property
    def generators(self) -> dict[str, Generator]:
        """By name."""
        return {"gen_a2b": self.gen_a2b, "gen_b2a": self.gen_b2a}

    @property
    def discriminators(self) -> dict[str, Discriminator]:
        """By name."""
        names = ("disc_global_a", "disc_local_a", "disc_global_b", "disc_local_b")
        return {name: getattr(self, name) for name in names}

    @property
    def all(self) -> dict[str, nn.Module]:
        """By name."""
        return {**self.generators, **self.discriminators}

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Weights of every network by name."""
        return {name: network.state_dict() for name, network in self.all.items()}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over what `state_dict` gave."""
        for name, network in self.all.items():
            network.load_state_dict(state[name])

    def compile(self) -> None:
        """Let torch compile every network at its first call; names and weights stay as they are."""
        for network in self.all.values():
            network.compile()


def generator_config(config: TrainConfig) -> GeneratorConfig:
    """Architecture of both generators."""
    wanted = config.networks
    up_sampling: UpSampling = "transposed" if wanted.up_sampling == "transposed" else "nearest"
    return GeneratorConfig(
        base_channels=wanted.base_channels,
        num_blocks=wanted.num_blocks,
        image_size_px=wanted.image_size_px,
        head_size=None if wanted.head == "full" else 1,
        use_scse=wanted.use_scse,
        num_masks=wanted.num_masks,
        has_input_candidate=wanted.has_input_candidate,
        mixes_colours=wanted.has_input_candidate and COMPAT[config.objective.compat].mixes_colours,
        up_sampling=up_sampling,
    )


def discriminator_config(config: TrainConfig, depth: int) -> DiscriminatorConfig:
    """Architecture of the discriminators of a depth."""
    return DiscriminatorConfig(
        base_channels=config.networks.disc_channels or config.networks.base_channels,
        depth=depth,
        use_spectral_norm=config.networks.use_spectral_norm,
        use_cam_attention=config.losses.disc_cam > 0,
    )


def build_networks(config: TrainConfig, device: torch.device | str) -> Networks:
    """Six networks with fresh weights, channels last; the weights depend on the seed alone."""
    depths = {"global": config.networks.global_depth, "local": config.networks.local_depth}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.run.seed)
        gen_a2b, gen_b2a = (build_generator(generator_config(config)) for _ in DIRECTIONS)
        critics = [build_discriminator(discriminator_config(config, depths[scope])) for _ in "ab" for scope in SCOPES]
        for critic in critics:
            _settle(critic)
    networks = Networks(gen_a2b, gen_b2a, *critics)
    for network in networks.all.values():
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return networks


@torch.no_grad()
def _settle(network: nn.Module) -> None:
    """Let fresh spectral norms find their value, so that an iteration more or less per step makes no difference."""
    for layer in network.train().modules():
        if isinstance(layer, SpectralConv | SpectralLinear):
            for _ in range(_FIRST_ITERATIONS):
                layer.spectral(layer.weight)


@dataclass(frozen=True)
class Translation:
    """What one direction makes of a batch, source to target."""

    fake: Tensor
    """N3HW: pictures of the source in the target's style."""
    cycled: Tensor
    """N3HW: the same, brought back to the source."""
    identity: Tensor
    """N3HW: pictures of the target, which should stay as they are."""
    source_logits: Tensor
    """Nx2: the CAM classifiers of the generator about pictures of the source."""
    target_logits: Tensor
    """Nx2: about pictures of the target."""


@dataclass(frozen=True)
class CycleOutputs:
    """All pictures that the generators make in a step."""

    a2b: Translation
    b2a: Translation

    def of(self, direction: Direction) -> Translation:
        """The translation of a direction."""
        return self.a2b if direction.name == "a2b" else self.b2a

    @property
    def fakes(self) -> dict[str, Tensor]:
        """Fakes by the domain they should belong to."""
        return {"a": self.fake_a, "b": self.fake_b}

    @property
    def fake_a(self) -> Tensor:
        """B in the style of A."""
        return self.b2a.fake

    @property
    def fake_b(self) -> Tensor:
        """A in the style of B."""
        return self.a2b.fake


class CycleGenerators(nn.Module):
    """Both generators in one module, so that one call does all of a step's translations."""

    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.gen_a2b = networks.gen_a2b
        self.gen_b2a = networks.gen_b2a

    def forward(self, real_a: Tensor, real_b: Tensor) -> CycleOutputs:
        """Translate N3HW pictures of both domains to the other, back again, and to their own."""
        fake_b, identity_b, *logits_a2b = _two_at_once(self.gen_a2b, real_a, real_b)
        fake_a, identity_a, *logits_b2a = _two_at_once(self.gen_b2a, real_b, real_a)
        return CycleOutputs(
            a2b=Translation(fake_b, self.gen_b2a(fake_b).image, identity_b, *logits_a2b),
            b2a=Translation(fake_a, self.gen_a2b(fake_a).image, identity_a, *logits_b2a),
        )

    def fakes(self, real_a: Tensor, real_b: Tensor) -> dict[str, Tensor]:
        """Only the fakes, by the domain they should belong to."""
        return {"a": self.gen_b2a(real_b).image, "b": self.gen_a2b(real_a).image}


def _two_at_once(generator: Generator, source: Tensor, target: Tensor) -> list[Tensor]:
    """Fake, identity, and their CAM logits, by one call."""
    output = generator(torch.cat([source, target]))
    sizes = [len(source), len(target)]
    return [*output.image.split(sizes), *output.cam_logits.split(sizes)]


@dataclass(frozen=True)
class Exhibit:
    """Pictures as the discriminators of a domain see them; all exhibits of a step have the same fields."""

    image: Tensor
    """N3HW."""
    face: Tensor | None = None
    """N1HW: share of each pixel that is face."""
    cam_input: Tensor | None = None
    """N3HW: what the CAM classifiers look at instead."""
    cam_mask: Tensor | None = None
    """N1HW: share of each pixel whose features the CAM classifiers see."""


class DomainCritics(nn.Module):
    """The four discriminators in one module, so that one call gives all verdicts of a phase.

    Args:
        networks: of the run.
        judges_at_once: all exhibits of a domain are one batch; False: one call for each.
    """

    def __init__(self, networks: Networks, *, judges_at_once: bool = True) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks.discriminators)
        self.judges_at_once = judges_at_once

    def forward(self, shown: Mapping[str, Sequence[Exhibit]]) -> dict[str, list[DiscriminatorOutput]]:
        """Judge the exhibits of each domain: a verdict per exhibit, by the discriminator's name."""
        judge = _judge_at_once if self.judges_at_once else _judge_one_by_one
        return {name: judge(network, shown[name[-1]]) for name, network in self.networks.items()}


def _judge_one_by_one(network: nn.Module, exhibits: Sequence[Exhibit]) -> list[DiscriminatorOutput]:
    return [network(e.image, e.cam_input, e.cam_mask) for e in exhibits]


def _judge_at_once(network: nn.Module, exhibits: Sequence[Exhibit]) -> list[DiscriminatorOutput]:
    sizes = [len(e.image) for e in exhibits]
    joined = (_joined([getattr(e, name) for e in exhibits]) for name in ("image", "cam_input", "cam_mask"))
    parts = (tensor.split(sizes) for tensor in network(*joined))
    return [DiscriminatorOutput(*tensors) for tensors in zip(*parts, strict=True)]


def _joined(tensors: Sequence[Tensor | None]) -> Tensor | None:
    given = [t for t in tensors if t is not None]
    return torch.cat(given) if given else None
