"""scikit-image's astronaut as a sitter of the drawn styles, with labels made up from ellipses."""

from __future__ import annotations

import cv2
import numpy as np
from skimage.data import astronaut

from alignment.points import MESH, MESH_INDICES
from trainer.recipes import drawn_data as data

EYES = {"right": (207.0, 111.0), "left": (247.0, 111.0)}  # the astronaut's, in her picture


def ring(centre: tuple[float, float], width: float, height: float, count: int, start_deg: float = 180) -> np.ndarray:
    """Points around an ellipse, upper half first when it starts at the left."""
    angle = np.deg2rad(start_deg + np.linspace(0, 360, count, endpoint=False))
    return np.stack([centre[0] + width * np.cos(angle), centre[1] + height * np.sin(angle)], axis=1)


def fake_landmarks(openness: float = 1.0) -> np.ndarray:
    """152 landmarks that fit the astronaut roughly; `openness` scales the height of her eyes."""
    points = np.zeros((len(MESH_INDICES), 2), np.float32)
    points[MESH["outline"]] = ring((227, 120), 50, 72, 36, start_deg=-90)
    for side, centre in EYES.items():
        eye = ring(centre, 10, 4.5 * openness, 16)
        points[MESH[f"{side}_eye"]] = eye if side == "right" else eye * [-1, 1] + [2 * centre[0], 0]
        points[MESH[f"{side}_iris"]] = np.concatenate([[centre], ring(centre, 4, 4, 4)])
        brow = np.linspace(-14, 14, 5) * (1 if side == "right" else -1)
        upper = np.stack([centre[0] + brow, np.full(5, centre[1] - 15)], axis=1)
        points[MESH[f"{side}_brow"]] = np.concatenate([upper, upper[::-1] + np.array([0, 4])])
    ridge = np.stack([np.full(7, 227), np.linspace(108, 140, 7)], axis=1)
    base = np.stack([np.linspace(219, 235, 5), np.full(5, 146)], axis=1)
    points[MESH["nose"]] = np.concatenate([ridge, [[217, 142]], base, [[237, 142]]])
    points[MESH["lips_outer"]] = ring((227, 163), 20, 8, 20)
    points[MESH["lips_inner"]] = ring((227, 163), 17, 4, 20)
    return points


def fake_labels() -> np.ndarray:
    """Part labels: clothes, hair, neck, face, lips as ellipses one over the other."""
    parts = np.zeros((512, 512), np.uint8)
    for centre, axes, part in (
        ((240, 460), (200, 220), 16),
        ((227, 100), (75, 90), 17),
        ((227, 200), (34, 60), 14),
        ((227, 125), (50, 70), 1),
        ((227, 163), (20, 8), 12),
    ):
        cv2.ellipse(parts, centre, axes, 0, 0, 360, (part,), -1)
    return parts


def fake_sitter(openness: float = 1.0, picture: np.ndarray | None = None) -> data.Sitter:
    """The astronaut, or another picture with her labels."""
    parts, seen = fake_labels(), astronaut() if picture is None else picture
    return data.align_sitter(seen, parts, (parts > 0).astype(np.float32), fake_landmarks(openness))
