"""Scale-and-shift norms are the textbook ones, in value, gradient, type and memory format."""

import pytest
import torch
from torch.nn import functional as F

from model.norms import AdaptiveLayerInstanceNorm, InstanceNorm, LayerInstanceNorm, clip_rho, layer_instance_norm


def textbook_lin(x, rho, gamma, beta):
    """Equation 1 of the paper, written out with torch.var's unbiased default."""

    def standardise(dims):
        return (x - x.mean(dims, keepdim=True)) / torch.sqrt(x.var(dims, keepdim=True) + 1e-5)

    rho = rho[:, None, None]
    return (rho * standardise((2, 3)) + (1 - rho) * standardise((1, 2, 3))) * gamma + beta


def random_input(dtype=torch.float64):
    torch.manual_seed(0)
    return torch.randn(2, 3, 4, 5, dtype=dtype) * 2 + 0.5


def test_lin_is_the_mix_of_instance_and_layer_norm_with_unbiased_variances():
    x, rho, gamma = random_input(), torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64), torch.randn(2, 3, 1, 1).double()
    torch.testing.assert_close(layer_instance_norm(x, rho, gamma, gamma + 1), textbook_lin(x, rho, gamma, gamma + 1))


def test_instance_norm_is_torchs_own():
    x, norm = random_input(), InstanceNorm(3).double()
    torch.nn.init.normal_(norm.weight)
    torch.testing.assert_close(norm(x), F.instance_norm(x, weight=norm.weight, bias=norm.bias))


@pytest.mark.parametrize("kind", [InstanceNorm, LayerInstanceNorm, AdaptiveLayerInstanceNorm])
def test_gradients_agree_with_finite_differences(kind):
    norm = kind(3).double()
    inputs = [random_input().requires_grad_()]
    if kind is AdaptiveLayerInstanceNorm:
        inputs += [torch.randn(2, 3).double().requires_grad_() for _ in range(2)]
    names, parameters = zip(*norm.named_parameters(), strict=True)

    def call(*values):
        weights = dict(zip(names, values[: len(names)], strict=True))
        return torch.func.functional_call(norm, weights, values[len(names) :])

    assert torch.autograd.gradcheck(call, (*parameters, *inputs))


def test_the_same_value_comes_out_with_and_without_gradients():
    x, norm = random_input(torch.float32), LayerInstanceNorm(3)
    with torch.no_grad():
        plain = norm(x)
    assert torch.equal(norm(x.requires_grad_()), plain)


def test_statistics_of_bfloat16_maps_are_float32():
    """A map far from zero keeps its contrast: its bfloat16 mean would be off by more than its own deviation."""
    x = (100 + torch.randn(1, 2, 64, 64, generator=torch.Generator().manual_seed(0))).bfloat16()
    got = InstanceNorm(2)(x)
    assert got.dtype == torch.bfloat16
    wanted = F.instance_norm(x.float())
    assert (got.float() - wanted).abs().max() < 0.8  # 100 +- 0.5 is the rounding of the products
    assert got.float().mean((2, 3)).abs().max() < 0.3
    assert got.float().std((2, 3)).sub(1).abs().max() < 0.05


def test_channels_last_maps_stay_channels_last():
    x = random_input(torch.float32).contiguous(memory_format=torch.channels_last)
    for norm in (InstanceNorm(3), LayerInstanceNorm(3)):
        assert norm(x).is_contiguous(memory_format=torch.channels_last)


def test_a_constant_channel_becomes_its_shift():
    x = torch.full((1, 2, 8, 8), 37.0)
    x[:, 1] = torch.randn(8, 8)
    norm = InstanceNorm(2)
    norm.bias.data.fill_(0.25)
    torch.testing.assert_close(norm(x)[:, 0], torch.full((1, 8, 8), 0.25), atol=2e-3, rtol=0)


def test_clip_rho_leaves_everything_but_rho_alone():
    network = torch.nn.ModuleList([LayerInstanceNorm(2), AdaptiveLayerInstanceNorm(2), torch.nn.Linear(2, 2)])
    before = {name: p.clone() for name, p in network.named_parameters() if "rho" not in name}
    network[0].rho.data = torch.tensor([-0.5, 1.5])
    network[1].rho.data = torch.tensor([-0.5, 0.95])
    clip_rho(network, adaptive_upper=0.9)
    assert network[0].rho.tolist() == [0, 1]
    assert network[1].rho.tolist() == pytest.approx([0, 0.9])
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters() if name in before)
