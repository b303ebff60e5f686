"""Crops go back to where they were cut, and nothing else changes."""

import numpy as np
import numpy.typing as npt
import pytest

from alignment.warp import warp_crop
from pipeline.paste import paste_face


class RgbCanvas:
    """A plain float picture that can be pasted into."""

    def __init__(self, pixels: npt.NDArray[np.float32]) -> None:
        self.pixels = pixels

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]

    def paste_rgb(self, x0: int, y0: int, rgb: npt.NDArray[np.float32], mask: npt.NDArray[np.float32]) -> None:
        part = self.pixels[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]]
        part += (rgb - part) * mask[..., None]


def gradient() -> npt.NDArray[np.float32]:
    y, x = np.mgrid[0:120, 0:160].astype(np.float32)
    return np.stack([x, y, (x + y) / 2], axis=-1)


def similarity(scale: float, degrees: float, at: tuple[float, float], size: int) -> npt.NDArray[np.float32]:
    a, b = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    linear = np.array([[a, -b], [b, a]])
    shift = np.array([(size - 1) / 2] * 2) - linear @ np.array(at)
    return np.concatenate([linear, shift[:, None]], axis=1).astype(np.float32)


def disc(size: int) -> npt.NDArray[np.float32]:
    y, x = np.mgrid[0:size, 0:size] - (size - 1) / 2
    return np.clip(size * 0.4 - np.hypot(x, y), 0, 1).astype(np.float32)


@pytest.mark.parametrize(("scale", "degrees"), [(1.0, 0), (0.6, 25), (1.7, -40), (3.3, 90), (5.5, 0)])
def test_a_crop_pasted_back_where_it_was_cut_changes_nothing_visible(scale: float, degrees: float) -> None:
    picture, transform = gradient(), similarity(scale, degrees, (80, 60), 64)
    canvas = RgbCanvas(picture.copy())
    paste_face(canvas, warp_crop(picture, transform, 64), disc(64), transform)
    assert np.abs(canvas.pixels - picture).max() < 0.15


def test_only_pixels_under_the_mask_change() -> None:
    canvas = RgbCanvas(gradient())
    region = paste_face(canvas, np.full((64, 64, 3), 255, np.float32), disc(64), similarity(1.0, 10, (80, 60), 64))
    assert region is not None
    changed = (canvas.pixels != gradient()).any(axis=-1)
    inside = np.zeros_like(changed)
    inside[region.y0 : region.y0 + region.mask.shape[0], region.x0 : region.x0 + region.mask.shape[1]] = region.mask > 0
    assert changed.any()
    assert not (changed & ~inside).any()


@pytest.mark.parametrize("at", [(0, 0), (159, 60), (-20, 50)])
def test_a_face_at_the_edge_is_cut_off_there(at: tuple[float, float]) -> None:
    canvas = RgbCanvas(gradient())
    assert paste_face(canvas, np.full((64, 64, 3), 255, np.float32), disc(64), similarity(1.0, 0, at, 64)) is not None


def test_a_face_outside_the_frame_is_left_out() -> None:
    canvas = RgbCanvas(gradient())
    transform = similarity(1.0, 0, (-90, 50), 64)
    assert paste_face(canvas, np.full((64, 64, 3), 255, np.float32), disc(64), transform) is None
    assert (canvas.pixels == gradient()).all()


def test_an_empty_mask_pastes_nothing() -> None:
    canvas = RgbCanvas(gradient())
    empty = np.zeros((64, 64), np.float32)
    assert paste_face(canvas, np.zeros((64, 64, 3), np.float32), empty, similarity(1, 0, (80, 60), 64)) is None
