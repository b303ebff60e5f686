"""Take up the jobs of workers that died: finish what became visible, queue the rest again, give up on poison."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import LostClaimError, StoreBusyError, StoreFullError
from .fault_points import reach
from .job import Job, JobState
from .locks import OwnerLocks
from .process_tree import kill_marked
from .publishing import complete, is_visible, remove_work
from .retries import after_death

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
    tick: Callable[[], None] = lambda: None,
) -> list[Job]:
    """Bring every job of a dead worker into a state that goes on.

    Several processes may do so at once: one of them gets each job. What cannot be told or done now (a disk is away, or
    full) is left for the next call.

    Args:
        store: the job table.
        locks: tell which workers live.
        owner: who recovers, and claims nothing otherwise; it must hold its own lock, so that others take up what it
            leaves if it dies meanwhile.
        backoff_secs: first delay after a death.
        ending_of: how a worker ended, if that is known.
        tick: called now and then while a large result is read.

    Returns:
        The jobs that were recovered, as they are now.
    """
    recovered = []
    for job in store.orphans(lambda other: other != owner and locks.is_alive(other)):
        try:
            recovered.append(_recover(store, job, owner, ending_of(job.owner or ""), backoff_secs, tick))
        except LostClaimError:  # another one was faster
            continue
        except (OSError, StoreFullError, StoreBusyError) as error:
            logger.info("job %d cannot be recovered yet: %s", job.id, error)
    return recovered


def _recover(
    store: JobStore, job: Job, owner: str, ending: Ending, backoff_secs: float, tick: Callable[[], None]
) -> Job:
    reach("recover:before")
    if job.owner is not None:
        kill_marked(job.owner)  # whatever it started must not go on beside the next attempt
    is_published = job.state is JobState.PUBLISHING and _is_visible(job, tick)
    job = store.take_over(job, owner)
    if is_published:
        logger.info('job %d: its result "%s" was published before its worker died.', job.id, job.output)
        recovered = complete(store, job)
    else:
        decided = after_death(job, ending.why, backoff_secs, is_counted=ending.is_counted)
        recovered = decided.of(store, job)
    if recovered.state in (JobState.DONE, JobState.FAILED):
        remove_work(recovered)
    reach("recover:committed")
    return recovered


def _is_visible(job: Job, tick: Callable[[], None]) -> bool:
    """Tell whether the result is there.

    Raises:
        OSError: the disk of the results may be away; to take the result for missing would have it published twice.
    """
    if not job.output_folder.is_dir():
        raise FileNotFoundError(f'the folder for results "{job.output_folder}" is not there')
    return is_visible(job, tick)
