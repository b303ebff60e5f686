"""Sources of one watch folder that are waited for until they are complete.

Looks at single sources and ends jobs that will never be; what there is to wait for is found in folder_intake.py.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from .candidates import Candidate
from .clocks import boot_secs
from .errors import JobNotFoundError, MoveError, OddSourceError
from .fingerprints import Hashed
from .job import Job
from .names import shown
from .readiness import Settling
from .single_source import is_written, look_at
from .store import JobStore
from .tree import TreeReader

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How a watch folder's sources are waited for."""

    settle_secs: float = 5.0
    """So long they have to stand still."""
    incomplete_secs: float = 600.0
    """A source that cannot be read is given up after so long; 0 at once."""
    is_lease_asked: bool = True
    """Programs that have a file open for writing are waited for; on a network mount most of them are not to be seen."""


class Settler:
    """Follows settling jobs, by their numbers.

    Args:
        store: the job table.
    """

    def __init__(self, store: JobStore) -> None:
        self.patience = Patience()
        self.reader = TreeReader(lambda name: None)
        self.is_look_wanted = False
        """Something changed that only a look through the folder can tell."""
        self._store = store
        self._settling: dict[int, Settling] = {}

    def __len__(self) -> int:
        return len(self._settling)

    def get(self, number: int) -> Settling | None:
        """Return what is known of a job that settles; None if it is not followed."""
        return self._settling.get(number)

    def begin(self, job: Job, candidate: Candidate, refusal: str = "") -> None:
        """Follow a job from now on.

        Args:
            job: in state settling.
            candidate: its source as it was seen just now.
            refusal: the job is to fail with that as soon as its source stands still.
        """
        self._settling[job.id] = Settling.begin(job, candidate, self.patience.settle_secs, refusal)

    def forget(self, numbers: Collection[int]) -> None:
        """Follow jobs no longer."""
        for number in numbers:
            self._settling.pop(number, None)

    def forget_others(self, settling: Collection[int]) -> None:
        """Follow no longer what settles no longer, by the table."""
        self.forget(self._settling.keys() - set(settling))

    def complete(self, root: int, most: int) -> list[Settling]:
        """Return sources that are complete and can be read now; what they look like is checked once more.

        Args:
            root: descriptor of the watch folder.
            most: look at no more than so many.
        """
        return [settling for settling in self._due(most) if self._is_complete(root, settling)]

    def has_due(self) -> bool:
        """Some source has stood still for long enough."""
        return bool(self._due(1))

    def take_back(self, hashed: Hashed) -> None:
        """Wait on for a source that could not be fingerprinted."""
        settling = self._settling.get(hashed.job_id)
        if settling is None:
            return
        settling.is_hashed = False
        if isinstance(hashed.error, OddSourceError):
            self.cancel(hashed.job_id, str(hashed.error))
        elif hashed.error is not None:
            self._cannot_read(settling, hashed.error)
        else:
            settling.restart()

    def cancel(self, number: int, reason: str) -> bool:
        """Cancel a job; False if it has come to an end already."""
        self.forget([number])
        with suppress(MoveError, JobNotFoundError):
            self._store.cancel(number, reason)
            return True
        return False

    def _due(self, most: int) -> list[Settling]:
        return list(islice((settling for settling in self._settling.values() if settling.is_due), most))

    def _is_complete(self, root: int, settling: Settling) -> bool:
        try:
            return self._stands_still(root, settling) and not self._has_writer(root, settling)
        except OddSourceError as error:
            self.cancel(settling.job.id, str(error))
        except OSError as error:
            self._cannot_read(settling, error)
        return False

    def _stands_still(self, root: int, settling: Settling) -> bool:
        """Look once more at a source that has stood still for long enough."""
        job, candidate = settling.job, settling.candidate
        now = look_at(root, candidate.relative, job.kind, self.reader)
        if now is None or now.sidecar != candidate.sidecar:
            settling.look_again()
            self.is_look_wanted = True
            return False
        if not settling.see(now):
            return False
        if settling.refusal:
            self._refuse(job.id, settling.refusal)
            return False
        return True

    def _has_writer(self, root: int, settling: Settling) -> bool:
        if not self.patience.is_lease_asked:
            return False
        if not is_written(root, settling.candidate.relative, settling.job.kind, self.reader):
            return False
        self._wait_for(settling, "a program has it open for writing")
        return True

    def _cannot_read(self, settling: Settling, error: Exception) -> None:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            settling.look_again()
            self.is_look_wanted = True
            return
        why = f"it cannot be read: {getattr(error, 'strerror', None) or error!r}"
        if boot_secs() - settling.job.stamped_boot_secs < self.patience.incomplete_secs:
            self._wait_for(settling, why)
        else:
            self._refuse(settling.job.id, why)

    def _wait_for(self, settling: Settling, why: str) -> None:
        settling.look_again()
        self._settling[settling.job.id] = self._settling.pop(settling.job.id)  # behind those that may be complete
        if settling.told != why:
            with suppress(JobNotFoundError):
                settling.job = self._store.restamp(settling.job, settling.candidate.stamp, why)
            settling.told = why
            logger.info('"%s" has to wait: %s.', shown(settling.candidate.relative), why)

    def _refuse(self, number: int, reason: str) -> None:
        """Fail a job, unless it settles no longer."""
        self.forget([number])
        with suppress(MoveError, JobNotFoundError):
            self._store.refuse(number, reason)
