"""A process that renders chunks for another one: loads its studio once, takes a chunk, tells how it goes, and so on.

It talks over its stdin, which is a socket. It ends when the other end of that is closed, whatever it is doing then; the
encoders that it started end with it.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from .budget import Budget, apply_budget
from .settings import ConvertSettings

if TYPE_CHECKING:
    from .chunk_render import VideoWork
    from .chunks import Chunk
    from .studio import Studio

ENTRY = "import sys; sys.path[0] = sys.argv[1]; from pipeline.render_process import main; main()"
"""What the interpreter is started with; the argument is the folder of this program."""


@dataclass(frozen=True)
class Start:
    """First message: who the process is."""

    settings: ConvertSettings
    """As the user chose them, but for the device."""
    budget: Budget
    """Its share of the machine."""
    log_level: int
    """Lowest level that is logged to stderr."""


@dataclass(frozen=True)
class Order:
    """A chunk to render."""

    chunk: Chunk
    """Which one."""
    work: VideoWork | None
    """Its video; None: that of the order before."""


@dataclass(frozen=True)
class Advance:
    """Answer: some frames are through."""

    frames: int
    faces: int


@dataclass(frozen=True)
class Done:
    """Answer: the chunk's files are there."""


@dataclass(frozen=True)
class Failed:
    """Answer: the chunk cannot be rendered."""

    error: BaseException
    """Why, with the traceback there as a note."""


def main() -> None:
    """Be such a process: its entry."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it, too, and closes the connection
    orders = Connection(os.dup(0))
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    threading.Thread(target=_end_with, args=(os.dup(orders.fileno()),), name="parent-watch", daemon=True).start()
    try:
        _serve(orders)
    except (EOFError, OSError):
        os._exit(0)  # nobody is there any more who could be told


def _end_with(descriptor: int) -> None:
    """End this process when the other side is gone, even in the middle of a chunk."""
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLHUP | select.POLLRDHUP)
    poll.poll()
    os._exit(1)


def _serve(orders: Connection) -> None:
    start: Start = orders.recv()
    logging.basicConfig(level=start.log_level, format=f"%(levelname)s renderer {os.getpid()}: %(message)s")
    os.environ["OMP_NUM_THREADS"] = str(start.budget.engine_threads)  # before anything reads it
    serve = _Server(start, orders.send)
    while True:
        order: Order = orders.recv()
        try:
            answer: Done | Failed = serve(order)
        except Exception as error:
            answer = Failed(portable(error))
        orders.send(answer)


class _Server:
    """Renders what is ordered; the studio is loaded with the first order."""

    def __init__(self, start: Start, tell: Callable[[Any], None]) -> None:
        self._start, self._tell = start, tell
        self._studio: Studio | None = None
        self._work: VideoWork | None = None

    def __call__(self, order: Order) -> Done:
        from .chunk_render import render_chunk

        studio = self._loaded()
        if order.work is not None:
            self._work = order.work
            studio.attend(order.work.info.path)
        assert self._work is not None
        render_chunk(self._work, order.chunk, studio, lambda frames, faces: self._tell(Advance(frames, faces)))
        return Done()

    def _loaded(self) -> Studio:
        if self._studio is None:
            from .studio import build_studio

            studio = build_studio(self._start.settings, self._start.budget)
            apply_budget(studio.budget)
            studio.load()
            self._studio = studio
        return self._studio


def portable(error: Exception) -> BaseException:
    """Return an error that can be sent: itself, with its traceback as a note; of its message only where it cannot."""
    error.add_note(f"In process {os.getpid()}:\n{''.join(traceback.format_exception(error))}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an exception may take other arguments than it was made with
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
