"""Render chunks on the machines of a Ray cluster (see ChunkRunner); Ray itself lives in a process of its own."""

from __future__ import annotations

import importlib.util
import logging
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from ..chunk_render import OnFrames, VideoWork
from ..chunks import Chunk
from ..errors import ClusterError
from ..ffmpeg import spawn
from ..render_process import Advance, Failed
from ..studio import Studio
from .chunk_fence import open_fence
from .link import ENTRY, Accepted, AllDone, ChunkDone, Order, Start, check_address, gone, program_root
from .node_check import identity_of

logger = logging.getLogger(__name__)

VISIBLE_SECS = 60.0
"""Network file systems show new files late; after so long a chunk that is said to be done counts as lost."""

_SILENCE_SECS = 120.0
_END_SECS = 8.0


class RayRunner:
    """Renders on a cluster (see ChunkRunner); it is joined when there is something to render.

    Args:
        studio: the networks of this machine, by which those of the nodes are judged.

    Raises:
        ClusterError: Ray is not installed, or nobody answers at the address.
    """

    def __init__(self, studio: Studio) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ClusterError("--cluster needs Ray; run: pip install 'ugatit-pipeline[cluster]'")
        self._studio = studio
        self._address = str(studio.settings.cluster)
        check_address(self._address)
        self._link: _Link | None = None

    def run(
        self, work: VideoWork, chunks: Sequence[Chunk], on_frames: OnFrames, on_chunk: Callable[[Chunk], None]
    ) -> None:
        """See ChunkRunner.

        Raises:
            ClusterError: the cluster is gone, or has no node that is fit.
        """
        if not chunks:
            return
        fence = open_fence(chunks[0].path.parent)
        try:
            link = self._ordered(Order(work, tuple(chunks), fence), on_frames)
            while not isinstance(answer := link.hear(on_frames), AllDone):
                if isinstance(answer, ChunkDone):
                    self._take(answer, on_chunk)
        except _LinkLostError as error:
            self.close()
            raise gone(self._address) from error
        except BaseException:
            self.close()
            raise
        finally:
            fence.close()

    def close(self) -> None:
        """Leave the cluster."""
        if self._link is not None:
            self._link.end()
            self._link = None

    def _ordered(self, order: Order, on_frames: OnFrames) -> _Link:
        """Give an order; to a new process where there is none, or it has ended for want of orders."""
        if self._link is not None:
            with suppress(_LinkLostError):
                return self._given(self._link, order, on_frames)
            self.close()
        self._link = _Link(self._start(), self._address)
        return self._given(self._link, order, on_frames)

    def _given(self, link: _Link, order: Order, on_frames: OnFrames) -> _Link:
        link.send(order)
        while not isinstance(link.hear(on_frames), Accepted):
            pass
        return link

    def _start(self) -> Start:
        studio = self._studio
        device = str(studio.engine.device)
        settings = replace(studio.settings, device="cuda" if device.startswith("cuda") else device)
        return Start(settings, identity_of(studio), logging.getLogger().getEffectiveLevel())

    def _take(self, done: ChunkDone, on_chunk: Callable[[Chunk], None]) -> None:
        end = time.monotonic() + VISIBLE_SECS
        while not done.chunk.is_finished:
            if time.monotonic() > end:
                raise ClusterError(f'"{done.chunk.path}" was written by a node, and is not to be seen here.')
            time.sleep(0.1)
        if self._studio.first_frame_at is None:
            self._studio.first_frame_at = done.first_frame_at
        on_chunk(done.chunk)


class _LinkLostError(ClusterError):
    """The process that spoke with the cluster has ended."""


class _Link:
    """The process that speaks with the cluster.

    Args:
        start: what it is told first.
        address: of the cluster.
    """

    def __init__(self, start: Start, address: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = spawn([sys.executable, "-c", ENTRY, str(program_root())], stdin=theirs.fileno(), stderr=2)
        self._connection = Connection(ours.detach())
        self._address = address
        self.send(start)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def send(self, message: Any) -> None:
        """Tell it something.

        Raises:
            _LinkLostError: it has ended.
        """
        try:
            self._connection.send(message)
        except OSError as error:
            raise _LinkLostError(str(gone(self._address))) from error

    def hear(self, on_frames: OnFrames) -> Accepted | ChunkDone | AllDone:
        """Wait for the next answer; pass on what is told about the advance until then.

        Raises:
            _LinkLostError: it has ended, or says nothing any more.
            Exception: what it reports as a failure.
        """
        while True:
            try:
                if not self._connection.poll(_SILENCE_SECS):
                    raise EOFError
                answer = self._connection.recv()
            except (EOFError, OSError) as error:
                raise _LinkLostError(str(gone(self._address))) from error
            if isinstance(answer, Failed):
                raise answer.error
            if not isinstance(answer, Advance):
                return answer  # type: ignore[no-any-return]
            on_frames(answer.frames, answer.faces)

    def end(self) -> None:
        """Have it leave the cluster; by force if it takes too long."""
        self._connection.close()
        try:
            self._process.wait(_END_SECS)
        except Exception:  # it did not notice
            self._process.kill()
            self._process.wait()
