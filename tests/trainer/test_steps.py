"""One step of all six networks: what learns when, on what, and what happens when numbers run away."""

import copy
from dataclasses import replace

import pytest
import torch

from tests.trainer.tiny_run import configured, networks_of, random_batch, split, weights_of
from trainer import steps
from trainer.batch import Batch
from trainer.networks import build_networks
from trainer.steps import Stepper


def stepper_of(config=None, **options) -> Stepper:
    config = config or configured()
    return Stepper(networks_of(config), config, **options)


def test_a_step_moves_every_network_and_lowers_what_it_minimises():
    stepper, batch = stepper_of(), random_batch(2)
    before = weights_of(stepper.networks)
    totals = [stepper.run([batch], 1e-3, 0.0).losses for _ in range(8)]
    after = weights_of(stepper.networks)
    assert all(not torch.equal(before[key], after[key]) for key in before if key.endswith(".weight"))
    assert totals[-1]["generator/total"] < totals[0]["generator/total"]
    assert totals[-1]["discriminator/total"] < totals[0]["discriminator/total"]


def test_the_total_is_the_sum_of_the_named_terms():
    losses = stepper_of().run([random_batch()], 1e-4, 0.0).losses
    for phase in ("generator", "discriminator"):
        terms = [value for name, value in losses.items() if name.startswith(phase) and not name.endswith("total")]
        assert losses[f"{phase}/total"].item() == pytest.approx(sum(terms).item())
        assert not any(value.requires_grad for value in terms)


def test_the_phases_reach_only_the_parameters_they_train(monkeypatch):
    # Given: gradients as they stand when each optimizer steps
    stepper, reached = stepper_of(), []

    def look(optimizer, learning_rate):
        del learning_rate
        reached.append(
            {n for n, net in stepper.networks.all.items() if any(p.grad is not None for p in net.parameters())}
        )
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        return torch.zeros(())

    monkeypatch.setattr(steps, "_descend", look)
    # When
    stepper.run([random_batch()], 1e-4, 0.0)
    # Then
    assert reached == [set(stepper.networks.discriminators), set(stepper.networks.generators)]


def test_each_picture_passes_each_generator_once_and_each_discriminator_learns_from_one_batch():
    stepper, pictures = stepper_of(), {}
    for name, network in stepper.networks.all.items():
        network.register_forward_pre_hook(lambda _, args, name=name: pictures.setdefault(name, []).append(len(args[0])))
    stepper.run([random_batch()], 1e-4, 0.0)
    # Source and target together, then the other's fake; real and fake together, then the fake for the generators.
    assert pictures == {name: [2, 1] for name in stepper.networks.all}


def test_accumulated_batches_are_one_larger_batch():
    # Given
    batch = random_batch(3)
    together, one_by_one = stepper_of(), stepper_of()
    # When
    for _ in range(2):
        wanted = together.run([batch], 1e-3, 0.0).losses
        got = one_by_one.run(split(batch), 1e-3, 0.0).losses
    # Then
    assert {name: value.item() for name, value in got.items()} == pytest.approx(
        {name: value.item() for name, value in wanted.items()}, rel=1e-9
    )
    _assert_equal_weights(one_by_one, together, 1e-9)


def test_gradients_that_are_not_finite_leave_networks_and_moments_alone_and_are_counted():
    # Given
    stepper, good = stepper_of(), random_batch()
    bad = replace(good, a=replace(good.a, real=good.a.real * float("nan")))
    stepper.run([good], 1e-3, 0.0)
    before, moments = weights_of(stepper.networks), _moments(stepper)
    # When
    results = [stepper.run([bad], 1e-3, 0.0) for _ in range(2)]
    # Then
    assert not any(result.is_finite for result in results)
    assert (stepper.num_skipped.item(), stepper.num_skipped_in_a_row.item()) == (2, 2)
    after = weights_of(stepper.networks)
    trained = [key for key in before if ".spectral." not in key]
    assert all(torch.equal(before[key], after[key]) for key in trained)
    assert all(torch.equal(*pair) for pair in zip(moments, _moments(stepper), strict=True))
    # And a good step goes on
    assert stepper.run([good], 1e-3, 0.0).is_finite
    assert (stepper.num_skipped.item(), stepper.num_skipped_in_a_row.item()) == (2, 0)
    assert all(torch.isfinite(tensor).all() for tensor in weights_of(stepper.networks).values())


