"""One optimizer step of all six networks: which phase runs when, on which pictures, and what is frozen meanwhile.

Knows no files, schedules or averages. Nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from model import clip_rho

from .batch import Batch
from .config import OptimizerConfig, TrainConfig
from .networks import CycleGenerators, CycleOutputs, DomainCritics, Networks
from .objective import Augment, ExtraTerm, Objective, Terms, with_total

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class StepResult:
    """What a step tells; everything stays on the device."""

    losses: dict[str, Tensor]
    """Scalars by `discriminator/NAME` and `generator/NAME`: weighted terms and their `total`, before the step."""
    is_finite: Tensor
    """Scalar bool: all gradients were finite. Networks for whose gradients this is not true were left alone."""


@dataclass(frozen=True)
class Phase:
    """A part of a step: who learns what."""

    name: str
    module: nn.Module
    """That learns, as the gradients' synchronisation wraps it."""
    optimizer: torch.optim.Optimizer
    loss: Callable[[Batch, CycleOutputs | None, float, bool], Terms]
    """Of a batch, what the generators made of it if that is there already, progress, and whether it is the first."""
    rate: float = 1.0
    """Its learning rate, over the run's."""


class Stepper:
    """Trains the six networks.

    Args:
        networks: to train, on their device.
        config: of the run.
        precision: bf16 runs convolutions in bfloat16; weights, norms' statistics and losses stay float32.
        extra_terms: further losses of the generators.
        augment: changes what the discriminators see.
        wrap: what `CycleGenerators` and `DomainCritics` are called through, for instance
            `DistributedDataParallel`; each is called once per batch in the phase in which it learns.
    """

    def __init__(
        self,
        networks: Networks,
        config: TrainConfig,
        *,
        precision: Precision = "fp32",
        extra_terms: Sequence[ExtraTerm] = (),
        augment: Augment | None = None,
        wrap: Callable[[nn.Module], nn.Module] = lambda module: module,
    ) -> None:
        self.networks = networks
        self.objective = Objective(config, augment)
        self._compat = self.objective.compat
        self._extra_terms = extra_terms
        self._device = next(networks.gen_a2b.parameters()).device
        self._autocasts = precision == "bf16"
        self._inner_generators = CycleGenerators(networks)
        self._inner_critics = DomainCritics(networks, judges_at_once=self._compat.judges_at_once)
        _freeze_unused(networks, config)
        self._generators, self._critics = wrap(self._inner_generators), wrap(self._inner_critics)
        self.phases = [
            Phase(
                "discriminator",
                self._critics,
                _adam(networks.discriminators, config),
                self._discriminator_loss,
                rate=config.optimizer.disc_rate,
            ),
            Phase("generator", self._generators, _adam(networks.generators, config), self._generator_loss),
        ]
        self.num_skipped = torch.zeros((), dtype=torch.int64, device=self._device)
        """Steps with gradients that were not finite."""
        self.num_skipped_in_a_row = torch.zeros_like(self.num_skipped)

    def run(self, batches: Sequence[Batch], learning_rate: float, progress: float) -> StepResult:
        """Take one step.

        Args:
            batches: whose gradients are averaged; as one batch of all their pictures would give.
            learning_rate: of the generators; the discriminators' follows by `disc_rate`.
            progress: share of the run that is done, in [0, 1].
        """
        # One batch: its translations serve all phases, whose networks have not changed meanwhile. Several: every
        # phase translates anew, so that no more than one batch's graph is held.
        made = self._translate(batches[0]) if len(batches) == 1 else None
        found: list[Tensor] = []
        losses: dict[str, Tensor] = {}
        for phase in self.phases:
            terms = self._accumulate(phase, batches, made, progress)
            losses |= {f"{phase.name}/{name}": value for name, value in terms.items()}
            found.append(_descend(phase.optimizer, learning_rate * phase.rate))
        for generator in self.networks.generators.values():
            clip_rho(generator, adaptive_upper=self._compat.adaptive_rho_upper)
        is_finite = torch.stack(found).sum() == 0
        self._count(is_finite)
        return StepResult(losses, is_finite)

    def state_dict(self) -> dict[str, Any]:
        """Everything a step depends on, beside the networks."""
        return {
            "optimizers": {phase.name: phase.optimizer.state_dict() for phase in self.phases},
            "num_skipped": self.num_skipped,
            "num_skipped_in_a_row": self.num_skipped_in_a_row,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        for phase in self.phases:
            phase.optimizer.load_state_dict(state["optimizers"][phase.name])
        self.num_skipped.copy_(state["num_skipped"])
        self.num_skipped_in_a_row.copy_(state["num_skipped_in_a_row"])

    def _accumulate(self, phase: Phase, batches: Sequence[Batch], made: CycleOutputs | None, progress: float) -> Terms:
        """Leave a phase's gradients, averaged over the batches, on its parameters; return its terms likewise."""
        phase.optimizer.zero_grad(set_to_none=True)
        share = 1 / len(batches)
        sums: Terms = {}
        for i, batch in enumerate(batches):
            with _synchronised(phase.module, is_last=i == len(batches) - 1):
                terms = phase.loss(batch, made, progress, i == 0)
                (terms["total"] * share).backward()  # type: ignore[no-untyped-call]
            for name, value in terms.items():
                scaled = value.detach() * share
                sums[name] = sums[name] + scaled if name in sums else scaled
        return sums

    def _discriminator_loss(self, batch: Batch, made: CycleOutputs | None, progress: float, is_first: bool) -> Terms:
        # Spectral norms iterate once a step, however many batches it has.
        self._inner_critics.train(is_first or not self._compat.judges_at_once)
        fakes = self._fakes(batch) if made is None else made.fakes
        with self._autocast():
            return self.objective.discriminator_loss(self._critics, batch, fakes)

    def _generator_loss(self, batch: Batch, made: CycleOutputs | None, progress: float, is_first: bool) -> Terms:
        self._inner_critics.train(self._compat.iterates_in_generator_phase)
        outputs = self._translate(batch) if made is None else made
        with self._autocast(), _frozen(self._inner_critics):
            terms = self.objective.generator_loss(self._inner_critics, batch, outputs)
            del terms["total"]
            for extra in self._extra_terms:
                if weight := extra.weight(progress):
                    terms[extra.name] = weight * extra(self.networks, batch, outputs)
            return with_total(terms)

    def _translate(self, batch: Batch) -> CycleOutputs:
        with self._autocast():
            outputs: CycleOutputs = self._generators(batch.a.real, batch.b.real)
        return outputs

    @torch.no_grad()
    def _fakes(self, batch: Batch) -> dict[str, Tensor]:
        with self._autocast():
            return self._inner_generators.fakes(batch.a.real, batch.b.real)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocasts)

    def _count(self, is_finite: Tensor) -> None:
        self.num_skipped += ~is_finite
        self.num_skipped_in_a_row.add_(1).mul_(~is_finite)


