"""How good face detectors are: on scenes of held-out people with known truth, and on clips against a reference.

Counting is `alignment/trials.py`'s work; this chooses the trials and writes the tables.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from alignment.detectors import FaceDetector
from alignment.faces import Face, iou
from alignment.hog import HogDetector
from alignment.points import Points, eye_distance
from alignment.scenes import CutOut
from alignment.smoothing import jitter_percent
from alignment.spotter import load_builtin_detector
from alignment.trials import (
    ROLLS_DEG,
    SIZES_PX,
    DetectionFigures,
    TrialSeries,
    View,
    draw_trials,
    empty_trials,
    measure,
    recall_table,
)
from alignment.yunet import YunetDetector

from .detector_data import HELD_STOCK, Backdrop, Picture, SceneParts
from .detector_scenes import random_view

SERIES = (
    TrialSeries("sizes", sizes_px=SIZES_PX),
    TrialSeries("turned", rolls_deg=ROLLS_DEG),
    TrialSeries("profile"),
    TrialSeries("low light", gains=(0.1, 0.3)),
)
"""What is measured; `profile` takes only people who look aside."""

_SIZE_WH = (640, 360)
_VIEWS_EACH = 5
_PROFILE_RATIO = 0.62
"""Distance of the eyes over that of eyes and mouth, below which a face looks aside."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Rival:
    """A detector to be measured."""

    strict: FaceDetector
    """At its default threshold."""
    lenient: FaceDetector
    """At a lower one."""
    default_score: float
    """The default threshold, as a score."""


class _Remembering(FaceDetector):
    """Searches a picture once, however often it is asked."""

    def __init__(self, detector: FaceDetector) -> None:
        self.name, self._detector = detector.name, detector
        self._found: dict[int, tuple[Picture, list[Face]]] = {}

    def detect(self, frame: Picture) -> list[Face]:
        if id(frame) not in self._found:
            self._found[id(frame)] = frame, self._detector.detect(frame)
        return self._found[id(frame)][1]


class _Above(FaceDetector):
    """What another detector finds from a score on."""

    def __init__(self, detector: FaceDetector, min_score: float) -> None:
        self.name, self._detector, self._min_score = detector.name, detector, min_score

    def detect(self, frame: Picture) -> list[Face]:
        return [face for face in self._detector.detect(frame) if face.score >= self._min_score]


def build_rivals(builtin: Path, yunet: Path | None, blazeface: Path | None) -> dict[str, Rival]:
    """Build the detectors whose weights are here, by name; `builtin` comes first."""
    rivals = {
        "builtin": Rival(load_builtin_detector(builtin), load_builtin_detector(builtin, min_score=0.05), 0.5),
        "hog": Rival(HogDetector(), HogDetector(min_margin=-0.5), 0.5),
    }
    if yunet is not None:
        rivals["yunet"] = Rival(YunetDetector(yunet), YunetDetector(yunet, min_score=0.1), 0.6)
    if blazeface is not None:
        from alignment.face_alignment_backend import BlazefaceDetector

        detector = BlazefaceDetector(blazeface)
        rivals["blazeface"] = Rival(detector, detector, 0.0)
    return rivals


