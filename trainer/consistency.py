"""Steadiness without video: a picture moved a little and then translated must equal its translation, moved alike.

What flickers from frame to frame in a video is what depends on where in the crop a face happens to lie, and on noise:
the term moves the photograph as the next frame would (shift, zoom, turn), gives it the noise and softness that frames
differ in, translates it, and compares with the moved fake. The fake is the teacher: no gradient reaches it, so the
generator cannot become steady by becoming blurred. Costs one more pass of the generator.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from .batch import Batch
from .motion import MotionRange, draw_motions, known_pixels, move, sampling_grid
from .networks import CycleOutputs, Networks

MARGIN = 0.06
"""Share of half a side at every border that is not compared: padding makes it differ, and rightly."""


@dataclass(frozen=True, kw_only=True)
class FrameChange:
    """In what the next frame differs from this one, beside what it shows."""

    motions: MotionRange = field(default_factory=MotionRange)
    """How far the face moves in the crop."""
    noise: float = 0.04
    """Highest standard deviation of the noise that is added, of values in [-1, 1]."""
    soften_chance: float = 0.5
    """Chance that the picture loses detail as a small or blurred face does: halved and enlarged, in part."""


class TemporalTerm:
    """The loss as a term of the generators' (A to B)."""

    name = "temporal"

    def __init__(
        self, weight: float, ramp: float, *, change: FrameChange | None = None, generator: Generator | None = None
    ) -> None:
        """Set the weight.

        Args:
            weight: the full one.
            ramp: share of the run over which it grows from 0; 0 is at once.
            change: in what frames differ.
            generator: source of every draw, on the CPU; None: torch's own.
        """
        self._full, self._ramp = weight, ramp
        self._change, self._generator = change or FrameChange(), generator

    def weight(self, progress: float) -> float:
        """Return the weight after a share of the run (0 to 1)."""
        return self._full * min(progress / self._ramp, 1.0) if self._ramp else self._full

    def __call__(self, networks: Networks, batch: Batch, outputs: CycleOutputs) -> Tensor:
        """Compute the loss of this step's photographs; scalar float32."""
        return temporal_loss(networks.gen_a2b, batch.a.real, outputs.fake_b, self._change, self._generator)


def temporal_loss(
    translate: nn.Module, real: Tensor, fake: Tensor, change: FrameChange, generator: Generator | None = None
) -> Tensor:
    """L1 between the translation of the moved picture and the moved translation.

    Args:
        translate: generator; its output has `.image`.
        real: N3HW in [-1, 1].
        fake: N3HW in [-1, 1], the translation of `real`; taken as given.
        change: in what the moved picture differs.
        generator: on the CPU, of all that is drawn; None takes torch's own.

    Returns:
        Scalar float32: mean over the pixels that are known in both.
    """
    motions = draw_motions(len(real), change.motions, generator)
    with torch.no_grad(), torch.autocast(real.device.type, enabled=False):  # places in bfloat16 are off by pixels
        grid = sampling_grid(motions, real)
        target = move(fake, grid)
        frame = degrade(move(real, grid), change, generator)
        known = known_pixels(grid, MARGIN)
    drawn: Tensor = translate(frame).image.float()
    difference: Tensor = (drawn - target).abs().mean(1, keepdim=True) * known
    return torch.sum(difference) / known.sum().clamp(min=1)


def degrade(frames: Tensor, change: FrameChange, generator: Generator | None = None) -> Tensor:
    """Soften some frames and add noise to all, each by its own draw.

    Args:
        frames: N3HW float32 in [-1, 1].
        change: how much at most.
        generator: on the CPU; None takes torch's own.

    Returns:
        N3HW float32 in [-1, 1], channels last.
    """
    draws = torch.rand(3, len(frames), 1, 1, 1, generator=generator).to(frames.device, non_blocking=True)
    is_soft, softness, strength = draws.unbind()
    share = softness * (is_soft < change.soften_chance)
    if change.soften_chance:
        small = F.interpolate(frames, scale_factor=0.5, mode="area")
        soft = F.interpolate(small, frames.shape[-2:], mode="bilinear", align_corners=False)
        frames = frames + share * (soft - frames)
    frames = frames + strength * change.noise * _noise_like(frames, generator)
    return frames.clamp(-1, 1).contiguous(memory_format=torch.channels_last)


def _noise_like(frames: Tensor, generator: Generator | None) -> Tensor:
    """Normal noise, drawn where the pictures are from a seed that the CPU's generator gives."""
    seed = int(torch.randint(2**62, (1,), generator=generator))
    own = Generator(frames.device).manual_seed(seed)
    return torch.randn(frames.shape, generator=own, device=frames.device)
