"""The rewritten generator gives what the generator gives, with every option and for every size."""

from unittest import mock

import pytest
import torch
from torch import nn

from model.fast_generator import FastGenerator, _draws_tiles, _ExactConv, suits_winograd
from model.openvino_runtime import OpenVinoNetwork, compile_model, convert
from tests.model.networks import random_crops, tiny_generator

OPTIONS = {
    "plain": {},
    "wide": {"base_channels": 12},
    "no blocks": {"num_blocks": 0},
    "scSE": {"use_scse": True},
    "masks": {"num_masks": 3},
    "input candidate": {"num_masks": 10, "has_input_candidate": True},
    "mixed colours": {"num_masks": 3, "has_input_candidate": True, "mixes_colours": True, "use_scse": True},
    "transposed": {"up_sampling": "transposed"},
    "full head": {"head_size": None},
    "pooled head": {"head_size": 2},
}


def lively_generator(**changes):
    """A generator whose norms and biases are anything but neutral."""
    generator = tiny_generator(num_blocks=2, **changes) if "num_blocks" not in changes else tiny_generator(**changes)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("rho"):
                parameter.copy_(torch.rand_like(parameter))
            elif name.endswith("bias") or "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return generator


def error_of(network, generator, crops):
    with torch.no_grad():
        return float((network(crops) - generator(crops).image).abs().max())


@pytest.mark.parametrize("use_winograd", [False, True])
@pytest.mark.parametrize("option", OPTIONS)
def test_it_gives_what_the_generator_gives_with_every_option(option, use_winograd):
    generator = lively_generator(**OPTIONS[option])
    fast = FastGenerator(generator, use_winograd=use_winograd)
    assert error_of(fast, generator, random_crops(1)) <= 1e-5


@pytest.mark.parametrize("use_winograd", [False, True])
@pytest.mark.parametrize("size_hw", [(8, 8), (20, 28), (36, 44), (48, 64)])
def test_it_takes_any_size_with_a_pooled_head(size_hw, use_winograd):
    generator = lively_generator(head_size=2, use_scse=True)
    crops = torch.rand(1, 3, *size_hw) * 2 - 1
    assert error_of(FastGenerator(generator, use_winograd=use_winograd), generator, crops) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_its_error_is_that_of_rounding(dtype):
    generator = lively_generator().to(dtype)
    wanted = lively_generator().double()
    crops = random_crops(1)
    error = error_of(FastGenerator(generator), wanted, crops.double())
    assert error < (1e-12 if dtype == torch.float64 else 0.2)


def test_channels_that_hardly_vary_are_no_danger():
    generator = lively_generator()
    with torch.no_grad():  # means a thousand times the spread
        for block in generator.adaptive_blocks:
            block.conv1.bias.add_(300.0)
    for use_winograd in (False, True):
        assert error_of(FastGenerator(generator, use_winograd=use_winograd), generator, random_crops(1)) <= 1e-4


def test_a_batch_is_taken_by_the_plain_form_only():
    generator = lively_generator()
    assert error_of(FastGenerator(generator), generator, random_crops(3)) <= 1e-5
    with pytest.raises(ValueError, match="there are 3 pictures; this generator takes one at a time"):
        FastGenerator(generator, use_winograd=True)(random_crops(3))


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="image is 30x32; use sides that are multiples of 4"):
        FastGenerator(lively_generator())(random_crops(1)[:, :, :30])


def test_the_generator_stays_as_it_is():
    generator, untouched = lively_generator(), lively_generator().state_dict()
    FastGenerator(generator, use_winograd=True)
    assert all(torch.equal(tensor, untouched[key]) for key, tensor in generator.state_dict().items())
    assert all(parameter.requires_grad for parameter in generator.parameters())


def test_winograd_is_for_wide_and_not_for_huge_maps():
    assert suits_winograd(tiny_generator(base_channels=32), (256, 256))
    assert not suits_winograd(tiny_generator(), (256, 256))
    assert not suits_winograd(tiny_generator(base_channels=32), (2160, 3840))


def test_tiles_are_drawn_where_outputs_are_few():
    assert _draws_tiles(tiny_generator().draw)
    assert not _draws_tiles(tiny_generator(num_masks=10, has_input_candidate=True).draw)


@pytest.mark.parametrize(("use_winograd", "is_narrow"), [(False, False), (True, False), (False, True)])
def test_openvino_gives_the_same(use_winograd, is_narrow):
    generator = lively_generator(use_scse=True, num_masks=3, head_size=2)
    fast = FastGenerator(generator, use_winograd=use_winograd, is_narrow=is_narrow)
    network: OpenVinoNetwork = compile_model(convert(fast, [1, 3, 20, 28]))
    crops = torch.rand(1, 3, 20, 28) * 2 - 1
    assert error_of(lambda x: network(x)[0], generator, crops) <= 1e-5


def test_a_narrow_generator_loses_nothing_of_a_picture_and_of_the_first_weights():
    layer = lively_generator().down[0]
    levels = torch.arange(256).repeat(3, 1).reshape(1, 3, 16, 16)
    image = levels.float() / 127.5 - 1
    narrow = _ExactConv(layer.conv).bfloat16()
    given: list[torch.Tensor] = []
    with mock.patch.object(nn.Conv2d, "forward", lambda self, x: given.append(x)):
        narrow(image)
    margin = (given[0].shape[-1] - 16) // 2
    picture = given[0][:, :3, margin:-margin, margin:-margin]
    assert torch.equal(picture.float() * 128 + 128, levels.float())
    kept = narrow.weight.float()
    assert torch.allclose((kept[:, :3] + kept[:, 3:]) * (127.5 / 128), layer.conv.weight, rtol=2**-16, atol=0)


@pytest.mark.parametrize("use_winograd", [False, True])
def test_openvino_gives_the_same_bits_whatever_the_threads(use_winograd):
    model = convert(FastGenerator(lively_generator(), use_winograd=use_winograd), [1, 3, 128, 128])
    one, two, three = (compile_model(model, threads=threads)(random_crops(1, 128))[0] for threads in (1, 2, 3))
    assert torch.equal(one, two)
    assert torch.equal(one, three)