def evaluate_detectors(
    rivals: dict[str, Rival], held: SceneParts, clips: Sequence[Path], run_dir: Path, *, num_trials: int = 150
) -> None:
    """Measure, and write figures.json and figures.md.

    Args:
        rivals: the detectors by name.
        held: people and backgrounds that were not trained on.
        clips: videos; the reference in them is `yunet`, without which they are left out.
        run_dir: where the figures go.
        num_trials: pictures in each series.
    """
    figures = {name: DetectionFigures(name, 0.0, 0, 0) for name in rivals}
    views = [_view(backdrop) for backdrop in held.backgrounds]
    empty = empty_trials(views[: len(HELD_STOCK)], 4 * _VIEWS_EACH) + empty_trials(views, _VIEWS_EACH, seed=1)
    trials = [trial for i, series in enumerate(SERIES) for trial in _trials(series, held, views, num_trials, i)]
    for name, rival in rivals.items():
        lenient = _Remembering(rival.lenient)
        figures[name] = measure(_Above(lenient, rival.default_score), lenient, trials, empty)
        _logger.info("%s: safe score %.3f, strays %d.", name, figures[name].safe_score, figures[name].strays)
    groups = list(dict.fromkeys(face.group for trial in trials for face in trial.faces))
    tables = [recall_table(figures, sorted(groups, key=_order))]
    tables.append(_speed_table(rivals))
    if "yunet" in rivals and clips:
        tables.append(clip_table(rivals, clips))
    (run_dir / "figures.md").write_text("\n\n".join(tables) + "\n", encoding="utf-8")
    content = {name: vars(f) for name, f in figures.items()}
    (run_dir / "figures.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    _logger.info("Figures:\n%s", "\n\n".join(tables))


def _order(group: str) -> tuple[int, float]:
    kind = next(i for i, mark in enumerate((" px", "°", "")) if group.endswith(mark))
    digits = group.removeprefix("turned ").partition("-")[0]
    return kind, float(digits) if digits.isdigit() else 0.0


def _trials(series: TrialSeries, held: SceneParts, views: Sequence[View], count: int, seed: int) -> list[Any]:
    people = held.people
    if series.name == "profile":
        people = [p for p in people if _turn_ratio(p.whole.points) < _PROFILE_RATIO]
    sources: list[CutOut] = [person.whole if i % 2 else person.body for i, person in enumerate(people)]
    return draw_trials(series, sources, views, count, seed=seed) if sources else []


def _turn_ratio(points: Points) -> float:
    down = float(np.linalg.norm(points[3:].mean(0) - points[:2].mean(0)))
    return eye_distance(points) / max(down, 1e-6)


def _view(backdrop: Backdrop) -> View:
    def draw(rng: np.random.Generator) -> Picture:
        width, height = _SIZE_WH
        return np.ascontiguousarray(random_view(backdrop, width, rng)[:height])

    return draw


def _speed_table(rivals: dict[str, Rival], repeats: int = 20) -> str:
    lines = [f"| ms per frame, one thread | {' | '.join(rivals)} |", "|---|" + "---|" * len(rivals)]
    rng = np.random.default_rng(0)
    for width, height in (_SIZE_WH, (1280, 720)):
        coarse = rng.integers(0, 256, (9, 16, 3), np.uint8)
        frame = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
        times = [f"{_milliseconds(rival.strict, frame, repeats):.1f}" for rival in rivals.values()]
        lines.append(f"| {width}x{height}, nobody there | {' | '.join(times)} |")
    return "\n".join(lines)


def _milliseconds(detector: FaceDetector, frame: Picture, repeats: int) -> float:
    detector.detect(frame)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        detector.detect(frame)
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def clip_table(rivals: dict[str, Rival], clips: Sequence[Path]) -> str:
    """For each clip and detector: frames in which every face of the reference is found, other detections, unrest."""
    lines = [f"| clip | {' | '.join(rivals)} |", "|---|" + "---|" * len(rivals)]
    for clip in clips:
        frames = list(_frames(clip))
        reference = [rivals["yunet"].strict.detect(frame) for frame in frames]
        cells = [_clip_cell([rival.strict.detect(frame) for frame in frames], reference) for rival in rivals.values()]
        lines.append(f"| {clip.stem} ({len(frames)} frames) | {' | '.join(cells)} |")
    return "\n".join(lines)


def _clip_cell(found: list[list[Face]], reference: list[list[Face]]) -> str:
    num_found = num_true = num_other = 0
    for faces, truth in zip(found, reference, strict=True):
        overlaps = iou(_boxes(truth), _boxes(faces))
        num_true += len(truth)
        num_found += int((overlaps.max(1, initial=0) > 0.5).sum())
        num_other += int((overlaps.max(0, initial=0) <= 0.5).sum())
    text = f"{100 * num_found / max(num_true, 1):.1f} %, {num_other} other"
    points = [faces[0].landmarks for faces in found if faces and faces[0].landmarks is not None]
    if len(points) == len(found):
        text += f", unrest {jitter_percent(np.stack(points)):.1f} %"
    return text


def _boxes(faces: Sequence[Face]) -> Points:
    return np.array([face.box_xyxy for face in faces], np.float32).reshape(-1, 4)


def _frames(path: Path) -> Iterator[Picture]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
