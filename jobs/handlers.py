"""What jobs/ knows of converting: the only file here that imports pipeline.

Importing it is cheap; what brings PyTorch, OpenCV or PyAV is imported where work begins.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.choices import check_choices, default_choices, options_hash, settings_of, style_names
from pipeline.errors import (
    InputError,
    OutOfSpaceError,
    OutputError,
    QuotaError,
    SourceChangedError,
    UnreadableInputError,
    UnsupportedInputError,
)
from pipeline.failures import sort_failure
from pipeline.inputs import PICTURE_SUFFIXES, VIDEO_SUFFIXES, Item, name_of
from pipeline.settings import convert_options

from .beneath import opened_folder, opened_way
from .candidates import pictures
from .errors import Draining, JobsError, LostClaimError, OddSourceError, OutputTakenError
from .job import Job, JobKind
from .tree import TreeReader

if TYPE_CHECKING:
    from pipeline.progress import Progress
    from pipeline.publisher import Publisher
    from pipeline.report import Report
    from pipeline.studio import Studio

__all__ = [
    "Handler",
    "Verdict",
    "check_choices",
    "check_programs",
    "convert_options",
    "default_choices",
    "kind_of",
    "name_of",
    "options_hash",
    "sort_error",
    "style_names",
    "thumbnails",
]

logger = logging.getLogger(__name__)

_HEAD_BYTES = 1 << 16
_PIXELS_OF_A_MINUTE = 1920 * 1080 * 60
"""Pixels times seconds: the unit in which people set a quota."""


@dataclass(frozen=True)
class Verdict:
    """How to take an error that ended an attempt."""

    kind: str
    """wait (the source may be incomplete), retry (may pass), block (something around it is missing), fail (for good),
    changed (the source is another one now, or gone), drain (asked to stop), lost (somebody else's job now)."""
    block: str = ""
    """What is missing: disk, output, device, cluster."""
    reason: str = ""
    """As a sentence."""
    undoes_work: bool = False
    """What was done is done again: to come as far as this another time is no progress."""
    is_process_spoiled: bool = False
    """The worker should end after it: its device or its memory is not sound any more."""


def sort_error(error: BaseException) -> Verdict:
    """Tell what follows from an error of a handler, by its type."""
    reason, name = str(error) or type(error).__name__, type(error).__name__
    if isinstance(error, Draining):
        return Verdict("drain", reason=reason)
    if isinstance(error, LostClaimError):
        return Verdict("lost", reason=reason)
    if isinstance(error, OutputTakenError | OddSourceError):
        return Verdict("fail", reason=reason)
    found = sort_failure(error)
    if found.is_unforeseen and not isinstance(error, JobsError) and reason != name:
        reason = f"{name}: {reason}"
    return Verdict(found.course.value, found.block, reason, found.undoes_work, found.is_process_spoiled)


def check_programs() -> None:
    """Look whether ffmpeg is there and runs: without it every single job would fail.

    Raises:
        FfmpegError: it is not, or does not.
    """
    from pipeline.ffmpeg import ffmpeg_version

    ffmpeg_version()


def kind_of(path: Path) -> JobKind | None:
    """Tell by its suffix what a file is; None where it is not ours to convert."""
    suffix = path.suffix.lower()
    if suffix in PICTURE_SUFFIXES:
        return JobKind.PICTURE
    return JobKind.VIDEO if suffix in VIDEO_SUFFIXES else None


class Handler:
    """Does jobs of the same choices: styles and networks are loaded for the first and kept.

    Args:
        choices: the jobs' `treatment.convert`.
        thumbs: folder for `ID-before.jpg` and `ID-after.jpg` of every job; None makes none.
    """

    def __init__(self, choices: Mapping[str, Any], thumbs: Path | None = None) -> None:
        self.choices = dict(choices)
        self._thumbs = thumbs
        self._studio: Studio | None = None

    def __call__(self, job: Job, progress: Progress, publisher: Publisher, *, is_young: bool = False) -> None:
        """Convert a job's source and publish the result.

        What `progress` and `publisher` raise comes through; finished chunks stay in the job's work folder then.

        Args:
            job: as it was claimed.
            progress: is told about the advance.
            publisher: makes the result visible.
            is_young: the source may still grow: one unreadable picture of a folder is an error for all.

        Raises:
            Exception: whatever went wrong, for `sort_error`.
        """
        from pipeline.publish import out_of_space_told

        _check_output(job)
        item = _item_of(job)
        with _told_of_source(job), out_of_space_told(item.output):
            _check_quota(job)
            checked = _JobPublisher(publisher, job, self._thumbs, progress)
            _convert(job, item, self._loaded(), progress, checked, is_young=is_young)

    def _loaded(self) -> Studio:
        from pipeline.studio import build_studio

        if self._studio is None:
            studio = build_studio(settings_of(self.choices))
            studio.load()
            self._studio = studio
        return self._studio


def _convert(job: Job, item: Item, studio: Studio, progress: Progress, publisher: Publisher, *, is_young: bool) -> None:
    if job.kind == JobKind.FOLDER:
        from pipeline.picture_folder import convert_folder

        names = partial(_picture_names, job)
        convert_folder(item, studio, progress, publisher, names=names, strict=is_young)
    else:
        from pipeline.convert import convert_item

        convert_item(item, studio, progress, publisher)


def _picture_names(job: Job) -> list[str]:
    """Return the pictures of a folder that counted for its fingerprint, in that order."""
    relative = job.source.relative_to(job.folder).as_posix()
    with opened_folder(job.folder) as root, opened_way(root, relative) as folder:
        reading = TreeReader(lambda name: kind_of(Path(name))).read(folder)
    return [picture.relative for picture in pictures(reading.tree)]


class _JobPublisher:
    """Does before publishing what the source is still needed for."""

    def __init__(self, publisher: Publisher, job: Job, thumbs: Path | None, progress: Progress) -> None:
        self._publisher = publisher
        self._job = job
        self._thumbs = thumbs
        self._progress = progress

    @property
    def rehash(self) -> bool:
        """See Publisher."""
        return self._publisher.rehash

    def check(self, final: Path) -> None:
        """See Publisher."""
        self._publisher.check(final)

    def publish(self, finished: Path, final: Path, report: Report) -> Path:
        """See Publisher."""
        if self._thumbs is not None:
            self._progress.start(self._job.source.name, "showing", None)
            thumbnails(self._job, self._thumbs, finished, report.to_json())
        return self._publisher.publish(finished, final, report)


def _item_of(job: Job) -> Item:
    output, is_folder = job.output_folder / job.relative, job.kind == JobKind.FOLDER
    return Item(
        source=job.source,
        output=output,
        report=output.with_name(name_of(output.name, ".report.json")),  # the publisher has the last word
        stem=output.name if is_folder else output.stem,
        work=job.work_folder,
        is_picture=job.kind == JobKind.PICTURE,
        sha256=job.fingerprint,
    )


@contextmanager
def _told_of_source(job: Job) -> Iterator[None]:
    """Say what is really the matter with a source that cannot be used.

    Raises:
        SourceChangedError: it is gone.
        UnreadableInputError: it is not written yet: a copying program has only taken the room for it.
    """
    try:
        yield
    except (InputError, FileNotFoundError) as error:
        if not os.path.lexists(job.source):
            raise SourceChangedError(f'"{job.source}" is gone.') from error
        if isinstance(error, UnsupportedInputError) and _begins_with_zeros(job.source):
            raise UnreadableInputError(f'"{job.source}" holds only zeros so far.') from error
        raise


def _begins_with_zeros(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return bool(head) and not any(head)


def _check_output(job: Job) -> None:
    """Look whether there is a folder for the results, and room on its disk.

    Raises:
        OutputError: the folder is gone: making it anew under an unmounted disk would hide the results.
        OutOfSpaceError: less is free than the job asks for.
    """
    if not job.output_folder.is_dir():
        raise OutputError(f'the folder for results "{job.output_folder}" is not there; is its disk mounted?')
    free, least = shutil.disk_usage(job.output_folder).free, job.treatment.min_free_bytes
    if free < least:
        raise OutOfSpaceError(f'"{job.output_folder}" has {free >> 20} MiB left, and {least >> 20} MiB must stay free.')


def _check_quota(job: Job) -> None:
    """Refuse a video that is larger than allowed, by what its header says.

    Raises:
        InputError: it is, or cannot be read.
    """
    most = job.treatment.max_pixel_secs
    if most is None or job.kind != JobKind.VIDEO:
        return
    from pipeline.probe import probe

    info = probe(job.source)
    pixel_secs = info.video.width * info.video.height * float(info.duration_secs or 0)
    if pixel_secs > most:
        raise QuotaError(
            f'"{job.source}" has as many pixels as {pixel_secs / _PIXELS_OF_A_MINUTE:.3g} minutes at 1920x1080, and '
            f"max_minutes_at_1080p allows {most / _PIXELS_OF_A_MINUTE:.3g}; raise that, or cut the video."
        )


def thumbnails(job: Job, folder: Path, result: Path | None = None, report: str | None = None) -> None:
    """Write `ID-before.jpg` and `ID-after.jpg` of a job; where that fails the job is none the worse.

    Args:
        job: its source must still be there.
        folder: where they go; it is made.
        result: what was made; None takes what the job has published.
        report: pipeline's report as JSON; None takes the job's.
    """
    result = result or job.output
    if result is None:
        return
    try:
        from pipeline.thumbnails import write_thumbnails

        folder.mkdir(parents=True, exist_ok=True)
        before, after = folder / f"{job.id}-before.jpg", folder / f"{job.id}-after.jpg"
        write_thumbnails(job.source, result, json.loads(report or job.report or "{}"), before, after)
    except Exception as error:  # whatever a picture's decoder does, the job is done
        logger.info("No thumbnails of job %d: %s", job.id, error)
