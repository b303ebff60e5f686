"""What becomes of a job that did not get through: pure rules, from an error or a death to the arguments of a release.

Nothing here looks at a disk, a clock or the table.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from .job import Job, JobState, Stamp

if TYPE_CHECKING:
    from .handlers import Verdict
    from .store import JobStore

MAX_DELAY_SECS = 300.0
"""However often a job was tried, it waits no longer."""

_JITTER = 0.25


@dataclass(frozen=True)
class Release:
    """Where a job goes from a worker's hands."""

    state: JobState
    reason: str = ""
    """As a sentence."""
    block: str = ""
    """What a blocked job waits for."""
    delay_secs: float = 0.0
    """So long it is not claimed again."""
    deaths: int = 0
    """How many more workers died over it."""
    exceptions: int = 0
    """How many more errors there were that may pass."""
    stamp: Stamp | None = None
    """Of the source as it is now, where it has changed."""

    def of(self, store: JobStore, job: Job) -> Job:
        """Do it.

        Raises:
            LostClaimError: the job is no longer its owner's.
        """
        return store.release(job, **{field.name: getattr(self, field.name) for field in fields(self)})


def backoff_secs(times: int, base_secs: float, chance: Callable[[], float] = random.random) -> float:
    """Return how long to wait after the `times`-th failure: twice as long every time, with some jitter.

    Args:
        times: from 1.
        base_secs: the first delay.
        chance: gives numbers in [0, 1).
    """
    delay_secs = min(base_secs * 2.0 ** min(max(times, 1) - 1, 30), MAX_DELAY_SECS)
    return delay_secs * (1.0 + _JITTER * chance())


def after_error(
    job: Job,
    verdict: Verdict,
    base_secs: float,
    *,
    is_young: bool,
    stamp: Stamp | None = None,
    chance: Callable[[], float] = random.random,
) -> Release:
    """Decide about a job whose attempt ended with an error.

    Args:
        job: as it was claimed.
        verdict: what kind of error it was.
        base_secs: first delay after a failure that may pass.
        is_young: the source may still be an unfinished copy.
        stamp: of the source as it is now.
        chance: gives numbers in [0, 1).
    """
    reason = verdict.reason
    if verdict.kind == "drain":
        return Release(JobState.QUEUED, "interrupted; it goes on from what is finished")
    if verdict.kind == "changed":
        return Release(JobState.SETTLING, reason, stamp=stamp)
    if verdict.kind == "block":
        return Release(JobState.BLOCKED, reason, verdict.block)
    if verdict.kind == "wait" and is_young:
        delay_secs = backoff_secs(job.attempt, base_secs, chance)
        return Release(JobState.SETTLING, f"waiting: {reason}", delay_secs=delay_secs, stamp=stamp)
    if verdict.kind == "retry":
        return _spend_exception(job, reason, base_secs, chance)
    return Release(JobState.FAILED, reason)


def _spend_exception(job: Job, reason: str, base_secs: float, chance: Callable[[], float]) -> Release:
    spent, most = job.exceptions + 1, job.treatment.max_exceptions
    if spent >= most:
        return Release(JobState.FAILED, f"{reason} (tried {spent} times)", exceptions=1)
    again = f"try {spent} of {most} went wrong: {reason}"
    return Release(JobState.QUEUED, again, delay_secs=backoff_secs(spent, base_secs, chance), exceptions=1)


def after_death(
    job: Job, why: str, base_secs: float, *, is_counted: bool = True, chance: Callable[[], float] = random.random
) -> Release:
    """Decide about a job whose worker died.

    Args:
        job: as the worker left it.
        why: how the worker ended, like "its worker died".
        base_secs: first delay.
        is_counted: the death may be the job's fault; False where somebody ended the worker on purpose.
        chance: gives numbers in [0, 1).
    """
    if not is_counted:
        return Release(JobState.QUEUED, why)
    spent, most = job.deaths + 1, job.treatment.max_deaths
    if spent >= most:
        return Release(JobState.FAILED, f"its worker died {spent} times, the last time: {why}", deaths=1)
    again = f"{why} (death {spent} of {most})"
    return Release(JobState.QUEUED, again, delay_secs=backoff_secs(spent, base_secs, chance), deaths=1)
