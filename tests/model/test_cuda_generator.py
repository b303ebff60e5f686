"""The generator that is arranged for CUDA draws what the plain one draws: interpreted on the CPU, and on a GPU."""

import pytest
import torch

from tests.model.networks import random_crops, tiny_generator
from tests.model.test_triton_norm import DEVICE, kernels

pytestmark = kernels


def _both(dtype=torch.float32, count=2, **changes):
    from model.cuda_generator import FusedGenerator

    plain = tiny_generator(**changes).to(DEVICE, dtype, memory_format=torch.channels_last)
    crops = random_crops(count).to(DEVICE)
    with torch.inference_mode(), _exact():
        return FusedGenerator(plain)(crops), plain(crops).image


def _exact():
    """float32 convolutions in float32 on a GPU, too."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"head_size": 1},
        {"head_size": None, "num_blocks": 2},
        {"head_size": 2, "use_scse": True},
        {"head_size": 1, "up_sampling": "transposed"},
        {"head_size": 1, "num_masks": 3, "has_input_candidate": True},
    ],
    ids=["light", "full", "scse", "transposed", "masks"],
)
def test_every_kind_of_generator_draws_the_same(changes):
    fused, plain = _both(**changes)
    assert fused.shape == plain.shape
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-4)


def test_in_bfloat16_it_stays_as_near_as_the_plain_one():
    fused, plain = _both(torch.bfloat16, head_size=1)
    exact, _ = _both(head_size=1)
    assert (fused - exact).abs().mean() <= 1.2 * (plain - exact).abs().mean()


def test_a_picture_does_not_depend_on_the_others():
    from model.cuda_generator import FusedGenerator

    network = FusedGenerator(tiny_generator(head_size=1).to(DEVICE, memory_format=torch.channels_last))
    crops = random_crops(3).to(DEVICE)
    with torch.inference_mode(), _exact():
        assert torch.allclose(network(crops)[1:2], network(crops[1:2]), atol=1e-5)
