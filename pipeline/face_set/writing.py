"""The folder of a face data set: where crops lie and what they are called. What is there already stays.

A source's crops appear together when it has been looked through, and then its lines in the table. Which faces are worth
keeping is decided elsewhere.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from ..errors import OutputError, OutputExistsError
from ..face_spans import Candidate, CropShape
from ..finder import RGB
from ..inputs import name_of
from ..publish import make_output_folder, out_of_space_told, publish, write_text
from ..work import work_folder, work_root
from .split import Neighbourhood, Splitter
from .table import KEPT, NO_FACE, Row, append_rows, as_csv, crop_text, path_text, read_table, row_of

_NUMBERS = re.compile(r"-(\d{5,}\.\d{3}s-)?\d+\.png$")


@dataclass(frozen=True)
class Layout:
    """Where the files of a data set lie below its folder."""

    domain: str = ""
    """`A` or `B` for the layout that training reads (trainA, testA), empty for one folder of crops."""

    @property
    def folders(self) -> tuple[str, str]:
        """Names of the folders for training and for testing."""
        return (f"train{self.domain}", f"test{self.domain}") if self.domain else ("crops", "crops")

    @property
    def table(self) -> str:
        """Name of the table."""
        return f"crops{self.domain}.csv"

    @property
    def sheet(self) -> str:
        """Name of the contact sheet."""
        return f"sheet{self.domain}.png"


@dataclass(eq=False)
class Source:
    """One input with what has been decided about its faces so far."""

    name: str
    """As in the table."""
    stem: str
    """How the names of its crops begin."""
    place: Neighbourhood
    """What of it stays on one side of a split."""
    rows: list[Row] = field(default_factory=list)
    """Every face seen."""
    staged: dict[int, Path] = field(default_factory=dict)
    """Finished crops that are not published yet, by the index of their row."""
    notes: list[str] = field(default_factory=list)
    """What was wrong with it, as sentences."""

    def decide_against(self, index: int, reason: str) -> None:
        """Leave out a face after all whose crop was staged."""
        self.staged.pop(index).unlink(missing_ok=True)
        self.rows[index] = replace(self.rows[index], file="", decision=reason)


class FaceFolder:
    """A folder of crops with its table, open for more; get one from `open_face_folder`."""

    def __init__(self, root: Path, layout: Layout, shape: CropShape, staging: Path, *, overwrite: bool) -> None:
        self.root = root
        self.layout = layout
        self._shape = shape
        self._staging = staging
        self._overwrite = overwrite
        self._before = read_table(self._table)
        self._new: list[Row] = []
        self._sources = {row.source for row in self._before}
        self._stems = {_NUMBERS.sub("", Path(row.file).name): row.source for row in self._before if row.file}
        self._num_staged = 0

    @property
    def _table(self) -> Path:
        return self.root / self.layout.table

    @property
    def rows(self) -> list[Row]:
        """The whole table."""
        return [*self._before, *self._new]

    def num_in(self, folder: str) -> int:
        """Count the crops in one of the layout's folders."""
        return Counter(row.folder for row in self.rows)[folder]

    def holds(self, source: str) -> bool:
        """Tell whether a source was cut into this folder before."""
        return source in self._sources

    def crops_there(self, besides: Collection[str]) -> Iterator[RGB]:
        """Read the crops that were there before, but those of some sources, which are cut anew."""
        for row in self._before:
            picture = cv2.imread(str(self.root / row.file)) if row.file and row.source not in besides else None
            if picture is not None:  # else removed by hand
                yield np.ascontiguousarray(picture[..., ::-1], np.uint8)

    def begin(self, path: Path, place: Neighbourhood) -> Source:
        """Start with a source: find a beginning for the names of its crops that is nobody else's."""
        name, stem, number = path_text(path), path.stem, 1
        while self._stems.get(stem, name) != name:
            number += 1
            stem = f"{path.stem}~{number}"
        self._stems[stem] = name
        return Source(name, stem, place)

    def stage(self, source: Source, candidate: Candidate) -> None:
        """Take a crop that is worth keeping; it is written, and shows up when its source is published."""
        path = self._staging / f"{self._num_staged}.png"
        self._num_staged += 1
        with out_of_space_told(self._table):
            path.write_bytes(cv2.imencode(".png", candidate.crop[..., ::-1])[1].tobytes())
        source.staged[len(source.rows)] = path
        row = row_of(source.name, candidate, self._shape, KEPT)
        source.rows.append(replace(row, file=_file_name(source.stem, candidate)))

    def leave_out(self, source: Source, candidate: Candidate, reason: str) -> None:
        """Note a face that is not kept."""
        source.rows.append(row_of(source.name, candidate, self._shape, reason))

    def discard(self, source: Source) -> None:
        """Forget a source that failed."""
        for path in source.staged.values():
            path.unlink(missing_ok=True)

    def publish(self, source: Source, splitter: Splitter) -> list[Row]:
        """Give the crops of a source their sides, and everything of it its place.

        Returns:
            The lines as they now stand in the table.

        Raises:
            OutputExistsError: a file that is not in the table has the name of a crop.
        """
        self._take_sides(source, splitter)
        finals = {index: self.root / source.rows[index].file for index in source.staged}
        for final in finals.values():
            if os.path.lexists(final) and not self._overwrite:
                raise OutputExistsError(f'"{final}" is there already; add --overwrite to replace it.')
        rows = source.rows or [Row(source=source.name, decision=NO_FACE)]
        with out_of_space_told(self._table):
            for index, final in finals.items():
                make_output_folder(final.parent)
                publish(source.staged[index], final, overwrite=self._overwrite)
            self._forget(source.name, {row.file for row in rows})
            append_rows(self._table, rows)
        self._new += rows
        return rows

    def _take_sides(self, source: Source, splitter: Splitter) -> None:
        """Put the crops into the folders of the layout, in order of time."""
        for index in sorted(source.staged, key=lambda i: float(source.rows[i].time_secs or 0)):
            row = source.rows[index]
            side = splitter.choose(source.place, float(row.time_secs) if row.time_secs else None)
            if side is None:
                source.decide_against(index, "between")
            else:
                source.rows[index] = replace(row, file=f"{self.layout.folders[side]}/{row.file}")

    def _forget(self, source: str, new_files: Collection[str]) -> None:
        """Remove what a source had here before and has no more."""
        if source not in self._sources:
            return
        for row in self._before:
            if row.source == source and row.file and row.file not in new_files:
                (self.root / row.file).unlink(missing_ok=True)
        self._before = [row for row in self._before if row.source != source]
        self._sources.discard(source)
        write_text(self._table, as_csv(self.rows))


