"""The detector's network: where its cells lie and what its numbers mean."""

import copy

import numpy as np
import pytest
import torch

from alignment.spotter_net import STRIDES, SpotterNet, cell_centres

TINY = {"widths": (4, 4, 8, 8, 8), "num_blocks": (0, 1, 1, 1), "joint_width": 8}


def test_every_cell_says_a_score_a_box_and_five_points() -> None:
    output = SpotterNet(**TINY).eval()(torch.zeros(2, 3, 64, 96))  # type: ignore[arg-type]
    num_cells = sum((64 // s) * (96 // s) for s in STRIDES)
    assert output.score_logits.shape == (2, num_cells)
    assert output.boxes.shape == (2, num_cells, 4)
    assert output.points.shape == (2, num_cells, 5, 2)
    assert (output.boxes[..., 2:] > output.boxes[..., :2]).all()


def test_cells_lie_row_by_row_in_the_middle_of_their_pixels() -> None:
    centres, strides = cell_centres(64, 96)
    assert centres[:2].tolist() == [[3.5, 3.5], [11.5, 3.5]]
    assert centres[12].tolist() == [3.5, 11.5]
    assert centres[-1].tolist() == [79.5, 47.5]
    assert (strides[0], strides[-1]) == (8, 32)


def test_a_network_that_says_nothing_means_a_box_of_two_cells_around_each_cell() -> None:
    network = SpotterNet(**TINY).eval()  # type: ignore[arg-type]
    for head in network.heads:
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    output = network(torch.randn(1, 3, 32, 32))
    centres, strides = cell_centres(32, 32)
    np.testing.assert_allclose(output.boxes[0, :, :2].detach(), centres - strides[:, None], atol=1e-5)
    np.testing.assert_allclose(output.points[0, :, 4].detach(), centres, atol=1e-5)


def test_what_is_seen_moves_with_the_picture() -> None:
    # Given a picture and the same one 32 px further right
    torch.manual_seed(0)
    network, picture = SpotterNet(**TINY).eval(), torch.randn(1, 3, 96, 256)  # type: ignore[arg-type]
    with torch.no_grad():
        here, there = network(picture), network(picture.roll(32, dims=3))
    # Then the finest grid's scores and boxes are four cells further right, away from the borders
    rows, columns = 96 // 8, 256 // 8
    a, b = (x.score_logits[0, : rows * columns].reshape(rows, columns)[:, 12:20] for x in (here, there))
    a_boxes, b_boxes = (x.boxes[0, : rows * columns].reshape(rows, columns, 4)[:, 12:20] for x in (here, there))
    np.testing.assert_allclose(a[:, :4], b[:, 4:], atol=1e-4)
    np.testing.assert_allclose(a_boxes[:, :4] + torch.tensor([32, 0, 32, 0]), b_boxes[:, 4:], atol=1e-2)


def test_folding_the_norms_changes_nothing() -> None:
    torch.manual_seed(0)
    network = SpotterNet(**TINY)  # type: ignore[arg-type]
    for _ in range(3):
        network(torch.randn(2, 3, 64, 64))
    network.eval()
    folded, picture = copy.deepcopy(network).fold_norms(), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        np.testing.assert_allclose(network(picture).boxes, folded(picture).boxes, rtol=1e-4, atol=1e-3)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())


def test_the_built_in_network_is_small_enough_to_come_with_the_package() -> None:
    num_parameters = sum(p.numel() for p in SpotterNet().fold_norms().parameters())
    assert 2 * num_parameters == pytest.approx(940_000, rel=0.05)
    assert 2 * num_parameters < 2**20
