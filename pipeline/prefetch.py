"""Joints between stages: an iterator that runs ahead of its consumer, and a stage that works on several items at once.

Both are bounded. Stages joined this way form a chain. The consumer at its end pulls; whoever fails ends the chain, and
its error comes out at the end. Nothing here knows what is passed on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from typing import Generic, TypeVar

S = TypeVar("S")
T = TypeVar("T")


def prefetch(
    items: Iterable[T],
    depth: int,
    *,
    max_bytes: int | None = None,
    bytes_of: Callable[[T], int] = lambda item: 0,
    name: str = "prefetch",
) -> Generator[T]:
    """Yield the items of an iterable that is advanced by another thread.

    Args:
        items: advanced and closed by the thread.
        depth: how many items may wait; with the one in the consumer's hands they bound the memory.
        max_bytes: how much the waiting items may hold; one item always may wait, however large. None: no such bound.
        bytes_of: what an item holds.
        name: of the thread.

    Yields:
        The items in order. An exception of the iterable is raised here, after the items before it. When the consumer
        stops early, the thread ends before the generator's close returns.
    """
    waiting = _Waiting(max(depth, 1), max_bytes, bytes_of)
    thread = threading.Thread(target=_produce, args=(items, waiting), name=name, daemon=True)
    try:
        thread.start()
        while (box := waiting.take()) is not None:
            yield box[0]
        if waiting.failure is not None:
            raise waiting.failure
    finally:
        waiting.cancel()
        if thread.ident is not None:
            thread.join()


def ordered_map(work: Callable[[S], T], items: Iterable[S], num_workers: int) -> Generator[T]:
    """Yield what becomes of each item, in order; so many are worked on at once, and one more waits.

    Args:
        work: called in threads, with one worker in the caller's.
        items: advanced, and closed where that is possible, in the caller's thread.
        num_workers: calls of `work` at once.

    Yields:
        The results. An exception of `work` or of the iterable is raised in its place; calls that have begun end before
        that, or before the generator's close returns.
    """
    with closing(items) if isinstance(items, Generator) else nullcontext():
        if num_workers == 1:
            yield from map(work, items)
            return
        workers = ThreadPoolExecutor(num_workers, thread_name_prefix="work")
        try:
            begun: deque[Future[T]] = deque()
            for item in items:
                begun.append(workers.submit(work, item))
                if len(begun) > num_workers:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            workers.shutdown(cancel_futures=True)


def _produce(items: Iterable[T], waiting: _Waiting[T]) -> None:
    iterator = iter(items)
    try:
        for item in iterator:
            if not waiting.put(item):
                break
    except BaseException as error:
        waiting.failure = error
    finally:
        try:
            if hasattr(iterator, "close"):
                iterator.close()
        except BaseException as error:
            waiting.failure = waiting.failure or error
        finally:
            waiting.end()


class _Waiting(Generic[T]):
    """Items between a producer and a consumer."""

    def __init__(self, depth: int, max_bytes: int | None, bytes_of: Callable[[T], int]) -> None:
        self.failure: BaseException | None = None
        self._depth, self._max_bytes, self._bytes_of = depth, max_bytes, bytes_of
        self._items: deque[tuple[T, int]] = deque()
        self._num_bytes = 0
        self._has_ended = self._is_cancelled = False
        self._changed = threading.Condition()

    def put(self, item: T) -> bool:
        """Wait for room and add an item; False when nobody wants it any more."""
        size = 0 if self._max_bytes is None else self._bytes_of(item)
        with self._changed:
            self._changed.wait_for(lambda: self._is_cancelled or self._has_room(size))
            if self._is_cancelled:
                return False
            self._items.append((item, size))
            self._num_bytes += size
            self._changed.notify_all()
            return True

    def take(self) -> tuple[T] | None:
        """Wait for the next item; None after the last one."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._has_ended)
            if not self._items:
                return None
            item, size = self._items.popleft()
            self._num_bytes -= size
            self._changed.notify_all()
            return (item,)

    def end(self) -> None:
        """No more items come."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """No more items are wanted."""
        with self._changed:
            self._is_cancelled = True
            self._items.clear()
            self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        if not self._items:
            return True
        fits = self._max_bytes is None or self._num_bytes + size <= self._max_bytes
        return fits and len(self._items) < self._depth
