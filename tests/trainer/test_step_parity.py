"""With `--compat`, training steps give the recorded losses, gradients and parameters of the implementations."""

import math

import pytest
import torch

from tests.oracle import Fixture, fixture_names
from tests.trainer.recorded_steps import RecordedStep
from trainer.averages import Averages
from trainer.config import OptimizerConfig, RunConfig, TrainConfig

NUM_STEPS = 3


@pytest.mark.parametrize("name", fixture_names("step_*"))
def test_three_steps_in_float64_are_the_recorded_ones_to_the_eighth_digit(name):
    recorded = RecordedStep(name, torch.float64)
    stepper = recorded.stepper()
    for step in range(1, NUM_STEPS + 1):
        losses = recorded.run(stepper).losses
        _check_losses(recorded, step, losses, tolerance=1e-8)
        _check_gradient_norms(recorded, step, tolerance=1e-8)
        if step == 1:
            _check_gradients(recorded)
            _check_state(recorded, share_off=2e-4)


@pytest.mark.parametrize("name", fixture_names("step_*"))
def test_a_step_in_float32_is_the_recorded_one_but_for_single_activations_at_a_kink(name):
    # A ReLU's input or a maximum's runner-up within rounding of the kink may fall on the other side than in the
    # recorded run, and changes the gradients of all layers before it: hence wider bounds than in float64.
    recorded = RecordedStep(name)
    losses = recorded.run(recorded.stepper()).losses
    _check_losses(recorded, 1, losses, tolerance=2e-5)
    _check_gradient_norms(recorded, 1, tolerance=1e-3)
    _check_state(recorded, share_off=2e-3)


@pytest.mark.parametrize("name", fixture_names("ema"))
def test_averages_are_the_recorded_ones(name):
    fixture = Fixture(name)
    theirs = fixture.meta["config"]
    network = torch.nn.BatchNorm1d(len(fixture.tensors["in.step1.weight"]))
    averages = Averages({"gen_a2b": network}, _averaging(theirs["ema_beta"], theirs["ema_start"], theirs["iteration"]))
    for step in range(1, theirs["iteration"] + 1):
        for key in ("weight", "bias", "running_mean", "running_var"):
            getattr(network, key).data.copy_(fixture.tensors[f"in.step{step}.{key}"])
        averages.update(step, num_images=1)
        for key in ("weight", "bias", "running_mean", "running_var"):
            fixture.check(f"step{step}.ema.{key}", getattr(averages.generators["gen_a2b"], key), 1e-6)


@pytest.mark.parametrize("name", fixture_names("step_seed_base"))
def test_averaged_generators_after_three_steps_are_the_recorded_ones(name):
    recorded = RecordedStep(name, torch.float64)
    theirs = recorded.theirs
    config = _averaging(theirs["ema_beta"], theirs["ema_start"], theirs["iteration"])
    stepper, averages = recorded.stepper(), Averages(recorded.networks.generators, config)
    for step in range(1, NUM_STEPS + 1):
        recorded.run(stepper)
        averages.update(step, num_images=1)
    for stored, got in recorded.averages(averages.generators):
        recorded.fixture.check(stored, got, 1e-5)


def _averaging(decay, start, steps):
    """Their decay per step is a half-life: 0.5 ** (1 / pictures) = decay."""
    half_life_kimg = math.log(0.5) / math.log(decay) / 1000
    optimizer = OptimizerConfig(ema_half_life_kimg=half_life_kimg, ema_start=start)
    return TrainConfig(optimizer=optimizer, run=RunConfig(steps=steps))


def _check_losses(recorded, step, losses, tolerance):
    for names, want in recorded.losses(step).items():
        names = (names,) if isinstance(names, str) else names
        got = sum(losses[name].item() for name in names)
        assert got == pytest.approx(want, rel=tolerance), f"step {step} {names}"


def _check_gradient_norms(recorded, step, tolerance):
    for network, want in recorded.gradient_norms(step).items():
        gradients = [p.grad for p in getattr(recorded.networks, network).parameters() if p.grad is not None]
        got = torch.stack([g.double().square().sum() for g in gradients]).sum().sqrt().item()
        assert got == pytest.approx(want, rel=tolerance), f"step {step} {network}"


def _check_gradients(recorded):
    """The recorded ones are float32: they may be off by five times what was measured for each, as always."""
    figures = recorded.fixture.meta["steps"][0]
    measured = figures["measured_fp32_vs_fp64"]["gradient_elements_max_relative_to_tensor_max"]  # the worst five
    for stored, key, got in recorded.tensors("grad"):
        want = recorded.fixture.tensors[stored]
        root_mean_square = figures["gradient_per_parameter"][key]["l2"] / want.numel() ** 0.5
        scale = max(root_mean_square, want.abs().max().item(), 1e-7)
        recorded.fixture.check(stored, got, max(1e-4, 5 * measured.get(key, min(measured.values()))) * scale)
    assert all(recorded.is_without_gradient(key) for key in figures["gradient_is_none"])


def _check_state(recorded, share_off):
    """No element further than two Adam steps, and nearly all close: a first step is lr * sign(gradient)."""
    num_off = num_all = 0
    for kind, furthest in (("param", 2.2 * recorded.theirs["lr"] + 1e-6), ("buffer", 1e-5)):
        for stored, _, got in recorded.tensors(kind):
            recorded.fixture.check(stored, got, furthest)
            num_off += _num_off(recorded.fixture, stored, got)
            num_all += recorded.fixture.tensors[stored].numel()
    assert num_all > 0
    assert num_off / num_all <= share_off


def _num_off(fixture, stored, got):
    sample = fixture.meta["sampled_tensors"].get(stored)
    if sample:
        got = got.flatten()[: sample["stride"] * sample["count"] : sample["stride"]]
    return int(((got - fixture.tensors[stored]).abs() > 1e-5).sum())
