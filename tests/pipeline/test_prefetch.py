"""An iterator that runs ahead, a bounded number of steps."""

import threading
from collections.abc import Iterator

import pytest

from pipeline.prefetch import prefetch


def test_items_arrive_in_order() -> None:
    assert list(prefetch(range(50), 3)) == list(range(50))


def test_it_never_runs_further_ahead_than_its_depth() -> None:
    made = []

    def numbers() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    stream = prefetch(numbers(), 3)
    for _ in range(10):
        next(stream)
    threading.Event().wait(0.3)
    assert len(made) <= 10 + 3 + 1
    stream.close()


def test_a_failure_comes_out_after_the_items_before_it() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    stream = prefetch(numbers(), 3)
    assert next(stream) == 1
    with pytest.raises(ValueError, match="broken"):
        next(stream)


def test_stopping_early_ends_the_thread_and_closes_the_iterator() -> None:
    closed = threading.Event()

    def numbers() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    stream = prefetch(numbers(), 2)
    next(stream)
    stream.close()
    assert closed.is_set()
    assert not any(t.name == "prefetch" for t in threading.enumerate())
