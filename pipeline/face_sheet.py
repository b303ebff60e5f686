"""Which faces are in a file: a list with their numbers, and a sheet that shows them. It changes nothing.

The numbers are those that `convert` takes with `--faces` and `--style-for`, given the same detection options.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .analyse import AnalyseConfig, analyse
from .analysis import Analysis
from .canvas import PictureCanvas
from .casting import describe_track, still_analysis, with_samples
from .decode import iter_frames
from .finder import RGB
from .inputs import is_picture
from .prefetch import prefetch
from .probe import probe
from .progress import Progress
from .samples import SAMPLE_PX, FaceSample
from .search import NUM_SAMPLES
from .stills import read_picture
from .studio import Studio

_DECODE_AHEAD_FRAMES = 8
_COLUMNS = 6
_CAPTION_PX = 40


@dataclass(frozen=True, eq=False)
class FoundFace:
    """One face of the list."""

    record: dict[str, Any]
    """Number, first and last second, frames, box, likeness to --face-like (None without)."""
    picture: RGB | None
    """The best picture of it, SAMPLE_PX x SAMPLE_PX x 3; None where it was too short to be seen well."""


def list_faces(source: Path, studio: Studio, progress: Progress) -> list[FoundFace]:
    """Find the faces of a video or a picture.

    Args:
        source: the file.
        studio: detector, landmarks, and their settings.
        progress: is told about the advance.

    Returns:
        The faces by number.

    Raises:
        InputError: the file cannot be read.
        AlignmentError: detector, landmarks or the weights of `--face-like` are not here.
    """
    analysis = _picture(source, studio) if is_picture(source) else _video(source, studio, progress)
    scores = studio.search.compare(analysis.samples) if studio.search else {}
    return [
        FoundFace(
            describe_track(track, analysis, likeness=_rounded(scores.get(track.track_id))),
            _best(analysis.samples.get(track.track_id, ())),
        )
        for track in analysis.tracks
    ]


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 3)


def _best(samples: Sequence[FaceSample]) -> RGB | None:
    return max(samples, key=lambda s: s.quality).picture() if samples else None


def _picture(source: Path, studio: Studio) -> Analysis:
    canvas = PictureCanvas(read_picture(source).rgb)
    return with_samples(still_analysis(studio.finder.find(canvas), studio.finder.detector.name), canvas)


def _video(source: Path, studio: Studio, progress: Progress) -> Analysis:
    info, settings = probe(source), studio.settings
    rate = info.video.avg_frame_rate
    progress.start(source.name, "looking at", round(info.duration_secs * rate) if info.duration_secs and rate else None)
    config = AnalyseConfig(settings.detect_every, settings.min_track_secs, settings.max_gap_secs, NUM_SAMPLES)
    with closing(prefetch(iter_frames(info, strict=settings.strict), _DECODE_AHEAD_FRAMES)) as ahead:
        return analyse(
            ahead, info.video.time_base, studio.finder, config, on_frame=lambda faces: progress.advance(1, faces)
        )


def draw_sheet(faces: Sequence[FoundFace]) -> RGB:
    """Draw the faces side by side, each with its number, its time and its size: HxWx3 uint8 RGB; N >= 1."""
    cells = [_cell(face) for face in faces]
    columns = min(_COLUMNS, len(cells))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    rows = [np.concatenate(cells[start : start + columns], axis=1) for start in range(0, len(cells), columns)]
    return np.concatenate(rows)


def _cell(face: FoundFace) -> RGB:
    cell = np.full((SAMPLE_PX + _CAPTION_PX, SAMPLE_PX, 3), 255, np.uint8)
    cell[:SAMPLE_PX] = 200 if face.picture is None else face.picture
    record, box = face.record, face.record["box_xyxy"]
    number, times = str(record["number"]), f"{record['first_secs']:.1f}-{record['last_secs']:.1f} s"
    like = "" if record["likeness"] is None else f", {record['likeness']:.2f}"
    cv2.putText(cell, number, (5, SAMPLE_PX + 30), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, 0), 2, cv2.LINE_AA)
    left = 14 + 18 * len(number)
    lines = [times] if record["frames"] > 1 else []
    for line, text in enumerate((*lines, f"{box[2] - box[0]} x {box[3] - box[1]}{like}")):
        place = (left, SAMPLE_PX + 15 + 17 * line)
        cv2.putText(cell, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (40, 40, 40), 1, cv2.LINE_AA)
    return cell
