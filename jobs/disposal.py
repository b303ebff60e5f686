"""What becomes of a source after its job: it stays, moves to `done/` or `failed/` in its watch folder, or is deleted.

Only a source that still is what the job worked on is touched: one that changed since is somebody's new file.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .beneath import opened_folder
from .candidates import of_folder, pictures
from .disks import rename_no_replace
from .handlers import name_of
from .job import Job, JobKind, JobState, Stamp
from .publishing import candidates
from .tree import SIDECAR_SUFFIX, Tree, TreeReader

logger = logging.getLogger(__name__)

DONE_FOLDER = "done"
"""In the watch folder: sources that are through."""
FAILED_FOLDER = "failed"
"""In the watch folder: sources that cannot be done, each with a text file that says why."""
REASON_SUFFIX = ".reason.txt"
"""Ends the name of that text file."""


def dispose(job: Job, source: Path, stamp: Stamp | None) -> Path | None:
    """Do with a source what its job's treatment says; may be done twice.

    Args:
        job: done, failed or cancelled.
        source: its source, or another one with the same content.
        stamp: of that source as its content was read; None if nobody knows, then nothing is deleted or moved.

    Returns:
        Where the source lies now, if it was moved (now or by a process that died before it could say so).

    Raises:
        OSError: it cannot be done now.
    """
    if job.state is JobState.DONE:
        _forget_reason(job, source)
        if job.treatment.after == "delete":
            _delete(job, source, stamp)
        elif job.treatment.after == "move":
            return _move(job, source, stamp, DONE_FOLDER)
    elif job.state is JobState.FAILED and job.treatment.after_failure == "move":
        moved = _move(job, source, stamp, FAILED_FOLDER)
        if moved is not None:
            _reason_file(moved).write_text(_reason(job), encoding="utf-8", errors="backslashreplace")
        return moved
    return None


def stamp_of(source: Path) -> Stamp:
    """Return the stamp of a file, or of a folder of pictures, as the intake takes it.

    Raises:
        OSError: it cannot be looked at.
    """
    if source.is_dir() and not source.is_symlink():
        return of_folder(_tree(source)).stamp
    return Stamp.of(source.lstat())


def _kind_of(name: str) -> JobKind | None:
    from .handlers import kind_of

    return kind_of(Path(name))


def _tree(folder: Path) -> Tree:
    with opened_folder(folder) as handle:
        return TreeReader(_kind_of).read(handle, folder.name).tree


def _delete(job: Job, source: Path, stamp: Stamp | None) -> None:
    if not os.path.lexists(source) or not _is_unchanged(job, source, stamp):
        return
    if source.is_dir():
        _delete_pictures(source)
    else:
        source.unlink()
    if os.path.lexists(_sidecar(source)):  # its name may be longer than names can be
        _sidecar(source).unlink(missing_ok=True)


def _delete_pictures(folder: Path) -> None:
    """Delete the pictures of a folder, and it itself if nothing else is in it: that was never looked at."""
    for file in pictures(_tree(folder)):
        (folder.parent / file.relative).unlink(missing_ok=True)
    for path, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):  # not empty
            os.rmdir(path)


def _move(job: Job, source: Path, stamp: Stamp | None, name: str) -> Path | None:
    """Move a source below the folder of that name; find it there if that was done already."""
    place = _place(job, source, name)
    if place == source:
        return source
    if not os.path.lexists(source):
        return next((path for path in _taken(job, place) if stamp and _is_same_file(path, stamp)), None)
    if not _is_unchanged(job, source, stamp):
        return None
    place.parent.mkdir(parents=True, exist_ok=True)
    moved = _rename(job, source, place)
    if moved is not None and os.path.lexists(_sidecar(source)):
        with suppress(FileNotFoundError, FileExistsError):
            rename_no_replace(_sidecar(source), _sidecar(moved))
    return moved


def _rename(job: Job, source: Path, place: Path) -> Path | None:
    for path in candidates(place, job.kind):
        try:
            if path.exists() and path.samefile(source) and not source.is_dir():
                source.unlink()  # a process died between the new name and the end of the old one
            else:
                rename_no_replace(source, path)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            logger.warning('"%s" stays: "%s" is on another file system.', source, path.parent)
            return None
        return path
    return None


def _place(job: Job, source: Path, name: str) -> Path:
    """Return where a source goes; a source that was in `failed/` and is done now leaves that folder."""
    folder = Path(job.folder)
    try:
        below = source.relative_to(folder)
    except ValueError:
        return folder / name / source.name
    if len(below.parts) > 1 and below.parts[0] in (DONE_FOLDER, FAILED_FOLDER):
        if below.parts[0] == name:
            return source
        below = below.relative_to(below.parts[0])
    return folder / name / below


def _is_unchanged(job: Job, source: Path, stamp: Stamp | None) -> bool:
    if stamp is not None and stamp_of(source) == stamp:
        return True
    logger.warning('"%s" stays where it is: it is not what job %d worked on.', source, job.id)
    return False


def _is_same_file(path: Path, stamp: Stamp) -> bool:
    """Tell whether a file is the one of that stamp under another name (which changes its ctime)."""
    now = stamp_of(path)
    return (now.size_bytes, now.mtime_ns, now.inode) == (stamp.size_bytes, stamp.mtime_ns, stamp.inode)


def _taken(job: Job, place: Path) -> Iterator[Path]:
    for path in candidates(place, job.kind):
        if not os.path.lexists(path):
            return
        yield path


def _reason(job: Job) -> str:
    return (
        f"{job.reason}\n\nJob {job.id}, after attempt {job.attempt}. `jobs show {job.id}` tells its history; "
        f"`jobs retry {job.id}` tries it again.\n"
    )


def _reason_file(source: Path) -> Path:
    return source.with_name(name_of(source.name, REASON_SUFFIX))


def _forget_reason(job: Job, source: Path) -> None:
    if Path(job.folder, FAILED_FOLDER) in source.parents:
        _reason_file(source).unlink(missing_ok=True)


def _sidecar(source: Path) -> Path:
    return source.with_name(source.name + SIDECAR_SUFFIX)
