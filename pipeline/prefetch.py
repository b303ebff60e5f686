"""Run an iterator ahead of its consumer in a thread, a fixed number of items and no more."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")

_END = object()


def prefetch(items: Iterable[T], depth: int) -> Generator[T]:
    """Yield the items of an iterable that is advanced by another thread.

    Args:
        items: advanced and closed by the thread.
        depth: how many items may wait; with the one in the consumer's hands they bound the memory.

    Yields:
        The items in order. An exception of the iterable is raised here, after the items before it. When the consumer
        stops early, the thread ends before the generator's close returns.
    """
    waiting: queue.Queue[object] = queue.Queue(max(depth, 1))
    is_cancelled = threading.Event()
    failure: list[BaseException] = []

    def put(item: object) -> bool:
        while not is_cancelled.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put(item):
                    break
        except BaseException as error:
            failure.append(error)
        finally:
            if hasattr(iterator, "close"):
                iterator.close()
            put(_END)

    thread = threading.Thread(target=produce, name="prefetch", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            yield item  # type: ignore[misc]
        if failure:
            raise failure[0]
    finally:
        is_cancelled.set()
        thread.join()
