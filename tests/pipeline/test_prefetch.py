"""An iterator that runs ahead, a bounded number of steps."""

import threading
from collections.abc import Generator, Iterator
from contextlib import closing

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


def test_what_waits_is_bounded_by_bytes_and_a_large_item_may_wait_alone() -> None:
    made: list[int] = []

    def sizes() -> Iterator[int]:
        for size in (40, 40, 40, 500, 40):
            made.append(size)
            yield size

    stream = prefetch(sizes(), 10, max_bytes=100, bytes_of=lambda size: size)
    assert next(stream) == 40
    threading.Event().wait(0.3)
    assert made == [40, 40, 40, 500]  # 80 bytes wait, and 500 more are in the thread's hands
    assert list(stream) == [40, 40, 500, 40]


def test_a_chain_of_stages_ends_as_one_when_one_of_them_fails() -> None:
    def failing(items: Generator[int]) -> Iterator[int]:
        with closing(items):
            for i in items:
                if i == 20:
                    raise ValueError("broken in the middle")
                yield i

    chain = prefetch(failing(prefetch(iter(range(1000)), 2, name="stage-1")), 2, name="stage-2")
    assert [next(chain) for _ in range(20)] == list(range(20))
    with pytest.raises(ValueError, match="in the middle"):
        next(chain)
    assert not any(t.name.startswith("stage") for t in threading.enumerate())


def test_an_interrupt_of_the_consumer_ends_the_chain() -> None:
    chain = prefetch(prefetch(iter(range(1000)), 2, name="stage-1"), 2, name="stage-2")
    next(chain)
    with pytest.raises(KeyboardInterrupt):
        chain.throw(KeyboardInterrupt)
    assert not any(t.name.startswith("stage") for t in threading.enumerate())
