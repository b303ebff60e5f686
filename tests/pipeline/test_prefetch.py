"""An iterator that runs ahead, a bounded number of steps."""

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from time import sleep

import pytest

from pipeline.prefetch import ordered_map, prefetch


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


@pytest.mark.parametrize("num_workers", [1, 3])
def test_results_of_several_workers_come_in_order(num_workers: int) -> None:
    def slow_when_even(number: int) -> int:
        sleep(0.004 * (number % 2 == 0))
        return number * number

    assert list(ordered_map(slow_when_even, range(20), num_workers)) == [n * n for n in range(20)]


def test_so_many_items_are_worked_on_at_once_and_one_more_waits() -> None:
    taken, gate = [], threading.Barrier(2, timeout=10)

    def items() -> Iterator[int]:
        for number in range(6):
            taken.append(number)
            yield number

    results = ordered_map(lambda number: (gate.wait(), number)[1], items(), 2)
    assert next(results) == 0  # both workers had to meet at the gate
    assert taken == [0, 1, 2]
    assert list(results) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_an_error_of_a_worker_comes_out_in_its_place_and_closes_the_items(num_workers: int) -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.append(True)

    def work(number: int) -> int:
        if number == 2:
            raise RuntimeError("the third")
        return number

    results = ordered_map(work, items(), num_workers)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(RuntimeError, match="the third"):
        next(results)
    assert closed == [True]


def test_closing_early_waits_for_the_workers() -> None:
    begun, ended = [], []

    def work(number: int) -> int:
        begun.append(number)
        sleep(0.02)
        ended.append(number)
        return number

    results = ordered_map(work, iter(range(50)), 2)
    next(results)
    results.close()
    assert sorted(begun) == sorted(ended)
    assert len(ended) < 6
