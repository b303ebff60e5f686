"""What a generator promises beyond parity: sizes, candidates, half precision, configuration checks."""

import dataclasses

import pytest
import torch

from model import GeneratorConfig, build_generator
from model.blocks import DrawingConv
from model.summary import count_parameters
from tests.model.networks import random_crops, tiny_config, tiny_generator


def test_a_pooled_head_takes_other_sizes_than_it_was_trained_on():
    output = tiny_generator()(random_crops(1, 64)[..., :48])
    assert output.image.shape == (1, 3, 64, 48)
    assert output.heatmap.shape == (1, 1, 16, 12)
    assert output.cam_logits.shape == (1, 2)
    assert output.attention is None


def test_a_full_head_refuses_other_sizes_and_says_which_it_takes():
    generator = tiny_generator(head_size=None)
    assert generator(random_crops(1)).image.shape == (1, 3, 32, 32)
    with pytest.raises(ValueError, match=r"image is 64x64; .* takes 32x32"):
        generator(random_crops(1, 64))


def test_a_size_that_is_no_multiple_of_four_is_refused():
    with pytest.raises(ValueError, match="34x34; use sides that are multiples of 4"):
        tiny_generator()(random_crops(1, 34))


def test_a_pooled_head_as_large_as_the_map_is_the_full_head():
    pooled, full = tiny_generator(head_size=8), tiny_generator(head_size=None)
    full.load_state_dict(pooled.state_dict())
    assert torch.equal(pooled(random_crops(2)).image, full(random_crops(2)).image)


@pytest.mark.parametrize("up_sampling", ["nearest", "transposed"])
def test_both_kinds_of_up_sampling_give_the_input_size(up_sampling):
    image = tiny_generator(up_sampling=up_sampling, num_masks=2)(random_crops(1)).image
    assert image.shape == (1, 3, 32, 32)
    assert 0 < image.abs().max() <= 1


def choose_candidate(generator, index):
    """Make the mask branch pick one candidate everywhere."""
    generator.mask_branch.score.weight.data.zero_()
    generator.mask_branch.score.bias.data.fill_(-1e4)
    generator.mask_branch.score.bias.data[index] = 1e4


def test_masks_share_every_pixel_among_the_candidates():
    attention = tiny_generator(num_masks=3)(random_crops(2)).attention
    assert attention.shape == (2, 3, 32, 32)
    assert attention.min() >= 0
    torch.testing.assert_close(attention.sum(1), torch.ones(2, 32, 32))


def test_the_input_candidate_comes_through_colour_by_colour_and_exactly():
    generator, crops = tiny_generator(num_masks=3, has_input_candidate=True), random_crops(2)
    choose_candidate(generator, 0)
    assert torch.equal(generator(crops).image, crops)


def test_the_imported_layout_mixes_the_colours_of_the_input():
    """First of two candidates, by the recorded layout: input red, input blue, drawn green."""
    generator = tiny_generator(num_masks=2, has_input_candidate=True, mixes_colours=True)
    crops = random_crops(1)
    choose_candidate(generator, 0)
    image = generator(crops).image
    assert torch.equal(image[:, 0], crops[:, 0])
    assert torch.equal(image[:, 1], crops[:, 2])
    assert not torch.equal(image[:, 2], crops[:, 2])


def test_gradients_reach_every_parameter_under_bfloat16_and_stay_close():
    generator, crops = tiny_generator(num_masks=2, use_scse=True, num_blocks=2), random_crops(2)
    gradients = []
    for is_half in (False, True):
        generator.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            output = generator(crops)
            loss = output.image.square().mean() + 0.1 * output.cam_logits.float().square().mean()
        loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in generator.parameters()]))
        missing = [name for name, p in generator.named_parameters() if p.grad is None]
        assert not missing
    assert torch.cosine_similarity(*gradients, dim=0) > 0.97


def test_weights_in_bfloat16_leave_the_picture_float32():
    generator = tiny_generator().bfloat16()
    assert generator(random_crops(1)).image.dtype == torch.float32


def test_a_picture_does_not_depend_on_its_neighbours_in_the_batch():
    generator, crops = tiny_generator(use_scse=True), random_crops(3)
    torch.testing.assert_close(generator(crops).image[1:2], generator(crops[1:2]).image, atol=1e-5, rtol=0)


def test_the_light_generator_of_32_channels_has_2_657_157_parameters():
    config = GeneratorConfig(base_channels=32)
    counts = count_parameters(config)
    assert sum(counts.values()) == 2_657_157 == sum(p.numel() for p in build_generator(config).parameters())
    assert list(counts) == ["down", "blocks", "cam", "head", "adaptive_blocks", "up", "draw"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_channels": 0}, "base_channels is 0; it must be from 1"),
        ({"num_blocks": 1000}, "num_blocks is 1000"),
        ({"image_size_px": 30}, "image_size_px is 30; use a multiple of 4"),
        ({"head_size": 0}, "head_size is 0"),
        ({"num_masks": 1, "has_input_candidate": True}, "needs at least 2 masks, num_masks is 1"),
        ({"mixes_colours": True}, "mixes_colours is True"),
        ({"up_sampling": "bilinear"}, "up_sampling is 'bilinear'; use 'nearest' or 'transposed'"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused_with_its_value(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(tiny_config(), **changes)


def test_the_last_layer_draws_the_same_while_it_learns():
    torch.manual_seed(0)
    layer, x = DrawingConv(8, 3, 7).double(), torch.randn(2, 8, 16, 16).double().requires_grad_()
    plain = torch.nn.Sequential(torch.nn.ReflectionPad2d(3), torch.nn.Conv2d(8, 3, 7).double())
    plain[1].load_state_dict(layer.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(layer(x), plain(x))
    outcomes = [
        (network(x), *torch.autograd.grad(network(x).square().sum(), (x, *network.parameters())))
        for network in (layer, plain)
    ]
    torch.testing.assert_close(*outcomes)
