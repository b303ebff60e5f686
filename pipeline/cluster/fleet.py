"""Actors on the nodes of a Ray cluster: how many, where, with how much; kept while one video follows the other."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..chunks import Chunk
from ..settings import ConvertSettings
from .actor import ChunkActor
from .chunk_fence import Fence

logger = logging.getLogger(__name__)

MAX_THREADS = 4
"""An actor has no more unless `--threads` says so: further cores do more with another chunk."""
SEATS_PER_GPU = 4
"""So many actors share a GPU unless `--parallel` says otherwise: all of a frame but the generator is CPU work."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    id: str
    """Ray's."""
    name: str
    """For people."""
    num_cpus: float
    """As it was started with."""
    num_gpus: float
    """Likewise."""


@dataclass(eq=False)
class Seat:
    """An actor and what it is at."""

    node: Node
    """Where it runs."""
    actor: Any
    """Ray's handle."""
    loading: Any
    """Reference to what `load` gives; None when it has come."""
    chunk: Chunk | None = None
    """What it renders."""
    attempt: str = ""
    """Name of that rendering."""
    rendering: Any = None
    """Reference to what `render` gives; None while it is idle."""
    ordered_at: float = 0.0
    """When it was given its chunk (time.monotonic)."""
    asking: Any = None
    """Reference to what `advance` gives; None while it was not asked."""
    asked_at: float = 0.0
    """When it was asked last (time.monotonic)."""
    heard_at: float = field(default_factory=time.monotonic)
    """When it answered last."""
    moved_at: float = field(default_factory=time.monotonic)
    """When it had more frames than before."""
    num_frames: int = 0
    """Frames of the attempt that are through."""
    is_dropped: bool = False
    """It was let go; what it still says is not wanted."""

    @property
    def is_idle(self) -> bool:
        """It waits for a chunk."""
        return self.loading is None and self.rendering is None

    def order(self, work: Any, chunk: Chunk, fence: Fence, attempt: str) -> None:
        """Have a chunk rendered.

        Args:
            work: reference to its VideoWork.
            chunk: which one.
            fence: of the run.
            attempt: unlike all others.
        """
        self.chunk, self.attempt, self.num_frames = chunk, attempt, 0
        self.ordered_at = self.heard_at = self.moved_at = self.asked_at = time.monotonic()
        self.rendering = self.actor.render.remote(work, chunk, fence, attempt)

    def ask(self) -> None:
        """Have it tell how far it is."""
        self.asked_at = time.monotonic()
        self.asking = self.actor.advance.remote()

    def rest(self) -> None:
        """Its chunk is done."""
        self.chunk = self.rendering = None


class Fleet:
    """All actors of this driver.

    Args:
        settings: the user's choices, for the nodes' devices.
        identity: what nodes must agree with.
    """

    def __init__(self, settings: ConvertSettings, identity: Mapping[str, Any]) -> None:
        self.seats: list[Seat] = []
        self.identity = identity
        self.uses_gpus = settings.device.startswith("cuda")
        self._settings = settings
        self._threads = settings.threads
        self._limits: dict[str, int] = {}
        remote: Any = ray.remote  # its type knows less than it can
        self._actor_class = remote(max_restarts=0, max_task_retries=0, max_concurrency=2)(ChunkActor)

    def nodes(self) -> list[Node]:
        """Return the living nodes that could render something."""
        found = []
        for row in ray.nodes():  # type: ignore[no-untyped-call]
            has = row["Resources"]
            node = Node(
                row["NodeID"],
                f"{row['NodeManagerHostname']} ({row['NodeManagerAddress']})",
                has.get("CPU", 0.0),
                has.get("GPU", 0.0),
            )
            if row["Alive"] and node.num_cpus >= 1 and (node.num_gpus > 0 or not self.uses_gpus):
                found.append(node)
        return sorted(found, key=lambda node: node.id)

    def threads(self, nodes: Sequence[Node]) -> int:
        """CPU threads of every actor: the same on all nodes, settled when the first ones are seen."""
        if self._threads is None:
            self._threads = min([MAX_THREADS, *(int(node.num_cpus) for node in nodes)])
        return self._threads

    def fill(self, nodes: Sequence[Node], most: int, unfit: Container[str] = ()) -> None:
        """Start actors where there is room: on all nodes in turn.

        Args:
            nodes: those that may be used.
            most: so many have something to do.
            unfit: ids of nodes that may not. Actors on others count, also where a node is still being examined: they
                have been there since the last video, and will have work.
        """
        most = min(most, self._settings.parallel or most)
        room = {node.id: self._room(node, nodes) - len(self._on(node)) for node in nodes}
        missing = most - sum(seat.node.id not in unfit for seat in self.seats)
        while missing > 0 and any(count > 0 for count in room.values()):
            for node in nodes:
                if missing > 0 and room[node.id] > 0:
                    self.seats.append(self._start(node, nodes))
                    room[node.id] -= 1
                    missing -= 1

    def is_room(self, nodes: Sequence[Node]) -> bool:
        """Tell whether any of some nodes is large enough for an actor."""
        return any(self._room(node, nodes) > 0 for node in nodes)

    def drop(self, seat: Seat) -> None:
        """Let an actor go, whatever it is at."""
        seat.is_dropped = True
        with suppress(ValueError):
            self.seats.remove(seat)
        with suppress(Exception):  # it may be dead, or its node cut off
            ray.kill(seat.actor)

    def keep(self, alive: Collection[str]) -> list[Seat]:
        """Drop the actors of nodes that are not alive any more; return those."""
        lost = [seat for seat in self.seats if seat.node.id not in alive]
        for seat in lost:
            self.drop(seat)
        return lost

    def shrink(self, node: Node) -> bool:
        """Have one actor less on a node; False where there was only one."""
        num_seats = len(self._on(node))
        if num_seats < 2:
            return False
        self._limits[node.id] = num_seats - 1
        return True

    def stop_work(self) -> None:
        """Drop all actors that are at something: a run has ended early."""
        for seat in [seat for seat in self.seats if not seat.is_idle]:
            self.drop(seat)

    def _on(self, node: Node) -> list[Seat]:
        return [seat for seat in self.seats if seat.node.id == node.id]

    def _room(self, node: Node, nodes: Sequence[Node]) -> int:
        room = int(node.num_cpus // self.threads(nodes))
        if self.uses_gpus:
            room = min(room, math.ceil(node.num_gpus / self._gpu_share(nodes)))
        return min(room, self._limits.get(node.id, room))

    def _gpu_share(self, nodes: Sequence[Node]) -> float:
        """Of a GPU, for each actor: one over a whole number."""
        if not self.uses_gpus:
            return 0.0
        if self._settings.parallel is None:
            return 1 / SEATS_PER_GPU
        num_gpus = sum(node.num_gpus for node in nodes)
        return 1 / max(1, math.ceil(self._settings.parallel / num_gpus))

    def _start(self, node: Node, nodes: Sequence[Node]) -> Seat:
        threads = self.threads(nodes)
        settings = replace(self._settings, threads=threads, parallel=None, cluster=None)
        place = NodeAffinitySchedulingStrategy(node.id, soft=False)
        actor = self._actor_class.options(
            num_cpus=threads, num_gpus=self._gpu_share(nodes), scheduling_strategy=place
        ).remote(settings, threads)
        return Seat(node, actor, actor.load.remote())
