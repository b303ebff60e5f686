"""Masks take over a picture's edges where it has some, and stay soft where it has none."""

import cv2
import numpy as np

from pipeline.matting import guided, smoothstep

SIDE = 128


def test_a_blurred_mask_snaps_to_the_edge_of_the_picture() -> None:
    # Given a dark head before a bright wall, and a mask that is soft and lies 2 px beside its edge
    head = np.zeros((SIDE, SIDE), np.float32)
    head[:, :64] = 1
    picture = np.dstack([200 - 150 * head] * 3).astype(np.float32)
    rough = cv2.GaussianBlur(np.roll(head, 2, axis=1), (0, 0), 4)
    # When
    fitted = guided(picture, rough, 8, 12.0)
    # Then it is nearly as steep as the picture's edge and stands there
    assert fitted[64, 60] > 0.85
    assert fitted[64, 67] < 0.3
    assert np.abs(np.diff(fitted[64, 56:72])).max() > 4 * np.abs(np.diff(rough[64, 56:72])).max()


def test_in_a_flat_picture_a_mask_stays_soft() -> None:
    rough = cv2.GaussianBlur((np.indices((SIDE, SIDE))[1] < 64).astype(np.float32), (0, 0), 4)
    fitted = guided(np.full((SIDE, SIDE, 3), 120, np.float32), rough, 8, 12.0)
    assert np.abs(np.diff(fitted, axis=1)).max() < 0.12
    assert np.abs(fitted[:, 60:68] - rough[:, 60:68]).max() < 0.2  # softer still: two means over the window


def test_smoothstep_rises_and_falls() -> None:
    values = np.array([0.0, 0.3, 0.5, 0.7, 1.0], np.float32)
    assert np.allclose(smoothstep(values, 0.3, 0.7), [0, 0, 0.5, 1, 1])
    assert np.allclose(smoothstep(values, 0.7, 0.3), [1, 1, 0.5, 0, 0])
