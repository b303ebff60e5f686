"""What the buttons do: each opens the table for writing, changes one thing and closes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import StoreError
from ..find_table import TABLE_NAME
from ..store import JobStore, open_store

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
        OF_ONE_JOB[verb](store, job_id)


def pause(state_dir: Path, is_paused: bool) -> None:
    """Let nothing new be begun, or let it be again.

    Raises:
        StoreError: the table cannot be changed.
    """
    with _table(state_dir) as store:
        store.pause(is_paused)


def _table(state_dir: Path) -> JobStore:
    path = state_dir / TABLE_NAME
    if not path.exists():  # opening for writing would make an empty one
        raise StoreError(f'there is no job table "{path}" yet; start `watch` first.')
    return open_store(path, lock_secs=_LOCK_SECS)
