"""Broken crops are told from good ones."""

import numpy as np

from pipeline.guard import is_blank, is_outlier

SOURCE = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)


def test_a_blank_crop_of_a_real_face_is_noticed() -> None:
    assert is_blank(np.full((64, 64, 3), 90, np.uint8), SOURCE)
    assert not is_blank(255 - SOURCE, SOURCE)


def test_a_blank_crop_of_a_black_frame_is_no_fault() -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    assert not is_blank(black, black)


def test_a_sudden_change_of_tone_without_cause_is_an_outlier() -> None:
    styled = dict.fromkeys(range(5), SOURCE // 2) | {2: SOURCE // 2 + 120}
    assert is_outlier(dict.fromkeys(range(5), SOURCE), styled, 2)
    assert not is_outlier(dict.fromkeys(range(5), SOURCE), styled, 1)


def test_a_change_that_the_source_explains_is_none() -> None:
    lit = dict.fromkeys(range(5), SOURCE // 2) | {2: SOURCE // 2 + 120}
    assert not is_outlier(lit, lit, 2)


def test_two_crops_are_too_few_for_a_verdict() -> None:
    assert not is_outlier({0: SOURCE, 1: SOURCE}, {0: SOURCE // 4, 1: SOURCE // 4 + 180}, 1)
