"""What jobs/ knows of converting: the only file here that imports pipeline.

Importing it is cheap; what brings PyTorch, OpenCV or PyAV is imported where work begins.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.choices import check_choices, default_choices, options_hash, settings_of, style_names
from pipeline.errors import OutOfSpaceError, OutputError, QuotaError, UnreadableInputError, UnsupportedInputError
from pipeline.failures import sort_failure
from pipeline.inputs import PICTURE_SUFFIXES, VIDEO_SUFFIXES, Item, name_of
from pipeline.settings import convert_options

from .errors import Draining, JobsError, LostClaimError, OutputTakenError
from .job import Job, JobKind

if TYPE_CHECKING:
    from pipeline.progress import Progress
    from pipeline.publisher import Publisher
    from pipeline.studio import Studio

__all__ = [
    "Handler",
    "Verdict",
    "check_choices",
    "convert_options",
    "default_choices",
    "kind_of",
    "options_hash",
    "sort_error",
    "style_names",
    "thumbnails",
]

logger = logging.getLogger(__name__)

_HEAD_BYTES = 1 << 16


@dataclass(frozen=True)
class Verdict:
    """How to take an error that ended an attempt."""

    kind: str
    """wait (the source may be incomplete), retry (may pass), block (something around it is missing), fail (for good),
    changed (the source is another one now, or gone), drain (asked to stop), lost (somebody else's job now)."""
    block: str = ""
    """What is missing: disk, output, device."""
    reason: str = ""
    """As a sentence."""
    is_process_spoiled: bool = False
    """The worker should end after it: its device or its memory is not sound any more."""


def sort_error(error: BaseException) -> Verdict:
    """Tell what follows from an error of a handler, by its type."""
    reason = str(error) or type(error).__name__
    if isinstance(error, Draining):
        return Verdict("drain", reason=reason)
    if isinstance(error, LostClaimError):
        return Verdict("lost", reason=reason)
    if isinstance(error, OutputTakenError):
        return Verdict("fail", reason=reason)
    found = sort_failure(error)
    if found.is_unforeseen and not isinstance(error, JobsError):
        reason = f"{type(error).__name__}: {reason}"
    return Verdict(found.course.value, found.block, reason, found.is_process_spoiled)


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
    """

    def __init__(self, choices: Mapping[str, Any]) -> None:
        self.choices = dict(choices)
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
        with out_of_space_told(item.output):
            _check_quota(job)
            studio = self._loaded()
            try:
                _convert(job, item, studio, progress, publisher, is_young=is_young)
            except UnsupportedInputError as error:
                if _is_unwritten(job):
                    raise UnreadableInputError(
                        f'"{job.source}" begins with zeros only: it is not written yet.'
                    ) from error
                raise

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

        convert_folder(item, studio, progress, publisher, strict=is_young)
    else:
        from pipeline.convert import convert_item

        convert_item(item, studio, progress, publisher)


def _item_of(job: Job) -> Item:
    output = job.output_folder / job.relative
    stem = output.name if job.kind == JobKind.FOLDER else output.stem
    report = output.with_name(name_of(stem, ".report.json"))  # the publisher has the last word
    return Item(job.source, output, report, stem, job.work_folder, job.kind == JobKind.PICTURE)


def _check_output(job: Job) -> None:
    """Look whether there is a folder for the results, and room on its disk.

    Raises:
        OutputError: the folder is gone: making it anew under an unmounted disk would hide the results.
        OutOfSpaceError: less is free than the job asks for.
    """
    if not job.output_folder.is_dir():
        raise OutputError(f'the output folder "{job.output_folder}" is not there; is its disk mounted?')
    free = shutil.disk_usage(job.output_folder).free
    if free < job.treatment.min_free_bytes:
        raise OutOfSpaceError(
            f'"{job.output_folder}" has {free >> 20} MiB left, less than the {job.treatment.min_free_bytes >> 20} MiB '
            "that must stay free; it goes on when there is more."
        )


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
            f'"{job.source}" has {pixel_secs:.3g} pixels x seconds, more than the {most:.3g} of max_pixel_secs.'
        )


def _is_unwritten(job: Job) -> bool:
    """Tell whether a file begins with zeros only: room that a copying program has taken for what is to come."""
    if job.kind == JobKind.FOLDER:
        return False
    with job.source.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return bool(head) and not any(head)


def thumbnails(job: Job, folder: Path) -> None:
    """Write `ID-before.jpg` and `ID-after.jpg` of a finished job; without them nothing is worse.

    Args:
        job: with its output and report; best before its source is moved away.
        folder: where they go; it is made.
    """
    try:
        from pipeline.thumbnails import write_thumbnails

        if job.output is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        before, after = folder / f"{job.id}-before.jpg", folder / f"{job.id}-after.jpg"
        write_thumbnails(job.source, job.output, json.loads(job.report or "{}"), before, after)
    except Exception as error:  # whatever a picture's decoder does, the job is done
        logger.info("No thumbnails of job %d: %s", job.id, error)
