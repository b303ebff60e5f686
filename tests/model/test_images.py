"""Pictures and tensors convert into one another without loss."""

import numpy as np
import pytest
import torch

from model import to_pictures, to_tensor
from model.images import to_sound_pictures


def every_level() -> np.ndarray:
    """1x16x16x3, every level in each colour, the colours different."""
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    return np.stack([levels, levels[::-1], levels.T], -1)[None]


def test_every_level_survives_the_round_trip():
    assert np.array_equal(to_pictures(to_tensor(every_level())), every_level())


def test_black_is_minus_one_and_white_is_one():
    tensor = to_tensor(np.array([[[[0, 255, 51]]]], np.uint8))
    assert tensor.flatten().tolist() == pytest.approx([-1, 1, -0.6])
    assert tensor.dtype == torch.float32


def test_colours_become_channels_in_their_order():
    tensor = to_tensor(every_level())
    assert tensor.shape == (1, 3, 16, 16)
    assert tensor[0, 0, 0, 0] == -1
    assert tensor[0, 1, 15, 0] == -1


def test_values_out_of_range_are_clipped_and_the_rest_is_rounded():
    tensor = torch.tensor([-1.5, 0.0, 0.0041, 2.0]).repeat(1, 3, 1, 1)
    assert to_pictures(tensor)[0, 0, :, 0].tolist() == [0, 128, 128, 255]


def test_views_and_half_precision_are_fine():
    pictures = every_level()[:, ::-1, ::2]
    assert np.array_equal(to_pictures(to_tensor(pictures)), pictures)
    assert to_pictures(to_tensor(pictures).half()).shape == pictures.shape


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4, 3), np.uint8), np.zeros((1, 4, 4, 4), np.uint8), np.zeros((1, 4, 4, 3), np.float32)]
)
def test_other_arrays_are_refused_with_their_type_and_shape(bad):
    with pytest.raises(ValueError, match=rf"{bad.dtype} of shape \({bad.shape[0]}, "):
        to_pictures(to_tensor(bad))


def test_a_tensor_without_three_colours_is_refused():
    with pytest.raises(ValueError, match=r"shape \(1, 1, 4, 4\), expected N3HW"):
        to_pictures(torch.zeros(1, 1, 4, 4))


def test_broken_pictures_are_left_out_of_a_batch():
    tensor = to_tensor(np.concatenate([every_level()] * 3))
    tensor[0, 1, 2, 3], tensor[2, 0, 0, 0] = torch.nan, torch.inf
    first, second, third = to_sound_pictures(tensor)
    assert first is None
    assert np.array_equal(second, every_level()[0])
    assert third is None
    assert to_sound_pictures(tensor[:0]) == []
