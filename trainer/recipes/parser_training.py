"""The parser recipe's loop: how the network gets from random weights to the last step, resumably.

What it minimises is `parser_losses.py`, what it sees `parser_views.py`.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from faceseg.parser import FaceParser
from faceseg.part_net import PartNet

from .parser_losses import LossWeights, part_losses, predict
from .parser_views import SceneMaterial, ViewConfig, ViewPair, ViewPairs
from .training_state import AveragedState, learning_rate_at, to_images

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ParserTrainingConfig:
    """Everything a run depends on besides the pictures."""

    steps: int = 3000
    """Optimizer steps; the learning rate's cosine ends here."""
    num_scenes: int = 12
    """Scenes per step, each seen twice."""
    learning_rate: float = 2e-3
    """Peak of the warm-up and cosine schedule."""
    warmup_steps: int = 100
    """Steps of linear warm-up."""
    weight_decay: float = 0.01
    """AdamW's, on every weight."""
    ema_decay: float = 0.997
    """Per step, of the averaged weights that are evaluated and shipped."""
    seed: int = 0
    """Of the first weights and of every scene drawn."""
    is_autocast: bool = True
    """Train the convolutions in bfloat16."""
    snapshot_steps: int = 100
    """Steps between snapshots."""
    loss: LossWeights = field(default_factory=LossWeights)
    """Weights of the loss terms."""
    views: ViewConfig = field(default_factory=ViewConfig)
    """How scenes and views are drawn."""


def build_state(config: ParserTrainingConfig, network_options: dict[str, Any] | None = None) -> AveragedState[PartNet]:
    """A run's state before its first step."""
    return AveragedState.begin(lambda: PartNet(**network_options or {}), config)


def train_parser(
    material: SceneMaterial,
    run_dir: Path,
    config: ParserTrainingConfig,
    *,
    teacher: FaceParser | None = None,
    network_options: dict[str, Any] | None = None,
    start_from: Path | None = None,
) -> PartNet:
    """Train from the snapshot in `run_dir`, or else from `start_from` or from scratch, to the last step.

    Args:
        material: heads, occluders and drawings.
        run_dir: where snapshot.pt, config.json and log.jsonl are written; made if absent.
        config: the run's settings.
        teacher: a parser whose probabilities are learnt too, on the same views.
        network_options: arguments of `PartNet`, for tests.
        start_from: another run's snapshot whose averaged weights to begin with.

    Returns:
        The averaged network in eval mode.
    """
    # Set up.
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "config.json").write_text(json.dumps(asdict(config), indent=2), encoding="utf-8")
    snapshot = run_dir / "snapshot.pt"
    state = build_state(config, network_options)
    state.resume(snapshot, start_from)

    # Fetch, step, average, tick.
    pairs = ViewPairs(
        material, config.views, num_scenes=config.num_scenes, first=state.step, last=config.steps, seed=config.seed
    )
    start, sums, count = time.monotonic(), dict[str, float](), 0
    for pair in DataLoader(pairs, batch_size=None):
        for name, value in _step(state, pair, config, teacher).items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        state.update_average(config.ema_decay)
        state.step, count = state.step + 1, count + 1
        if state.step % config.snapshot_steps == 0 or state.step == config.steps:
            _log(
                run_dir, state.step, {k: v / count for k, v in sums.items()}, (time.monotonic() - start) / count, config
            )
            state.save(snapshot)
            start, sums, count = time.monotonic(), {}, 0
    return state.average


def _step(
    state: AveragedState[PartNet], pair: ViewPair, config: ParserTrainingConfig, teacher: FaceParser | None
) -> dict[str, Tensor]:
    images = to_images(pair.pictures)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.is_autocast):
        logits = state.network.half_size_logits(images)
    phase = np.random.default_rng((config.seed, state.step, 1)).integers(2, size=2)
    prediction = predict(logits.contiguous(), pair.labels, (int(phase[0]), int(phase[1])))
    opinion = None if teacher is None else _opinion(teacher, images, logits)
    losses = part_losses(prediction, pair.between, config.loss, opinion)
    state.descend(losses["total"], learning_rate_at(state.step, config), max_norm=2.0)
    return losses


@torch.no_grad()
def _opinion(teacher: FaceParser, images: Tensor, logits: Tensor) -> Tensor:
    probabilities: Tensor = teacher(images.contiguous())
    return F.interpolate(probabilities, logits.shape[-2:], mode="area")


def _log(run_dir: Path, step: int, means: dict[str, float], secs: float, config: ParserTrainingConfig) -> None:
    numbers = {name: round(value, 5) for name, value in means.items()}
    _logger.info("Step %d of %d: %s, %.2f s per step.", step, config.steps, numbers, secs)
    with (run_dir / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, "secs_per_step": round(secs, 3), **numbers}) + "\n")
