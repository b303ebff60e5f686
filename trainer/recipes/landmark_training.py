"""The landmark recipe's loss and loop: what the network minimises, and how it gets there resumably.

Reading faces is `landmark_data.py`, drawing regions `landmark_regions.py`, judging the result `landmark_evaluation.py`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from alignment.landmark_net import LandmarkNet, LandmarkOutput
from alignment.points import MESH, NUM_LANDMARKS

from .landmark_data import LabelledFace
from .landmark_regions import Batch, RegionBatches, RegionConfig

_GROUP_WEIGHTS = {"outline": 0.7, "brow": 1.0, "eye": 1.5, "iris": 1.5, "nose": 1.2, "lips": 1.2}
_NOSE_TIP = MESH["nose"].start + 6
_MOUTH_CORNERS = [MESH["lips_outer"].start, MESH["lips_outer"].start + 10]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LossWeights:
    """What each term of the loss counts, the landmarks' mean error (in eye distances) being 1."""

    five: float = 0.5
    """The five alignment points once more: every crop hangs on them."""
    presence: float = 0.06
    """Binary cross-entropy of the presence score."""


@dataclass(frozen=True)
class LandmarkTrainingConfig:
    """Everything a run depends on besides the pictures."""

    steps: int = 6000
    """Optimizer steps; the learning rate's cosine ends here."""
    batch_size: int = 64
    """Regions per step."""
    learning_rate: float = 2e-3
    """Peak of the warm-up and cosine schedule."""
    warmup_steps: int = 300
    """Steps of linear warm-up."""
    weight_decay: float = 0.01
    """AdamW's, on every weight."""
    ema_decay: float = 0.999
    """Per step, of the averaged weights that are evaluated and shipped."""
    seed: int = 0
    """Of the first weights and of every region drawn."""
    is_autocast: bool = True
    """Train the convolutions in bfloat16."""
    snapshot_steps: int = 250
    """Steps between snapshots."""
    loss: LossWeights = field(default_factory=LossWeights)
    """Weights of the loss terms."""
    regions: RegionConfig = field(default_factory=RegionConfig)
    """How regions are drawn."""


def landmark_losses(output: LandmarkOutput, batch: Batch, weights: LossWeights) -> dict[str, Tensor]:
    """Loss terms of one batch, each a scalar: `landmarks`, `five`, `presence` and their weighted sum `total`.

    Point errors are smooth L1 over each face's own scale: the eyes' distance, or 0.6 of eyes to mouth where a turned
    head leaves less of it. Regions without a face count for presence only.
    """
    has_face = batch.presence > 0.5
    predicted, target = output.landmarks[has_face], batch.landmarks[has_face]
    target_five = _five(target)
    scale = _face_scale(target_five)[:, None, None]
    five_errors = _smooth_l1(_five(predicted) - target_five, scale)
    errors = _smooth_l1(predicted - target, scale).mean(-1)
    losses = {
        "landmarks": (errors * _point_weights()).sum() / max(errors.numel(), 1),
        "five": five_errors.sum() / max(five_errors.numel(), 1),
        "presence": F.binary_cross_entropy_with_logits(output.presence_logits, batch.presence),
    }
    losses["total"] = losses["landmarks"] + weights.five * losses["five"] + weights.presence * losses["presence"]
    return losses


def _smooth_l1(difference: Tensor, scale: Tensor) -> Tensor:
    scaled = difference / scale
    return F.smooth_l1_loss(scaled, torch.zeros_like(scaled), reduction="none", beta=0.02)


def _five(landmarks: Tensor) -> Tensor:
    right, left = landmarks[:, MESH["right_eye"]].mean(1), landmarks[:, MESH["left_eye"]].mean(1)
    rest = landmarks[:, [_NOSE_TIP, *_MOUTH_CORNERS]]
    return torch.cat([right[:, None], left[:, None], rest], dim=1)


def _face_scale(five: Tensor) -> Tensor:
    eyes = (five[:, 1] - five[:, 0]).norm(dim=1)
    height = (five[:, 3:].mean(1) - five[:, :2].mean(1)).norm(dim=1)
    return torch.maximum(eyes, 0.6 * height).clamp_min(0.02)


def _point_weights() -> Tensor:
    weights = torch.ones(NUM_LANDMARKS)
    for name, places in MESH.items():
        weights[places] = next(value for part, value in _GROUP_WEIGHTS.items() if part in name)
    return weights / weights.mean()


