"""Edges are blurred, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracle import Fixture, fixture_names
from trainer.edge_blur import edge_blur


@pytest.mark.parametrize("name", fixture_names("edge_blur"))
def test_the_reference_is_met_but_for_rounding(name: str) -> None:
    tensors = {key: value.numpy() for key, value in Fixture(name).tensors.items()}
    got, want = edge_blur(tensors["in.bgr"], tensors["in.gray"]), tensors["out.bgr"]
    is_edge = tensors["dilated"] > 0
    assert 0.1 < is_edge.mean() < 0.9
    assert np.array_equal(got[~is_edge], want[~is_edge])
    difference = got[is_edge].astype(int) - want[is_edge]  # theirs are truncated, ours rounded
    assert (difference.min(), difference.max()) == (0, 1)


def test_only_what_is_near_an_edge_changes() -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:, 20:] = (255, 200, 180)
    blurred = edge_blur(picture)
    changed = np.flatnonzero((blurred != picture).any(axis=(0, 2)))
    assert changed.tolist() == [18, 19, 20, 21]
    assert 0 < blurred[5, 19, 0] < blurred[5, 20, 0] < 255


def test_a_picture_without_edges_stays() -> None:
    picture = np.full((40, 40, 3), 90, np.uint8)
    assert np.array_equal(edge_blur(picture), picture)
