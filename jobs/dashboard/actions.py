"""What the buttons do: each opens the table for writing, changes one thing and closes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import JobNotFoundError, MoveError, StoreError
from ..find_table import TABLE_NAME
from ..store import JobStore, open_store
from .views import actions

_LOCK_SECS = 10.0

OF_ONE_JOB: Mapping[str, Callable[[JobStore, int], object]] = {
    "retry": lambda store, job_id: store.retry(job_id),
    "cancel": lambda store, job_id: store.cancel(job_id, "cancelled on the status page"),
    "hold": lambda store, job_id: store.hold(job_id, True),
    "release": lambda store, job_id: store.hold(job_id, False),
}
"""By the last part of the address."""


def act(state_dir: Path, verb: str, job_id: int) -> None:
    """Do what a button of a job says.

    Raises:
        JobNotFoundError: there is no such job.
        MoveError: its state does not allow that (any more).
        StoreError: the table cannot be changed.
    """
    with _table(state_dir) as store:
        _do(store, verb, job_id)


def retry_all(state_dir: Path, job_ids: Sequence[int]) -> int:
    """Try jobs again, those that cannot be left as they are; return how many could.

    Raises:
        StoreError: the table cannot be changed.
    """
    num_retried = 0
    with _table(state_dir) as store:
        for job_id in job_ids:
            with suppress(MoveError, JobNotFoundError):
                _do(store, "retry", job_id)
                num_retried += 1
    return num_retried


def pause(state_dir: Path, is_paused: bool) -> None:
    """Let nothing new be begun, or let it be again.

    Raises:
        StoreError: the table cannot be changed.
    """
    with _table(state_dir) as store:
        store.pause(is_paused)


def _do(store: JobStore, verb: str, job_id: int) -> None:
    """Do only what a page would offer now: the one that the button was on may be old."""
    job = store.get(job_id)
    if verb not in {action.verb for action in actions(job)}:
        raise MoveError(f"job {job_id} is {job.state.value} now")
    OF_ONE_JOB[verb](store, job_id)


def _table(state_dir: Path) -> JobStore:
    path = state_dir / TABLE_NAME
    if not path.exists():  # opening for writing would make an empty one
        raise StoreError(f'there is no job table "{path}" yet; start `watch` first.')
    return open_store(path, lock_secs=_LOCK_SECS)
