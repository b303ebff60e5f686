"""Where a job goes after an error or a death."""

from dataclasses import replace
from pathlib import Path

import pytest

from jobs.handlers import Verdict
from jobs.job import Job, JobKind, JobState, Stamp, Treatment
from jobs.retries import MAX_DELAY_SECS, after_death, after_error, backoff_secs

JOB = Job(1, JobState.RUNNING, JobKind.VIDEO, "in", Path("in/a"), Path("a"), Path("out"), Treatment(), "x", attempt=1)
STAMP = Stamp(1, 2, 3, 4)


def no_chance() -> float:
    return 0.0


def test_a_delay_doubles_with_every_failure_up_to_a_bound() -> None:
    delays = [backoff_secs(times, 2.0, no_chance) for times in range(1, 12)]
    assert delays[:4] == [2.0, 4.0, 8.0, 16.0]
    assert delays[-1] == MAX_DELAY_SECS
    assert backoff_secs(10_000, 2.0, no_chance) == MAX_DELAY_SECS


def test_jitter_lengthens_a_delay_by_a_quarter_at_most() -> None:
    assert 2.0 < backoff_secs(1, 2.0, lambda: 0.5) < backoff_secs(1, 2.0, lambda: 0.999) < 2.5


def test_an_error_that_may_pass_is_tried_again_later_and_counted() -> None:
    decided = after_error(JOB, Verdict("retry", reason="ffmpeg died"), 2.0, is_young=False, chance=no_chance)
    assert (decided.state, decided.delay_secs, decided.exceptions, decided.deaths) == (JobState.QUEUED, 2.0, 1, 0)
    assert decided.reason == "try 1 of 3 went wrong: ffmpeg died"


def test_a_job_fails_at_the_last_of_its_errors() -> None:
    decided = after_error(replace(JOB, exceptions=2), Verdict("retry", reason="ffmpeg died"), 2.0, is_young=False)
    assert (decided.state, decided.exceptions) == (JobState.FAILED, 1)
    assert "tried 3 times" in decided.reason


def test_an_error_for_good_fails_a_job_at_once() -> None:
    decided = after_error(JOB, Verdict("fail", reason="no video"), 2.0, is_young=True)
    assert (decided.state, decided.reason) == (JobState.FAILED, "no video")


def test_a_young_unreadable_source_waits_ever_longer_and_an_old_one_fails() -> None:
    verdict = Verdict("wait", reason="moov atom not found")
    first = after_error(JOB, verdict, 2.0, is_young=True, stamp=STAMP, chance=no_chance)
    third = after_error(replace(JOB, attempt=3), verdict, 2.0, is_young=True, chance=no_chance)
    assert (first.state, first.delay_secs, first.stamp) == (JobState.SETTLING, 2.0, STAMP)
    assert first.reason == "waiting: moov atom not found"
    assert third.delay_secs == 8.0
    assert after_error(JOB, verdict, 2.0, is_young=False).state is JobState.FAILED


@pytest.mark.parametrize("kind", ["drain", "changed", "block", "wait"])
def test_what_is_not_the_jobs_fault_spends_no_budget(kind: str) -> None:
    worn = replace(JOB, exceptions=2, deaths=2)
    decided = after_error(worn, Verdict(kind, block="disk", reason="full"), 2.0, is_young=True)
    assert decided.state in (JobState.QUEUED, JobState.SETTLING, JobState.BLOCKED)
    assert (decided.deaths, decided.exceptions) == (0, 0)


def test_a_blocked_job_says_what_it_waits_for() -> None:
    decided = after_error(JOB, Verdict("block", block="disk", reason="1 MiB free"), 2.0, is_young=False)
    assert (decided.state, decided.block, decided.reason) == (JobState.BLOCKED, "disk", "1 MiB free")


def test_deaths_are_counted_apart_from_errors() -> None:
    decided = after_death(replace(JOB, exceptions=2), "its worker died", 2.0, chance=no_chance)
    assert (decided.state, decided.deaths, decided.exceptions) == (JobState.QUEUED, 1, 0)
    assert decided.delay_secs == 2.0


def test_a_job_that_killed_three_workers_fails() -> None:
    decided = after_death(replace(JOB, deaths=2), "its worker was killed by SIGSEGV", 2.0)
    assert decided.state is JobState.FAILED
    assert decided.reason == "its worker died 3 times, the last time: its worker was killed by SIGSEGV"


def test_a_worker_that_was_ended_on_purpose_is_no_death() -> None:
    decided = after_death(replace(JOB, deaths=2), "its worker was ended with the daemon", 2.0, is_counted=False)
    assert (decided.state, decided.deaths, decided.delay_secs) == (JobState.QUEUED, 0, 0.0)
