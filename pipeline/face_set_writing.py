"""The folder of a face data set: where crops lie, what they are called, and the table of all faces that were seen.

A source's crops appear together, when it has been looked through, and then its rows; what is there already stays. Which
faces are worth keeping is decided elsewhere.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np

from .errors import OutputError, OutputExistsError
from .face_quality import Measures
from .face_set_split import Neighbourhood, Splitter
from .face_spans import Candidate
from .finder import RGB
from .inputs import name_of
from .publish import make_output_folder, out_of_space_told, publish, work_folder, write_text

KEPT = "kept"
"""The decision on a face that became part of the data set."""
NO_FACE = "no face"
"""Stands in the one row of a source in which none was found."""

_NUMBERED = re.compile(r"-(\d{5,}\.\d{3}s-)?\d+\.png$")


@dataclass(frozen=True)
class Row:
    """One line of the table: a face that was seen, and what became of it."""

    file: str = ""
    """The crop's place below the folder; empty where it was not kept."""
    source: str = ""
    """Absolute path of the input."""
    time_secs: str = ""
    """Seconds from the video's start; empty for a picture."""
    frame: str = ""
    """Index of the frame."""
    face: str = ""
    """Number of the face in its source."""
    box_xyxy: str = ""
    """Left, top, right, bottom in pixels of the source, with spaces between."""
    size_px: str = ""
    score: str = ""
    blur: str = ""
    yaw: str = ""
    pitch: str = ""
    roll: str = ""
    outside: str = ""
    """As in face_quality.Measures; angles in degrees."""
    decision: str = ""
    """`kept`, or why it was left out."""


FIELDS = tuple(field.name for field in fields(Row))


def row_of(source: str, candidate: Candidate, decision: str) -> Row:
    """Write down what is known about a face."""
    measures, pose = candidate.measures, candidate.measures.pose
    return Row(
        source=source,
        time_secs="" if candidate.time_secs is None else f"{candidate.time_secs:.3f}",
        frame=str(candidate.frame),
        face=str(candidate.number),
        box_xyxy=" ".join(str(round(float(edge))) for edge in candidate.box_xyxy),
        decision=decision,
        **_figures(measures),
        yaw=f"{pose.yaw:.1f}",
        pitch=f"{pose.pitch:.1f}",
        roll=f"{pose.roll:.1f}",
    )


def _figures(measures: Measures) -> dict[str, str]:
    return {
        "size_px": f"{measures.size_px:.0f}",
        "score": f"{measures.score:.3f}",
        "blur": f"{measures.blur:.3f}",
        "outside": f"{measures.outside:.3f}",
    }


