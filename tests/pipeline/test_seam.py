"""The seam excess tells a visible border of a mask from one that cannot be seen."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from pipeline.seam import seam_excess


def disc(radius: float, side: int = 200, soft_px: float = 4.0) -> npt.NDArray[np.float32]:
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
    return np.clip((radius - np.hypot(x, y)) / soft_px + 0.5, 0, 1).astype(np.float32)


def textured(side: int = 200) -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(128, 200, (side, side)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 4), 0, 255).astype(np.uint8)


def test_an_unchanged_picture_has_no_seam() -> None:
    assert seam_excess(textured(), textured(), disc(60)) == 0.0


def test_a_step_at_the_border_is_an_excess_in_grey_levels_per_pixel_and_a_soft_one_is_less() -> None:
    flat = np.full((200, 200), 100, np.uint8)
    sharp, gentle = (
        seam_excess(flat, np.asarray(flat + 60 * disc(60, soft_px=s), np.uint8), disc(60, soft_px=s)) for s in (4, 20)
    )
    assert 8 < sharp < 15
    assert 2 < gentle < 4


def test_a_border_along_an_edge_that_was_there_before_is_no_seam() -> None:
    edge = np.asarray(100 + 60 * disc(60), np.uint8)
    assert abs(seam_excess(edge, edge + 20, disc(60))) < 0.1


def test_an_edge_that_was_smoothed_away_is_negative() -> None:
    edge = np.asarray(100 + 60 * disc(60), np.uint8)
    assert seam_excess(edge, np.full_like(edge, 100), disc(60)) < -8


def test_colour_pictures_are_measured_by_their_brightness() -> None:
    flat = np.full((200, 200, 3), 100, np.uint8)
    step = np.asarray(flat + 60 * disc(60)[..., None], np.uint8)
    assert seam_excess(flat, step, disc(60)) == pytest.approx(
        seam_excess(flat[..., 0], step[..., 0], disc(60)), abs=0.1
    )


def test_large_faces_are_measured_at_the_size_of_small_ones() -> None:
    source, result, mask = np.full((200, 200), 100, np.uint8), np.asarray(100 + 60 * disc(60), np.uint8), disc(60)
    large = [cv2.resize(of, (1000, 1000)) for of in (source, result, mask)]
    # 200 px against 256 px: the same border, seen a little finer
    assert seam_excess(*large) == pytest.approx(seam_excess(source, result, mask) * 200 / 256, rel=0.2)


def test_a_mask_without_border_gives_zero() -> None:
    assert seam_excess(textured(), textured()[::-1], np.ones((200, 200), np.float32)) == 0.0