def _adam(networks: Mapping[str, nn.Module], config: TrainConfig) -> torch.optim.Adam:
    """Adam over what is trained of networks; fused, because it alone can skip a step on the device's own word."""
    wanted: OptimizerConfig = config.optimizer
    parameters = [p for network in networks.values() for p in network.parameters() if p.requires_grad]
    betas = (wanted.beta1, wanted.beta2)
    return torch.optim.Adam(parameters, wanted.learning_rate, betas, weight_decay=wanted.weight_decay, fused=True)


def _freeze_unused(networks: Networks, config: TrainConfig) -> None:
    """Take the CAM classifiers that no loss reaches out of training, so that weight decay leaves them alone too."""
    if config.losses.disc_cam:
        return
    for discriminator in networks.discriminators.values():
        for classifier in (discriminator.cam.average, discriminator.cam.maximum):
            classifier.requires_grad_(False)


@torch.no_grad()
def _descend(optimizer: torch.optim.Optimizer, learning_rate: float) -> Tensor:
    """Take a step, but none if a gradient is not finite: return 1 in that case, else 0, as float32 on the device."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    found = (~torch.isfinite(torch.stack(torch._foreach_norm(gradients)))).any().float()
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.found_inf = found  # type: ignore[attr-defined]  # fused Adam reads it, as for torch's own GradScaler
    optimizer.step()
    return found


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Let no gradient reach the parameters of a module, only pass through it."""
    trained = [p for p in module.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _synchronised(module: nn.Module, *, is_last: bool) -> AbstractContextManager[Any]:
    """Let distributed gradients meet at the last of several batches only."""
    no_sync = getattr(module, "no_sync", None)
    return nullcontext() if is_last or no_sync is None else no_sync()
