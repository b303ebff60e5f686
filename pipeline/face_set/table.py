"""The table of a face data set: one line for every face that was seen, with what was measured and decided."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import OutputError
from ..face_spans import Candidate, CropShape

KEPT = "kept"
"""The decision on a face that became part of the data set."""
NO_FACE = "no face"
"""Stands in the one row of a source in which none was found."""


@dataclass(frozen=True)
class Row:
    """One line, as text."""

    file: str = ""
    """The crop's place below the folder; empty where it was not kept."""
    crop: str = ""
    """How it was cut: template and side in pixels, like `head 256`."""
    source: str = ""
    """Absolute path of the input."""
    time_secs: str = ""
    """Seconds from the video's start; empty for a picture."""
    frame: str = ""
    """Index of the frame, 0 for a picture."""
    face: str = ""
    """Number of the face in its source."""
    box_xyxy: str = ""
    """Left, top, right, bottom in pixels of the source, with spaces between."""
    size_px: str = ""
    """Longer side of the box."""
    score: str = ""
    """How sure the landmarks are that it is a face, 0 to 1."""
    blur: str = ""
    """0 sharp to 1 blurred."""
    yaw: str = ""
    """Degrees, positive towards the picture's right edge."""
    pitch: str = ""
    """Degrees, positive up."""
    roll: str = ""
    """Degrees, positive clockwise."""
    outside: str = ""
    """Share of the crop that lies outside the picture."""
    decision: str = ""
    """`kept`, or why it was left out."""

    @property
    def folder(self) -> str:
        """The folder of the layout in which its crop lies."""
        return Path(self.file).parts[0] if self.file else ""


FIELDS = tuple(field.name for field in fields(Row))


def row_of(source: str, candidate: Candidate, shape: CropShape, decision: str) -> Row:
    """Write down what is known about a face."""
    measures = candidate.measures
    return Row(
        crop=crop_text(shape),
        source=source,
        time_secs="" if candidate.time_secs is None else f"{candidate.time_secs:.3f}",
        frame=str(candidate.frame),
        face=str(candidate.number),
        box_xyxy=" ".join(str(round(float(edge))) for edge in candidate.box_xyxy),
        size_px=f"{measures.size_px:.0f}",
        score=f"{measures.score:.3f}",
        blur=f"{measures.blur:.3f}",
        yaw=f"{measures.pose.yaw:.1f}",
        pitch=f"{measures.pose.pitch:.1f}",
        roll=f"{measures.pose.roll:.1f}",
        outside=f"{measures.outside:.3f}",
        decision=decision,
    )


def crop_text(shape: CropShape) -> str:
    """Name in one cell how crops are cut."""
    return f"{shape.template.name} {shape.size_px}"


def path_text(path: Path) -> str:
    """Return a path as it stands in the table, whatever bytes it has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read_table(path: Path) -> list[Row]:
    """Read the table of a folder; empty where there is none. A line that was cut off is passed over.

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


def append_rows(path: Path, rows: Sequence[Row]) -> None:
    """Add lines to a table, which is begun where there is none; what a crash cut off stays a line of its own."""
    with path.open("a+b") as file:
        is_new = file.tell() == 0
        if not is_new:
            file.seek(-1, os.SEEK_END)
            is_new_line = file.read(1) == b"\n"
            file.write(b"" if is_new_line else b"\n")
        file.write(as_csv(rows, with_header=is_new).encode())


def as_csv(rows: Sequence[Row], *, with_header: bool = True) -> str:
    """Return lines of a table."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    if with_header:
        writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()