def text_of(path: Path) -> str:
    """Return a path as it stands in the table, whatever bytes it has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


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
    rows: list[Row]
    """Every face seen."""
    staged: dict[int, Path]
    """Finished crops that are not published yet, by the index of their row."""


class FaceFolder:
    """A folder of crops with its table, open for more; get one from `open_face_folder`."""

    def __init__(self, root: Path, layout: Layout, splitter_share: float, staging: Path, *, overwrite: bool) -> None:
        self.root = root
        self.layout = layout
        self._staging = staging
        self._overwrite = overwrite
        self._before = read_table(root / layout.table)
        self._sources = {row.source for row in self._before}
        self._stems = {_stem(row.file): row.source for row in self._before if row.file}
        there = [Path(row.file).parts[0] for row in self._before if row.file]
        train, test = layout.folders
        self._splitter = Splitter(splitter_share, there.count(train), 0 if test == train else there.count(test))
        self._new: list[Row] = []
        self._num_staged = 0

    def holds(self, source: str) -> bool:
        """Tell whether a source was cut into this folder before."""
        return source in self._sources

    def crops_there(self, besides: Iterable[str]) -> Iterator[RGB]:
        """Read the crops that were there before, but those of some sources, which are cut anew."""
        renewed = set(besides)
        for row in self._before:
            picture = cv2.imread(str(self.root / row.file)) if row.file and row.source not in renewed else None
            if picture is not None:
                yield np.ascontiguousarray(picture[..., ::-1], np.uint8)

    def begin(self, path: Path, place: Neighbourhood) -> Source:
        """Start with a source: find a beginning for the names of its crops that is nobody else's."""
        name = text_of(path)
        stem, number = path.stem, 1
        while self._stems.get(stem, name) != name:
            number += 1
            stem = f"{path.stem}~{number}"
        self._stems[stem] = name
        return Source(name, stem, place, [], {})

    def stage(self, source: Source, candidate: Candidate) -> None:
        """Take a crop that is worth keeping; it is written, and shows up when the source is published."""
        path = self._staging / f"{self._num_staged}.png"
        self._num_staged += 1
        with out_of_space_told(self.root / self.layout.table):
            path.write_bytes(cv2.imencode(".png", candidate.crop[..., ::-1])[1].tobytes())
        source.staged[len(source.rows)] = path
        source.rows.append(replace(row_of(source.name, candidate, KEPT), file=_file_name(source.stem, candidate)))

    def leave_out(self, source: Source, candidate: Candidate, reason: str) -> None:
        """Note a face that is not kept."""
        source.rows.append(row_of(source.name, candidate, reason))

    def discard(self, source: Source) -> None:
        """Forget a source that failed."""
        for path in source.staged.values():
            path.unlink(missing_ok=True)

    def publish(self, source: Source) -> list[Row]:
        """Give the crops of a source their sides, names and rows.

        Returns:
            The rows as they now stand in the table.

        Raises:
            OutputExistsError: a file that is not this program's has the name of a crop.
        """
        rows, finals = self._placed(source)
        if not self._overwrite:
            for final in finals.values():
                if os.path.lexists(final):
                    raise OutputExistsError(f'"{final}" is there already; add --overwrite to replace it.')
        with out_of_space_told(self.root / self.layout.table):
            for index, final in finals.items():
                make_output_folder(final.parent)
                publish(source.staged[index], final, overwrite=self._overwrite)
            self._drop_old(source.name, {row.file for row in rows})
            self._append(rows)
        return rows

    def _placed(self, source: Source) -> tuple[list[Row], dict[int, Path]]:
        """The rows with their final decisions, and where the crops of some of them go."""
        rows, finals = list(source.rows), dict[int, Path]()
        for index in sorted(range(len(rows)), key=lambda i: float(rows[i].time_secs or 0)):
            row = rows[index]
            if row.decision != KEPT:
                rows[index] = replace(row, file="")
                continue
            is_test = self._splitter.is_test(source.place, float(row.time_secs) if row.time_secs else None)
            if is_test is None:
                rows[index] = replace(row, file="", decision="split")
                continue
            rows[index] = replace(row, file=f"{self.layout.folders[is_test]}/{row.file}")
            finals[index] = self.root / rows[index].file
        return rows or [Row(source=source.name, decision=NO_FACE)], finals

    def _drop_old(self, source: str, new_files: set[str]) -> None:
        """Remove the crops that a source had before and has no more."""
        if source not in self._sources:
            return
        for row in self._before:
            if row.source == source and row.file and row.file not in new_files:
                (self.root / row.file).unlink(missing_ok=True)
        self._before = [row for row in self._before if row.source != source]
        self._sources.discard(source)
        write_text(self.root / self.layout.table, _as_csv([*self._before, *self._new], with_header=True))

    def _append(self, rows: Sequence[Row]) -> None:
        table = self.root / self.layout.table
        with table.open("a+", encoding="utf-8", newline="") as file:
            file.write(_as_csv(rows, with_header=file.tell() == 0))
        self._new += rows

    @property
    def rows(self) -> list[Row]:
        """The whole table."""
        return [*self._before, *self._new]


@contextmanager
def open_face_folder(
    root: Path, layout: Layout, *, share: float = 0.0, overwrite: bool = False
) -> Iterator[FaceFolder]:
    """Open a folder for crops, new or with earlier ones in it, for this process alone.

    Args:
        root: the folder.
        layout: how it is divided.
        share: of the crops that goes to the test folder, 0 to 1.
        overwrite: replace what has a crop's name.

    Raises:
        OutputError: it cannot be written to, or its table is not one of ours.
        PipelineError: another process is at work in it.
    """
    make_output_folder(root)
    table = root / layout.table
    if not table.exists() and (root / layout.sheet).exists() and not overwrite:
        raise OutputExistsError(f'"{root / layout.sheet}" is there already; choose another --output.')
    read_table(table)
    _end_last_line(table)
    with work_folder(root, f"crop{layout.domain}", resume=False) as staging:
        yield FaceFolder(root, layout, share, staging, overwrite=overwrite)


def read_table(path: Path) -> list[Row]:
    """Read the table of a folder; empty where there is none. A line that was cut off is left out.

    Raises:
        OutputError: it is another kind of table.
    """
    if not path.exists():
        return []
    with path.open(encoding="utf-8", errors="backslashreplace", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != FIELDS:
            raise OutputError(f'"{path}" is no table of crops that this program wrote; choose another --output.')
        return [Row(**line) for line in reader if None not in line and None not in line.values()]


def _end_last_line(path: Path) -> None:
    """What follows must not be glued to a line that was cut off."""
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")


def _as_csv(rows: Sequence[Row], *, with_header: bool) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    if with_header:
        writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


def _file_name(stem: str, candidate: Candidate) -> str:
    time = "" if candidate.time_secs is None else f"{candidate.time_secs:09.3f}s-"
    return name_of(stem, f"-{time}{candidate.number}.png")


def _stem(file: str) -> str:
    return _NUMBERED.sub("", Path(file).name)
