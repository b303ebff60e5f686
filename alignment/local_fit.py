"""Smooth series of uneven times without lag: local quadratic fits whose windows adapt to the motion.

At each time quadratics are fitted through windows of growing width; the widest is taken that still agrees with all
narrower ones within their noise. A still face gets a wide window, a head shake a narrow one. The rule is the
intersection of confidence intervals: Goldenshluger and Nemirovski, "On spatially adaptive estimation of nonparametric
regression", 1997; Katkovnik, "A new method for varying adaptive bandwidth selection", 1999. It knows nothing of faces.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Weights:
    """A TxT matrix of which every row has M entries that follow each other; SciPy's takes long to import."""

    columns: npt.NDArray[np.int64]
    """TxM, where the entries stand."""
    entries: Floats
    """TxM."""

    def __matmul__(self, values: npt.NDArray[Any]) -> Floats:
        """Multiply with TxC values; no more than one product of that size is held at a time."""
        total = np.zeros(values.shape)
        for columns, entries in zip(self.columns.T, self.entries.T, strict=True):
            total += entries[:, None] * values[columns]
        return total


_Window = tuple[_Weights, Floats, npt.NDArray[np.bool_]]
"""Weights of a local fit, its standard errors and where there is one; see `_quadratic_weights`."""

_WINDOW_FRAMES = (2.5, 4.0, 6.5, 10.0, 16.0, 25.0, 40.0)
"""Half widths tried, in median frame durations."""
_CONFIDENCE = 1.7
"""Half width of the confidence intervals in standard errors: less keeps more motion, more takes more noise."""
_BLOCK_SERIES = 16
"""Series treated at once: a long track of many landmarks must not need many times its own memory."""
_MIN_FIT_FRAMES = 4
"""Frames a window needs: a quadratic through three would only repeat them."""


def smooth_series(
    values: npt.NDArray[Any], times_secs: Floats, is_known: npt.NDArray[np.bool_], noise: Floats, max_window_secs: float
) -> npt.NDArray[Any]:
    """Smooth C series over T times, each by itself.

    Args:
        values: (T, C) float64, or float32 to save memory.
        times_secs: (T,) strictly ascending.
        is_known: (T,) False where a value is only a guess; it is replaced by what its neighbours say.
        noise: (C,) standard deviation of the white noise on each series.
        max_window_secs: half width of the widest window.

    Returns:
        (T, C) of the type of `values`.
    """
    windows = [_quadratic_weights(times_secs, is_known, h) for h in _half_widths(times_secs, max_window_secs)]
    smooth = np.empty_like(values)
    for block in _blocks(values.shape[1]):
        smooth[:, block] = _smooth_block(values[:, block], is_known, noise[block], windows)
    return smooth


def _smooth_block(
    values: npt.NDArray[Any], is_known: npt.NDArray[np.bool_], noise: Floats, windows: Sequence[_Window]
) -> Floats:
    fits, errors = [np.asarray(values, np.float64)], [np.where(is_known, 1.0, np.inf)]
    for weights, error, is_fitted in windows:
        fits.append(np.where(is_fitted[:, None], weights @ values, fits[-1]))
        errors.append(np.where(is_fitted, error, errors[-1]))
    return _blend(fits, _widest_agreeing(fits, errors, noise))


def _blocks(num_series: int) -> list[slice]:
    return [slice(start, start + _BLOCK_SERIES) for start in range(0, num_series, _BLOCK_SERIES)]


def estimate_noise(values: npt.NDArray[Any], times_secs: Floats) -> Floats:
    """Estimate the standard deviation of white noise on smooth series.

    High divided differences hardly see smooth motion, but all of the noise; the median does not see short bursts.

    Args:
        values: (T, C), T at least 3.
        times_secs: (T,) strictly ascending.

    Returns:
        (C,) in the units of the values.
    """
    order = min(6, len(values) - 2)
    windows = np.lib.stride_tricks.sliding_window_view(times_secs, order + 1)  # Mx(order+1)
    gaps = windows[:, :, None] - windows[:, None, :]
    gaps[:, np.arange(order + 1), np.arange(order + 1)] = 1.0
    weights = 1.0 / (gaps / np.median(np.diff(times_secs))).prod(2)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    rows = np.lib.stride_tricks.sliding_window_view(values, order + 1, axis=0)  # MxCx(order+1)
    medians = [
        np.median(np.abs(np.einsum("mco,mo->mc", rows[:, block], weights)), axis=0)
        for block in _blocks(values.shape[1])
    ]
    return np.concatenate(medians) * 1.4826


def predict_from_neighbours(values: Floats, times_secs: Floats, half_width_frames: float = 4.0) -> Floats:
    """Guess each value from its neighbours alone, by a local quadratic that leaves it out.

    Args:
        values: (T, C).
        times_secs: (T,) strictly ascending.
        half_width_frames: half width of the window in median frame durations.

    Returns:
        (T, C); the value itself where it has too few neighbours.
    """
    half_width = half_width_frames * float(np.median(np.diff(times_secs)))
    everyone = np.ones(len(values), bool)
    weights, _, is_fitted = _quadratic_weights(times_secs, everyone, half_width, leave_out=True)
    return np.where(is_fitted[:, None], weights @ values, values)


