"""3x3 convolutions with a quarter of the multiplications: Winograd's F(4x4, 3x3) behind reflection padding.

A tile of 6x6 input values becomes 36 products and these 4x4 outputs; across channels the products are matrix
multiplications, which BLAS and OpenVINO do at full speed. Exact but for rounding, about seven times that of a plain
convolution, which float32 affords and smaller types do not. Maps are rows: one pixel each, channels along it. Lavin and
Gray, arXiv:1509.09308.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .blocks import PaddedConv

TILE = 4
"""Side of the tile of outputs."""

_KERNEL = 3
_WINDOW = TILE + _KERNEL - 1
# These points round less than half as much as the usual 0, 1, -1, 2, -2 (and infinity).
_POINTS = (Fraction(0), Fraction(2, 3), Fraction(-2, 3), Fraction(3, 2), Fraction(-3, 2))

Matrix = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class TiledOrder:
    """In which order the pixels of a map of some size are kept, and where windows find them.

    Where the sides are multiples of `TILE`, pixels are kept as the convolution gives them: all of the first place of
    the tiles, then all of the second. Otherwise row by row.

    Args:
        height: of the map.
        width: of the map.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.num_tiles = -(-height // TILE) * -(-width // TILE)
        is_tiled = height % TILE == 0 and width % TILE == 0
        places = _places(height, width)
        self.of_pixels = torch.from_numpy(places)  # HW: where each pixel comes out of the convolution
        self.of_rows = (
            torch.from_numpy(np.argsort(places)) if is_tiled else None
        )  # which pixel each row is, if not in order
        windows = _windows(height, width)
        self.of_windows = torch.from_numpy(places[windows] if is_tiled else windows)  # rows of all windows, 36T
        self.is_tiled = is_tiled

    def to_rows(self, pixels: Tensor) -> Tensor:
        """(HW)C, row by row of the map -> (HW)C in this order."""
        return pixels if self.of_rows is None else torch.index_select(pixels, 0, self.of_rows)

    def to_pixels(self, rows: Tensor) -> Tensor:
        """The reverse."""
        return torch.index_select(rows, 0, self.of_pixels) if self.is_tiled else rows


@cache
def tiled_order(height: int, width: int) -> TiledOrder:
    """The order of a size, made once."""
    return TiledOrder(height, width)


class WinogradConv(nn.Module):
    """The convolution of a 3x3 `PaddedConv` without its bias, on one map of rows."""

    def __init__(self, conv: PaddedConv) -> None:
        super().__init__()
        outputs, weights, inputs = _matrices()
        kernel = conv.weight.detach().double().permute(2, 3, 1, 0)  # K K I O
        spread = torch.from_numpy(np.kron(weights, weights)) @ kernel.reshape(_KERNEL**2, -1)
        self.weight: Tensor
        self.to_products: Tensor
        self.to_outputs: Tensor
        self.register_buffer("weight", spread.reshape(_WINDOW**2, *kernel.shape[2:]).float())  # 36 I O
        self.register_buffer("to_products", torch.from_numpy(np.kron(inputs, inputs)).float())  # 36 36
        self.register_buffer("to_outputs", torch.from_numpy(np.kron(outputs, outputs)).float())  # 16 36

    def forward(self, rows: Tensor, order: TiledOrder) -> Tensor:
        """(HW)I -> (HW)O, both in `order`."""
        num_products, num_inputs, num_outputs = self.weight.shape
        windows = torch.index_select(rows, 0, order.of_windows).reshape(num_products, -1)
        spread = (self.to_products @ windows).reshape(num_products, order.num_tiles, num_inputs)
        products = torch.bmm(spread, self.weight).reshape(num_products, -1)
        tiled = (self.to_outputs @ products).reshape(-1, num_outputs)
        return tiled if order.is_tiled else torch.index_select(tiled, 0, order.of_pixels)


def _places(height: int, width: int) -> Indices:
    """HW: the row of each pixel among the convolution's outputs (place in the tile, then tile)."""
    y, x = np.divmod(np.arange(height * width), width)
    tiles_wide, tiles_high = -(-width // TILE), -(-height // TILE)
    places: Indices = ((y % TILE * TILE + x % TILE) * tiles_high + y // TILE) * tiles_wide + x // TILE
    return places


def _windows(height: int, width: int) -> Indices:
    """36T: the pixel at every place of every tile's window; what is outside of the map is reflected."""
    rows, columns = _window_lines(height), _window_lines(width)  # 6 x tiles
    return (rows[:, None, :, None] * width + columns[None, :, None, :]).reshape(-1)


def _window_lines(size: int) -> Indices:
    lines = np.arange(_WINDOW)[:, None] + TILE * np.arange(-(-size // TILE))[None, :] - 1
    # Tiles that stick out of the map need values too, which are thrown away: any line will do.
    return np.clip(np.where(lines < size, np.abs(lines), 2 * (size - 1) - lines), 0, size - 1)


@cache
def _matrices() -> tuple[Matrix, Matrix, Matrix]:
    """Toom and Cook's matrices for `_POINTS` and infinity: of outputs (4x6), weights (6x3) and inputs (6x6)."""
    outputs = [[point**i for point in _POINTS] + [Fraction(i == TILE - 1)] for i in range(TILE)]
    weights = [[point**i / _product_of_distances(point) for i in range(_KERNEL)] for point in _POINTS]
    inputs = [[*_polynomial([other for other in _POINTS if other != point]), Fraction(0)] for point in _POINTS]
    return (
        _as_matrix(outputs),
        _as_matrix([*weights, [Fraction(0), Fraction(0), Fraction(1)]]),
        _as_matrix([*inputs, _polynomial(list(_POINTS))]),
    )


def _product_of_distances(point: Fraction) -> Fraction:
    product = Fraction(1)
    for other in _POINTS:
        if other != point:
            product *= point - other
    return product


def _polynomial(roots: list[Fraction]) -> list[Fraction]:
    """Coefficients, lowest first, of the monic polynomial with these roots."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [a - root * b for a, b in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients


def _as_matrix(values: list[list[Fraction]]) -> Matrix:
    return np.array([[float(value) for value in row] for row in values])
