"""A picture is cut to a square of the size that was asked for, and nothing more is done to it than that."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import astronaut

from trainer.transforms import CENTRED, Geometry, cut_square, draw_geometry, replace_background, shrink, to_mask

FACE = np.ascontiguousarray(astronaut()[:128, 160:288])
RAMP = np.broadcast_to(np.arange(100, dtype=np.uint8)[None, :, None], (50, 100, 3))
"""50 high, 100 wide: a pixel's value is its column."""


def test_a_square_of_the_size_is_untouched() -> None:
    assert np.array_equal(cut_square(FACE, 128), FACE)


@pytest.mark.parametrize("shape", [(128, 300), (300, 128), (64, 64), (17, 900), (1, 1), (129, 128), (1000, 999)])
def test_every_shape_becomes_a_square(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 77, np.uint8)
    for geometry in (CENTRED, Geometry(1.125, 1.0, 1.0, True), Geometry(1.06, 0.0, 0.3)):
        cut = cut_square(picture, 128, geometry)
        assert cut.shape == (128, 128, 3)
        assert (cut == 77).all()


def test_the_square_is_cut_from_the_middle_unless_chance_moves_it() -> None:
    assert cut_square(RAMP, 50)[0, :, 0].tolist() == list(range(25, 75))
    assert cut_square(RAMP, 50, Geometry(left=0.0))[0, :, 0].tolist() == list(range(50))
    assert cut_square(RAMP, 50, Geometry(left=1.0))[0, :, 0].tolist() == list(range(50, 100))


def test_a_mirror_turns_what_was_cut() -> None:
    assert cut_square(RAMP, 50, Geometry(is_mirrored=True))[0, :, 0].tolist() == list(range(74, 24, -1))


def test_masks_move_with_their_picture() -> None:
    mask = np.where(FACE[..., 0] > 128, np.uint8(255), np.uint8(0))
    geometry = Geometry(1.1, 0.8, 0.1, True)
    stacked = np.dstack([mask, mask, mask])
    assert np.array_equal(cut_square(mask, 96, geometry), cut_square(stacked, 96, geometry)[..., 1])


def test_shrinking_averages() -> None:
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 200).astype(np.uint8)
    assert (cut_square(board, 32) == 100).all()


def test_chances_are_met_in_the_long_run() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_geometry(rng, flip=0.5, crop_chance=0.2) for _ in range(2000)]
    assert 0.46 < np.mean([g.is_mirrored for g in drawn]) < 0.54
    cut = [g for g in drawn if g.scale != 1]
    assert 0.17 < len(cut) / 2000 < 0.23
    assert all(1 < g.scale <= 1.125 and 0 <= g.left <= 1 and 0 <= g.top <= 1 for g in cut)
    assert {(g.scale, g.left, g.top) for g in drawn} - {(g.scale, g.left, g.top) for g in cut} == {(1.0, 0.5, 0.5)}


def test_chance_zero_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    assert {draw_geometry(rng, flip=0.0, crop_chance=0.0) for _ in range(100)} == {CENTRED}


def test_only_larger_pictures_are_shrunk() -> None:
    assert shrink(FACE, 128) is FACE
    assert shrink(RAMP, 25).shape == (25, 50, 3)


def test_the_background_takes_one_colour_and_the_face_stays() -> None:
    face = np.zeros((128, 128), np.uint8)
    face[:, 64:], face[:, 60:64] = 255, 51
    colour = np.array([10, 250, 90], np.uint8)
    replaced = replace_background(FACE, face, colour)
    assert np.array_equal(replaced[:, 64:], FACE[:, 64:])
    assert (replaced[:, :60] == colour).all()
    assert np.abs(replaced[:, 60:64] - (0.2 * FACE[:, 60:64] + 0.8 * colour)).max() <= 0.5001


def test_masks_become_numbers_from_0_to_1() -> None:
    masks = to_mask(np.array([[[0, 51], [204, 255]]] * 2, np.uint8))
    assert masks.shape == (2, 1, 2, 2)
    assert masks[1].flatten().tolist() == pytest.approx([0, 0.2, 0.8, 1])
