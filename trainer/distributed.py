"""Several processes, one run: who is who under torchrun, and the few things they tell each other.

Without torchrun there is one process, and every call here is free. Knows no networks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed as dist

T = TypeVar("T")

_PATIENCE = timedelta(hours=2)  # the main process measures and saves while the others wait


@dataclass(frozen=True)
class Team:
    """The processes of a run, seen from one of them."""

    rank: int = 0
    """Number of this process, from 0; that one alone writes."""
    local_rank: int = 0
    """Its number on this machine, and so of its GPU."""
    size: int = 1
    """How many there are."""

    @property
    def is_main(self) -> bool:
        """This process writes files and talks to the user."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The device of this process when the user asked for `name`: each on a machine takes its own GPU."""
        is_open = name in ("auto", "cuda") and torch.cuda.is_available()
        return f"cuda:{self.local_rank}" if is_open and self.size > 1 else name

    def gather(self, value: T) -> list[T]:
        """Return every process's value, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=_talk())
        return values

    def shared(self, value: T | None) -> T:
        """Return the main process's value to all."""
        if self.size == 1:
            return value  # type: ignore[return-value]
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0, group=_talk())
        return box[0]  # type: ignore[no-any-return]

    def any(self, flag: bool) -> bool:
        """Tell whether it is so for some process; all of them must ask."""
        if self.size == 1:
            return flag
        told = torch.tensor(int(flag))
        dist.all_reduce(told, op=dist.ReduceOp.MAX, group=_talk())
        return bool(told)

    def wait(self) -> None:
        """Go on when every process has come here."""
        self.any(False)


_talk_group: list[Any] = []  # a gloo group beside nccl's: small talk between CPUs that waits for no GPU


def _talk() -> Any:
    return _talk_group[0]


@contextmanager
def team_from_environment(device: str) -> Iterator[Team]:
    """Join the other processes if torchrun started this one, and leave them at the end.

    Args:
        device: as the user named it; on CUDA the networks' gradients travel by nccl, else by gloo.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        yield Team()
        return
    team = Team(int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0")), size)
    is_cuda = device != "cpu" and torch.cuda.is_available()
    if is_cuda:
        torch.cuda.set_device(team.local_rank)
    dist.init_process_group("nccl" if is_cuda else "gloo", timeout=_PATIENCE)
    _talk_group[:] = [dist.new_group(backend="gloo", timeout=_PATIENCE) if is_cuda else dist.group.WORLD]
    try:
        yield team
    finally:
        _talk_group.clear()
        dist.destroy_process_group()
