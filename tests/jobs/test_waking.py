"""What blocked a job is looked at every few seconds; a job that is blocked again at once is woken less often."""

from itertools import pairwise

import pytest

from jobs import waking
from jobs.job import Job, JobState
from jobs.waking import Waker

from .made_jobs import Folders


class Clock:
    """A clock that moves when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(waking, "boot_secs", lambda: self.now)

    def tick(self, waker: Waker, secs: float) -> int:
        self.now += secs
        return waker.tick()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def blocked(made: Folders, block: str, **treatment: object) -> Job:
    job = made.drop("a.mp4", **treatment)
    assert isinstance(job, Job)
    return made.store.release(made.claim(job), JobState.BLOCKED, block=block)


def is_waiting(made: Folders) -> bool:
    return made.store.get(1).state is JobState.BLOCKED


def test_a_job_without_space_is_queued_when_there_is_enough(made: Folders, clock: Clock) -> None:
    blocked(made, "disk", min_free_bytes=1 << 60)
    waker = Waker(made.store, 10.0, lambda name: False)
    clock.tick(waker, 0)
    clock.tick(waker, 11)
    assert is_waiting(made)


@pytest.mark.parametrize("block", ["disk", "device"])
def test_a_job_is_queued_when_nothing_blocks_it_any_more(made: Folders, clock: Clock, block: str) -> None:
    blocked(made, block, min_free_bytes=0)
    waker = Waker(made.store, 10.0, lambda name: False)
    assert clock.tick(waker, 0) == 0
    assert clock.tick(waker, 11) == 1
    assert made.store.get(1).state is JobState.QUEUED


def test_a_job_whose_results_cannot_be_written_is_queued_when_they_can(
    made: Folders, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked(made, "output")
    waker = Waker(made.store, 10.0, lambda name: False)
    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda path, mode: path != made.out)
        clock.tick(waker, 0)
        clock.tick(waker, 11)
        assert is_waiting(made)
    assert clock.tick(waker, 11) == 1


def test_a_job_whose_watch_folder_is_away_waits_for_that(made: Folders, clock: Clock) -> None:
    blocked(made, "source")
    away = {str(made.inbox)}
    waker = Waker(made.store, 10.0, lambda name: name in away)
    clock.tick(waker, 0)
    clock.tick(waker, 11)
    assert is_waiting(made)
    away.clear()
    assert clock.tick(waker, 11) == 1


def test_a_job_that_is_blocked_again_and_again_is_woken_less_and_less_often(made: Folders, clock: Clock) -> None:
    job = blocked(made, "device")
    waker = Waker(made.store, 10.0, lambda name: False)
    woken = []
    for _ in range(40):
        if clock.tick(waker, 5):
            woken.append(clock.now)
            made.store.release(made.claim(job), JobState.BLOCKED, block="device")
    waits = [round(after - before) for before, after in pairwise(woken)]
    assert waits[:3] == [20, 40, 80]
    assert max(waits) <= 80
