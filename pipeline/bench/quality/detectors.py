"""Which detectors find which faces: recall by size, rotation and light, as a table of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alignment.detectors import FaceDetector, build_detector
from alignment.errors import AlignmentError
from alignment.scenes import CutOut, cut_out
from alignment.trials import DetectionFigures, Trial, draw_trials, empty_trials
from alignment.trials import measure as count_found

from ..data import HeldOut, iter_held_out
from ..sections import Cell, Table
from .detection import SERIES, drawn_trials, faceless_views
from .run import Bench

NAMES = ("builtin", "hog", "yunet", "blazeface")
"""Detectors that are measured where they are here without a download."""

_NUM_TRIALS = 40
_VIEWS_EACH = 10
_MIN_SCORE = 0.9


def measure(bench: Bench) -> list[Table]:
    """The tables of the section `detection`."""
    detectors = available_detectors(bench.settings.device)
    bench.progress.start("detection", "measuring", len(detectors))
    views = faceless_views()
    trials = drawn_trials(_NUM_TRIALS, views)
    empty = empty_trials(views, _VIEWS_EACH)
    title = "Composites of the astronaut, tinted four ways"
    return [_table(title, _count(bench, detectors, trials, empty))]


def measure_held_out(bench: Bench) -> list[Table]:
    """The table of the section `detection-data`: composites of held-out people."""
    if bench.settings.data is None:
        return []
    detectors = available_detectors(bench.settings.device)
    people = [person for face in iter_held_out(bench.settings.data) if (person := _cut(face)) is not None]
    bench.progress.start("detection", "measuring", len(detectors))
    views = faceless_views()
    trials = [trial for i, series in enumerate(SERIES) for trial in draw_trials(series, people, views, 100, seed=i)]
    title = f"Composites of {len(people)} held-out people"
    return [_table(title, _count(bench, detectors, trials, empty_trials(views, _VIEWS_EACH)))]


def available_detectors(device: str = "cpu") -> dict[str, FaceDetector]:
    """The detectors of NAMES whose weights are here."""
    found = {}
    for name in NAMES:
        try:
            found[name] = build_detector(name, device="cpu" if device == "auto" else device, allow_download=False)
        except AlignmentError:
            continue
    return found


def _cut(face: HeldOut) -> CutOut | None:
    """The person alone, where exactly one sure face was seen."""
    if len(face.boxes_xyxy) != 1 or face.scores[0] < _MIN_SCORE:
        return None
    return cut_out(face.picture, face.person, face.boxes_xyxy[0], face.points[0], name=face.name)


def _count(
    bench: Bench, detectors: Mapping[str, FaceDetector], trials: Sequence[Trial], empty: Sequence[Trial]
) -> dict[str, DetectionFigures]:
    figures = {}
    for name, detector in detectors.items():
        figures[name] = count_found(detector, detector, trials, empty)
        bench.progress.advance(1)
    return figures


def _table(title: str, figures: Mapping[str, DetectionFigures]) -> Table:
    """Recall by class, then what was found where nothing is, then how exact the points are."""
    first = next(iter(figures.values()))
    groups = list(dict.fromkeys(group for f in figures.values() for group in f.present))
    rows: list[tuple[Cell, ...]] = [
        (group, first.present[group], *(f"{f.recall(group):.1f} %" for f in figures.values())) for group in groups
    ]
    total = sum(first.present.values())
    rows.append(("all", total, *(f"{100 * sum(f.found.values()) / max(total, 1):.1f} %" for f in figures.values())))
    rows.append(("found where nothing is", first.num_empty, *(f.false_positives for f in figures.values())))
    rows.append(("strays beside faces", total, *(f.strays for f in figures.values())))
    errors = [f.points_percent() for f in figures.values()]
    rows.append(("five points off by", "-", *(None if e != e else f"{e:.1f} %" for e in errors)))
    return Table(
        title,
        ("faces", "n", *figures),
        tuple(rows),
        "Share of the faces found, each detector at its default threshold. Points: median over found faces, % of eye "
        "distance. Detectors that are not here without a download are left out.",
    )
