"""The landmark recipe's loss and loop: what the network minimises, and how it gets there resumably.

Reading faces is `landmark_data.py`, drawing regions `landmark_regions.py`, judging the result `landmark_evaluation.py`.
"""

from __future__ import annotations

import json
import logging
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
from .training_state import AveragedState, learning_rate_at, to_images

_GROUP_WEIGHTS = {"outline": 0.7, "brow": 1.0, "eye": 1.5, "iris": 1.5, "nose": 1.2, "lips": 1.2}
_NOSE_TIP = MESH["nose"].start + 6
_MOUTH_CORNERS = [MESH["lips_outer"].start, MESH["lips_outer"].start + 10]
_UPPER_LIDS = [MESH[f"{side}_eye"].start + i for side in ("right", "left") for i in range(1, 8)]
_LOWER_LIDS = [MESH[f"{side}_eye"].start + 16 - i for side in ("right", "left") for i in range(1, 8)]
_UPPER_LIP = [MESH["lips_inner"].start + i for i in range(1, 10)]
_LOWER_LIP = [MESH["lips_inner"].start + 20 - i for i in range(1, 10)]
_KNEE = 0.02
"""Misses below this, in eye distances, count by their square in the loss."""
_STEADY_KNEE = 0.005
"""The same for two views that disagree: what is to be taken out is small."""

_LOGGED = ("landmarks", "five", "opening", "steady", "presence", "total")
"""The loss terms whose means are logged."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LossWeights:
    """What each term of the loss counts, the landmarks' mean error (in eye distances) being 1."""

    five: float = 0.5
    """The five alignment points once more: every crop hangs on them."""
    opening: float = 0.3
    """How far eyes and mouth are open: the vectors from upper to lower lids and lips."""
    steady: float = 0.8
    """Two views of one face, in which the network is to make the same misses; ramped up from 0."""
    presence: float = 0.1
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
    steady_ramp_steps: int = 1000
    """Steps until the loss of two views counts in full."""
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


def landmark_losses(output: LandmarkOutput, batch: Batch, weights: LossWeights, ramp: float = 1.0) -> dict[str, Tensor]:
    """Loss terms of one batch, each a scalar: those of `LossWeights`, `landmarks`, and their weighted sum `total`.

    Point errors are smooth L1 over each face's own scale: the eyes' distance, or 0.6 of eyes to mouth where a turned
    head leaves less of it. Regions without a face count for presence only.

    Args:
        output: of the network, for the batch's regions.
        batch: the regions with their labels.
        weights: of the terms.
        ramp: share of its weight at which `steady` counts.
    """
    has_face = batch.presence > 0.5
    predicted, target = output.landmarks[has_face], batch.landmarks[has_face]
    target_five = _five(target)
    scale = _face_scale(target_five)[:, None, None]
    openings = _openings(predicted) - _openings(target)
    errors = _smooth_l1((predicted - target) / scale).mean(-1)
    losses = {
        "landmarks": _mean(errors * _point_weights()),
        "five": _mean(_smooth_l1((_five(predicted) - target_five) / scale)),
        "opening": _mean(_smooth_l1(openings / scale)),
        "steady": _unsteadiness(output.landmarks, batch),
        "presence": F.binary_cross_entropy_with_logits(output.presence_logits, batch.presence),
    }
    total = losses["landmarks"] + ramp * weights.steady * losses["steady"]
    losses["total"] = total + sum(getattr(weights, name) * losses[name] for name in ("five", "opening", "presence"))
    return losses


def _unsteadiness(landmarks: Tensor, batch: Batch) -> Tensor:
    """How much the misses in two views of one face differ, after turning one view's into the other's frame.

    The labels of both views are images of the same landmarks, so the turn between the views is what takes one's labels
    to the other's; a miss that both share (the labeller's own, say) costs nothing here.
    """
    second = batch.partners >= 0
    first = batch.partners[second]
    labels, others = batch.landmarks[first], batch.landmarks[second]
    misses = _turn(landmarks[first] - labels, labels, others)
    scale = _face_scale(_five(others))[:, None, None]
    return _mean(_smooth_l1((misses - (landmarks[second] - others)) / scale, _STEADY_KNEE))