def _file_name(stem: str, candidate: Candidate) -> str:
    time = "" if candidate.time_secs is None else f"{candidate.time_secs:09.3f}s-"
    return name_of(stem, f"-{time}{candidate.number}.png")


@contextmanager
def open_face_folder(root: Path, layout: Layout, shape: CropShape, *, overwrite: bool = False) -> Iterator[FaceFolder]:
    """Open a folder for crops, new or with earlier ones in it, for this process alone.

    Args:
        root: the folder.
        layout: how it is divided.
        shape: how crops are cut.
        overwrite: replace what has a crop's name.

    Raises:
        OutputError: it cannot be written to, holds crops of another kind, or its table is not one of ours.
        PipelineError: another process is at work in it.
    """
    make_output_folder(root)
    if (root / layout.sheet).exists() and not (root / layout.table).exists() and not overwrite:
        raise OutputExistsError(f'"{root / layout.sheet}" is there already; choose another --output.')
    for row in read_table(root / layout.table):
        if row.file and row.crop != crop_text(shape):
            raise OutputError(
                f'"{root}" holds crops of the kind "{row.crop}", not "{crop_text(shape)}"; choose another --output.'
            )
    with work_folder(work_root(root), f"crop{layout.domain}", resume=False) as staging:
        yield FaceFolder(root, layout, shape, staging, overwrite=overwrite)
