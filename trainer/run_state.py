"""All that changes while a run goes on, and how it is brought into a snapshot and back. Knows no files and no order."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from .augment import build_augment
from .averages import Averages
from .batch import Batch
from .compat import COMPAT
from .config import TrainConfig
from .distributed import Team
from .errors import SnapshotError
from .extra_terms import build_extra_terms
from .networks import Networks, build_networks
from .schedule import learning_rate_at
from .snapshots import State
from .steps import Precision, Stepper, StepResult


@dataclass
class RunState:
    """A run as it stands after `step` steps."""

    config: TrainConfig
    team: Team
    device: torch.device
    networks: Networks
    averages: Averages
    stepper: Stepper
    step: int = 0
    """Steps done; the data's position, the schedule's and the ramps' follow from it."""

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        compat = COMPAT[self.config.objective.compat]
        return learning_rate_at(self.step, self.config.optimizer, self.config.run.steps, compat)

    @property
    def images_per_step(self) -> int:
        """Pictures of each domain that a step sees, on all processes."""
        optimizer = self.config.optimizer
        return optimizer.batch_size * optimizer.accumulate * self.team.size

    def advance(self, batches: Sequence[Batch]) -> StepResult:
        """Take one step and average the generators; the batches may still be on the CPU."""
        moved = [batch.to(self.device) for batch in batches]
        result = self.stepper.run(moved, self.learning_rate, self.step / self.config.run.steps)
        self.step += 1
        self.averages.update(self.step, self.images_per_step)
        return result

    def content(self) -> State:
        """What a snapshot holds; every process must ask, as each has chances of its own."""
        return {
            "step": self.step,
            "config": self.config.to_dict(),
            "networks": self.networks.state_dict(),
            "averages": self.averages.state_dict(),
            "stepper": self.stepper.state_dict(),
            "chances": self.team.gather(chance_state(self.device)),
        }

    def restore(self, content: Mapping[str, Any]) -> None:
        """Take over what `content` gave.

        Raises:
            SnapshotError: it was made by another number of processes.
        """
        num_processes = len(content["chances"])
        if num_processes != self.team.size:
            raise SnapshotError(
                f"the run was made by {num_processes} process(es), now there are {self.team.size}; go on with "
                f"`torchrun --nproc-per-node {num_processes}`, or begin a new run with --start-from RUN."
            )
        self.step = content["step"]
        self.networks.load_state_dict(content["networks"])
        self.averages.load_state_dict(content["averages"])
        self.stepper.load_state_dict(content["stepper"])
        restore_chances(content["chances"][self.team.rank], self.device)


def build_state(
    config: TrainConfig,
    team: Team,
    device: torch.device,
    precision: str,
    start: Callable[[Networks], None] = lambda networks: None,
) -> RunState:
    """Build a run's state before its first step.

    Args:
        config: of the run.
        team: the processes that share it.
        device: of this process.
        precision: `fp32` or `bf16`.
        start: puts other first weights into the networks.
    """
    networks = build_networks(config, device)
    start(networks)
    averages = Averages(networks.generators, config)
    if config.run.compile:
        networks.compile()
    stepper = Stepper(
        networks,
        config,
        precision=cast(Precision, precision),
        extra_terms=build_extra_terms(config, device),
        augment=build_augment(config.objective),
        wrap=_wrapper(team, device),
    )
    seed_chances(config.run.seed, team.rank)
    return RunState(config, team, device, networks, averages, stepper)


def seed_chances(seed: int, rank: int) -> None:
    """Give this process its own chances, those of the readers of pictures aside."""
    own_seed = int(np.random.SeedSequence((seed, rank)).generate_state(1)[0])
    torch.manual_seed(own_seed)
    random.seed(own_seed)
    np.random.seed(own_seed)


def chance_state(device: torch.device) -> State:
    """State of every random generator of this process that a step could draw from."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "device": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "python": random.getstate(),
        "numpy": (kind, np.asarray(keys).tolist(), position, has_gauss, gauss),
    }


def restore_chances(state: Mapping[str, Any], device: torch.device) -> None:
    """Take over what `chance_state` gave."""
    torch.set_rng_state(state["torch"])
    if state["device"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["device"], device)
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(tuple(state["numpy"]))


@contextmanager
def chances_untouched(device: torch.device) -> Iterator[None]:
    """Let what is done inside, such as measuring, leave no trace in the run's chances."""
    before = chance_state(device)
    try:
        yield
    finally:
        restore_chances(before, device)


def _wrapper(team: Team, device: torch.device) -> Callable[[nn.Module], nn.Module]:
    if team.size == 1:
        return lambda module: module
    # Of 1x1 convolutions, whose two memory formats are one and the same.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    ids = [device.index] if device.type == "cuda" else None
    return lambda module: DistributedDataParallel(module, device_ids=ids)
