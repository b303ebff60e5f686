"""Learning rate and averages keep to the times that the options name."""

import pytest
import torch

from trainer.averages import Averages, decay_of
from trainer.compat import COMPAT
from trainer.config import OptimizerConfig, RunConfig, TrainConfig
from trainer.schedule import learning_rate_at

STEPS = 10


def rates(compat="none", **options):
    config = OptimizerConfig(learning_rate=1.0, **options)
    return [learning_rate_at(step, config, STEPS, COMPAT[compat]) for step in range(STEPS)]


def test_the_rate_stays_and_then_falls_linearly_towards_0():
    assert rates() == pytest.approx([1.0] * 6 + [0.8, 0.6, 0.4, 0.2])
    assert rates(decay_start=0.8) == pytest.approx([1.0] * 9 + [0.5])
    assert rates(decay="constant") == [1.0] * STEPS


def test_the_official_rate_falls_a_step_earlier_and_ends_at_0():
    assert rates("official") == pytest.approx([1.0] * 5 + [0.8, 0.6, 0.4, 0.2, 0.0])


def test_the_reference_never_lowers_its_rate():
    assert rates("reference") == [1.0] * STEPS


def test_a_decay_that_starts_at_the_end_lowers_nothing():
    assert rates(decay_start=1.0) == [1.0] * STEPS


def test_after_the_half_life_half_of_an_average_is_new():
    config = OptimizerConfig(ema_half_life_kimg=0.1)
    assert decay_of(100, config) == pytest.approx(0.5)
    assert decay_of(1, config) ** 100 == pytest.approx(decay_of(4, config) ** 25)


@pytest.mark.parametrize(("half_life_kimg", "wanted"), [(0.001, [1.0, 2.0, 2.5, 3.25]), (0.0, [1.0, 2.0, 3.0, 4.0])])
def test_averages_are_copies_until_their_start_and_always_without_half_life(half_life_kimg, wanted):
    optimizer = OptimizerConfig(ema_half_life_kimg=half_life_kimg, ema_start=0.5)
    network = torch.nn.Linear(1, 1, bias=False)
    averages = Averages({"gen_a2b": network}, TrainConfig(optimizer=optimizer, run=RunConfig(steps=4)))
    got = []
    for step in range(1, 5):
        network.weight.data.fill_(float(step))
        averages.update(step, num_images=1)
        got.append(averages.generators["gen_a2b"].weight.item())
    assert got == pytest.approx(wanted)
    assert not averages.generators["gen_a2b"].weight.requires_grad


def test_averages_go_on_from_their_state():
    config = TrainConfig()
    first, second = (Averages({"gen_a2b": torch.nn.Linear(2, 2)}, config) for _ in range(2))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.generators["gen_a2b"].weight, second.generators["gen_a2b"].weight)
