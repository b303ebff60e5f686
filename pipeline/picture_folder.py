"""Convert a folder of pictures as one piece of work, and publish it as one folder.

Pictures that cannot be used are left out and named in the report: the folder is published without them, unless none
is left.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from .convert import convert_item
from .errors import InputError, SourceChangedError, UnreadableInputError
from .inputs import Item, collect, items_of
from .progress import Progress
from .publish import STATE_FOLDER, make_output_folder, sync
from .publisher import FilePublisher, Publisher
from .report import Report
from .source import hash_source
from .studio import Studio
from .work import work_folder

Names = Callable[[], Sequence[str]]
"""Tells which pictures there are now."""

_MAX_TOLD = 20
"""So many pictures that failed are named in the report."""


def convert_folder(
    item: Item,
    studio: Studio,
    progress: Progress,
    publisher: Publisher,
    *,
    names: Names | None = None,
    strict: bool = False,
) -> Report:
    """Convert all pictures of a folder and publish them together.

    Every picture gets its own report beside it, in which `output` is relative to the folder.

    Args:
        item: `source` and `output` are folders.
        studio: styles and choices.
        progress: is told about every picture.
        publisher: gets the finished folder.
        names: tells the names of the pictures, relative to the folder and in order; None takes all that `convert`
            would find.
        strict: an unreadable picture is an error for all: the folder may still be growing.

    Returns:
        One report on all: counts are sums, `frames` are pictures, failures are among the warnings.

    Raises:
        InputError: it holds no picture that can be used.
        SourceChangedError: a picture came, went or was changed meanwhile.
    """
    publisher.check(item.output)
    names = names or (lambda: picture_names(item.source))
    return _Folder(item, studio, progress, publisher, names, strict=strict).run()


class _Folder:
    """A folder on its way."""

    def __init__(
        self, item: Item, studio: Studio, progress: Progress, publisher: Publisher, names: Names, *, strict: bool
    ) -> None:
        self.item, self.studio, self.progress, self.publisher = item, studio, progress, publisher
        self.strict = strict
        self.started = perf_counter()
        self.names_now = names
        self.names = names()
        if not self.names:
            raise InputError(f'"{item.source}" holds no picture.')
        self.report = studio.new_report(item.source, self._hash(self.names))
        if item.sha256 not in (None, self.report.input_sha256):
            raise SourceChangedError(f'the pictures in "{item.source}" were changed after they had been accepted.')
        self.failures: list[tuple[str, InputError]] = []

    def run(self) -> Report:
        """Do everything in order."""
        job = self.studio.job_of(self.report.input_sha256, self.item.output)
        with work_folder(self.item.work, job, resume=self.studio.settings.resume) as folder:
            staging = folder / "finished"
            for each in self._items(staging, folder):
                self._convert(each, staging)
                self.progress.checkpoint()
            self._note_failures()
            self._check_source()
            self.studio.describe(self.report)
            self.report.verified = True
            self.report.stop_clock(self.started)
            for inner, _, _ in os.walk(staging):
                sync(Path(inner))
            self.publisher.publish(staging, self.item.output, self.report)
        return self.report

    def _items(self, staging: Path, folder: Path) -> Sequence[Item]:
        items = items_of([(self.item.source / name, staging / name) for name in self.names], staging)
        return [replace(each, work=folder / "pictures") for each in items]

    def _convert(self, each: Item, staging: Path) -> None:
        """One picture, unless an earlier run has finished it."""
        if each.output.exists():
            self._add(Report.from_json(each.report.read_text(encoding="utf-8")), self._name(each, staging))
            self.report.chunks_resumed += 1
            return
        make_output_folder(each.output.parent)
        publisher = _StagingPublisher(each.report, staging)
        try:
            made = convert_item(each, self.studio, self.progress, publisher)
        except SourceChangedError:
            raise
        except InputError as error:
            if self.strict and isinstance(error, UnreadableInputError):
                raise
            self.failures.append((self._name(each, staging), error))
        else:
            self._add(made, self._name(each, staging))

    @staticmethod
    def _name(each: Item, staging: Path) -> str:
        return each.output.relative_to(staging).as_posix()

    def _add(self, made: Report, name: str) -> None:
        total = self.report
        total.frames += made.frames
        total.faces += made.faces
        total.tracks += made.tracks
        total.guarded += made.guarded
        total.frames_with_faces += made.faces > 0
        total.whole_frames += made.whole_frames
        total.warnings += [f"{name}: {warning}" for warning in made.warnings]

    def _note_failures(self) -> None:
        if len(self.failures) == len(self.names):
            error = self.failures[0][1]
            raise type(error)(f'none of the {len(self.names)} pictures in "{self.item.source}" can be used; {error}')
        told = [f"{name} is left out: {error}" for name, error in self.failures[:_MAX_TOLD]]
        if len(self.failures) > _MAX_TOLD:
            told.append(f"{len(self.failures) - _MAX_TOLD} more pictures are left out.")
        self.report.warnings[:0] = told

    def _check_source(self) -> None:
        if self.publisher.rehash and self._hash(self.names_now()) != self.report.input_sha256:
            raise SourceChangedError(
                f'the pictures in "{self.item.source}" were changed while they were converted; nothing was published.'
            )

    def _hash(self, names: Sequence[str]) -> str:
        """SHA-256 over names and contents of pictures."""
        digest = hashlib.sha256()
        for name in names:
            digest.update(os.fsencode(name) + b"\0")
            digest.update(hash_source(self.item.source / name, self.progress).encode())
        return digest.hexdigest()


def picture_names(folder: Path) -> list[str]:
    """Return the names of all pictures below a folder, relative to it, sorted; links are left out."""
    found = collect([str(folder)], folder / STATE_FOLDER).items
    return [str(f.source.relative_to(folder)) for f in found if f.is_picture and not f.source.is_symlink()]


class _StagingPublisher(FilePublisher):
    """Puts a picture into the folder that is being filled; its report names it as seen from there."""

    def __init__(self, report: Path, staging: Path) -> None:
        super().__init__(report, overwrite=True)
        self._staging = staging

    def shown(self, final: Path) -> str:
        """See FilePublisher."""
        return final.relative_to(self._staging).as_posix()
