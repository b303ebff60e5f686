"""The training steps that the benchmark compares, from equal weights on equal pictures. Measures nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from model.spectral import SpectralConv, SpectralLinear

from .averages import Averages
from .batch import Batch, DomainBatch
from .config import NetworkConfig, TrainConfig
from .networks import Networks, build_networks
from .reference_networks import our_keys
from .reference_step import EnhancedStep, ReferenceSettings, ReferenceStep
from .steps import Precision, Stepper

Losses = dict[str, float]
"""Weighted losses of a step: `discriminator`, `generator` (the totals), `adversarial`, `cycle`, `identity`, `cam`."""

_ITERATIONS = 50  # of the singular vectors before the first step
_KINDS = ("adversarial", "cycle", "identity", "cam")


@dataclass(frozen=True)
class Contender:
    """One way to take a step."""

    name: str
    """For the tables."""
    step: Callable[[], Losses]
    """Takes a step and waits for its losses."""


def official(start: Networks, config: TrainConfig, batch: Batch) -> Contender:
    """The step of UGATIT-pytorch."""
    return _reference("official, fp32", ReferenceStep, start, config, batch)


def enhanced(start: Networks, config: TrainConfig, batch: Batch) -> Contender:
    """The step of enhanced-UGATIT."""
    return _reference("enhanced-UGATIT, fp32", EnhancedStep, start, config, batch)


def ours(
    start: Networks, config: TrainConfig, batch: Batch, precision: Precision, *, is_compiled: bool = False
) -> Contender:
    """The trainer's own step, averages included."""
    networks = _copied(start, config)
    averages = Averages(networks.generators, config)
    if is_compiled:
        networks.compile()
    stepper = Stepper(networks, config, precision=precision)
    steps_done = 0

    def step() -> Losses:
        nonlocal steps_done
        result = stepper.run([batch], config.optimizer.learning_rate, 0.0)
        steps_done += 1
        averages.update(steps_done, len(batch.a.real))
        return _grouped({name: loss.item() for name, loss in result.losses.items()})

    return Contender(f"ours, {precision}{', compiled' if is_compiled else ''}", step)


def start_networks(config: TrainConfig, device: torch.device) -> Networks:
    """First weights that all contenders can have.

    What the official networks lack is 1 (scales) or 0 (biases). The spectral norms' vectors have settled as after some
    steps: the contenders iterate them one to three times per step, and the losses would tell that apart.
    """
    networks = build_networks(config, device)
    settings = _settings(config)
    with torch.device("meta"):
        plain = ReferenceStep(settings, "meta")
    for name, network in networks.all.items():
        known = our_keys(plain.network(name))
        for key, parameter in network.named_parameters():
            if key not in known and key.endswith("bias"):
                parameter.data.zero_()
    with torch.no_grad():
        for network in networks.discriminators.values():
            for layer in network.modules():
                if isinstance(layer, SpectralConv | SpectralLinear):
                    for _ in range(_ITERATIONS):
                        layer.spectral(layer.weight)
    return networks


def random_batch(config: TrainConfig, device: torch.device) -> Batch:
    """Noise of the configured size; a step's time does not depend on what it sees."""
    size_px, chances = config.networks.image_size_px, torch.Generator().manual_seed(0)
    shape = (config.optimizer.batch_size, 3, size_px, size_px)
    noise = [DomainBatch(real=torch.rand(shape, generator=chances) * 2 - 1) for _ in "ab"]
    return Batch(a=noise[0], b=noise[1]).to(device)


def step_config(base_channels: int, image_size_px: int, batch_size: int) -> TrainConfig:
    """The light model with the options of both projects, averages from the first step on."""
    config = TrainConfig(networks=NetworkConfig(base_channels=base_channels, image_size_px=image_size_px))
    return replace(config, optimizer=replace(config.optimizer, batch_size=batch_size, ema_start=0.0))


def _reference(name: str, kind: type[ReferenceStep], start: Networks, config: TrainConfig, batch: Batch) -> Contender:
    reference = kind(_settings(config), batch.a.real.device)
    reference.load(start.state_dict())
    real_a, real_b = batch.a.real.contiguous(), batch.b.real.contiguous()

    def step() -> Losses:
        losses = reference.run(real_a, real_b)
        weights = {kind: getattr(config.losses, kind) for kind in _KINDS}
        return {name: losses[name] for name in ("discriminator", "generator")} | {
            kind: weights[kind] * (losses[f"{kind}_a"] + losses[f"{kind}_b"]) for kind in _KINDS
        }

    return Contender(name, step)


def _settings(config: TrainConfig) -> ReferenceSettings:
    wanted = config.networks
    return ReferenceSettings(
        base_channels=wanted.base_channels,
        num_blocks=wanted.num_blocks,
        global_depth=wanted.global_depth,
        local_depth=wanted.local_depth,
        learning_rate=config.optimizer.learning_rate,
        weight_decay=config.optimizer.weight_decay,
    )


def _copied(start: Networks, config: TrainConfig) -> Networks:
    networks = build_networks(config, next(start.gen_a2b.parameters()).device)
    networks.load_state_dict(start.state_dict())
    return networks


def _grouped(losses: Losses) -> Losses:
    totals = {phase: losses[f"{phase}/total"] for phase in ("discriminator", "generator")}
    kinds = {
        kind: sum(loss for name, loss in losses.items() if name.startswith(f"generator/{kind}_")) for kind in _KINDS
    }
    return totals | kinds
