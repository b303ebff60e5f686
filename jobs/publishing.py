"""Make a result visible: whole, once, over nothing else, and so that whoever finds it half done can finish it.

The order is the promise: the finished result is on the disk; its name, size and hash are in the table; it gets its
name without replacing; its report joins it; the folder is on the disk; the job is done. Whatever kills this process in
between, `is_visible` tells from the table and the folder alone whether the result was published.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from .contents import measure, size_of, sync_tree
from .disks import rename_no_replace, sync
from .errors import OtherContentError, OutputTakenError, StoreBusyError, StoreFullError
from .fault_points import reach
from .handlers import name_of
from .job import Job, JobKind
from .report_files import place_report, report_path, seal, stage_report

if TYPE_CHECKING:
    from .adoption import Found
    from .store import JobStore

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MAY_PASS = (StoreFullError, StoreBusyError)


class Report(Protocol):
    """What is used of pipeline's report."""

    output: str
    """Path of the result."""
    input_sha256: str
    """Hash of the source as it was read."""

    def to_json(self) -> str:
        """Return all of it."""
        ...


class JobPublisher:
    """Publishes the one result of a job; pipeline calls it where it would publish itself.

    Args:
        store: the job table.
        job: as it was claimed; `self.job` is what the table says since.
        tick: called now and then while much is read; may raise to drop the result.
        wait: called with an error that may pass, before the same step is tried again; may raise.
    """

    rehash = True

    def __init__(
        self,
        store: JobStore,
        job: Job,
        tick: Callable[[], None] = lambda: None,
        wait: Callable[[Exception], None] | None = None,
    ) -> None:
        self.job = job
        self.is_visible = False
        """The result has its name: whatever fails now, the job must not be done again."""
        self._store = store
        self._tick = tick
        self._wait = wait or _give_up

    def check(self, final: Path) -> None:
        """Refuse, before any work is done, a result that could not be published.

        Raises:
            OutputTakenError: the name is taken, and the job shall fail then.
        """
        if self.job.treatment.on_conflict == "fail" and os.path.lexists(final):
            raise OutputTakenError(f'"{final}" is there already, and on_conflict is "fail"; move it away and retry.')

    def publish(self, finished: Path, final: Path, report: Report) -> Path:
        """Give a finished result its name, or the first free one like it.

        Args:
            finished: file or folder in the job's work folder; it moves away.
            final: where it shall appear.
            report: pipeline's report; its `output` is set.

        Returns:
            Where it appeared.

        Raises:
            LostClaimError: the job is no longer this worker's; nothing appeared.
            OtherContentError: the source is not what was queued.
            OutputTakenError: the name is taken, and the job shall fail then.
            OSError: the disk is full, the folder cannot be written to and the like.
        """
        reach("work:finished")
        self._check_content(report)
        sync_tree(finished)
        reach("publish:synced")
        make_folders(final.parent, self.job.output_folder)
        num_bytes, digest = measure(finished, self._tick)
        for name in self._names(final):
            report.output = str(name)
            self._record(name, num_bytes, digest, seal(report.to_json(), self.job, num_bytes, digest))
            if self._appears(finished, name):
                break
        reach("publish:linked")
        self.job = self._surely(lambda: complete(self._store, self.job), (*_MAY_PASS, OSError))
        return name

    def adopt(self, found: Found) -> None:
        """Finish the job with a result that is visible already: a job of an earlier table published it.

        Raises:
            LostClaimError: the job is no longer this worker's.
            OSError: the folder cannot be synced, and the like.
        """
        self._record(found.output, found.output_bytes, found.output_sha256, found.report)
        self.is_visible = True
        self.job = self._surely(lambda: complete(self._store, self.job), (*_MAY_PASS, OSError))

    def _check_content(self, report: Report) -> None:
        """A source may have changed between its fingerprint and the claim; then this would be another job's result."""
        read, queued = report.input_sha256, self.job.fingerprint
        if self.job.kind is not JobKind.FOLDER and read and queued and read != queued:
            raise OtherContentError(f'"{self.job.source}" is not what it was when it was queued.')

    def _names(self, final: Path) -> Iterator[Path]:
        """Yield the names that are free, the wanted one first; that one alone if the job shall fail without it."""
        if self.job.treatment.on_conflict == "fail":
            self.check(final)
            yield final
            raise OutputTakenError(f'"{final}" came to be in this moment; move it away and retry.')
        for name in candidates(final, self.job.kind):
            if not os.path.lexists(name) and report_path(name, self.job.kind) is not None:
                yield name

    def _record(self, name: Path, num_bytes: int, digest: str, report: str) -> None:
        self.job = self._surely(
            lambda: self._store.begin_publishing(self.job, name, num_bytes, digest, report),
        )
        stage_report(self.job)
        reach("publish:recorded")

    def _appears(self, finished: Path, name: Path) -> bool:
        """Make the result visible; False where somebody took the name in this moment."""
        try:
            rename_no_replace(finished, name)
        except FileExistsError:
            return False
        except OSError:  # it may have its new name, and only not have lost the old one
            if not is_visible(self.job, self._tick):
                raise
        self.is_visible = True
        return True

    def _surely(self, step: Callable[[], T], may_pass: tuple[type[Exception], ...] = _MAY_PASS) -> T:
        """Do a step that must not be left out, as often as it takes."""
        while True:
            try:
                return step()
            except may_pass as error:
                self._wait(error)


def complete(store: JobStore, job: Job) -> Job:
    """Do what is left after a result became visible: report, sync, done. May be done again from the start.

    Raises:
        LostClaimError: the job is somebody else's.
        OSError: the report cannot be written, or the folder not be synced.
    """
    assert job.output is not None
    place_report(job)
    reach("publish:reported")
    sync(job.output.parent)
    reach("publish:folder_synced")
    done = store.finish(job)
    reach("publish:done")
    return done


def is_visible(job: Job, tick: Callable[[], None] = lambda: None) -> bool:
    """Tell whether the result on record has its name, byte for byte; what has that name may be somebody else's.

    Args:
        job: being published.
        tick: called now and then while the result is read.

    Raises:
        OSError: that cannot be told now: something there cannot be read.
    """
    if job.output is None:
        return False
    try:
        if size_of(job.output) != job.output_bytes:
            return False
        return measure(job.output, tick) == (job.output_bytes, job.output_sha256)
    except (FileNotFoundError, NotADirectoryError):
        return False


def candidates(final: Path, kind: JobKind) -> Iterator[Path]:
    """Yield a name and those that are taken instead: `clip.mp4`, `clip-2.mp4`, `clip-3.mp4` ..."""
    yield final
    stem, suffix = (final.name, "") if kind is JobKind.FOLDER else (final.stem, final.suffix)
    for number in count(2):
        yield final.with_name(name_of(stem, f"-{number}{suffix}"))


def make_folders(folder: Path, root: Path) -> None:
    """Make a folder and its parents below `root`, which must be there, so that they survive a power cut."""
    missing = [place for place in (folder, *folder.parents) if root in place.parents and not place.is_dir()]
    for place in reversed(missing):
        with suppress(FileExistsError):  # another worker was faster
            place.mkdir()
        sync(place.parent)


def remove_work(job: Job) -> None:
    """Remove a job's work folder."""
    shutil.rmtree(job.work_folder, ignore_errors=True)


def _give_up(error: Exception) -> None:
    raise error
