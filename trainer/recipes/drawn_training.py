"""Paired training of a drawn style: losses, the conditional discriminator, the stages and the resumable loop.

A warm start: every photograph has its drawing. Does not draw and does not read pictures.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model import Generator, GeneratorConfig, build_generator, clip_rho
from model.images import to_tensor

from .drawn_brush import Array
from .drawn_pairs import Batch, PairSet

log = logging.getLogger(__name__)


LIGHT = GeneratorConfig(base_channels=32, num_blocks=4, image_size_px=256, head_size=1)
"""The generator of the built-in styles."""


@dataclass(frozen=True)
class Stage:
    """One part of the training with its own picture size."""

    until_step: int
    """The stage ends before this step."""
    size_px: int
    """Side of the whole crops it sees."""
    batch_size: int
    """Pairs per step."""
    window_px: int | None = None
    """Side of the window of the crop that is used, about the face; None: the whole crop."""


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that fixes a run."""

    generator: GeneratorConfig = LIGHT
    """The network that is trained."""
    stages: tuple[Stage, ...] = (
        Stage(1700, 128, 4),
        Stage(3700, 256, 1),
        Stage(13600, 256, 1, window_px=176),
        Stage(16600, 256, 1),
    )
    """Small pictures first: palette and masses are learned there four times faster; then mostly faces in full size."""
    adversarial_from: int = 3000
    """Step at which the discriminator joins."""
    learning_rate: float = 5e-4
    """Peak of the generator's; it falls along a cosine to a twentieth."""
    discriminator_rate: float = 2e-4
    """The discriminator's, constant."""
    l1_weight: float = 10.0
    gradient_weight: float = 14.0
    coarse_weight: float = 5.0
    """Reconstruction terms: pixels, their differences, and the four times smaller picture."""
    adversarial_weight: float = 0.5
    feature_weight: float = 3.0
    """Fooling the discriminator, and matching what it sees in a real drawing."""
    focus_gain: float = 5.0
    """How many times more than plain skin an error over the eyes counts (added to 1)."""
    ema_half_life_steps: float = 300.0
    """Half-life of the averaged weights."""
    snapshot_secs: float = 180.0
    """Time between snapshots."""
    preview_secs: float = 600.0
    """Time between previews."""
    seed: int = 7
    """Of weights and batches; step n of a resumed run draws the batch it would have drawn."""

    @property
    def num_steps(self) -> int:
        """Length of the run."""
        return self.stages[-1].until_step

    def stage_at(self, step: int) -> Stage:
        """The stage that step `step` belongs to."""
        return next(stage for stage in self.stages if step < stage.until_step)


class PatchCritic(nn.Module):
    """Conditional PatchGAN at two scales; sees photograph and drawing side by side as six channels.

    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017, section 3.2.2; spectral norm
    and feature outputs as in pix2pixHD.
    """

    def __init__(self, base_channels: int = 32, num_scales: int = 2) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_critic_layers(base_channels) for _ in range(num_scales))

    def forward(self, photo: Tensor, drawing: Tensor) -> list[list[Tensor]]:
        """N3HW, N3HW -> per scale the feature maps of its layers; the last is the N1hw verdict."""
        x, found = torch.cat([photo, drawing], 1), []
        for scale in self.scales:
            features = [x]
            for layer in list(scale.children()):
                features.append(layer(features[-1]))
            found.append(features[1:])
            x = F.avg_pool2d(x, 2)
        return found


def _critic_layers(base: int) -> nn.ModuleList:
    def conv(inputs: int, outputs: int, stride: int) -> nn.Module:
        return nn.utils.parametrizations.spectral_norm(nn.Conv2d(inputs, outputs, 4, stride, 1))

    act = nn.LeakyReLU(0.2)
    return nn.ModuleList(
        [
            nn.Sequential(conv(6, base, 2), act),
            nn.Sequential(conv(base, 2 * base, 2), act),
            nn.Sequential(conv(2 * base, 4 * base, 2), act),
            nn.Sequential(conv(4 * base, 4 * base, 1), act),
            conv(4 * base, 1, 1),
        ]
    )


