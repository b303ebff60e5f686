"""The One-Euro filter: calm at rest, quick in motion, the shape of a face as it is."""

import numpy as np
import pytest

from alignment.one_euro import OneEuroFilter
from alignment.points import Points

FACE = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)
"""Five points; the eyes are 40 px apart."""
FPS = 30


def filtered(path_xy: np.ndarray, noise_px: float = 0.0, strength: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """True and filtered (T, 5, 2) landmarks of a face on a path."""
    random = np.random.default_rng(0)
    true = FACE + path_xy[:, None]
    seen = (true + random.normal(0, noise_px, true.shape)).astype(np.float32)
    steady = OneEuroFilter(strength)
    return true, np.stack([steady(points, i / FPS) for i, points in enumerate(seen)])


def unrest(landmarks: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.diff(landmarks, 2, axis=0) ** 2)))


def test_a_face_at_rest_is_calmed_to_a_third_of_its_noise() -> None:
    still = np.zeros((120, 2))
    _, raw = filtered(still, 0.4, strength=0.0)
    _, steady = filtered(still, 0.4)
    assert unrest(steady[10:]) < unrest(raw[10:]) / 3


@pytest.mark.parametrize("speed", [40.0, 200.0, 400.0])
def test_a_face_in_motion_lags_less_than_a_frame_and_a_half_behind(speed: float) -> None:
    path = np.outer(np.arange(60) / FPS * speed, [1.0, 0.0])  # 1 to 10 eye distances a second
    true, steady = filtered(path)
    lag_px = (true - steady)[30:, :, 0].mean()
    assert 0 <= lag_px < 1.5 * speed / FPS


def test_motion_bends_no_face() -> None:
    path = np.cumsum(np.random.default_rng(1).normal(0, 3, (60, 2)), axis=0)
    _, steady = filtered(path)
    shape = steady - steady.mean(1, keepdims=True)
    np.testing.assert_allclose(shape, np.broadcast_to(FACE - FACE.mean(0), shape.shape), atol=1e-3)


def test_strength_zero_passes_landmarks_through() -> None:
    true, steady = filtered(np.random.default_rng(2).normal(0, 3, (20, 2)), strength=0.0)
    np.testing.assert_allclose(steady, true, atol=1e-4)


def test_a_stamp_that_does_not_advance_starts_anew() -> None:
    steady = OneEuroFilter()
    steady(FACE, 1.0)
    moved: Points = FACE + np.float32(50)
    np.testing.assert_array_equal(steady(moved, 1.0), moved)
