"""Faces the pictures do not show: heads turned further, mouths opened or shut further, eyes narrowed.

A smooth bend of the picture in the face's own upright region, which takes its landmarks along exactly. A bend shows
no new skin: the far cheek of a turned head stays visible, so small turns only.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import MESH, Points

_Floats = npt.NDArray[np.float64]

_GRID = 32
"""Nodes along a side at which a bend is worked out; between them it is smooth enough to interpolate."""
_INVERSE_ROUNDS = 8
"""Rounds of the fixed point that inverts a bend: all slopes stay below 0.8, so a hundredth of a pixel is left."""
_FACE_SHARE = 0.5 / 1.5
"""Half the longer side of a face's landmarks, over the side of its own region."""


@dataclass(frozen=True)
class Bend:
    """A smooth displacement of an upright face, in pixels of its own region."""

    centre: Points
    """(2,) what a turn turns about: where the face's bulge is highest, about the nose."""
    unit_px: float
    """Half the longer side of the face."""
    turn_rad: tuple[float, float] = (0.0, 0.0)
    """Yaw (positive moves the nose to larger x) and pitch (positive moves it down)."""
    mouth: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Centre x, y of the mouth's opening and its height; in pixels."""
    mouth_gain: float = 0.0
    """How much the mouth's opening grows, in its heights; below 0 shuts it."""
    eyes: tuple[tuple[float, float, float], ...] = ()
    """Centre x, y and half width of each eye, in pixels."""
    eye_squeeze: float = 0.0
    """Share by which the eyes' opening shrinks; below 0 opens them."""

    def shift(self, points: _Floats) -> _Floats:
        """How far each point (..., 2) of the region moves, in pixels."""
        unit = (points - self.centre) / self.unit_px
        yaw, pitch = self.turn_rad
        bulge = 0.8 * np.exp(-(unit[..., 0] ** 2 + 0.6 * unit[..., 1] ** 2) / 0.72)
        moved = np.stack(
            [
                np.sin(yaw) * bulge - (1 - np.cos(yaw)) * unit[..., 0],
                np.sin(pitch) * bulge - (1 - np.cos(pitch)) * unit[..., 1],
            ],
            -1,
        )
        moved *= self.unit_px
        if self.mouth_gain:
            moved[..., 1] += self._mouth_shift(points)
        if self.eye_squeeze:
            moved[..., 1] += sum(self._eye_shift(points, *eye) for eye in self.eyes)
        return np.asarray(moved)

    def _mouth_shift(self, points: _Floats) -> _Floats:
        x, y, height = self.mouth
        below = 0.5 * (1 + np.tanh((points[..., 1] - y) / (0.6 * height)))
        beside = (points[..., 0] - x) / self.unit_px
        return np.asarray(self.mouth_gain * height * below * np.exp(-(beside**2) / 0.4))

    def _eye_shift(self, points: _Floats, x: float, y: float, half_width: float) -> _Floats:
        across, down = (points[..., 0] - x) / half_width, (points[..., 1] - y) / half_width
        return np.asarray(-self.eye_squeeze * half_width * down * np.exp(-(across**2) / 2 - down**2))

    def unshift(self, points: _Floats) -> _Floats:
        """How far each point (..., 2) of the bent region lies from where it was before, in pixels."""
        shift = self.shift(points)
        for _ in range(_INVERSE_ROUNDS):
            shift = self.shift(points - shift)
        return shift


def draw_bend(landmarks: Points, size_px: int, rng: np.random.Generator) -> Bend:
    """Draw a bend for an upright face.

    Args:
        landmarks: 152x2 in pixels of the face's own region (`roi_from_landmarks`) of `size_px`.
        size_px: side of that region.
        rng: dice.
    """
    chances = rng.random(4)
    yaw = np.clip(rng.normal(0, 0.25), -0.5, 0.5) if chances[0] < 0.7 else 0.0
    pitch = np.clip(rng.normal(0, 0.15), -0.3, 0.3) if chances[1] < 0.5 else 0.0
    lips = landmarks[MESH["lips_inner"]]
    height = float(np.linalg.norm(lips[15] - lips[5]))
    middle = (lips[15] + lips[5]) / 2
    is_open = height > 0.06 * size_px * _FACE_SHARE * 2
    return Bend(
        centre=np.asarray(landmarks[MESH["nose"]].mean(0), np.float32),
        unit_px=size_px * _FACE_SHARE,
        turn_rad=(float(yaw), float(pitch)),
        mouth=(float(middle[0]), float(middle[1]), height),
        mouth_gain=float(rng.uniform(-0.5, 0.7)) if is_open and chances[2] < 0.7 else 0.0,
        eyes=tuple(_eye(landmarks[MESH[name]]) for name in ("right_eye", "left_eye")),
        eye_squeeze=float(rng.uniform(-0.25, 0.5)) if chances[3] < 0.4 else 0.0,
    )


def _eye(contour: Points) -> tuple[float, float, float]:
    x, y = contour.mean(0)
    return float(x), float(y), max(float(np.ptp(contour, axis=0).max()) / 2, 1.0)


def bend_maps(bend: Bend, region_to_own: _Floats, own_to_source: _Floats, size_px: int) -> tuple[Points, Points]:
    """Maps for `cv2.remap` that cut a region out of a picture and bend the face in it.

    Args:
        bend: of the face in its own region.
        region_to_own: 2x3 from the region to cut to the face's own.
        own_to_source: 2x3 from the face's own region to the picture.
        size_px: side of both.

    Returns:
        x and y in the picture for every pixel of the region, float32 SxS.
    """
    nodes = (np.arange(_GRID, dtype=np.float64) + 0.5) * (size_px / _GRID) - 0.5
    pixels = np.arange(size_px, dtype=np.float64)
    coarse = bend.unshift(_map_grid(region_to_own, nodes)) @ own_to_source[:, :2].T
    back = cv2.resize(coarse.astype(np.float32), (size_px, size_px), interpolation=cv2.INTER_LINEAR)
    whole = own_to_source[:, :2] @ region_to_own
    whole[:, 2] += own_to_source[:, 2]
    maps = _map_grid(whole, pixels).astype(np.float32) - back
    return np.ascontiguousarray(maps[..., 0]), np.ascontiguousarray(maps[..., 1])


def _map_grid(transform: _Floats, places: _Floats) -> _Floats:
    """Map the square grid of `places` x `places` (rows are y) by a 2x3 transform."""
    xs, ys = transform[:, 0] * places[None, :, None], transform[:, 1] * places[:, None, None]
    return np.asarray(xs + ys + transform[:, 2])
