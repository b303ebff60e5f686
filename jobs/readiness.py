"""Is a source complete? How long nothing about it has changed, and whether a program here still writes to it.

Waits on clocks that never jump; what the times of files say is only compared with what they said before.
"""

from __future__ import annotations

import errno
import fcntl
import signal
import time
from contextlib import suppress
from dataclasses import dataclass

from .candidates import Candidate
from .clocks import boot_secs
from .job import Job

NETWORK_SETTLE_SECS = 30.0
"""On a network mount, where writers on other machines are not to be seen, a source has to stand still for so long."""

LONGEST_SETTLE_SECS = 300.0
"""However often a source turned out to be unfinished, it has to stand still for no longer than this."""

_LOOK_AGAIN_SECS = 1.0
"""A file that somebody writes to is looked at so often; it makes no difference how long it has been open."""


@dataclass
class Settling:
    """A job whose source is waited for."""

    job: Job
    """In state settling."""
    candidate: Candidate
    """The source as it was last seen."""
    settle_secs: float
    """The watch folder's setting."""
    since_secs: float
    """When it was seen to change last, or first (time.monotonic)."""
    wait_secs: float
    """So long it has to stand still; longer the oftener it turned out to be unfinished."""
    ready_boot_secs: float = 0.0
    """Nor is it complete before this (clocks.boot_secs)."""
    is_hashed: bool = False
    """It is with the fingerprints now."""
    refusal: str = ""
    """What is wrong with its sidecar: the job fails with that as soon as it stands still."""
    told: str = ""
    """What the log said last of why it waits."""

    @classmethod
    def begin(cls, job: Job, candidate: Candidate, settle_secs: float, refusal: str = "") -> Settling:
        """Start waiting for a source that was just seen, or that a worker sent back as unfinished."""
        wait_secs = min(settle_secs * 2.0 ** min(job.attempt, 20), max(LONGEST_SETTLE_SECS, settle_secs))
        now_secs = time.monotonic()
        return cls(job, candidate, settle_secs, now_secs, wait_secs, job.ready_boot_secs, refusal=refusal)

    @property
    def is_due(self) -> bool:
        """It has stood still for long enough, as far as is known."""
        stood_secs = time.monotonic() - self.since_secs
        return not self.is_hashed and stood_secs >= self.wait_secs and boot_secs() >= self.ready_boot_secs

    def see(self, candidate: Candidate) -> bool:
        """Note how the source looks now; return whether it stood still since the last look."""
        if candidate.activity == self.candidate.activity:
            return True
        self.candidate = candidate
        self.restart()
        return False

    def restart(self) -> None:
        """Begin to wait anew: it is being changed."""
        self.since_secs, self.wait_secs, self.ready_boot_secs = time.monotonic(), self.settle_secs, 0.0

    def look_again(self, after_secs: float = _LOOK_AGAIN_SECS) -> None:
        """Ask again in a while, or after the settle time, if that is shorter."""
        self.since_secs = time.monotonic()
        self.wait_secs = min(self.wait_secs, after_secs)


def has_writer(handle: int) -> bool:
    """Tell whether any program of this machine has a file open for writing.

    A read lease is asked for, which the kernel does not give while there is a writer, and given back at once. Where
    that cannot be asked (no Linux, a file system without leases, the file of another user), the answer is no.

    Args:
        handle: descriptor of a regular file that was opened for reading.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        # A writer that comes within these microseconds is signalled to us; SIGIO, the usual signal, would end us.
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    with suppress(OSError):
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
