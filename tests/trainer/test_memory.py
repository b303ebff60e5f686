"""What a run needs: parameters as they are built, and an estimate that grows and shrinks as memory does."""

from __future__ import annotations

import pytest
import torch

from tests.trainer.tiny_run import configured
from trainer.errors import OutOfMemoryError
from trainer.memory import estimate_needs, lack_of_memory_told, smaller_settings
from trainer.networks import build_networks


@pytest.mark.parametrize("networks", [{}, {"head": "full", "num_masks": 3, "disc_channels": 8}])
def test_parameters_are_those_of_the_built_networks(networks) -> None:
    config = configured(networks=networks)
    built = build_networks(config, "cpu").all
    assert estimate_needs(config, "fp32").parameters == {
        name: sum(p.numel() for p in network.parameters()) for name, network in built.items()
    }


def test_what_networks_need_does_not_depend_on_the_batch_and_what_a_step_needs_does() -> None:
    one, four = (estimate_needs(configured(optimizer={"batch_size": n}), "fp32") for n in (1, 4))
    assert (
        one.fixed_bytes
        == four.fixed_bytes
        == 4 * (4 * sum(one.parameters.values()) + one.parameters["gen_a2b"] + one.parameters["gen_b2a"])
    )
    assert 3 < four.step_bytes / one.step_bytes <= 4


def test_bf16_needs_less_than_fp32() -> None:
    config = configured(networks={"image_size_px": 128})
    assert estimate_needs(config, "bf16").step_bytes < 0.7 * estimate_needs(config, "fp32").step_bytes


def test_settings_that_would_fit_do_and_the_least_change_comes_first() -> None:
    config = configured(optimizer={"batch_size": 8}, networks={"image_size_px": 128})
    needed = estimate_needs(config, "fp32").total_bytes
    assert smaller_settings(config, "fp32", needed)[0] == "--precision bf16"
    ways = smaller_settings(config, "bf16", estimate_needs(config, "bf16").total_bytes // 3)
    assert ways[0] == "--batch-size 2 --accumulate 4"
    assert smaller_settings(config, "fp32", 1000) == []


def test_only_lack_of_memory_is_told_as_such() -> None:
    config, cpu = configured(), torch.device("cpu")
    with pytest.raises(OutOfMemoryError, match="did not fit"), lack_of_memory_told(config, "fp32", cpu):
        torch.empty(1 << 60)
    with pytest.raises(RuntimeError, match="size"), lack_of_memory_told(config, "fp32", cpu):
        torch.zeros(2) + torch.zeros(3)
