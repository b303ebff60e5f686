"""Make a result visible: whole, once, over nothing else, and so that whoever finds it half done can finish it.

The order is the promise: the finished result is on the disk; its name, size and hash are in the table; it gets its
name without replacing; its report joins it; the folder is on the disk; the job is done. Whatever kills this process in
between, `is_published` tells from the table and the folder alone whether the result became visible.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .disks import rename_no_replace, sync
from .errors import OutputTakenError
from .fault_points import reach
from .job import Job

if TYPE_CHECKING:
    from .store import JobStore

logger = logging.getLogger(__name__)

REPORT_ENDING = ".report.json"
"""Ending of a report's name, after the stem or the whole name of its result."""

_MAX_NAME_BYTES = 255
_BLOCK_BYTES = 1 << 22


class JobPublisher:
    """Publishes the one result of a job; pipeline calls it where it would publish itself.

    Args:
        store: the job table.
        job: as it was claimed; `self.job` is what the table says since.
        tick: called now and then while much is read; may raise to drop the result.
    """

    def __init__(self, store: JobStore, job: Job, tick: Callable[[], None] = lambda: None) -> None:
        self.job = job
        self._store = store
        self._tick = tick

    def check(self, final: Path) -> None:
        """Refuse, before any work is done, a result that could not be published.

        Raises:
            OutputTakenError: the name is taken, and the job shall fail then.
        """
        if self.job.treatment.on_conflict == "fail" and os.path.lexists(final):
            raise OutputTakenError(f'"{final}" is there already, and on_conflict is "fail"; move it away and retry.')

    def publish(self, finished: Path, final: Path, report: Any) -> Path:
        """Give a finished result its name, or the first free one like it.

        Args:
            finished: file or folder in the job's work folder; it moves away.
            final: where it shall appear.
            report: pipeline's report, or the like: `output` is set, `to_json()` is kept.

        Returns:
            Where it appeared.

        Raises:
            LostClaimError: the job is no longer this worker's; nothing appeared.
            OutputTakenError: the name is taken, and the job shall fail then.
            OSError: the disk is full, the folder cannot be written to and the like.
        """
        reach("work:finished")
        sync_tree(finished)
        reach("publish:synced")
        num_bytes, digest = measure(finished, self._tick)
        make_folders(final.parent, self.job.output_folder)
        for name in candidates(final):
            self.check(name)
            if os.path.lexists(name) or report_path(name, name) is None:
                continue
            report.output = str(name)
            self.job = self._store.begin_publishing(self.job, name, num_bytes, digest, report.to_json())
            reach("publish:recorded")
            with suppress(FileExistsError):  # somebody took the name in this moment: on to the next
                rename_no_replace(finished, name)
                break
        reach("publish:linked")
        self.job = complete(self._store, self.job)
        return name


def is_published(job: Job, tick: Callable[[], None] = lambda: None) -> bool:
    """Tell whether the result that was recorded for a job is visible under its name, byte for byte."""
    if job.output is None or job.output_sha256 is None:
        return False
    try:
        if _size(job.output) != job.output_bytes:
            return False
        return measure(job.output, tick) == (job.output_bytes, job.output_sha256)
    except OSError:
        return False


def complete(store: JobStore, job: Job) -> Job:
    """Do what is left after a result became visible: report, sync, done. May be done again from the start.

    Raises:
        LostClaimError: the job is somebody else's.
        OSError: the report cannot be written, or the folder not be synced.
    """
    assert job.output is not None
    _write_report(job, job.output)
    reach("publish:reported")
    sync(job.output.parent)
    reach("publish:folder_synced")
    done = store.finish(job)
    reach("publish:done")
    return done


def adopt(store: JobStore, job: Job) -> Job:
    """Finish a job that was claimed anew although its result is visible: an error came after that.

    Raises:
        LostClaimError, OSError: as `complete`.
    """
    assert job.output is not None and job.output_bytes is not None and job.output_sha256 is not None
    job = store.begin_publishing(job, job.output, job.output_bytes, job.output_sha256, job.report or "")
    return complete(store, job)


