"""Training steps as the public implementations order them, in plain eager float32: the yardstick of the benchmark.

"official" is znxlwm/UGATIT-pytorch, "enhanced" is zheng-yuwei/enhanced-UGATIT (which runs the generators once). Own
transcriptions of the order of operations, redundant work included; never used to train. Both are checked against
recorded steps of the originals (tests/trainer/test_reference_step.py).
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .reference_networks import PlainAdaLin, PlainDiscriminator, PlainGenerator, PlainLin, load_ours

Out = tuple[Tensor, Tensor, Tensor]
OTHER = {"a": "b", "b": "a"}


@dataclass(frozen=True, kw_only=True)
class ReferenceSettings:
    """Size of the networks, and what both projects take as options."""

    base_channels: int = 64
    num_blocks: int = 4
    global_depth: int = 7
    local_depth: int = 5
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    adversarial: float = 1.0
    cycle: float = 10.0
    identity: float = 10.0
    cam: float = 1000.0
    ema_beta: float = 0.9999
    """Of the averaged generators, which only "enhanced" has."""


class ReferenceStep:
    """Six networks and two optimizers, and the official step on them.

    Attributes:
        generators: by the domain they draw, `a` and `b`.
        discriminators: by scope and domain: `global_a`, `local_a`, `global_b`, `local_b`.
    """

    is_enhanced = False
    adaptive_upper = 1.0

    def __init__(self, settings: ReferenceSettings, device: torch.device | str = "cpu") -> None:
        self.settings = settings
        self.generators = {domain: self._generator().to(device) for domain in "ba"}
        self.discriminators = {
            f"{scope}_{domain}": self._discriminator(depth).to(device)
            for domain in "ab"
            for scope, depth in (("global", settings.global_depth), ("local", settings.local_depth))
        }
        self.generator_optimizer = self._adam(self.generators)
        self.discriminator_optimizer = self._adam(self.discriminators)

    def run(self, real_a: Tensor, real_b: Tensor) -> dict[str, float]:
        """One step on N3HW pictures; return the losses, unweighted but for the totals, as numbers."""
        real = {"a": real_a, "b": real_b}
        self.discriminator_optimizer.zero_grad()
        fakes = {domain: self.generators[domain](real[OTHER[domain]])[0] for domain in "ba"}
        losses = self._discriminator_losses(real, fakes)  # back through the generators, too
        losses["discriminator"].backward()  # type: ignore[no-untyped-call]
        self.discriminator_optimizer.step()

        self.generator_optimizer.zero_grad()
        losses |= self._generator_losses(real, self._outputs(real))
        losses["generator"].backward()  # type: ignore[no-untyped-call]
        self.generator_optimizer.step()
        self._clip_rho()
        return {name: loss.item() for name, loss in losses.items()}

    def network(self, name: str) -> PlainGenerator | PlainDiscriminator:
        """A network by the name that networks.py gives it: `gen_a2b`, `disc_global_a`."""
        if name.startswith("gen_"):
            return self.generators[name[-1]]
        return self.discriminators[name.removeprefix("disc_")]

    def load(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take over the weights of this project's networks, by name."""
        for name, weights in state.items():
            load_ours(self.network(name), weights)

    def _generator(self) -> PlainGenerator:
        return PlainGenerator(self.settings.base_channels, self.settings.num_blocks, is_enhanced=self.is_enhanced)

    def _discriminator(self, depth: int) -> PlainDiscriminator:
        return PlainDiscriminator(self.settings.base_channels, depth, is_enhanced=self.is_enhanced)

    def _adam(self, networks: dict[str, PlainGenerator] | dict[str, PlainDiscriminator]) -> torch.optim.Adam:
        return torch.optim.Adam(
            itertools.chain.from_iterable(network.parameters() for network in networks.values()),
            lr=self.settings.learning_rate,
            betas=(0.5, 0.999),
            weight_decay=self.settings.weight_decay,
        )

    def _outputs(self, real: dict[str, Tensor]) -> dict[str, Out]:
        """What the generators give: `fake_`, `cycled_` and `identity_` of each domain."""
        outputs = {f"fake_{domain}": self.generators[domain](real[OTHER[domain]]) for domain in "ba"}
        for domain in "ab":
            outputs[f"cycled_{domain}"] = self.generators[domain](outputs[f"fake_{OTHER[domain]}"][0])
        for domain in "ab":
            outputs[f"identity_{domain}"] = self.generators[domain](real[domain])
        return outputs

    def _discriminator_losses(self, real: dict[str, Tensor], fakes: dict[str, Tensor]) -> dict[str, Tensor]:
        pictures = [(real, True), (fakes, False)]
        terms = [
            term
            for pictures_of, is_real in pictures
            for domain in "ab"
            for term in self._verdicts(domain, pictures_of[domain], is_real)
        ]
        return {"discriminator": self.settings.adversarial * torch.stack(terms).sum()}

    def _verdicts(self, domain: str, picture: Tensor, is_real: bool) -> Iterator[Tensor]:
        """Least squares between what both discriminators of a domain say and what they should."""
        for scope in ("global", "local"):
            patch_logits, cam_logits, _ = self.discriminators[f"{scope}_{domain}"](picture)
            for logits in (patch_logits, cam_logits):
                yield F.mse_loss(logits, torch.ones_like(logits) if is_real else torch.zeros_like(logits))

    def _generator_losses(self, real: dict[str, Tensor], outputs: dict[str, Out]) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        for domain in "ab":
            fake, fake_logits, _ = outputs[f"fake_{domain}"]
            identity, identity_logits, _ = outputs[f"identity_{domain}"]
            losses |= {
                f"adversarial_{domain}": torch.stack(list(self._verdicts(domain, fake, True))).sum(),
                f"cycle_{domain}": F.l1_loss(outputs[f"cycled_{domain}"][0], real[domain]),
                f"identity_{domain}": F.l1_loss(identity, real[domain]),
                f"cam_{domain}": F.binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))
                + F.binary_cross_entropy_with_logits(identity_logits, torch.zeros_like(identity_logits)),
            }
        weights = {name: getattr(self.settings, name) for name in ("adversarial", "cycle", "identity", "cam")}
        total = torch.stack([weights[name.rpartition("_")[0]] * loss for name, loss in losses.items()]).sum()
        return losses | {"generator": total}

    @torch.no_grad()
    def _clip_rho(self) -> None:
        for module in itertools.chain.from_iterable(network.modules() for network in self.generators.values()):
            if isinstance(module, PlainAdaLin):
                module.rho.clamp_(0, 1.0 if isinstance(module, PlainLin) else self.adaptive_upper)


