"""Steady the landmarks of a track over time, without lag, and measure how steady they are.

A face's motion is taken apart into its place in the frame (scale, angle and centre of the five alignment points, by
which crops are cut) and its expression (the landmarks in the face's own frame). The first is smoothed as far as the
motion allows, the second only lightly, so that blinks and words stay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .local_fit import is_glitch, smooth_series
from .points import Points, eye_distance, five_points
from .templates import HEAD, source_to_crop
from .tracking import Times, Track

_PLACE_WINDOW_SECS = 0.8
"""Half width of the widest window for scale, angle and centre."""
_EXPRESSION_WINDOW_SECS = 0.15
"""Half width of the widest window for the landmarks in the face's own frame: a blink lasts 0.1 to 0.4 s."""

_Floats = npt.NDArray[np.float64]


def smooth_track(track: Track, times_secs: Times, strength: float = 1.0) -> Track:
    """Take the jitter out of a track and keep its motion.

    Args:
        track: landmarks of any known set; its bridged frames follow from the seen ones.
        times_secs: (T,) times of the track's frames in seconds, strictly ascending.
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
    landmarks, boxes = _smooth(track, np.asarray(times_secs, np.float64))
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
    second = np.diff(np.asarray(landmarks, np.float64), 2, axis=0)
    scale = float(np.mean([eye_distance(points) for points in landmarks]))
    return 100.0 * float(np.sqrt((second**2).sum(-1).mean())) / max(scale, 1e-9)


def _smooth(track: Track, times_secs: Times) -> tuple[_Floats, _Floats]:
    place, expression = _take_apart(track.landmarks)
    is_known = ~track.is_bridged & ~is_glitch(place, times_secs)
    place = smooth_series(place, times_secs, is_known, _PLACE_WINDOW_SECS)
    flat = expression.reshape(len(expression), -1)
    flat = smooth_series(flat, times_secs, is_known, _EXPRESSION_WINDOW_SECS)
    boxes = smooth_series(track.boxes.astype(np.float64), times_secs, is_known, _PLACE_WINDOW_SECS)
    return _put_together(place, flat.reshape(expression.shape)), boxes


def _take_apart(landmarks: Points) -> tuple[_Floats, _Floats]:
    """Return place (T, 4), log scale, angle, centre x, y; and the landmarks in the face's frame (T, K, 2)."""
    transforms = np.stack([source_to_crop(points, HEAD, 1) for points in landmarks]).astype(np.float64)
    centres = np.stack([five_points(points).mean(0) for points in landmarks]).astype(np.float64)
    log_scale = 0.5 * np.log(transforms[:, 0, 0] ** 2 + transforms[:, 1, 0] ** 2)
    angle = np.unwrap(np.arctan2(transforms[:, 1, 0], transforms[:, 0, 0]))
    expression = np.einsum("tij,tkj->tki", transforms[:, :, :2], landmarks - centres[:, None])
    return np.column_stack([log_scale, angle, centres]), expression


def _put_together(place: _Floats, expression: _Floats) -> _Floats:
    scale, angle = np.exp(-place[:, 0]), -place[:, 1]
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([np.stack([a, -b], -1), np.stack([b, a], -1)], -2)  # Tx2x2
    return np.asarray(np.einsum("tij,tkj->tki", linear, expression) + place[:, None, 2:])


def _mix(raw: npt.NDArray[np.float32], smooth: _Floats, strength: float) -> npt.NDArray[np.float32]:
    return np.asarray(raw * (1.0 - strength) + smooth * strength, np.float32)
