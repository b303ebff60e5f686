"""Jobs that wait for something which is not their fault are queued again when it is there.

Looks at the disk and at folders, never at a source. A job that is blocked again at once is woken less and less often.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from .clocks import boot_secs
from .disks import free_bytes
from .errors import JobNotFoundError, MoveError
from .job import Job, JobState

if TYPE_CHECKING:
    from .store import JobStore

logger = logging.getLogger(__name__)

_MOST_DOUBLINGS = 3
"""So the longest wait is eight times the first."""


class Waker:
    """Looks at all blocked jobs every few seconds."""

    def __init__(self, store: JobStore, every_secs: float, is_away: Callable[[str], bool]) -> None:
        """Take the table.

        Args:
            store: holds the jobs.
            every_secs: a blocked job is looked at so often.
            is_away: tells whether the watch folder of that name cannot be seen now.
        """
        self.every_secs = every_secs
        self._store = store
        self._is_away = is_away
        self._next_boot_secs = 0.0
        self._times: dict[int, int] = {}
        self._not_before: dict[int, float] = {}

    def tick(self) -> int:
        """Queue what can go on; return how many jobs that were."""
        now = boot_secs()
        if now < self._next_boot_secs:
            return 0
        self._next_boot_secs = now + self.every_secs
        blocked = self._store.list({JobState.BLOCKED})
        self._forget_others({job.id for job in blocked})
        return sum(self._wake(job, now) for job in blocked)

    def _wake(self, job: Job, now: float) -> bool:
        not_before = self._not_before.setdefault(job.id, now + self.every_secs)
        if now < not_before or not self._is_there(job):
            return False
        times = self._times[job.id] = self._times.get(job.id, 0) + 1
        self._not_before[job.id] = now + self.every_secs * 2 ** min(times, _MOST_DOUBLINGS)
        try:
            self._store.wake(job.id)
        except MoveError:  # somebody was faster
            return False
        return True

    def _is_there(self, job: Job) -> bool:
        """Tell whether what a job waits for is there again, as far as can be seen from here."""
        try:
            if job.block == "disk":
                return free_bytes(job.output_folder) >= job.treatment.min_free_bytes
            if job.block == "output":
                return job.output_folder.is_dir() and os.access(job.output_folder, os.W_OK | os.X_OK)
            if job.block == "source":
                return not self._is_away(job.folder)
        except OSError:
            return False
        return True

    def _forget_others(self, numbers: set[int]) -> None:
        """Forget jobs that got on; one that is only tried again, and blocked again, is not forgotten."""
        for number in set(self._times) - numbers:
            job_state = self._state_of(number)
            if job_state not in (JobState.QUEUED, JobState.RUNNING):
                self._times.pop(number, None)
                self._not_before.pop(number, None)

    def _state_of(self, number: int) -> JobState | None:
        try:
            return self._store.get(number).state
        except JobNotFoundError:
            return None
