"""The losses have the values that their formulas give by hand."""

import math

import pytest
import torch

from trainer import losses


def test_least_squares_is_the_mean_square_distance_from_the_label():
    logits = torch.tensor([[1.0, 3.0]])
    assert losses.least_squares(logits, is_real=True).item() == 2.0
    assert losses.least_squares(logits, is_real=False).item() == 5.0


def test_what_is_not_face_does_not_count_in_a_masked_verdict():
    logits, share = torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 0.0]])
    assert losses.least_squares(logits, is_real=True, share=share).item() == 0.0
    assert losses.least_squares(logits, is_real=False, share=share).item() == 0.5


def test_the_cam_loss_is_small_where_source_and_target_are_told_apart():
    sure, unsure = torch.full((2, 2), 20.0), torch.zeros(2, 2)
    assert losses.class_activation(sure, -sure).item() == pytest.approx(0.0, abs=1e-6)
    assert losses.class_activation(unsure, unsure).item() == pytest.approx(2 * math.log(2))
    assert losses.class_activation(-sure, sure).item() == pytest.approx(40.0)


def test_the_background_loss_looks_outside_the_face_only():
    real, fake, core = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2), torch.zeros(1, 1, 2, 2)
    core[..., 0] = 1
    assert losses.background(fake, real, core).item() == 0.5


def test_total_variation_counts_steps_between_neighbours_and_not_brightness():
    flat, steps = torch.full((1, 3, 2, 2), 0.7), torch.tensor([[0.0, 1.0], [0.0, 1.0]]).expand(1, 3, 2, 2)
    assert losses.total_variation(flat).item() == 0.0
    assert losses.total_variation(steps).item() == 1.0
    assert losses.magnitude(flat).item() == pytest.approx(math.sqrt(2) * 0.7)


def test_grey_pictures_have_three_equal_channels_of_the_luminance():
    red = torch.zeros(1, 3, 2, 2)
    red[:, 0] = 1
    assert torch.allclose(losses.in_grey(red), torch.full((1, 3, 2, 2), 0.299))


def test_losses_of_bfloat16_are_computed_in_float32():
    logits = torch.full((1, 2), 0.1, dtype=torch.bfloat16)
    assert losses.least_squares(logits, is_real=True).dtype == torch.float32
    assert losses.class_activation(logits, logits).dtype == torch.float32
    assert losses.l1(logits, logits).dtype == torch.float32
