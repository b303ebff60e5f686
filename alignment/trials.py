"""Trials for face detectors: pictures with known faces, and how many of them a detector finds.

Makes trials out of cut-outs and backgrounds, and counts. Where people and backgrounds come from is the caller's matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from .detectors import FaceDetector
from .faces import Face, iou
from .points import Points, eye_distance
from .scenes import CutOut, Scene, placement

Picture = npt.NDArray[np.uint8]
View = Callable[[np.random.Generator], Picture]
"""Draws a background without faces, HxWx3 uint8 RGB."""

SIZES_PX = ((16, 24), (24, 48), (48, 96), (96, 320))
"""Classes of face sizes: square roots of box areas in pixels of the trial."""

ROLLS_DEG = ((0, 15), (15, 30), (30, 45), (45, 60))
"""Classes of rotations, either way."""

MATCH_IOU = 0.4
"""Overlap of boxes from which a detection counts as on a face: detectors do not agree where a face ends."""

_MIN_VISIBLE = 0.9


@dataclass(frozen=True, eq=False)
class TrueFace:
    """A face that is there."""

    box_xyxy: Points
    """(4,) float32 in pixels of the trial."""
    points: Points
    """5x2 float32."""
    group: str
    """The class it is counted in, like `24-48 px`."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A picture and all faces in it."""

    picture: Picture
    """HxWx3 uint8 RGB."""
    faces: tuple[TrueFace, ...]
    """Empty where a detection is always false."""


@dataclass(frozen=True)
class TrialSeries:
    """One kind of trials; faces differ in nothing but what the series is about."""

    name: str
    """Like `sizes`."""
    sizes_px: tuple[tuple[float, float], ...] = ((40, 160),)
    """Classes of sizes, each as often."""
    rolls_deg: tuple[tuple[float, float], ...] = ((0, 15),)
    """Classes of rotations either way, each as often."""
    gains: tuple[float, float] | None = None
    """Brightness is brought down to a share between these, with noise; None leaves it."""


@dataclass
class DetectionFigures:
    """How a detector did."""

    detector: str
    """Its name."""
    safe_score: float
    """Highest score of anything found where nothing is; 0 if nothing was."""
    false_positives: int
    """Detections where nothing is, at the default threshold."""
    num_empty: int
    """Pictures without a face that were looked at."""
    found: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Faces found by class, at the default threshold."""
    found_safe: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Faces found with a score above `safe_score`."""
    present: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Faces that were there."""
    point_errors: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Mean distance of the five points from the true ones, % of the eyes' distance, of found faces."""
    strays: int = 0
    """Detections at the default threshold in pictures with faces that stand on none of them."""

    def recall(self, group: str, *, is_safe: bool = False) -> float:
        """Share of a class's faces that were found, %."""
        found = self.found_safe if is_safe else self.found
        return 100 * found[group] / max(self.present[group], 1)

    def points_percent(self) -> float:
        """Median error of the points over all found faces, % of the eyes' distance; nan without points."""
        errors = [error for group in self.point_errors.values() for error in group]
        return float(np.median(errors)) if errors else float("nan")


def draw_trials(
    series: TrialSeries,
    sources: Sequence[CutOut],
    backgrounds: Sequence[View],
    count: int,
    *,
    seed: int = 0,
    faces_each: int = 2,
) -> list[Trial]:
    """Draw trials of one series.

    Args:
        series: what they vary.
        sources: the people; all are used in turn.
        backgrounds: views without faces, of the trials' size.
        count: trials.
        seed: of every chance.
        faces_each: faces in a trial; fewer where there is no room.
    """
    rng = np.random.default_rng(seed)
    classes = [(size, roll) for size in series.sizes_px for roll in series.rolls_deg]
    trials, number, waiting = [], 0, list[int]()
    for _ in range(count):
        scene = Scene(backgrounds[int(rng.integers(len(backgrounds)))](rng))
        groups = []
        for size_range, roll_range in sorted(classes[(number + i) % len(classes)] for i in range(faces_each)):
            waiting = waiting or list(rng.permutation(len(sources)))
            source = sources[waiting.pop()]
            number += 1
            if _place(scene, source, size_range, roll_range, rng):
                groups.append(_group(series, size_range, roll_range))
        trials.append(_finish(scene, groups, series, rng))
    return trials


def empty_trials(backgrounds: Iterable[View], views_each: int, *, seed: int = 0) -> list[Trial]:
    """Trials without a face: some views of each background."""
    rng = np.random.default_rng(seed)
    return [Trial(view(rng), ()) for view in backgrounds for _ in range(views_each)]


def measure(
    strict: FaceDetector, lenient: FaceDetector, trials: Sequence[Trial], empty: Sequence[Trial]
) -> DetectionFigures:
    """Count what a detector finds.

    Args:
        strict: the detector at its default threshold.
        lenient: the same at a lower threshold, to see what a threshold costs.
        trials: pictures with faces.
        empty: pictures without.
    """
    figures = DetectionFigures(strict.name, 0.0, 0, len(empty))
    for trial in empty:
        found = strict.detect(trial.picture)
        faint = found if lenient is strict else lenient.detect(trial.picture)
        figures.false_positives += len(found)
        figures.safe_score = max([figures.safe_score, *(face.score for face in faint)])
    for trial in trials:
        found = strict.detect(trial.picture)
        pairs = match(found, trial)
        figures.strays += len(found) - len(pairs)
        for face in trial.faces:
            figures.present[face.group] += 1
        for i, detection in pairs.items():
            _note(figures, trial.faces[i], detection)
        faint = found if lenient is strict else lenient.detect(trial.picture)
        for i, detection in match(faint, trial).items():
            figures.found_safe[trial.faces[i].group] += detection.score > figures.safe_score
    return figures