def _half_widths(times_secs: Floats, max_window_secs: float) -> list[float]:
    frame_secs = float(np.median(np.diff(times_secs)))
    return [n * frame_secs for n in _WINDOW_FRAMES if n * frame_secs <= max_window_secs]


def _quadratic_weights(
    times_secs: Floats, is_known: npt.NDArray[np.bool_], half_width: float, *, leave_out: bool = False
) -> _Window:
    """Rows of weights that take the values to their local quadratic fits.

    Returns:
        TxT weights, (T,) standard error of each fit for unit noise, (T,) True where there is a fit.
    """
    columns, offsets = _window_members(times_secs, half_width)
    tricube = (1 - np.minimum(np.abs(offsets), 1.0) ** 3) ** 3
    kernel = tricube * is_known[columns]
    if leave_out:
        kernel[columns == np.arange(len(columns))[:, None]] = 0.0
    is_fitted = (kernel > 1e-3).sum(1) >= _MIN_FIT_FRAMES
    s0, s1, s2, s3, s4 = ((kernel * offsets**power).sum(1) for power in range(5))
    # First row of the inverse of the moment matrix [[s0 s1 s2] [s1 s2 s3] [s2 s3 s4]].
    a, b, c = s2 * s4 - s3 * s3, s2 * s3 - s1 * s4, s1 * s3 - s2 * s2
    determinant = np.where(is_fitted, s0 * a + s1 * b + s2 * c, 1.0)
    is_fitted &= determinant > 1e-9
    scaled = np.where(is_fitted, 1.0 / np.maximum(determinant, 1e-9), 0.0)[:, None]
    weights = kernel * (a[:, None] + b[:, None] * offsets + c[:, None] * offsets**2) * scaled
    return _Weights(columns, weights), np.linalg.norm(weights, axis=1), is_fitted


def _window_members(times_secs: Floats, half_width: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return for each time the TxM indices that may lie in its window, and their distances in half widths."""
    count = len(times_secs)
    first = np.searchsorted(times_secs, times_secs - half_width)
    width = int((np.searchsorted(times_secs, times_secs + half_width) - first).max())
    start = np.minimum(first, count - min(width, count))
    columns = start[:, None] + np.arange(min(width, count))
    return columns, (times_secs[columns] - times_secs[:, None]) / half_width


def _widest_agreeing(fits: list[Floats], errors: list[Floats], noise: Floats) -> Floats:
    """Return the TxC level (index of the fit, fractional after smoothing over time) each series may use."""
    low, high = np.full(fits[0].shape, -np.inf), np.full(fits[0].shape, np.inf)
    level, is_agreeing = np.zeros(fits[0].shape), np.ones(fits[0].shape, bool)
    for index, (fit, error) in enumerate(zip(fits, errors, strict=True)):
        margin = _CONFIDENCE * error[:, None] * noise
        low, high = np.maximum(low, fit - margin), np.minimum(high, fit + margin)
        is_agreeing &= low <= high
        level[is_agreeing] = index
    # A window that jumps from frame to frame would put back some of the jitter it takes away.
    level = _around(level, 3).min(-1)
    return np.asarray(_around(level, 5).mean(-1))


def _around(values: Floats, count: int) -> Floats:
    """Return TxCxN: for each of TxC values the N (odd) values around it in time; the ends are repeated."""
    padded = np.pad(values, ((count // 2, count // 2), (0, 0)), mode="edge")
    return np.asarray(sliding_window_view(padded, count, axis=0))


def _blend(fits: list[Floats], level: Floats) -> Floats:
    """Mix neighbouring fits by the fractional level."""
    total = np.zeros(level.shape)
    for index, fit in enumerate(fits):
        total += fit * np.maximum(1.0 - np.abs(level - index), 0.0)
    return total


def is_glitch(values: Floats, times_secs: Floats, threshold: float = 6.0) -> npt.NDArray[np.bool_]:
    """Tell single frames that jump away and back: far from what their neighbours say, while those agree.

    Args:
        values: (T, C).
        times_secs: (T,) strictly ascending.
        threshold: how many times the usual deviation of the frames around counts as far.

    Returns:
        (T,) True where any series jumps.
    """
    if len(values) < 2 * _MIN_FIT_FRAMES:
        return np.zeros(len(values), bool)
    deviation = np.abs(values - predict_from_neighbours(values, times_secs))
    around = np.median(_around(deviation, 9), axis=-1)
    usual = np.maximum(around, estimate_noise(values, times_secs) * math.sqrt(2))
    return np.asarray((deviation > threshold * np.maximum(usual, 1e-9)).any(1))
