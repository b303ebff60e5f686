"""The temporal term: nothing to say about what moves with the picture, much about what does not."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.batch import Batch, DomainBatch
from trainer.consistency import FrameChange, TemporalTerm, degrade, temporal_loss
from trainer.motion import MotionRange, draw_motions, known_pixels, move, sampling_grid

CLEAN = FrameChange(noise=0.0, soften_chance=0.0)
STILL = FrameChange(motions=MotionRange(shift=0.0, zoom=0.0, turn_deg=0.0), noise=0.0, soften_chance=0.0)


class Painter(nn.Module):
    """A generator that is one function."""

    def __init__(self, paint: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.paint = paint

    def forward(self, image: Tensor) -> Any:
        return SimpleNamespace(image=self.paint(image))


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth_pictures(count: int = 2, side: int = 64) -> Tensor:
    return F.interpolate(torch.rand(count, 3, 6, 6, generator=seeded(1)) * 2 - 1, (side, side), mode="bicubic").clamp(
        -1, 1
    )


def loss_of(paint: Callable[[Tensor], Tensor], change: FrameChange = CLEAN, seed: int = 3) -> float:
    real, network = smooth_pictures(), Painter(paint)
    return float(temporal_loss(network, real, network(real).image, change, seeded(seed)))


def flickering(image: Tensor) -> Tensor:
    """A grid that stays where it is in the crop, whatever the picture does."""
    stripes = (torch.arange(image.shape[-1]) // 4 % 2).float() - 0.5
    return (image + 0.5 * stripes).clamp(-1, 1)


@pytest.mark.parametrize("paint", [lambda x: x, lambda x: (-x).clamp(-0.5, 0.5), lambda x: x.flip(1)])
def test_what_paints_pixel_by_pixel_is_steady(paint: Callable[[Tensor], Tensor]) -> None:
    assert loss_of(paint) < 0.002


def test_what_sticks_to_the_crop_flickers() -> None:
    assert loss_of(flickering) > 0.05


def test_a_frame_that_does_not_move_shows_no_flicker_of_that_kind() -> None:
    assert loss_of(flickering, STILL) < 1e-5


def test_what_exaggerates_noise_flickers() -> None:
    noisy = FrameChange(motions=STILL.motions, noise=0.1, soften_chance=0.0)
    assert loss_of(lambda x: 4 * x, noisy) > 3 * loss_of(lambda x: x, noisy) > 0


def test_places_keep_their_precision_in_bfloat16() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert loss_of(lambda x: x) < 0.002


def test_equal_seeds_give_equal_losses() -> None:
    change = FrameChange()
    assert loss_of(flickering, change) == loss_of(flickering, change)
    assert loss_of(flickering, change) != loss_of(flickering, change, seed=4)


def test_the_gradient_reaches_the_network_and_not_its_first_picture() -> None:
    network = nn.Conv2d(3, 3, 5, padding=2, padding_mode="zeros")
    real = smooth_pictures()
    fake = network(real)
    fake.retain_grad()
    temporal_loss(Painter(network), real, fake, CLEAN, seeded()).backward()
    assert fake.grad is None
    assert network.weight.grad is not None
    assert network.weight.grad.abs().sum() > 0


def test_every_picture_moves_its_own_way_and_no_further_than_allowed() -> None:
    motions = MotionRange(shift=0.05, zoom=0.1, turn_deg=6)
    drawn = draw_motions(500, motions, seeded())
    scale, angle = drawn[:, :, 0].norm(dim=1), torch.atan2(drawn[:, 1, 0], drawn[:, 0, 0])
    assert 0.095 < scale.log().abs().max() <= 0.1
    assert 5.7 < angle.rad2deg().abs().max() <= 6
    assert 0.095 < drawn[:, :, 2].abs().max() <= 0.1  # of half a side
    assert len(drawn.unique(dim=0)) == 500


def test_a_shift_moves_pixels_and_leaves_the_far_border_unknown() -> None:
    images, by_four = torch.rand(1, 3, 32, 32), torch.tensor([[[1.0, 0, 0.25], [0, 1, 0]]])
    grid = sampling_grid(by_four, images)
    assert torch.allclose(move(images, grid)[..., :28], images[..., 4:], atol=1e-5)
    known = known_pixels(grid, margin=0.0)
    assert known[..., :28].all()
    assert not known[..., 28:].any()
    assert known_pixels(grid, margin=0.2).sum() < known.sum()


def test_each_frame_has_its_own_noise_and_softness() -> None:
    frames = torch.rand(1, 3, 32, 32, generator=seeded(1)).repeat(16, 1, 1, 1) * 2 - 1
    changed = degrade(frames, FrameChange(noise=0.0, soften_chance=0.5), seeded())
    is_same = (changed == frames).flatten(1).all(1)
    assert 0 < is_same.sum() < 16
    noisy = degrade(frames * 0, FrameChange(noise=0.1, soften_chance=0.0), seeded())
    strengths = noisy.flatten(1).std(1)
    assert strengths.max() <= 0.11
    assert strengths.min() < strengths.max() / 2


def test_the_term_grows_over_its_ramp_and_looks_at_photographs() -> None:
    term = TemporalTerm(4.0, 0.25, change=CLEAN, generator=seeded())
    assert [term.weight(progress) for progress in (0, 0.125, 0.25, 1)] == [0, 2, 4, 4]
    assert TemporalTerm(4.0, 0).weight(0) == 4
    real, network = smooth_pictures(), Painter(flickering)
    batch = Batch(a=DomainBatch(real=real), b=DomainBatch(real=torch.zeros_like(real)))
    outputs = SimpleNamespace(fake_b=network(real).image)
    loss = term(SimpleNamespace(gen_a2b=network), batch, outputs)  # type: ignore[arg-type]
    assert float(loss) == pytest.approx(loss_of(flickering))
