"""Take up the jobs of workers that died: finish what became visible, queue the rest again, give up on poison."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import LostClaimError
from .fault_points import reach
from .job import Job, JobState
from .locks import OwnerLocks
from .publishing import complete, is_published, remove_work
from .retries import Release, after_death

if TYPE_CHECKING:
    from .store import JobStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ending:
    """How a worker ended."""

    why: str = "its worker died"
    """As a part of a sentence about the job."""
    is_counted: bool = True
    """The job may be to blame; False where somebody ended the worker on purpose."""


def recover(
    store: JobStore,
    locks: OwnerLocks,
    owner: str,
    *,
    backoff_secs: float = 2.0,
    ending_of: Callable[[str], Ending] = lambda owner: Ending(),
) -> list[Job]:
    """Bring every job of a dead worker into a state that goes on.

    Several processes may do so at once: one of them gets each job.

    Args:
        store: the job table.
        locks: tell which workers live.
        owner: who recovers; it must hold its own lock, so that its jobs are taken up if it dies meanwhile.
        backoff_secs: first delay after a death.
        ending_of: how a worker ended, if that is known.

    Returns:
        The jobs as they are now.
    """
    recovered = []
    for job in store.orphans(locks.is_alive):
        reach("recover:before")
        ending = ending_of(job.owner or "")
        try:
            recovered.append(_recover(store, store.take_over(job, owner), ending, backoff_secs))
        except LostClaimError:  # another one was faster
            continue
        reach("recover:committed")
    return recovered


def _recover(store: JobStore, job: Job, ending: Ending, backoff_secs: float) -> Job:
    if job.state is JobState.PUBLISHING and is_published(job):
        return _complete(store, job)
    decided = after_death(job, ending.why, backoff_secs, is_counted=ending.is_counted)
    logger.info("job %d: %s.", job.id, decided.reason)
    return release(store, job, decided)


def _complete(store: JobStore, job: Job) -> Job:
    """Finish a visible result; where that cannot be done now, a worker adopts it later."""
    try:
        done = complete(store, job)
    except OSError as error:
        reason = f'the result is there, but not its report: {error}'
        return release(store, job, Release(JobState.BLOCKED, reason, block="output"))
    remove_work(done)
    return done


def release(store: JobStore, job: Job, decided: Release) -> Job:
    """Do what retries.py decided.

    Raises:
        LostClaimError: the job is no longer its owner's.
    """
    return store.release(
        job,
        decided.state,
        reason=decided.reason,
        block=decided.block,
        delay_secs=decided.delay_secs,
        deaths=decided.deaths,
        exceptions=decided.exceptions,
    )
