"""Render chunks in several processes, each with its networks loaded once: on a CPU with a share of it, or one per GPU.

A process that dies in the middle of a chunk is replaced, and the chunk is taken again. Processes end with this one.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from .budget import Budget
from .chunk_render import OnFrames, VideoWork
from .chunks import Chunk
from .errors import RendererLostError
from .ffmpeg import spawn
from .render_process import ENTRY, Advance, Done, Failed, Order, Start
from .settings import ConvertSettings

logger = logging.getLogger(__name__)

MAX_LOSSES = 2
"""A chunk is taken again so often after its process died."""

_ROOT = Path(__file__).resolve().parents[1]
_END_SECS = 5.0


class ProcessRunner:
    """Renders chunks in processes (see ChunkRunner).

    Args:
        settings: the user's choices.
        budget: how many processes there are, and the share of each.
        devices: where each process computes; as many as there are processes.
    """

    def __init__(self, settings: ConvertSettings, budget: Budget, devices: Sequence[str]) -> None:
        self._starts = [Start(replace(settings, device=d), budget, logging.getLogger().level) for d in devices]
        self._renderers: dict[int, _Renderer] = {}

    def run(
        self, work: VideoWork, chunks: Sequence[Chunk], on_frames: OnFrames, on_chunk: Callable[[Chunk], None]
    ) -> None:
        """See ChunkRunner."""
        try:
            _Run(self, work, chunks, on_frames, on_chunk).go()
        except BaseException:
            self._end(is_urgent=True)  # what they were at is of no use
            raise

    def close(self) -> None:
        """End the processes."""
        self._end(is_urgent=False)

    def renderer(self, seat: int) -> _Renderer:
        """Return the process of a seat, started if there is none."""
        if seat not in self._renderers:
            self._renderers[seat] = _Renderer(self._starts[seat])
        return self._renderers[seat]

    def drop(self, seat: int) -> str:
        """Forget a process that has died; return how it ended."""
        return self._renderers.pop(seat).end(is_urgent=True)

    @property
    def num_seats(self) -> int:
        """Processes that may run at once."""
        return len(self._starts)

    def _end(self, *, is_urgent: bool) -> None:
        renderers, self._renderers = list(self._renderers.values()), {}
        for renderer in renderers:
            renderer.dismiss(is_urgent=is_urgent)
        for renderer in renderers:
            renderer.end(is_urgent=is_urgent)


class _Renderer:
    """One process and the connection to it."""

    def __init__(self, start: Start) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", ENTRY, str(_ROOT)]
            self._process = spawn(command, stdin=theirs.fileno(), stderr=2)
        self.connection = Connection(ours.detach())
        self._work: VideoWork | None = None
        self.connection.send(start)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def order(self, work: VideoWork, chunk: Chunk) -> None:
        """Have a chunk rendered; its video is sent once.

        Raises:
            OSError: it has died.
        """
        self.connection.send(Order(chunk, None if work is self._work else work))
        self._work = work

    def dismiss(self, *, is_urgent: bool) -> None:
        """Let it end: by itself when it is idle, or now."""
        if is_urgent:
            self._process.kill()
        self.connection.close()

    def end(self, *, is_urgent: bool) -> str:
        """Wait for its end, and say how it came."""
        self.dismiss(is_urgent=is_urgent)
        try:
            self._process.wait(_END_SECS)
        except subprocess.TimeoutExpired:  # it did not notice
            self._process.kill()
        code = self._process.wait()
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


class _Run:
    """The chunks of one video on their way through the processes."""

    def __init__(
        self,
        runner: ProcessRunner,
        work: VideoWork,
        chunks: Sequence[Chunk],
        on_frames: OnFrames,
        on_chunk: Callable[[Chunk], None],
    ) -> None:
        self._runner, self._work = runner, work
        self._on_frames, self._on_chunk = on_frames, on_chunk
        self._waiting = deque(chunks)
        self._at: dict[int, Chunk] = {}
        """Seat -> the chunk that its process is at."""
        self._told: dict[int, int] = {}
        """Chunk -> frames that were told of; of a chunk that is taken again, only what goes beyond is told."""
        self._seen: dict[int, int] = {}
        """Chunk -> frames of this attempt."""
        self._losses: dict[int, int] = {}
        """Chunk -> processes that died of it, or in it."""

    def go(self) -> None:
        """Hand chunks out until all are done."""
        while self._waiting or self._at:
            self._hand_out()
            seats = {self._runner.renderer(seat).connection: seat for seat in self._at}
            for connection in wait(list(seats)):
                assert isinstance(connection, Connection)
                self._hear(seats[connection], connection)

    def _hand_out(self) -> None:
        for seat in range(self._runner.num_seats):
            if seat in self._at or not self._waiting:
                continue
            chunk = self._at[seat] = self._waiting.popleft()
            self._seen[chunk.index] = 0
            try:
                self._runner.renderer(seat).order(self._work, chunk)
            except OSError:
                self._lose(seat)

    def _hear(self, seat: int, connection: Connection) -> None:
        try:
            answer = connection.recv()
        except (EOFError, OSError):
            self._lose(seat)
            return
        if isinstance(answer, Advance):
            self._advance(self._at[seat].index, answer)
        elif isinstance(answer, Failed):
            raise answer.error
        elif isinstance(answer, Done):
            self._on_chunk(self._at.pop(seat))

    def _advance(self, index: int, answer: Advance) -> None:
        self._seen[index] += answer.frames
        if self._seen[index] > self._told.get(index, 0):
            self._told[index] = self._seen[index]
            self._on_frames(answer.frames, answer.faces)

    def _lose(self, seat: int) -> None:
        """A process died: have its chunk taken again by a new one, unless that went wrong too often."""
        chunk, how = self._at.pop(seat), self._runner.drop(seat)
        self._losses[chunk.index] = losses = self._losses.get(chunk.index, 0) + 1
        what = f"The process that rendered chunk {chunk.index} (frames {chunk.start} to {chunk.stop - 1}) {how}"
        if losses > MAX_LOSSES:
            raise RendererLostError(
                f"{what}, and so did {MAX_LOSSES} before it; is there enough memory? Try --parallel 1."
            )
        logger.warning("%s; the chunk is taken again.", what)
        self._waiting.appendleft(chunk)


def devices_of(settings: ConvertSettings, budget: Budget, num_gpus: int) -> list[str]:
    """Where each process computes: on the GPUs in turn, or all where the user says."""
    if num_gpus < 2:
        return [settings.device] * budget.num_processes
    return [f"cuda:{seat % num_gpus}" for seat in range(budget.num_processes)]