def match(found: Sequence[Face], trial: Trial) -> dict[int, Face]:
    """Give each true face at most one detection, the best first; by index of the true face."""
    pairs: dict[int, Face] = {}
    if not trial.faces:
        return pairs
    truth = np.stack([face.box_xyxy for face in trial.faces])
    for face in sorted(found, key=lambda f: -f.score):
        overlaps = iou(face.box_xyxy[None], truth)[0]
        best = int(overlaps.argmax())
        if overlaps[best] >= MATCH_IOU and best not in pairs:
            pairs[best] = face
    return pairs


def recall_table(figures: Mapping[str, DetectionFigures], groups: Sequence[str]) -> str:
    """A Markdown table: recall (%) by class, at the default threshold / at the one without false positives."""
    lines = [f"| faces | n | {' | '.join(figures)} |", "|---|---|" + "---|" * len(figures)]
    for group in groups:
        cells = [f"{f.recall(group):.1f} / {f.recall(group, is_safe=True):.1f}" for f in figures.values()]
        count = next(iter(figures.values())).present[group]
        lines.append(f"| {group} | {count} | {' | '.join(cells)} |")
    cells = [f"{f.false_positives}" for f in figures.values()]
    lines.append(f"| false positives | {next(iter(figures.values())).num_empty} | {' | '.join(cells)} |")
    lines.append(f"| five points, median % of eye distance | | {' | '.join(_percent(f) for f in figures.values())} |")
    return "\n".join(lines)


def _percent(figures: DetectionFigures) -> str:
    value = figures.points_percent()
    return "no points" if np.isnan(value) else f"{value:.1f}"


def _note(figures: DetectionFigures, truth: TrueFace, detection: Face) -> None:
    figures.found[truth.group] += 1
    if detection.landmarks is not None:
        misses = np.linalg.norm(detection.landmarks - truth.points, axis=1)
        across = eye_distance(truth.points)
        down = float(np.linalg.norm(truth.points[3:].mean(0) - truth.points[:2].mean(0)))
        figures.point_errors[truth.group].append(100 * float(misses.mean()) / max(across, 0.6 * down, 1e-3))


def _place(
    scene: Scene, source: CutOut, size_range: Sequence[float], roll_range: Sequence[float], rng: np.random.Generator
) -> bool:
    """Paste one face where it hides no other and lies in the picture; tell whether there was room."""
    size = float(np.exp(rng.uniform(np.log(size_range[0]), np.log(size_range[1]))))
    roll = float(rng.uniform(roll_range[0], roll_range[1]) * rng.choice([-1, 1]))
    height, width = scene.picture.shape[:2]
    reach = min(0.62 * size, min(height, width) / 2 - 1)
    taken = np.array([face.box_xyxy for face in scene.faces], np.float32).reshape(-1, 4)
    for _ in range(30):
        centre = rng.uniform((reach, reach), (width - reach, height - reach))
        grown = np.concatenate([centre - 1.4 * size, centre + 1.4 * size]).astype(np.float32)[None]
        if not len(taken) or iou(grown, taken).max() == 0:
            affine = placement(source, (centre[0], centre[1]), size, roll_deg=roll, is_mirrored=rng.random() < 0.5)
            scene.paste(source, affine)
            return True
    return False


def _group(series: TrialSeries, size_range: Sequence[float], roll_range: Sequence[float]) -> str:
    if len(series.sizes_px) > 1:
        return f"{size_range[0]:.0f}-{size_range[1]:.0f} px"
    if len(series.rolls_deg) > 1:
        return f"turned {roll_range[0]:.0f}-{roll_range[1]:.0f}°"
    return series.name


def _finish(scene: Scene, groups: Sequence[str], series: TrialSeries, rng: np.random.Generator) -> Trial:
    picture = scene.picture
    if series.gains is not None:
        picture = darken(picture, float(rng.uniform(*series.gains)), 3.0, rng)
    hidden = [face for face in scene.faces if face.visible < _MIN_VISIBLE and face.size_px < min(picture.shape[:2]) / 2]
    faces = [
        TrueFace(face.box_xyxy, face.points, group)
        for face, group in zip(scene.faces, groups, strict=True)
        if face not in hidden
    ]
    return Trial(picture, tuple(faces))


def darken(picture: Picture, gain: float, noise: float, rng: np.random.Generator) -> Picture:
    """Take light away and add sensor noise.

    Args:
        picture: HxWx3 uint8 RGB.
        gain: share of the light that stays.
        noise: standard deviation in grey levels of the result.
        rng: chance.
    """
    grain = np.empty(picture.shape, np.float32)
    cv2.setRNGSeed(int(rng.integers(1 << 30)))
    cv2.randn(grain, np.zeros((4, 1)), np.full((4, 1), noise))
    return np.asarray(np.clip(picture.astype(np.float32) * gain + grain, 0, 255), np.uint8)
