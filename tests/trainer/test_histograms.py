"""A matched picture has the histogram of its partner: the reference's numbers, and what they mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage.data import astronaut, coffee
from skimage.exposure import match_histograms

from tests.oracle import Fixture, fixture_names
from trainer.histograms import match_channels, match_histogram

FACE = np.ascontiguousarray(astronaut()[:128, 160:288])
CUP = np.ascontiguousarray(coffee()[100:260, 100:300])


def cases(name: str) -> list[dict[str, Any]]:
    return list(Fixture(name).meta["cases"])


@pytest.mark.parametrize("name", fixture_names("histogram"))
def test_the_reference_is_met_to_the_bit(name: str) -> None:
    tensors = {key: value.numpy() for key, value in Fixture(name).tensors.items()}
    for case in cases(name):
        mode, ratio, prefix = case["mode"], case["ratio"], case["prefix"]
        for own, other, matched, final in (("b", "a", "b_to_a", "sample_b2a_1"), ("a", "b", "a_to_b", "sample_a2b_0")):
            key = "in.rgb_" if mode == "rgb" else f"{mode}.converted_"
            got = match_channels(tensors[key + own], tensors[key + other], ratio)
            assert np.array_equal(got, tensors[f"{prefix}.{matched}"]), (prefix, matched)
            whole = match_histogram(tensors[f"in.rgb_{own}"], tensors[f"in.rgb_{other}"], space=mode, ratio=ratio)
            want = tensors[f"{prefix}.{matched if mode == 'rgb' else final}"]
            assert np.array_equal(whole, want), (prefix, final)


def test_it_is_scikit_images_matching_but_for_two_levels() -> None:
    got, theirs = match_histogram(FACE, CUP), match_histograms(FACE, CUP, channel_axis=-1)
    assert np.abs(got.astype(int) - theirs).max() <= 2


@pytest.mark.parametrize("space", ["rgb", "hsv", "hsl"])
def test_a_ratio_between_moves_the_picture_part_of_the_way(space: str) -> None:
    distances = [
        abs(float(match_histogram(FACE, CUP, space=space, ratio=ratio).mean()) - float(CUP.mean()))
        for ratio in (0.0, 0.5, 1.0)
    ]
    assert distances[0] > distances[1] + 1 > distances[2] + 1


def test_ratio_0_and_a_partner_like_oneself_change_nothing() -> None:
    assert np.array_equal(match_histogram(FACE, CUP, ratio=0.0), FACE)
    assert np.array_equal(match_histogram(FACE, FACE), FACE)


def test_one_coloured_pictures_can_be_matched() -> None:
    black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    assert np.array_equal(match_histogram(black, white), white)
    assert np.array_equal(match_histogram(white, black), black)
