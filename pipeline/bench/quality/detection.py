"""Which faces do the detectors find? Drawn trials with known truth, from pictures that come with scikit-image.

One face only (the portrait of an astronaut, in several colours), so the figures compare detectors and releases rather
than promise anything about people; figures on many held-out people are the detector recipe's. Commands print what it
returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from alignment.detectors import FaceDetector, build_detector
from alignment.errors import DetectorUnavailableError
from alignment.scenes import CutOut, cut_out
from alignment.trials import (
    ROLLS_DEG,
    SIZES_PX,
    DetectionFigures,
    Trial,
    TrialSeries,
    View,
    draw_trials,
    empty_trials,
    measure,
    recall_table,
)

RGB = npt.NDArray[np.uint8]

SERIES = (
    TrialSeries("sizes", sizes_px=SIZES_PX),
    TrialSeries("turned", rolls_deg=ROLLS_DEG),
    TrialSeries("low light", gains=(0.1, 0.3)),
)
"""What is measured."""

SIZE_WH = (640, 360)

_FACELESS = ("coffee", "rocket", "coins", "grass", "moon", "text")
_BOX_XYXY = (80.0, 58.0, 171.0, 178.0)
_POINTS = ((104, 104), (147, 104), (124, 128), (105, 144), (143, 144))


def detection_table(names: Sequence[str] = ("builtin", "hog", "yunet"), *, num_trials: int = 40) -> str:
    """Measure the detectors of these names that are here, as a Markdown table of recalls.

    Args:
        names: of `alignment.detectors.DETECTOR_NAMES`; those whose weights would have to be downloaded are left out.
        num_trials: pictures in each series.
    """
    detectors = {}
    for name in names:
        try:
            detectors[name] = build_detector(name, allow_download=False)
        except DetectorUnavailableError:
            continue
    figures = score_detectors(detectors, num_trials=num_trials)
    groups = list(dict.fromkeys(group for f in figures.values() for group in f.present))
    return recall_table(figures, groups)


def score_detectors(
    detectors: Mapping[str, FaceDetector], *, num_trials: int = 40, views_each: int = 10, seed: int = 0
) -> dict[str, DetectionFigures]:
    """Count what detectors find at their default thresholds.

    Args:
        detectors: by the name they are listed under.
        num_trials: pictures in each series, two faces each.
        views_each: looks at each picture without a face.
        seed: of all chance.
    """
    views = faceless_views()
    empty = empty_trials(views, views_each, seed=seed)
    trials = drawn_trials(num_trials, views, seed=seed)
    return {name: measure(detector, detector, trials, empty) for name, detector in detectors.items()}


def drawn_trials(count: int, views: Sequence[View], *, seed: int = 0) -> list[Trial]:
    """Trials of all of SERIES, `count` of each, over views without faces of SIZE_WH."""
    people = drawn_people()
    return [
        trial for i, series in enumerate(SERIES) for trial in draw_trials(series, people, views, count, seed=seed + i)
    ]


def drawn_people() -> list[CutOut]:
    """The astronaut's head and shoulders in a soft oval: as it is, darker, paler, grey."""
    from skimage.data import astronaut

    portrait: RGB = astronaut()[:260, 100:350]  # type: ignore[no-untyped-call]
    oval = np.zeros(portrait.shape[:2], np.uint8)
    cv2.ellipse(oval, (125, 125), (80, 115), 0, 0, 360, 255, -1)
    oval = np.asarray(cv2.GaussianBlur(oval, (0, 0), 3), np.uint8)
    grey = cv2.cvtColor(cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    tints = ((1.0, 1.0, 1.0), (0.6, 0.5, 0.45), (0.9, 1.0, 1.15))
    pictures = [np.clip(portrait * np.array(tint), 0, 255).astype(np.uint8) for tint in tints]
    box, points = np.array(_BOX_XYXY, np.float32), np.array(_POINTS, np.float32)
    return [
        cut_out(picture, oval, box, points, name=f"astronaut {i}")
        for i, picture in enumerate([*pictures, np.asarray(grey, np.uint8)])
    ]


def faceless_views() -> list[View]:
    """Views of scikit-image's pictures without a face: any part, some turned or mirrored, of SIZE_WH."""
    return [_view_of(name) for name in _FACELESS]


def _view_of(name: str) -> View:
    import skimage.data

    picture = getattr(skimage.data, name)()
    picture = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)

    def look(rng: np.random.Generator) -> RGB:
        scale = max(SIZE_WH[0] / picture.shape[1], SIZE_WH[1] / picture.shape[0]) * rng.uniform(1.0, 2.5)
        turn = float(rng.choice([0.0, rng.uniform(0, 360)]))
        middle = rng.uniform(0.3, 0.7, 2) * picture.shape[1::-1]
        affine = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), turn, scale)
        affine[:, 2] += np.array(SIZE_WH) / 2 - middle
        return np.asarray(cv2.warpAffine(picture, affine, SIZE_WH, borderMode=cv2.BORDER_REFLECT_101), np.uint8)

    return look