def _turn(vectors: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Turn and scale NxKx2 vectors as the similarity does that takes the points `source` to `target`."""
    source, target = source - source.mean(1, keepdim=True), target - target.mean(1, keepdim=True)
    size = source.square().sum((1, 2)).clamp_min(1e-9)
    cos = (source * target).sum((1, 2)) / size
    sin = (source[..., 0] * target[..., 1] - source[..., 1] * target[..., 0]).sum(1) / size
    linear = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)  # of row vectors
    return vectors @ linear


def _openings(landmarks: Tensor) -> Tensor:
    upper, lower = _UPPER_LIDS + _UPPER_LIP, _LOWER_LIDS + _LOWER_LIP
    return landmarks[:, lower] - landmarks[:, upper]


def _mean(values: Tensor) -> Tensor:
    """Mean, and 0 of nothing."""
    return values.sum() / max(values.numel(), 1)


def _smooth_l1(scaled: Tensor, knee: float = _KNEE) -> Tensor:
    return F.smooth_l1_loss(scaled, torch.zeros_like(scaled), reduction="none", beta=knee)


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


def train_landmarks(
    faces: Sequence[LabelledFace],
    run_dir: Path,
    config: LandmarkTrainingConfig,
    network_options: dict[str, Any] | None = None,
    start_from: Path | None = None,
) -> LandmarkNet:
    """Train from the snapshot in `run_dir`, or else from `start_from` or from scratch, to the last step.

    Args:
        faces: the training faces.
        run_dir: where snapshot.pt, config.json and log.jsonl are written; made if absent.
        config: the run's settings.
        network_options: arguments of `LandmarkNet`, for tests.
        start_from: another run's snapshot whose averaged weights a new run begins with.

    Returns:
        The averaged network in eval mode.
    """
    # Set up.
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "config.json").write_text(json.dumps(asdict(config), indent=2), encoding="utf-8")
    snapshot = run_dir / "snapshot.pt"
    state = AveragedState.begin(lambda: LandmarkNet(**network_options or {}), config)
    state.resume(snapshot, start_from)

    # Fetch, step, average, tick.
    batches = RegionBatches(
        faces,
        batch_size=config.batch_size,
        first=state.step,
        last=config.steps,
        seed=config.seed,
        config=config.regions,
    )
    start, sums = time.monotonic(), dict.fromkeys(_LOGGED, 0.0)
    for batch in DataLoader(batches, batch_size=None):
        for name, value in _step(state, batch, config).items():
            sums[name] += float(value.detach())
        state.update_average(config.ema_decay)
        state.step += 1
        if state.step % config.snapshot_steps == 0 or state.step == config.steps:
            _log(run_dir, state.step, sums, time.monotonic() - start, config)
            state.save(snapshot)
            start, sums = time.monotonic(), dict.fromkeys(sums, 0.0)
    return state.average


def _step(state: AveragedState[LandmarkNet], batch: Batch, config: LandmarkTrainingConfig) -> dict[str, Tensor]:
    regions = to_images(batch.regions)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.is_autocast):
        output = state.network(regions)
    losses = landmark_losses(output, batch, config.loss, min(state.step / max(config.steady_ramp_steps, 1), 1.0))
    state.descend(losses["total"], learning_rate_at(state.step, config), max_norm=1.0)
    return losses


def _log(run_dir: Path, step: int, sums: dict[str, float], secs: float, config: LandmarkTrainingConfig) -> None:
    count = (step - 1) % config.snapshot_steps + 1
    means = {name: round(value / count, 5) for name, value in sums.items()}
    ms = 1000 * secs / (count * config.batch_size)
    _logger.info(
        "Step %d of %d: landmarks %.4f, steady %.4f, presence %.4f, %.2f ms per region.",
        step,
        config.steps,
        means["landmarks"],
        means["steady"],
        means["presence"],
        ms,
    )
    with (run_dir / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, "ms_per_region": round(ms, 3), **means}) + "\n")
