"""Terms beyond the usual objective in a real step: asked for by weight, repeatable, felt by the generators."""

from dataclasses import replace

import torch
from torch import Tensor

from trainer.augment import build_augment
from trainer.batch import Batch, DomainBatch
from trainer.config import LossWeights, NetworkConfig, ObjectiveConfig, OptimizerConfig, TrainConfig
from trainer.extra_terms import build_extra_terms
from trainer.networks import build_networks
from trainer.steps import Stepper

TINY = TrainConfig(
    networks=NetworkConfig(image_size_px=64, base_channels=4, num_blocks=1, global_depth=4, local_depth=3),
    losses=LossWeights(temporal=2.0, perceptual=1.0),
    objective=ObjectiveConfig(augment="colour,translation,cutout", temporal_ramp=0.5),
)


def batch() -> Batch:
    real = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return Batch(a=DomainBatch(real=real[0]), b=DomainBatch(real=real[1]))


def one_step(config: TrainConfig, progress: float = 0.5, seed: int = 7) -> tuple[dict[str, float], Tensor]:
    """(losses, a weight of the generator A to B after the step)."""
    torch.manual_seed(seed)
    networks = build_networks(config, "cpu")
    terms, augment = build_extra_terms(config, "cpu"), build_augment(config.objective)
    result = Stepper(networks, config, extra_terms=terms, augment=augment).run([batch()], 1e-3, progress)
    assert result.is_finite
    losses = {name: float(value) for name, value in result.losses.items()}
    return losses, networks.gen_a2b.draw.weight.detach()


def test_terms_of_weight_0_are_not_built() -> None:
    assert build_extra_terms(TrainConfig(), "cpu") == []
    assert [term.name for term in build_extra_terms(TINY, "cpu")] == ["temporal", "perceptual"]


def test_a_step_with_everything_repeats_itself_from_its_seed() -> None:
    (losses, weight), (again, same), (other, _) = one_step(TINY), one_step(TINY), one_step(TINY, seed=8)
    assert losses == again
    assert torch.equal(weight, same)
    assert losses["generator/temporal"] != other["generator/temporal"]
    assert losses["discriminator/total"] != other["discriminator/total"]


def test_the_temporal_term_joins_over_its_ramp() -> None:
    assert "generator/temporal" not in one_step(TINY, progress=0.0)[0]
    half, full = (one_step(TINY, progress)[0]["generator/temporal"] for progress in (0.25, 0.5))
    assert full == 2 * half > 0


def test_each_term_changes_what_the_generator_learns() -> None:
    plain = replace(TINY, losses=LossWeights())
    weights = [one_step(replace(plain, losses=losses))[1] for losses in (LossWeights(), LossWeights(temporal=2.0))]
    assert not torch.equal(*weights)
    assert "generator/perceptual" in one_step(TINY)[0]
    assert "generator/perceptual" not in one_step(plain)[0]


def test_discriminators_may_learn_at_a_rate_of_their_own() -> None:
    steps: dict[float, Tensor] = {}
    for rate in (0.0, 1.0, 3.0):
        config = replace(TINY, losses=LossWeights(), optimizer=OptimizerConfig(disc_rate=rate, weight_decay=0.0))
        networks = build_networks(config, "cpu")
        before = networks.disc_local_b.judge.weight.detach().clone()
        Stepper(networks, config).run([batch()], 1e-3, 0.5)
        steps[rate] = networks.disc_local_b.judge.weight.detach() - before
    assert not steps[0.0].any()
    assert torch.allclose(steps[3.0], 3 * steps[1.0], rtol=1e-3, atol=1e-6)
