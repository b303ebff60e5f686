"""A face's own axes and size in its crop, and the area that its outline encloses. Looks at landmarks only."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from alignment.errors import LandmarkSetError
from alignment.points import Points, five_points, outline

Floats = npt.NDArray[np.float32]

_CHIN_DROP = 0.75
"""Where there is no outline the chin is taken to lie so many eye-to-mouth lengths below the mouth."""


@dataclass(frozen=True)
class FaceGeometry:
    """Where a face lies in its crop; pixels of the crop."""

    polygon: Points
    """Nx2, the face without hair."""
    eyes: Points
    """(2,) the middle between the eyes."""
    down: Points
    """(2,) unit vector from the eyes to the mouth."""
    length_px: float
    """From the eyes to the chin along `down`."""
    eye_distance_px: float
    """Between the eyes; for a profile no less than a share of `length_px`."""

    def area(self, side: int, size_px: int) -> Floats:
        """Fill the face: side x side float32 in {0, 1}, for a crop of size_px."""
        scale = side / size_px
        corners = np.rint(((self.polygon + 0.5) * scale - 0.5) * 16).astype(np.int32)
        filled = np.zeros((side, side), np.uint8)
        cv2.fillPoly(filled, [corners], 1, cv2.LINE_8, 4)
        return filled.astype(np.float32)

    def below_chin(self, side: int, size_px: int) -> Floats:
        """How far each pixel of a side x side picture lies below the chin, in face lengths (negative above it)."""
        axis = (np.arange(side, dtype=np.float32) + np.float32(0.5)) * np.float32(size_px / side) - np.float32(0.5)
        drop = axis[None, :] * self.down[0] + axis[:, None] * self.down[1] - np.float32(self.eyes @ self.down)
        return np.asarray(drop / np.float32(self.length_px) - 1, np.float32)


def face_geometry(landmarks: Points) -> FaceGeometry:
    """Find a face's axes.

    Args:
        landmarks: Kx2 float32, pixels of the crop, K in {5, 68, 152}.
    """
    five = five_points(landmarks)
    eyes, mouth = five[:2].mean(axis=0), five[3:].mean(axis=0)
    across, drop = five[1] - five[0], mouth - eyes
    # The two lines vote with their lengths, so that a profile stands as firm as a frontal face.
    down = drop + np.array([-across[1], across[0]], np.float32)
    down = np.asarray(down / max(float(np.linalg.norm(down)), 1e-6), np.float32)
    polygon = _polygon(landmarks, five, down)
    length = max(float(((polygon - eyes) @ down).max()), 1.0)
    return FaceGeometry(polygon, eyes, down, length, max(float(np.linalg.norm(across)), 0.4 * length))


def _polygon(landmarks: Points, five: Points, down: Points) -> Points:
    try:
        return outline(landmarks)
    except LandmarkSetError:
        eyes, mouth = five[:2].mean(axis=0), five[3:].mean(axis=0)
        length = max(float((mouth - eyes) @ down), 1.0)
        centre, right = eyes + down * length * 0.5, np.array([down[1], -down[0]], np.float32)
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)[:, None]
        half_height = (0.5 + _CHIN_DROP) * length
        return np.asarray(centre + np.cos(turn) * down * half_height + np.sin(turn) * right * length, np.float32)
