"""Differentiable augmentation: each picture its own draw, the same by seed, open to the gradient."""

import pytest
import torch

from trainer.augment import AUGMENTATIONS, CUT_SHARE, MAX_SHIFT, Augment, build_augment
from trainer.config import ObjectiveConfig
from trainer.errors import TrainConfigError

ALL = ("colour", "translation", "cutout")


def seeded(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 4, side: int = 32) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=seeded(1)).repeat(count, 1, 1, 1) * 2 - 1


@pytest.mark.parametrize("name", ALL)
def test_equal_pictures_are_changed_differently_and_alike_by_seed(name: str) -> None:
    changed, again, other = (Augment([name], seeded(seed))(pictures())[0] for seed in (5, 5, 6))
    assert torch.equal(changed, again)
    assert not torch.equal(changed, other)
    assert all(not torch.equal(changed[0], another) for another in changed[1:])


def test_the_gradient_reaches_every_picture() -> None:
    images = pictures().requires_grad_()
    Augment(ALL, seeded())(images)[0].square().sum().backward()
    assert images.grad is not None
    assert (images.grad.abs().sum((1, 2, 3)) > 0).all()


def test_colour_keeps_the_places_and_the_mean_follows_the_brightness() -> None:
    flat = torch.full((8, 3, 8, 8), 0.25)
    changed = AUGMENTATIONS["colour"](flat, None, seeded())[0]
    assert changed.flatten(1).std(1).max() < 1e-6
    assert ((changed[:, 0, 0, 0] - 0.25).abs() <= 0.5).all()
    assert changed[:, 0, 0, 0].std() > 0.1


def test_translation_moves_by_at_most_an_eighth_and_fills_with_nothing() -> None:
    dot = torch.zeros(16, 3, 32, 32)
    dot[:, :, 16, 16] = 1
    moved, faces = AUGMENTATIONS["translation"](dot, dot[:, :1], seeded())
    places = moved[:, 0].nonzero()[:, 1:]
    assert len(places) == 16
    assert (places - 16).abs().max() == 32 * MAX_SHIFT
    assert moved.sum() == dot.sum()
    assert torch.equal(faces, moved[:, :1])


def test_cutout_takes_at_most_a_square_of_half_a_side() -> None:
    gone = (AUGMENTATIONS["cutout"](torch.ones(32, 3, 32, 32), None, seeded())[0] == 0)[:, 0]
    assert gone.sum((1, 2)).max() <= (32 * CUT_SHARE) ** 2
    assert gone.sum((1, 2)).min() >= (32 * CUT_SHARE) ** 2 / 4 - 32
    assert gone.any(0).float().mean() > 0.9


def test_what_is_not_asked_for_costs_nothing_and_a_wrong_name_is_told() -> None:
    assert build_augment(ObjectiveConfig()) is None
    built = build_augment(ObjectiveConfig(augment="colour, cutout"))
    assert built is not None
    assert built.names == ("colour", "cutout")
    with pytest.raises(TrainConfigError, match="'zoom'"):
        build_augment(ObjectiveConfig(augment="zoom"))