def test_a_stepper_goes_on_from_its_state_bit_for_bit():
    config, batch = configured(), random_batch()
    first = stepper_of(config)
    first.run([batch], 1e-3, 0.0)
    second = stepper_of(config)
    second.networks.load_state_dict(first.networks.state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))  # torch keeps what it is given
    for stepper in (first, second):
        stepper.run([batch], 1e-3, 0.0)
    _assert_equal_weights(first, second, 0.0)


def test_without_disc_cam_the_classifiers_are_not_trained_and_not_decayed():
    stepper = stepper_of(configured(losses={"disc_cam": 0.0}))
    before = weights_of(stepper.networks)
    losses = stepper.run([random_batch()], 1e-3, 0.0).losses
    after = weights_of(stepper.networks)
    classifiers = [k for k in before if k.startswith("disc_") and (".average." in k or ".maximum." in k)]
    trained = [k for k in classifiers if ".spectral." not in k]
    assert len(trained) == 16
    assert all(torch.equal(before[key], after[key]) for key in trained)
    assert not any(name.endswith("_cam") for name in losses)


def test_a_paired_batch_adds_the_distance_to_the_partner():
    stepper, batch = stepper_of(configured(losses={"paired": 3.0})), random_batch()
    unpaired = stepper_of(configured(losses={"paired": 3.0})).run([batch], 1e-3, 0.0).losses
    with torch.no_grad():
        error = stepper.networks.gen_a2b(batch.a.real).image - batch.b.real
        distance = torch.stack([part.abs().mean() for part in (error, error.diff(dim=2), error.diff(dim=3))]).sum()
    paired = stepper.run([replace(batch, is_paired=True)], 1e-3, 0.0).losses
    assert paired["generator/paired_a2b"].item() == pytest.approx(3 * distance.item())
    assert set(paired) - set(unpaired) == {"generator/paired_a2b", "generator/paired_b2a"}


class _Brightness:
    name = "brightness"

    def weight(self, progress: float) -> float:
        return 2 * progress

    def __call__(self, networks, batch: Batch, outputs) -> torch.Tensor:
        return outputs.fake_b.mean()


def test_an_extra_term_counts_by_its_weight_at_this_progress():
    term, batch = _Brightness(), random_batch()
    stepper = stepper_of(extra_terms=[term])
    with torch.no_grad():
        brightness = stepper.networks.gen_a2b(batch.a.real).image.mean().item()
    assert "generator/brightness" not in stepper_of(extra_terms=[term]).run([batch], 1e-3, 0.0).losses
    losses = stepper.run([batch], 1e-3, 0.5).losses
    assert losses["generator/brightness"].item() == pytest.approx(brightness)
    terms = [v for k, v in losses.items() if k.startswith("generator/") and k != "generator/total"]
    assert losses["generator/total"].item() == pytest.approx(sum(terms).item())


def test_rho_stays_in_its_range_however_large_the_step():
    stepper = stepper_of()
    stepper.run([random_batch()], 10.0, 0.0)
    rhos = [tensor for key, tensor in weights_of(stepper.networks).items() if key.endswith("rho")]
    assert all((rho >= 0).all() and (rho <= 1).all() for rho in rhos)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("compat", ["reference", "official"])
def test_the_default_step_has_the_losses_of_the_implementations_within_half_a_percent(precision, compat):
    """One power iteration for real and fake together, not one each, makes no difference on a run's fresh networks."""
    wanted = _losses_of_first_step(compat, "fp32")
    got = _losses_of_first_step("none", precision)
    for name, want in wanted.items():
        assert got[name] == pytest.approx(want, rel=5e-3), name


def _losses_of_first_step(compat, precision):
    config = configured(objective={"compat": compat}, networks={"base_channels": 8})
    generator = torch.Generator().manual_seed(3)
    coarse = [torch.rand(2, 3, 8, 8, generator=generator) * 2 - 1 for _ in "ab"]
    real = [torch.nn.functional.interpolate(x, 32, mode="bilinear") for x in coarse]
    template = random_batch()
    batch = Batch(**{name: replace(getattr(template, name), real=x) for name, x in zip("ab", real, strict=True)})
    stepper = Stepper(build_networks(config, "cpu"), config, precision=precision)
    return {name: value.item() for name, value in stepper.run([batch], 1e-4, 0.0).losses.items()}


def _assert_equal_weights(got, wanted, tolerance):
    got, wanted = weights_of(got.networks), weights_of(wanted.networks)
    for key, tensor in wanted.items():
        torch.testing.assert_close(got[key], tensor, atol=tolerance, rtol=0, msg=lambda text, key=key: f"{key}: {text}")


def _moments(stepper):
    optimizers = stepper.state_dict()["optimizers"].values()
    return [t.clone() for o in optimizers for state in o["state"].values() for t in state.values()]
