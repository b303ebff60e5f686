"""News for open pages: one loop looks for changes while anybody listens, and tells all of them.

Two kinds: `table` (something on the page is different now: fetch it again) and `progress` (numbers of running jobs).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool

from ..errors import JobsError
from .reading import Reader

logger = logging.getLogger(__name__)

LOOK_SECS = 0.5
"""So often it is looked for changes while somebody listens."""
TABLE_EVERY_LOOKS = 2
"""Pages are told to fetch themselves again at every second look at most."""
ALIVE_SECS = 15.0
"""So often a silent connection gets a word, which finds out those that are no more."""
MOST_LISTENERS = 64

Event = tuple[str, str]


class News:
    """Tells listeners what changes."""

    def __init__(self, reader: Reader, is_closing: Callable[[], bool] = lambda: False) -> None:
        self._reader = reader
        self._is_closing = is_closing
        self._listeners: set[asyncio.Queue[Event]] = set()
        self._loop: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """No more can listen."""
        return len(self._listeners) >= MOST_LISTENERS

    async def listen(self) -> AsyncIterator[bytes]:
        """Yield events as the wire has them, until the listener or the server goes."""
        queue: asyncio.Queue[Event] = asyncio.Queue(maxsize=16)
        self._listeners.add(queue)
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._look())
        try:
            yield b"retry: 2000\n\n" + wire("hello", "{}")
            while not self._is_closing():
                for _ in range(round(ALIVE_SECS / LOOK_SECS)):
                    try:
                        yield wire(*await asyncio.wait_for(queue.get(), LOOK_SECS))
                        break
                    except TimeoutError:
                        if self._is_closing():
                            return
                else:
                    yield b": still here\n\n"
        finally:
            self._listeners.discard(queue)

    async def _look(self) -> None:
        """Look for changes as long as there are listeners."""
        mark: Any = None
        progress = ""
        looks = 0
        while self._listeners and not self._is_closing():
            fresh_mark, fresh_progress = await run_in_threadpool(self._read)
            if looks % TABLE_EVERY_LOOKS == 0 and fresh_mark != mark:
                if mark is not None:
                    self._tell("table", "{}")
                mark = fresh_mark
            if fresh_progress != progress:
                progress = fresh_progress
                self._tell("progress", progress)
            looks += 1
            await asyncio.sleep(LOOK_SECS)

    def _read(self) -> tuple[Any, str]:
        try:
            return self._reader.mark(), json.dumps([view.as_json() for view in self._reader.progress()])
        except (JobsError, OSError) as error:
            logger.debug("The table cannot be read now: %s", error)
            return ("unreadable", str(error)), "[]"

    def _tell(self, kind: str, data: str) -> None:
        for queue in self._listeners:
            if not queue.full():  # a listener that does not take its news misses some, and catches up with the next
                queue.put_nowait((kind, data))


def wire(kind: str, data: str) -> bytes:
    """Return an event as server-sent events are written; `data` is one line."""
    return f"event: {kind}\ndata: {data}\n\n".encode()