def reconstruction_loss(drawn: Tensor, target: Tensor, focus: Tensor, config: TrainingConfig) -> Tensor:
    """Weighted sum of pixel, difference and coarse L1.

    Args:
        drawn: N3HW in [-1, 1], the generator's.
        target: N3HW in [-1, 1].
        focus: N1HW in [0, 1], where errors count more.
        config: the weights.
    """
    ink = (F.avg_pool2d(target, 9, 1, 4) - target).mean(1, keepdim=True).clamp(0, 0.8)
    weight = 1 + config.focus_gain * focus + 2.5 * ink
    weight = weight / weight.mean()
    pixels = (weight * (drawn - target).abs()).mean()
    error = drawn - target
    across = (weight[..., 1:] * (error[..., 1:] - error[..., :-1]).abs()).mean()
    down = (weight[..., 1:, :] * (error[..., 1:, :] - error[..., :-1, :]).abs()).mean()
    coarse = F.avg_pool2d(error, 4).abs().mean()
    return config.l1_weight * pixels + config.gradient_weight * (across + down) / 2 + config.coarse_weight * coarse


def critic_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """LSGAN: real verdicts to 1, fake ones to 0."""
    losses = [((r[-1].float() - 1) ** 2).mean() + (f[-1].float() ** 2).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).mean() / 2


def fooling_loss(fake: list[list[Tensor]]) -> Tensor:
    """LSGAN for the generator: fake verdicts to 1."""
    return torch.stack([((f[-1].float() - 1) ** 2).mean() for f in fake]).mean()


def feature_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """Mean L1 between the discriminator's feature maps of a drawing and of its imitation."""
    terms = [
        F.l1_loss(f.float(), r.float().detach())
        for one, other in zip(real, fake, strict=True)
        for r, f in zip(one[:-1], other[:-1], strict=True)
    ]
    return torch.stack(terms).mean()


def windows(rng: np.random.Generator, eyes: Array, size_px: int, window_px: int) -> list[tuple[int, int]]:
    """Top-left (x, y) of the window each picture shows the discriminator: around an eye, or anywhere."""
    corners = []
    for pair in eyes:
        near, anywhere = pair.mean(0) + rng.normal(0, window_px * 0.12, 2), rng.uniform(0, size_px, 2)
        middle = near if rng.random() < 0.6 else anywhere
        x, y = np.clip(middle - window_px / 2, 0, size_px - window_px).astype(int)
        corners.append((int(x), int(y)))
    return corners


def cut_windows(images: Tensor, corners: list[tuple[int, int]], window_px: int) -> Tensor:
    """NCHW -> NCww, one window per picture."""
    cuts = [image[:, y : y + window_px, x : x + window_px] for image, (x, y) in zip(images, corners, strict=True)]
    return torch.stack(cuts).contiguous(memory_format=torch.channels_last)


