"""Resizing to a detector's working scale and back."""

from __future__ import annotations

import numpy as np
import pytest

from alignment.working_scale import MAX_ENLARGEMENT, MAX_WORKING_PIXELS, resize_short_side, to_frame


@pytest.mark.parametrize(("size_wh", "expected_wh"), [((1280, 720), (640, 360)), ((300, 900), (360, 1080))])
def test_the_short_side_gets_the_size_asked_for(size_wh: tuple[int, int], expected_wh: tuple[int, int]) -> None:
    picture, _ = resize_short_side(np.zeros((size_wh[1], size_wh[0], 3), np.uint8), 360)
    assert (picture.shape[1], picture.shape[0]) == expected_wh


def test_a_spot_comes_back_to_where_it_was() -> None:
    frame = np.zeros((480, 700), np.uint8)
    frame[300:320, 400:430] = 255  # centre of mass at (414.5, 309.5)
    picture, scale_xy = resize_short_side(frame, 190)
    ys, xs = np.mgrid[: picture.shape[0], : picture.shape[1]]
    weight = picture.astype(np.float64) / picture.sum(dtype=np.float64)
    spot = to_frame([[(xs * weight).sum(), (ys * weight).sum()]], scale_xy)
    np.testing.assert_allclose(spot, [[414.5, 309.5]], atol=0.05)


def test_tiny_frames_are_enlarged_only_so_far() -> None:
    picture, _ = resize_short_side(np.zeros((8, 10, 3), np.uint8), 360)
    assert picture.shape[:2] == (8 * MAX_ENLARGEMENT, 10 * MAX_ENLARGEMENT)


def test_a_very_long_frame_does_not_fill_the_memory() -> None:
    picture, _ = resize_short_side(np.zeros((4, 60000), np.uint8), 360)
    assert picture.size <= MAX_WORKING_PIXELS * 1.01
