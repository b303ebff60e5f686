"""The chunks of one video on their way over the nodes of a Ray cluster."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..errors import ClusterError
from ..render_process import Advance
from .actor import Failed, Rendered
from .chunk_board import Board
from .fleet import Fleet, Node, Seat
from .link import ChunkDone, Order
from .node_check import complain, complain_of_identity, make_probe

logger = logging.getLogger(__name__)

SURVEY_SECS = 5.0
"""So often it is looked which nodes there are."""
SILENCE_SECS = 60.0
"""An actor that does not answer for so long is cut off."""
STALL_SECS = 900.0
"""One that answers, but has no further frame after so long, hangs."""
EMPTY_SECS = 60.0
"""Nodes may be away for so long before the run is given up."""
MAX_LOAD_DEATHS = 3
"""A node on which so many actors died while they loaded their networks is left out."""

_WAIT_SECS, _ASK_SECS, _MAX_ASKS_PER_SEC = 0.25, 0.5, 200
_ALIVE_SECS = 1.0


class Run:
    """One video.

    Args:
        fleet: the actors; it keeps them afterwards.
        order: the video and its chunks.
        tell: sends answers.
    """

    def __init__(self, fleet: Fleet, order: Order, tell: Callable[[Any], None]) -> None:
        self._fleet, self._order, self._tell = fleet, order, tell
        self._board = Board(order.chunks)
        self._work = ray.put(order.work)
        self._source, self._fence = order.work.info.path, order.fence
        self._probe = make_probe()
        self._here = self._probe(str(self._source), str(self._fence.path))
        self._remote_probe = ray.remote(num_cpus=0, max_retries=0)(self._probe)
        self._probing: dict[Any, Node] = {}
        self._good: dict[str, Node] = {}
        self._complaints: dict[str, str] = {}
        """Node -> why it is left out."""
        self._load_deaths: dict[str, int] = {}
        self._surveyed_at = self._alive_at = float("-inf")
        self._usable_at = time.monotonic()

    def go(self) -> None:
        """Hand chunks out until all are done.

        Raises:
            ClusterError: there is no node left, or none that is fit.
            RendererLostError: a chunk killed too many renderers.
            Exception: what was raised while a chunk was rendered.
        """
        while self._board.num_open:
            now = time.monotonic()
            if now - self._surveyed_at >= SURVEY_SECS:
                self._surveyed_at = now
                self._survey()
            self._hand_out()
            self._ask(now)
            self._hear()
            self._give_up_silent(time.monotonic())
            if now - self._alive_at >= _ALIVE_SECS:
                self._alive_at = now
                self._tell(Advance(0, 0))

    def _survey(self) -> None:
        """Look which nodes have come and gone; have new ones examined."""
        nodes = self._fleet.nodes()
        alive = {node.id: node for node in nodes}
        for seat in self._fleet.keep(alive):
            self._lose(seat, "its node is gone")
        self._good = {key: node for key, node in self._good.items() if key in alive}
        known = {node.id for node in self._probing.values()} | set(self._good) | set(self._complaints)
        for node in nodes:
            if node.id not in known:
                place = NodeAffinitySchedulingStrategy(node.id, soft=False)
                probe = self._remote_probe.options(scheduling_strategy=place)
                self._probing[probe.remote(str(self._source), str(self._fence.path))] = node
        self._check_nodes(nodes)

    def _check_nodes(self, nodes: list[Node]) -> None:
        good = list(self._good.values())
        if good and not self._fleet.is_room(good):
            raise ClusterError(
                f"no node has the {self._fleet.threads(good)} CPUs that --threads asks for; ask for less."
            )
        if good or self._probing:
            self._usable_at = time.monotonic()
        elif nodes and all(node.id in self._complaints for node in nodes):
            raise ClusterError(" ".join(["no node of the cluster can be used:", *self._complaints.values()]))
        elif time.monotonic() - self._usable_at > EMPTY_SECS:
            what = "a GPU" if self._fleet.uses_gpus else "a CPU to give"
            raise ClusterError(f"no node of the cluster has {what}; start nodes with `ray start --address=HOST:6379`.")

    def _hand_out(self) -> None:
        good = list(self._good.values())
        self._fleet.fill(good, self._board.num_open, unfit=self._complaints)
        is_only_one = len(good) == 1
        for seat in self._fleet.seats:
            if seat.is_idle and seat.node.id in self._good:
                chunk = self._board.take(seat.node.name, is_only_one=is_only_one)
                if chunk is not None:
                    seat.order(self._work, chunk, self._fence, f"{chunk.path.stem}-{uuid.uuid4().hex[:12]}")

    def _ask(self, now: float) -> None:
        busy = [seat for seat in self._fleet.seats if seat.rendering is not None]
        every_secs = max(_ASK_SECS, len(busy) / _MAX_ASKS_PER_SEC)
        for seat in busy:
            if seat.asking is None and now - seat.asked_at >= every_secs:
                seat.ask()

    def _hear(self) -> None:
        """Wait a moment for something to happen, and take in all that has."""
        heard: dict[Any, Callable[[Any], None]] = dict.fromkeys(self._probing, self._hear_probe)
        for seat in self._fleet.seats:
            for ref, hear in (
                (seat.loading, _hearing(self._hear_loaded, seat)),
                (seat.asking, _hearing(self._hear_advance, seat)),
                (seat.rendering, _hearing(self._hear_rendered, seat)),
            ):
                if ref is not None:
                    heard[ref] = hear
        if not heard:
            time.sleep(_WAIT_SECS)
            return
        ready, _ = ray.wait(list(heard), num_returns=1, timeout=_WAIT_SECS)
        if ready:
            ready, _ = ray.wait(list(heard), num_returns=len(heard), timeout=0)
        for ref in ready:
            heard[ref](ref)

    def _hear_probe(self, ref: Any) -> None:
        node = self._probing.pop(ref)
        try:
            there = ray.get(ref)
        except Exception as error:
            logger.info("Node %s could not be examined and is tried again: %s", node.name, _first_line(error))
            return
        complaint = complain(node.name, self._here, there, self._source, self._fence.path)
        if complaint is None:
            self._good[node.id] = node
        else:
            self._leave_out(node, complaint)

    def _leave_out(self, node: Node, complaint: str) -> None:
        logger.warning("Left out: %s", complaint)
        self._complaints[node.id] = complaint
        self._good.pop(node.id, None)
        self._surveyed_at = float("-inf")

    def _hear_loaded(self, seat: Seat, ref: Any) -> None:
        try:
            found = ray.get(ref)
        except Exception as error:
            self._hear_death(seat, error)
            return
        seat.loading = None
        if isinstance(found, Failed):
            complaint: str | None = f'node "{seat.node.name}" cannot load what is needed: {found.error}'
        else:
            complaint = complain_of_identity(seat.node.name, self._fleet.identity, found)
        if complaint is not None:
            self._fleet.drop(seat)
            self._leave_out(seat.node, complaint)

    def _hear_advance(self, seat: Seat, ref: Any) -> None:
        seat.asking = None
        try:
            attempt, frames, faces = ray.get(ref)
        except Exception as error:  # what it means, `rendering` says
            logger.debug("No answer from %s: %s", seat.node.name, _first_line(error))
            return
        seat.heard_at = time.monotonic()
        if seat.chunk is not None and attempt == seat.attempt and frames > seat.num_frames:
            seat.num_frames, seat.moved_at = frames, seat.heard_at
            self._tell(Advance(*self._board.advance(seat.chunk, frames, faces)))

    def _hear_rendered(self, seat: Seat, ref: Any) -> None:
        try:
            outcome: Rendered | Failed = ray.get(ref)
        except Exception as error:
            self._hear_death(seat, error)
            return
        chunk = seat.chunk
        assert chunk is not None
        if isinstance(outcome, Rendered):
            logger.info(
                "Chunk %d was rendered on %s: %.2f s, %.2f s for handing it in, %.2f s from order to answer.",
                chunk.index,
                seat.node.name,
                outcome.render_secs,
                outcome.hand_in_secs,
                time.monotonic() - seat.ordered_at,
            )
            seat.rest()
            self._tell(Advance(*self._board.finish(chunk, outcome.faces)))
            self._tell(ChunkDone(chunk, outcome.first_frame_at))
        elif outcome.is_memory and self._fleet.shrink(seat.node):
            logger.warning("The memory of a device of node %s is full; one renderer less there.", seat.node.name)
            self._fleet.drop(seat)
            self._lose(seat, "the device's memory was full")
        else:
            raise outcome.error

    def _hear_death(self, seat: Seat, error: Exception) -> None:
        if isinstance(error, RayTaskError):  # our own code never raises there
            raise ClusterError(f'node "{seat.node.name}" cannot run what it was sent: {_last_line(error)}') from error
        if isinstance(error, OutOfMemoryError):
            self._fleet.shrink(seat.node)
        self._fleet.drop(seat)
        self._surveyed_at = float("-inf")
        if seat.loading is not None:
            self._note_load_death(seat.node, error)
        self._lose(seat, _first_line(error))

    def _note_load_death(self, node: Node, error: Exception) -> None:
        self._load_deaths[node.id] = deaths = self._load_deaths.get(node.id, 0) + 1
        logger.info("A renderer on %s died while it started: %s", node.name, error)
        if deaths >= MAX_LOAD_DEATHS:
            why = _last_line(error)
            self._leave_out(node, f'node "{node.name}" cannot start renderers ({why}); see Ray\'s logs there.')

    def _give_up_silent(self, now: float) -> None:
        for seat in [seat for seat in self._fleet.seats if seat.rendering is not None]:
            is_silent = now - seat.heard_at > SILENCE_SECS
            if is_silent or now - seat.moved_at > STALL_SECS:
                self._fleet.drop(seat)
                self._lose(seat, "it does not answer" if is_silent else "it does not get on")

    def _lose(self, seat: Seat, why: str) -> None:
        """Have the chunk of an actor that is no more taken by another one."""
        if seat.chunk is not None:
            logger.warning("The renderer of chunk %d on %s was lost: %s", seat.chunk.index, seat.node.name, why)
            chunk, seat.chunk = seat.chunk, None
            self._board.lose(chunk, seat.node.name, why)


def _hearing(hear: Callable[[Seat, Any], None], seat: Seat) -> Callable[[Any], None]:
    return lambda ref: None if seat.is_dropped else hear(seat, ref)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
