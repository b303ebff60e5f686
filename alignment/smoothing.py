"""Steady the landmarks of a track over time, without lag, and measure how steady they are.

A face's motion is taken apart into its place in the frame (scale, angle and centre of the five alignment points, by
which crops are cut) and its expression (the landmarks in the face's own frame). The first is smoothed as far as the
motion allows, the second only lightly, so that blinks and words stay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .faces import Boxes
from .local_fit import estimate_noise, is_glitch, smooth_series
from .points import Points, eye_distance, five_points
from .templates import HEAD, source_to_crop
from .tracking import Times, Track

_PLACE_WINDOW_SECS = 0.8
"""Half width of the widest window for scale, angle and centre."""
_EXPRESSION_WINDOW_SECS = 0.15
"""Half width of the widest window for the landmarks in the face's own frame: a blink lasts 0.1 to 0.4 s."""
_FIVE_POINTS_WINDOW_SECS = 0.4
"""The same for five points, which do not show a blink."""

_NOISE_SHARES = (1.2, 1.2, 1.0, 1.0)
"""Most noise of log scale, angle (times the eye distance) and centre x, y, over that of a landmark in the face's own
frame. Held-out stills that move, where all unrest is noise, show 1.1, 1.1, 0.8, 0.6 (medians). Twice as much, and fast
heads slip through their crops (docs/figures.md, Landmarks)."""
_FIVE_POINTS_NOISE_SHARES = (2.4, 2.4, 2.0, 2.0)
"""The same for five points, which keep less than half of their noise in the face's own frame."""

_EYE_SPAN = HEAD.points[1][0] - HEAD.points[0][0]
"""Distance of the eyes in the face's own frame."""

_Floats = npt.NDArray[np.float64]


def smooth_track(track: Track, times_secs: Times, strength: float = 1.0) -> Track:
    """Take the jitter out of a track and keep its motion.

    Args:
        track: landmarks of any known set; its bridged frames follow from the seen ones.
        times_secs: (T,) times of the track's frames in seconds, ascending.
        strength: 0 leaves the track as it is, 1 smooths fully, in between mixes.

    Returns:
        The track with smoothed landmarks and boxes.

    Raises:
        ValueError: strength is outside [0, 1], or the times are not one per frame.
    """
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"the smoothing strength '{strength}' is not between 0 and 1.")
    if len(times_secs) != len(track.frames):
        raise ValueError(f"a track of {len(track.frames)} frames came with {len(times_secs)} times.")
    if strength == 0.0 or len(track.frames) < 3:
        return track
    landmarks, boxes = _smooth(track, _strictly_ascending(np.asarray(times_secs, np.float64)))
    return replace(
        track,
        landmarks=_mix(track.landmarks, landmarks, strength),
        boxes=_mix(track.boxes, boxes, strength),
    )


def jitter_percent(landmarks: Points) -> float:
    """Jitter of a track: RMS second difference over time of its landmarks' positions.

    Args:
        landmarks: (T, K, 2) float32, K in {5, 68, 152}.

    Returns:
        The jitter as % of the mean eye distance; 0 for less than three frames.
    """
    if len(landmarks) < 3:
        return 0.0
    second = np.diff(landmarks, 2, axis=0)  # of near numbers, so float32 loses nothing
    mean_square = np.einsum("tki,tki->", second, second, dtype=np.float64) / (second.size / 2)
    scale = float(np.mean([eye_distance(points) for points in landmarks]))
    return 100.0 * float(np.sqrt(mean_square)) / max(scale, 1e-9)


def _strictly_ascending(times_secs: Times) -> Times:
    """Part frames that broken stamps put at the same time, or before each other, by a hundredth of a usual frame."""
    steps = np.diff(times_secs)
    usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0
    return np.concatenate([times_secs[:1], times_secs[0] + np.maximum(steps, 0.01 * usual).cumsum()])


def _smooth(track: Track, times_secs: Times) -> tuple[Points, npt.NDArray[np.floating]]:
    place, expression = _take_apart(track.landmarks)
    is_known = ~track.is_bridged & ~is_glitch(place, times_secs)
    flat, seen_secs = expression.reshape(len(expression), -1), times_secs[is_known]
    if len(seen_secs) < 3:
        return track.landmarks, track.boxes
    flat_noise = estimate_noise(flat[is_known], seen_secs)
    place_noise = _place_noise(place[is_known], seen_secs, float(np.median(flat_noise)), len(track.landmarks[0]))
    window_secs = _FIVE_POINTS_WINDOW_SECS if expression.shape[1] == 5 else _EXPRESSION_WINDOW_SECS
    flat = smooth_series(flat, times_secs, is_known, flat_noise, window_secs)
    smooth = smooth_series(place, times_secs, is_known, place_noise, _PLACE_WINDOW_SECS)
    return _put_together(smooth, flat.reshape(expression.shape)), _move_boxes(track.boxes, place, smooth)


def _place_noise(place: _Floats, times_secs: Times, expression_noise: float, num_landmarks: int) -> _Floats:
    """Noise of the place, no larger than the expression's lets expect.

    A dancer's head can shake at the frame rate, which no filter tells from noise by the place alone. In the face's own
    frame the landmarks do not feel it.
    """
    shares = _FIVE_POINTS_NOISE_SHARES if num_landmarks == 5 else _NOISE_SHARES
    eye_px = _EYE_SPAN / np.exp(place[:, 0]).mean()
    most = np.array(shares) * expression_noise / _EYE_SPAN * np.array([1.0, 1.0, eye_px, eye_px])
    return np.asarray(np.minimum(estimate_noise(place, times_secs), most))


def _move_boxes(boxes: Boxes, place: _Floats, smooth: _Floats) -> _Floats:
    """Move and scale the boxes as their faces were."""
    scale = np.exp(place[:, :1] - smooth[:, :1])
    corners = boxes.reshape(-1, 2, 2) - place[:, None, 2:]
    return np.asarray((corners * scale[:, None] + smooth[:, None, 2:]).reshape(-1, 4))


def _take_apart(landmarks: Points) -> tuple[_Floats, Points]:
    """Return place (T, 4), log scale, angle, centre x, y; and the landmarks in the face's frame (T, K, 2).

    The latter are float32: a long track has millions of them.
    """
    transforms = np.stack([source_to_crop(points, HEAD, 1) for points in landmarks]).astype(np.float64)
    centres = np.stack([five_points(points).mean(0) for points in landmarks]).astype(np.float64)
    log_scale = 0.5 * np.log(transforms[:, 0, 0] ** 2 + transforms[:, 1, 0] ** 2)
    angle = np.unwrap(np.arctan2(transforms[:, 1, 0], transforms[:, 0, 0]))
    linear, around = transforms[:, :, :2].astype(np.float32), landmarks - centres[:, None].astype(np.float32)
    return np.column_stack([log_scale, angle, centres]), np.einsum("tij,tkj->tki", linear, around)


def _put_together(place: _Floats, expression: Points) -> Points:
    scale, angle = np.exp(-place[:, 0]), -place[:, 1]
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([np.stack([a, -b], -1), np.stack([b, a], -1)], -2).astype(np.float32)  # Tx2x2
    landmarks = np.einsum("tij,tkj->tki", linear, expression)
    landmarks += place[:, None, 2:].astype(np.float32)
    return np.asarray(landmarks)


def _mix(raw: npt.NDArray[np.float32], smooth: npt.NDArray[np.floating], strength: float) -> npt.NDArray[np.float32]:
    if strength == 1.0:
        return np.asarray(smooth, np.float32)
    return np.asarray(raw * (1.0 - strength) + smooth * strength, np.float32)