class Training:
    """All that changes during a run: networks, optimizers, step."""

    def __init__(self, config: TrainingConfig) -> None:
        torch.manual_seed(config.seed)
        self.config, self.step = config, 0
        self.generator = build_generator(config.generator).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).requires_grad_(False).eval()
        self.critic = PatchCritic().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.generator_optimizer = torch.optim.Adam(self.generator.parameters(), config.learning_rate, (0.5, 0.99))
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), config.discriminator_rate, (0.5, 0.99))

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Begin with another style's generator: its state dict; step and optimizers stay at their start."""
        for network in (self.generator, self.average):
            network.load_state_dict(weights)

    def advance(self, pairs: PairSet) -> dict[str, float]:
        """One step of generator and discriminator; returns the losses."""
        config, rng = self.config, np.random.default_rng([self.config.seed, self.step])
        stage = config.stage_at(self.step)
        batch = pairs.batch(rng, stage.batch_size, stage.size_px, stage.window_px)
        photo, target, focus = to_tensors(batch)
        self._set_rate()
        with torch.autocast("cpu", torch.bfloat16):
            drawn = self.generator(photo).image
        drawn = drawn.float()
        loss = reconstruction_loss(drawn, target, focus, config)
        losses = {"reconstruction": loss.item()}
        if self.step >= config.adversarial_from:
            adversarial = self._adversarial(rng, batch, photo, drawn, target, losses)
            loss = loss + adversarial
        self.generator_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), 10.0)
        self.generator_optimizer.step()
        clip_rho(self.generator)
        self._average()
        self.step += 1
        return losses

    def _adversarial(
        self,
        rng: np.random.Generator,
        batch: Batch,
        photo: Tensor,
        drawn: Tensor,
        target: Tensor,
        losses: dict[str, float],
    ) -> Tensor:
        """Train the discriminator on this batch, then let it judge the generator's drawing."""
        config, size_px = self.config, photo.shape[-1]
        window_px = min(128, size_px)
        corners = windows(rng, batch.eyes, size_px, window_px)
        photo, drawn, target = (cut_windows(x, corners, window_px) for x in (photo, drawn, target))
        with torch.autocast("cpu", torch.bfloat16):
            critic = critic_loss(self.critic(photo, target), self.critic(photo, drawn.detach()))
        self.critic_optimizer.zero_grad(set_to_none=True)
        critic.backward()  # type: ignore[no-untyped-call]
        self.critic_optimizer.step()
        self.critic.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16):
            fake = self.critic(photo, drawn)
            with torch.no_grad():
                real = self.critic(photo, target)
        fooling, matching = fooling_loss(fake), feature_loss(real, fake)
        self.critic.requires_grad_(True)
        losses |= {"critic": critic.item(), "fooling": fooling.item(), "features": matching.item()}
        ramp = min((self.step - config.adversarial_from + 1) / 500, 1.0)
        return ramp * (config.adversarial_weight * fooling + config.feature_weight * matching)

    def _set_rate(self) -> None:
        progress = self.step / self.config.num_steps
        factor = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress))
        warm = min((self.step + 1) / 100, 1.0)
        self.generator_optimizer.param_groups[0]["lr"] = self.config.learning_rate * factor * warm

    @torch.no_grad()
    def _average(self) -> None:
        """EMA with a short memory at the start."""
        half_life = min(self.config.ema_half_life_steps, self.step / 8 + 1)
        keep = 0.5 ** (1 / half_life)
        torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), 1 - keep)

    def save(self, path: Path) -> None:
        """Write everything needed to go on, in one step."""
        parts = ("generator", "average", "critic", "generator_optimizer", "critic_optimizer")
        state = {"step": self.step, **{name: getattr(self, name).state_dict() for name in parts}}
        temporary = path.with_suffix(".part")
        torch.save(state, temporary)
        os.replace(temporary, path)

    def resume(self, path: Path) -> None:
        """Go on from a snapshot."""
        state = torch.load(path, weights_only=True)
        self.step = int(state.pop("step"))
        for name, values in state.items():
            getattr(self, name).load_state_dict(values)


def to_tensors(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """(photographs, drawings) N3HW float32 in [-1, 1], channels last, and focus N1HW in [0, 1]."""
    photo, drawing = to_tensor(batch.photos), to_tensor(batch.drawings)
    return photo, drawing, torch.from_numpy(batch.focus)[:, None]


def train(
    config: TrainingConfig,
    pairs: PairSet,
    run: Path,
    preview: Callable[[Generator, Path], None],
    start: Mapping[str, Tensor] | None = None,
) -> Generator:
    """Train to the end, resuming from `run/snapshot.pt` if it is there.

    Args:
        config: the run.
        pairs: training pairs.
        run: folder for the snapshot, log.jsonl and previews.
        preview: called with the averaged generator and a path for a sheet.
        start: generator weights that a new run begins with; None: random ones.

    Returns:
        The averaged generator.
    """
    training, snapshot = Training(config), run / "snapshot.pt"
    if snapshot.exists():
        training.resume(snapshot)
        log.info("Resumed at step %d.", training.step)
    elif start is not None:
        training.start_from(start)
    saved = shown = ticked = time.monotonic()
    sums: dict[str, list[float]] = {}
    while training.step < config.num_steps:
        for name, value in training.advance(pairs).items():
            sums.setdefault(name, []).append(value)
        if training.step % 50 == 0:
            _tick(run, training, sums, time.monotonic() - ticked)
            sums, ticked = {}, time.monotonic()
        if time.monotonic() - saved > config.snapshot_secs:
            training.save(snapshot)
            saved = time.monotonic()
        if time.monotonic() - shown > config.preview_secs:
            preview(training.average, run / f"preview-{training.step:06d}.png")
            shown = time.monotonic()
    training.save(snapshot)
    return training.average


def _tick(run: Path, training: Training, sums: dict[str, list[float]], secs: float) -> None:
    """One human and one JSON line from the same numbers."""
    means = {name: round(float(np.mean(values)), 4) for name, values in sums.items()}
    log.info("Step %d, %.2f s per step: %s.", training.step, secs / 50, means)
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps({"step": training.step, "secs": round(secs, 1), **means}) + "\n")
