"""What a discriminator promises beyond parity: sizes, spectral norm, what the mask hides, repeated calls."""

import copy

import pytest
import torch
from torch.nn import functional as F

from model import Discriminator, DiscriminatorConfig, build_discriminator
from model.spectral import SpectralConv, SpectralLinear
from tests.model.networks import random_crops


def tiny_discriminator(**changes) -> Discriminator:
    torch.manual_seed(0)
    return build_discriminator(DiscriminatorConfig(**{"base_channels": 4, "depth": 5, **changes}))


@pytest.mark.parametrize(("depth", "smallest_px"), [(3, 8), (4, 12), (5, 24), (6, 48), (7, 96)])
def test_every_depth_from_three_works_down_to_its_smallest_picture(depth, smallest_px):
    output = tiny_discriminator(depth=depth, base_channels=2)(random_crops(1, smallest_px))
    assert output.patch_logits.shape[:2] == (1, 1)
    assert output.cam_logits.shape == (1, 2)
    assert output.heatmap.shape[2] == output.patch_logits.shape[2] + 1


def test_a_depth_below_three_is_refused():
    with pytest.raises(ValueError, match="depth is 2; it must be from 3"):
        DiscriminatorConfig(depth=2)


def test_training_calls_bring_the_largest_singular_value_to_one():
    layer, x = SpectralLinear(12, 6).train(), torch.randn(1, 12)
    for _ in range(100):
        layer(x)
    weight, value = layer.spectral.eval()(layer.weight)
    normalised = weight / value
    assert torch.linalg.matrix_norm(normalised, 2).item() == pytest.approx(1, abs=1e-4)


def test_evaluation_calls_leave_the_singular_vectors_alone():
    discriminator = tiny_discriminator().eval()
    before = {name: b.clone() for name, b in discriminator.named_buffers()}
    discriminator(random_crops(1))
    assert before
    assert all(torch.equal(b, before[name]) for name, b in discriminator.named_buffers())


def test_one_backward_pass_serves_several_training_calls():
    discriminator = tiny_discriminator().train()
    loss = sum(discriminator(random_crops(1, seed=seed)).patch_logits.mean() for seed in range(3))
    loss.backward()
    assert all(p.grad.isfinite().all() for p in discriminator.parameters())


def test_spectral_norm_is_computed_in_float32_under_autocast():
    """In bfloat16 the estimate would be off by parts in a thousand."""
    layer, x = SpectralLinear(64, 64).eval(), torch.eye(64)
    _, wanted = layer.spectral(layer.weight)
    with torch.autocast("cpu", torch.bfloat16):
        weight, value = layer.spectral(layer.weight)
        assert torch.equal(value, wanted)
        assert weight.dtype == torch.bfloat16
        assert layer(x).dtype == torch.bfloat16


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_spectral_layer_is_one_with_a_divided_weight_in_value_and_gradients(memory_format):
    torch.manual_seed(0)
    layer = SpectralConv(3, 5, 4, stride=2).double().to(memory_format=memory_format)
    x = torch.randn(2, 3, 8, 8).double()

    def by_division(weight, bias):
        matrix = weight.flatten(1)
        divided = weight / (layer.spectral.u @ matrix @ layer.spectral.v)
        return F.conv2d(F.pad(x, (1,) * 4, mode="reflect"), divided, bias, stride=2).tanh().sum()

    layer.train()(x)  # moves the vectors
    layer.eval()(x).tanh().sum().backward()
    wanted = torch.autograd.grad(by_division(layer.weight, layer.bias), (layer.weight, layer.bias))
    torch.testing.assert_close((layer.weight.grad, layer.bias.grad), wanted)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_large_weight_over_a_small_map_gives_what_a_convolution_gives(stride, monkeypatch):
    torch.manual_seed(0)
    layer = SpectralConv(6, 64, 4, stride=stride).double().to(memory_format=torch.channels_last).eval()
    x = torch.randn(1, 6, 8, 8).double().requires_grad_()
    used = []
    product = SpectralConv._product
    monkeypatch.setattr(SpectralConv, "_product", lambda self, *given: used.append(1) or product(self, *given))
    outcomes = []
    for _ in range(2):
        output = layer(x)
        gradients = torch.autograd.grad(output.square().sum(), (x, layer.weight, layer.bias))
        outcomes.append((output, *gradients))
        monkeypatch.setattr(SpectralConv, "_is_wide", lambda self, input: False)
    torch.testing.assert_close(*outcomes)
    assert len(used) == 1


def test_the_memory_format_of_the_weights_does_not_matter():
    torch.manual_seed(0)
    layer = SpectralConv(3, 5, 4).train()
    other, x = copy.deepcopy(layer).to(memory_format=torch.channels_last), torch.randn(2, 3, 8, 8)
    for _ in range(2):
        torch.testing.assert_close(layer(x), other(x))
    torch.testing.assert_close(layer.state_dict(), other.state_dict())


def test_the_mask_hides_pixels_from_the_cam_classifiers_only():
    discriminator, crops = tiny_discriminator().eval(), random_crops(1)
    plain = discriminator(crops)
    hidden = discriminator(crops, mask=torch.zeros(1, 1, 32, 32))
    biases = torch.stack([discriminator.cam.average.bias, discriminator.cam.maximum.bias], 1)
    torch.testing.assert_close(hidden.cam_logits, biases)
    assert torch.equal(hidden.patch_logits, plain.patch_logits)
    assert torch.equal(hidden.heatmap, plain.heatmap)


def test_without_spectral_norm_there_are_no_buffers():
    assert not list(tiny_discriminator(use_spectral_norm=False).buffers())
