"""Winograd's convolution gives what the plain one gives, for maps of any size."""

import pytest
import torch

from model.blocks import PaddedConv
from model.winograd import WinogradConv, tiled_order


def rows_of(x):
    return x[0].permute(1, 2, 0).reshape(-1, x.shape[1])


@pytest.mark.parametrize("size_hw", [(64, 64), (8, 12), (4, 4), (5, 7), (9, 8), (2, 2), (3, 6), (45, 80)])
def test_it_gives_what_the_padded_convolution_gives(size_hw):
    torch.manual_seed(0)
    conv, x = PaddedConv(8, 12, 3, bias=False), torch.randn(1, 8, *size_hw)
    order = tiled_order(*size_hw)
    with torch.no_grad():
        given = order.to_pixels(WinogradConv(conv)(order.to_rows(rows_of(x)), order))
        assert (given - rows_of(conv(x))).abs().max() < 5e-6


@pytest.mark.parametrize("size_hw", [(8, 12), (5, 7)])
def test_an_order_can_be_undone(size_hw):
    pixels = torch.arange(size_hw[0] * size_hw[1] * 2).reshape(-1, 2)
    order = tiled_order(*size_hw)
    assert torch.equal(order.to_pixels(order.to_rows(pixels)), pixels)
    assert torch.equal(order.to_rows(pixels), pixels) == (size_hw == (5, 7))


def test_a_constant_map_stays_as_exact_as_in_the_plain_convolution():
    conv, x = PaddedConv(4, 4, 3, bias=False), torch.full((1, 4, 8, 8), 100.0)
    order = tiled_order(8, 8)
    with torch.no_grad():
        given = order.to_pixels(WinogradConv(conv)(order.to_rows(rows_of(x)), order))
        torch.testing.assert_close(given, rows_of(conv(x)), rtol=1e-5, atol=1e-4)
