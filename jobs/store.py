"""The job table: the one truth about all jobs, kept in a SQLite file that several processes use at once.

It knows nothing of watch folders' contents, media or processes: it keeps rows, and the rules by which they change.

Rules that every method keeps, and tests hold them to:

- A change is one transaction that begins with BEGIN IMMEDIATE: it waits for others (up to 60 s) before it reads, and
  what it read still holds when it writes. It is complete when the method returns; when it raises, nothing has changed.
- What has returned survives the loss of power (journal DELETE, synchronous EXTRA), on a disk that honours fsync. Write-
  ahead logs are not used: SQLite before 3.51.3 can lose commits in them.
- A job changes its state only along job.MOVES; a trigger writes every change into `moves` in the same transaction.
- Whoever holds a job (running, publishing) is named by `owner` and `attempt`; only a caller who shows both may change
  it, all others get LostClaimError. Cancelling takes the job from its holder.
- (fingerprint, opts_hash) is unique: the same content with the same options is one job, ever.
- Numbers of jobs and of moves are never used again.
- SQLite's errors come out as StoreError: StoreFullError and StoreBusyError may be tried again as they are.
- Threads may share a store; a process that was forked must open its own.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from .store_actions import Actions
from .store_claims import Claims
from .store_file import LOCK_SECS, open_file
from .store_intake import Intake
from .store_queries import Queries


class JobStore(Intake, Claims, Actions, Queries):
    """All that can be done with the job table; see `open_store`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_store(
    path: Path, *, read_only: bool = False, check: bool = False, rebuild: bool = False, lock_secs: float = LOCK_SECS
) -> JobStore:
    """Open a job table; make it if it is not there, upgrade it (after a copy) if it is older.

    Args:
        path: the file, on a local disk; its folder is made.
        read_only: change nothing; the file must exist and be of this version.
        check: run SQLite's integrity check; a damaged file is moved aside to NAME.corrupt-N.
        rebuild: with `check`: go on with an empty table in place of a damaged one.
        lock_secs: so long every call waits for other processes' transactions.

    Raises:
        StoreError: it lies on a network file system, is missing (read only) or cannot be opened.
        StoreDamagedError: it is no sound database; with `check` the message names where it is now.
        StoreVersionError: it was made by a newer version, or (read only) by an older one.
        StoreFullError: there is no space to make or upgrade it.
        StoreBusyError: another process keeps it locked.
    """
    connection = open_file(path, read_only=read_only, check=check, rebuild=rebuild, lock_secs=lock_secs)
    return JobStore(path, connection)
