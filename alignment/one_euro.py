"""Steady landmarks as they come, without looking ahead: the One-Euro filter, for live pictures.

Casiez, Roussel and Vogel, "1€ Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems",
CHI 2012: a low-pass filter whose cutoff rises with the speed, so that rest is calm and motion does not lag. All
landmarks of a face share one speed, or their shape would be bent.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .points import Points, eye_distance

MIN_CUTOFF_HZ = 0.8
"""Cutoff at rest: lower is calmer."""
CUTOFF_PER_SPEED = 12.0
"""Rise of the cutoff in Hz per eye distance a second: higher lags less."""
_SPEED_CUTOFF_HZ = 2.0
"""The speed itself is noisy and filtered with this cutoff."""

_Floats = npt.NDArray[np.float64]


class OneEuroFilter:
    """Filters the landmarks of one face; keeps its state from frame to frame."""

    def __init__(self, strength: float = 1.0) -> None:
        """Args: strength: 0 passes landmarks through, 1 filters fully, in between mixes."""
        self._strength = strength
        self._landmarks: _Floats | None = None
        self._velocity: _Floats | None = None
        self._time_secs = 0.0

    def __call__(self, landmarks: Points, time_secs: float) -> Points:
        """Take the landmarks of the next frame.

        Args:
            landmarks: Kx2 float32, pixels; K is the same every time.
            time_secs: when they were seen, later than those before.

        Returns:
            Kx2 float32, steadied.
        """
        now = np.asarray(landmarks, np.float64)
        before, step = self._landmarks, time_secs - self._time_secs
        self._time_secs = time_secs
        if before is None or step <= 0:
            self._landmarks, self._velocity = now, np.zeros_like(now)
            return landmarks
        velocity = (now - before) / step
        old = velocity if self._velocity is None else self._velocity
        self._velocity = old + _share(_SPEED_CUTOFF_HZ, step) * (velocity - old)
        # The mean motion of all landmarks: noise of single ones cancels out in it, a turn or a step does not.
        speed = float(np.linalg.norm(self._velocity.mean(0))) / max(eye_distance(landmarks), 1e-6)
        share = _share(MIN_CUTOFF_HZ + CUTOFF_PER_SPEED * speed, step)
        self._landmarks = before + share * (now - before)
        return np.asarray(now + self._strength * (self._landmarks - now), np.float32)


def _share(cutoff_hz: float, step_secs: float) -> float:
    """Weight of a new value in a first-order low-pass filter."""
    rate = 2 * np.pi * cutoff_hz * step_secs
    return float(rate / (1 + rate))