class EnhancedStep(ReferenceStep):
    """The step of enhanced-UGATIT: generators run once, fakes detached for the discriminators, averaged generators."""

    is_enhanced = True
    adaptive_upper = 0.9

    def __init__(self, settings: ReferenceSettings, device: torch.device | str = "cpu") -> None:
        super().__init__(settings, device)
        self.averages = copy.deepcopy(self.generators)

    def load(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """As the official step's; the averages begin as copies."""
        super().load(state)
        self.averages = copy.deepcopy(self.generators)

    def run(self, real_a: Tensor, real_b: Tensor) -> dict[str, float]:
        """As the official step's."""
        real = {"a": real_a, "b": real_b}
        outputs = self._outputs(real)
        self._set_discriminators(is_training=True)
        self.discriminator_optimizer.zero_grad()
        losses = self._discriminator_losses(real, {domain: outputs[f"fake_{domain}"][0].detach() for domain in "ab"})
        losses["discriminator"].backward()  # type: ignore[no-untyped-call]
        self.discriminator_optimizer.step()

        self._set_discriminators(is_training=False)
        self.generator_optimizer.zero_grad()
        losses |= self._generator_losses(real, outputs)
        losses["generator"].backward()  # type: ignore[no-untyped-call]
        self.generator_optimizer.step()
        self._clip_rho()
        self._average()
        return {name: loss.item() for name, loss in losses.items()}

    def _set_discriminators(self, *, is_training: bool) -> None:
        for network in self.discriminators.values():
            network.train(is_training)

    @torch.no_grad()
    def _average(self) -> None:
        beta = self.settings.ema_beta
        for domain, network in self.generators.items():
            pairs: Iterator[tuple[nn.Parameter, nn.Parameter]] = zip(
                network.parameters(), self.averages[domain].parameters(), strict=True
            )
            for current, average in pairs:
                average.copy_(current.lerp(average, beta))