def candidates(final: Path) -> Iterator[Path]:
    """Yield a name and those that are taken instead: `clip.mp4`, `clip-2.mp4`, `clip-3.mp4` ..."""
    yield final
    for number in count(2):
        yield final.with_name(_shortened(final.stem, f"-{number}", final.suffix))


def report_path(final: Path, output: Path) -> Path | None:
    """Return where the report of a result goes: beside it; None where both names are taken by others.

    Args:
        final: the result's path.
        output: what the report says its result is: one that says so may be replaced.
    """
    stems = (final.stem, final.name) if final.suffix else (final.name,)
    paths = [final.with_name(_shortened(stem, "", REPORT_ENDING)) for stem in stems]
    return next((path for path in paths if not os.path.lexists(path) or _is_about(path, output)), None)


def measure(result: Path, tick: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Return size in bytes and SHA-256 of a file; of a folder, over the names and contents of all its files.

    Raises:
        OSError: something cannot be read, or is neither file nor folder.
    """
    if not result.is_dir():
        return _measure_file(result, tick)
    total, digest = 0, hashlib.sha256()
    for path in _files(result):
        num_bytes, inner = _measure_file(path, tick)
        name = os.fsencode(path.relative_to(result))
        digest.update(f"{len(name)}:{num_bytes}:{inner}:".encode() + name)
        total += num_bytes
    return total, digest.hexdigest()


def sync_tree(path: Path) -> None:
    """Have a file, or a folder with all that is in it, written to the disk."""
    if path.is_dir():
        for folder, _, files in os.walk(path, topdown=False):
            for name in files:
                sync(Path(folder, name))
            sync(Path(folder))
    else:
        sync(path)


def make_folders(folder: Path, root: Path) -> None:
    """Make a folder and its parents below `root`, which must be there, so that they survive a power cut."""
    missing = [place for place in (folder, *folder.parents) if root in place.parents and not place.is_dir()]
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        sync(place.parent)


def _files(folder: Path) -> list[Path]:
    return sorted(Path(parent, name) for parent, _, names in os.walk(folder) for name in names)


def _measure_file(path: Path, tick: Callable[[], None]) -> tuple[int, str]:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hang us
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f'"{path}" is no regular file')
        digest, num_bytes = hashlib.sha256(), 0
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            num_bytes += len(block)
            tick()
    return num_bytes, digest.hexdigest()


def _size(result: Path) -> int:
    if not result.is_dir():
        return result.stat(follow_symlinks=False).st_size
    return sum(path.stat(follow_symlinks=False).st_size for path in _files(result))


def _shortened(stem: str, mark: str, ending: str) -> str:
    """Join them; where that is too long for a file name, the stem loses its end, and gets a hash of itself instead."""
    encoded, room = os.fsencode(stem), _MAX_NAME_BYTES - len(os.fsencode(mark + ending))
    if len(encoded) > room:
        mark = "~" + hashlib.sha256(encoded).hexdigest()[:8] + mark
        stem = encoded[: room - 9].decode("utf-8", "ignore")
    return stem + mark + ending


def _write_report(job: Job, output: Path) -> None:
    """Put the report beside the result; a foreign file with its name stays, and the report is in the table only."""
    path = report_path(output, output)
    if path is None:
        logger.warning('the report of "%s" finds its name taken; it is in the job table only.', output)
        return
    job.work_folder.mkdir(parents=True, exist_ok=True)
    staged = job.work_folder / f"{uuid.uuid4().hex}.report"
    staged.write_text(job.report or "", encoding="utf-8", errors="surrogateescape")
    sync(staged)
    if os.path.lexists(path):
        staged.replace(path)
    else:
        with suppress(FileExistsError):
            rename_no_replace(staged, path)


def _is_about(path: Path, output: Path) -> bool:
    """Tell whether a file is a report about that very result."""
    with suppress(OSError, ValueError, AttributeError):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 26:
            return bool(json.loads(path.read_bytes().decode("utf-8", "replace")).get("output") == str(output))
    return False


def remove_work(job: Job) -> None:
    """Remove a job's work folder."""
    shutil.rmtree(job.work_folder, ignore_errors=True)
