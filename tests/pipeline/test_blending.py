"""A restyled crop fits into its surroundings: room for the outline, no jump of tone."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from pipeline.blending import BLENDS, calm_backdrop, fit_in
from pipeline.tones import Tones, mean_tones, measure_tones
from pipeline.views import GROUND_SIDE_PX, widen

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


ONE_GROUND = np.ones((GROUND_SIDE_PX, GROUND_SIDE_PX, 1), np.float32)


def fitted(
    styled: npt.NDArray[np.float32], source: npt.NDArray[np.uint8], mask: npt.NDArray[np.float32], blend: str
) -> npt.NDArray[np.float32]:
    tones = measure_tones(styled, source, mask, ONE_GROUND, follows_light=False)
    return fit_in(styled, source, mask, tones, blend)


@pytest.mark.parametrize("blend", ["feather", "multiband"])
def test_outside_the_head_the_sources_tone_returns_and_inside_the_style_stays(blend: str) -> None:
    source = np.full((SIDE, SIDE, 3), (200, 120, 60), np.uint8)
    styled = np.full((SIDE, SIDE, 3), (150, 150, 150), np.float32)
    result = fitted(styled, source, disc(40), blend)
    assert np.abs(result[4, 4] - source[4, 4]).max() < 2
    assert np.abs(result[SIDE // 2, SIDE // 2] - 150).max() < 8


@pytest.mark.parametrize("blend", ["poisson", "multiband"])
def test_a_flat_difference_of_tone_leaves_no_step_at_the_masks_edge(blend: str) -> None:
    source = np.full((SIDE, SIDE, 3), (200, 120, 60), np.uint8)
    styled, mask = np.full((SIDE, SIDE, 3), (150, 150, 150), np.float32), disc(40)
    shown = source + (fitted(styled, source, mask, blend) - source) * mask[..., None]
    steps = np.abs(np.diff(shown, axis=1)).max()
    plain = np.abs(np.diff(source + (styled - source) * mask[..., None], axis=1)).max()
    assert steps < 0.75 * plain


def test_poisson_carries_the_sources_tone_into_the_whole_head() -> None:
    source = np.full((SIDE, SIDE, 3), (200, 120, 60), np.uint8)
    styled = np.full((SIDE, SIDE, 3), (150, 150, 150), np.float32)
    assert np.abs(fitted(styled, source, disc(40), "poisson")[SIDE // 2, SIDE // 2] - (200, 120, 60)).max() < 4


@pytest.mark.parametrize("blend", BLENDS)
def test_lines_under_the_mask_stay(blend: str) -> None:
    source = np.full((SIDE, SIDE, 3), 200, np.uint8)
    styled = np.full((SIDE, SIDE, 3), 150, np.float32)
    cv2.circle(styled, (SIDE // 2, SIDE // 2), 34, (20, 20, 20), 2)
    result = fitted(styled, source, disc(40), blend)
    assert result[SIDE // 2, SIDE // 2 + 34].max() < result[SIDE // 2, SIDE // 2 + 26].min() - 60


def test_materials_do_not_shine_into_each_other() -> None:
    # Given skin on the left and a wall on the right, with the wall much darker in the style than it was filmed
    ground = np.zeros((GROUND_SIDE_PX, GROUND_SIDE_PX, 2), np.float32)
    ground[:, :32, 0] = ground[:, 32:, 1] = 1
    source = np.full((SIDE, SIDE, 3), 120, np.uint8)
    styled = np.full((SIDE, SIDE, 3), 120, np.float32)
    styled[:, 64:] = 20
    shift = measure_tones(styled, source, np.zeros((SIDE, SIDE), np.float32), ground).shift
    assert np.abs(shift[:, :31]).max() < 2
    assert np.abs(shift[:, 33:] - 100).max() < 3


def test_a_dim_warm_scene_dims_and_warms_the_drawn_face_partly_and_a_plain_one_leaves_it_alone() -> None:
    styled, mask = np.full((SIDE, SIDE, 3), 180, np.float32), np.ones((SIDE, SIDE), np.float32)
    dim = measure_tones(styled, np.full((SIDE, SIDE, 3), (90, 60, 40), np.uint8), mask, ONE_GROUND).gain
    plain = measure_tones(styled, np.full((SIDE, SIDE, 3), (170, 165, 162), np.uint8), mask, ONE_GROUND).gain
    assert 0.6 < dim[0] < 0.95
    assert dim[0] > dim[1] > dim[2]
    assert np.abs(plain - 1).max() < 0.02


def test_tones_are_averaged_over_time() -> None:
    one, two = (Tones(np.full(3, g, np.float32), np.full((64, 64, 3), s, np.float32)) for g, s in ((0.8, 2), (1.0, 4)))
    mean = mean_tones([one, two])
    assert np.allclose(mean.gain, 0.9)
    assert (mean.shift == 3).all()


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("change", [1, -1])
def test_a_small_change_of_the_head_changes_the_result_a_little_only(change: int, blend: str) -> None:
    rng = np.random.default_rng(0)
    source = cv2.GaussianBlur(rng.integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8), (0, 0), 3)
    styled = 255 - source.astype(np.float32)
    one, two = (fitted(styled, source, disc(36 + d), blend) for d in (0, 0.2 * change))
    assert np.abs(one - two).max() < 8
