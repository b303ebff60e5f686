"""A restyled crop fits into its surroundings: room for the outline, no jump of tone."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from pipeline.blending import calm_backdrop, fit_in, match_surroundings, widen

SIDE = 128


def disc(radius: float, soft_px: float = 6.0) -> npt.NDArray[np.float32]:
    y, x = np.mgrid[0:SIDE, 0:SIDE] - (SIDE - 1) / 2
    return np.clip((radius - np.hypot(x, y)) / soft_px + 0.5, 0, 1).astype(np.float32)


def test_a_calmed_backdrop_keeps_its_light_and_loses_its_colour_while_the_head_keeps_both() -> None:
    crop = np.full((SIDE, SIDE, 3), (230, 140, 30), np.uint8)
    calm = calm_backdrop(crop, disc(36))
    assert (calm[SIDE // 2, SIDE // 2] == crop[0, 0]).all()
    corner, before = calm[2, 2].astype(int), crop[2, 2].astype(int)
    assert np.ptp(corner) < 0.15 * np.ptp(before)
    assert abs(corner @ [0.299, 0.587, 0.114] - before @ [0.299, 0.587, 0.114]) < 2


def test_the_paste_mask_holds_the_head_and_a_soft_rim_around_it() -> None:
    head = disc(36)
    mask = widen(head)
    assert (mask >= head - 1e-6).all()
    assert mask[SIDE // 2, SIDE // 2 + 42] > 0.3
    assert mask[SIDE // 2, SIDE // 2 + 60] < 0.05
    assert np.abs(np.diff(mask, axis=1)).max() < 0.3


def test_nothing_reaches_the_crops_border_even_where_the_head_does() -> None:
    mask = widen(disc(70))
    assert not mask[[0, -1]].any()
    assert not mask[:, [0, -1]].any()


def test_an_empty_head_stays_empty() -> None:
    assert not widen(np.zeros((SIDE, SIDE), np.float32)).any()


def test_outside_the_head_the_sources_tone_returns_and_inside_the_style_stays() -> None:
    source = np.full((SIDE, SIDE, 3), (200, 120, 60), np.uint8)
    styled = np.full((SIDE, SIDE, 3), (150, 150, 150), np.float32)
    matched = match_surroundings(styled, source, disc(36))
    assert np.abs(matched[4, 4] - source[4, 4]).max() < 2
    assert np.abs(matched[SIDE // 2, SIDE // 2] - 150).max() < 2


def test_lines_outside_the_head_stay() -> None:
    source = np.full((SIDE, SIDE, 3), 200, np.uint8)
    styled = np.full((SIDE, SIDE, 3), 150, np.float32)
    cv2.circle(styled, (SIDE // 2, SIDE // 2), 44, (20, 20, 20), 2)
    matched = match_surroundings(styled, source, disc(36))
    assert matched[SIDE // 2, SIDE // 2 + 44].max() < matched[SIDE // 2, SIDE // 2 + 54].min() - 80


@pytest.mark.parametrize("change", [1, -1])
def test_a_small_change_of_the_head_changes_the_result_a_little_only(change: int) -> None:
    rng = np.random.default_rng(0)
    source = cv2.GaussianBlur(rng.integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8), (0, 0), 3)
    styled = 255 - source.astype(np.float32)
    one, two = (fit_in(styled, source, disc(36 + d)) for d in (0, 0.2 * change))
    assert np.abs(one[1] - two[1]).max() < 0.05
    assert np.abs(one[0] - two[0]).max() < 8
