"""Crop templates: where the five alignment points of a face lie in its square crop.

Training and inference cut with the same templates, so a generator sees in a video what it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .points import Points, five_points


@dataclass(frozen=True)
class CropTemplate:
    """Target positions of the five alignment points, as fractions of the crop's side."""

    name: str
    """The name stored in style files."""
    points: tuple[tuple[float, float], ...]
    """Five (x, y): eye, eye, nose tip, mouth corner, mouth corner; left in the picture first."""

    def at_size(self, size_px: int) -> Points:
        """Return the points as 5x2 float32 in pixels of a crop of size_px x size_px."""
        return np.asarray(self.points, np.float32) * np.float32(size_px)


_TIGHT = np.array([[0.355, 0.47], [0.645, 0.47], [0.5, 0.61], [0.385, 0.735], [0.615, 0.735]])


def _scaled(factor: float, shift_y: float) -> tuple[tuple[float, float], ...]:
    points = (_TIGHT - 0.5) * factor + 0.5 + (0.0, shift_y)
    return tuple((round(float(x), 5), round(float(y), 5)) for x, y in points)


def scaled_template(name: str, factor: float) -> CropTemplate:
    """Return a template whose face is `factor` times as large as in TIGHT, in the same place."""
    return CropTemplate(name, _scaled(factor, 0.0))


HEAD = CropTemplate("head", _scaled(0.72, 0.0))
"""Whole head with hair and margin; the eyes are 21 % of the side apart. The built-in styles use it."""

TIGHT = CropTemplate("tight", _scaled(1.0, 0.0))
"""Brow to chin fills the crop, as in the aligned data sets of the reference system; the eyes are 29 % apart."""

TEMPLATES: dict[str, CropTemplate] = {t.name: t for t in (HEAD, TIGHT)}


def source_to_crop(landmarks: Points, template: CropTemplate, size_px: int) -> Points:
    """Least-squares similarity that takes a face's five points to the template's.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991, eq. 40-43,
    without reflection.

    Args:
        landmarks: Kx2 float32 in source-frame pixels, K in {5, 68, 152}.
        template: where the points shall lie.
        size_px: side of the square crop.

    Returns:
        2x3 float32 similarity transform: crop = A[:, :2] @ source + A[:, 2].
    """
    source = five_points(landmarks).astype(np.float64)
    target = template.at_size(size_px).astype(np.float64)
    source_mean, target_mean = source.mean(0), target.mean(0)
    s, t = source - source_mean, target - target_mean
    # In two dimensions the optimum is closed: scale * rotation = [[a, -b], [b, a]].
    norm = max(float((s * s).sum()), 1e-12)
    a = float((s * t).sum()) / norm
    b = float((s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum()) / norm
    linear = np.array([[a, -b], [b, a]])
    shift = target_mean - linear @ source_mean
    return np.concatenate([linear, shift[:, None]], axis=1).astype(np.float32)
