"""No part of the daemon's loop stops another; trouble is said once, and so is its end."""

import logging
from collections.abc import Callable

import pytest

from jobs.errors import StoreError, StoreFullError
from jobs.rounds import Rounds


def failing(error: Exception) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize("error", [StoreFullError("full"), OSError(28, "full")])
def test_what_may_pass_is_said_once_and_so_is_its_end(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rounds = Rounds()
    for _ in range(3):
        rounds.do("intake", failing(error))
    assert "full" in rounds.summary()
    rounds.do("intake", lambda: None)
    assert rounds.summary() == ""
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "the intake has to wait",
        "the intake goes on",
    ]


def test_a_table_that_is_gone_ends_the_loop() -> None:
    with pytest.raises(StoreError):
        Rounds().do("intake", failing(StoreError("deleted")))


def test_a_mistake_in_one_part_is_told_with_its_place_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    rounds, done = Rounds(), []
    for _ in range(3):
        rounds.do("intake", failing(ZeroDivisionError("oh")))
        rounds.do("workers", lambda: done.append(1))
    assert len(done) == 3
    assert caplog.text.count("Traceback") == 1
    assert "ZeroDivisionError: oh" in rounds.last_error
    caplog.clear()  # else it would fail this test, as it should every other


def test_a_part_is_not_done_more_often_than_it_shall() -> None:
    rounds, done = Rounds(), []
    for _ in range(3):
        rounds.do("recovery", lambda: done.append(1), every_secs=100)
    assert len(done) == 1