def learning_rate_at(step: int, config: LandmarkTrainingConfig) -> float:
    """Linear warm-up, then a cosine from the peak to a hundredth of it at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


@dataclass
class TrainingState:
    """What a snapshot holds: the run as it stands after `step` steps."""

    step: int
    """Steps done."""
    network: LandmarkNet
    """The weights being trained."""
    average: LandmarkNet
    """Their exponential moving average."""
    optimizer: torch.optim.AdamW
    """With its moments."""

    def save(self, path: Path) -> None:
        """Write a snapshot; a run killed in the middle leaves the one before."""
        content = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Take over a snapshot's weights, moments and step."""
        content: dict[str, Any] = torch.load(path, weights_only=True)
        self.step = content["step"]
        self.network.load_state_dict(content["network"])
        self.average.load_state_dict(content["average"])
        self.optimizer.load_state_dict(content["optimizer"])


def build_state(config: LandmarkTrainingConfig, network_options: dict[str, Any] | None = None) -> TrainingState:
    """A run's state before its first step."""
    torch.manual_seed(config.seed)
    network, average = (LandmarkNet(**network_options or {}).to(memory_format=torch.channels_last) for _ in range(2))
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    return TrainingState(0, network.train(), average.eval(), optimizer)


def train_landmarks(
    faces: Sequence[LabelledFace],
    run_dir: Path,
    config: LandmarkTrainingConfig,
    network_options: dict[str, Any] | None = None,
) -> LandmarkNet:
    """Train from scratch, or from the snapshot in `run_dir`, to the last step.

    Args:
        faces: the training faces.
        run_dir: where snapshot.pt, config.json and log.jsonl are written; made if absent.
        config: the run's settings.
        network_options: arguments of `LandmarkNet`, for tests.

    Returns:
        The averaged network in eval mode.
    """
    # Set up.
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "config.json").write_text(json.dumps(asdict(config), indent=2), encoding="utf-8")
    snapshot = run_dir / "snapshot.pt"
    state = build_state(config, network_options)

    # Resume.
    if snapshot.exists():
        state.restore(snapshot)
        _logger.info("Resumed at step %d.", state.step)

    # Fetch, step, average, tick.
    batches = RegionBatches(
        faces,
        batch_size=config.batch_size,
        first=state.step,
        last=config.steps,
        seed=config.seed,
        config=config.regions,
    )
    start, sums = time.monotonic(), dict.fromkeys(("landmarks", "five", "presence", "total"), 0.0)
    for batch in DataLoader(batches, batch_size=None):
        for name, value in _step(state, batch, config).items():
            sums[name] += float(value.detach())
        _average(state.average, state.network, min(config.ema_decay, (1 + state.step) / (10 + state.step)))
        state.step += 1
        if state.step % config.snapshot_steps == 0 or state.step == config.steps:
            _log(run_dir, state.step, sums, time.monotonic() - start, config)
            state.save(snapshot)
            start, sums = time.monotonic(), dict.fromkeys(sums, 0.0)
    return state.average


def _step(state: TrainingState, batch: Batch, config: LandmarkTrainingConfig) -> dict[str, Tensor]:
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate_at(state.step, config)
    regions = to_regions(batch.regions)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.is_autocast):
        output = state.network(regions)
    losses = landmark_losses(output, batch, config.loss)
    state.optimizer.zero_grad(set_to_none=True)
    losses["total"].backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
    state.optimizer.step()
    return losses


def to_regions(pictures: Tensor) -> Tensor:
    """NxSxSx3 uint8 RGB to N3SS float32 in [-1, 1], channels last."""
    return pictures.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


@torch.no_grad()
def _average(average: LandmarkNet, network: LandmarkNet, decay: float) -> None:
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


def _log(run_dir: Path, step: int, sums: dict[str, float], secs: float, config: LandmarkTrainingConfig) -> None:
    count = (step - 1) % config.snapshot_steps + 1
    means = {name: round(value / count, 5) for name, value in sums.items()}
    ms = 1000 * secs / (count * config.batch_size)
    _logger.info(
        "Step %d of %d: landmarks %.4f, five %.4f, presence %.4f, %.2f ms per region.",
        step,
        config.steps,
        means["landmarks"],
        means["five"],
        means["presence"],
        ms,
    )
    with (run_dir / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, "ms_per_region": round(ms, 3), **means}) + "\n")
