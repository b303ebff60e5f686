"""The detector recipe's targets, loss and loop.

Reading pictures is `detector_data.py`, drawing scenes `detector_scenes.py`, judging the result
`detector_evaluation.py`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from alignment.spotter_net import STRIDES, SpotterNet, SpotterOutput, cell_centres

from .detector_data import SceneParts
from .detector_scenes import LabelledScene, SceneConfig, SceneSampler
from .training_state import AveragedState, learning_rate_at, to_images

SIZES_PX = ((0.0, 56.0), (38.0, 125.0), (84.0, 1e6))
"""Sizes of the faces that each grid finds; where two overlap, both do."""

_UNJUDGED_MARGIN = 1.2
_REACH = 0.17

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DetectorTrainingConfig:
    """Everything a run depends on besides the pictures."""

    steps: int = 6500
    """Optimizer steps; the learning rate's cosine ends here."""
    batch_size: int = 16
    """Scenes per step."""
    learning_rate: float = 3e-3
    """Peak of the warm-up and cosine schedule."""
    warmup_steps: int = 200
    """Steps of linear warm-up."""
    weight_decay: float = 0.02
    """AdamW's, on every weight."""
    ema_decay: float = 0.998
    """Per step, of the averaged weights that are evaluated and shipped."""
    seed: int = 0
    """Of the first weights and of every scene drawn."""
    is_autocast: bool = True
    """Train the convolutions in bfloat16."""
    snapshot_steps: int = 250
    """Steps between snapshots."""
    mining_shares: tuple[float, ...] = (0.35, 0.65)
    """After these shares of the steps, the face-free backgrounds that fire are looked for and drawn more often."""
    box_weight: float = 2.0
    """Of the boxes' loss, the scores' being 1."""
    points_weight: float = 6.0
    """Of the points' loss."""
    scenes: SceneConfig = field(default_factory=SceneConfig)
    """How scenes are drawn."""


class Batch(NamedTuple):
    """Scenes and their targets; C cells as in `SpotterOutput`, P of them in all scenes together find a face."""

    pictures: Tensor
    """NxSxSx3 uint8 RGB."""
    is_judged: Tensor
    """NxC bool: cells whose score counts."""
    cells: Tensor
    """(P,) int64 index of the finding cells in N * C."""
    boxes: Tensor
    """Px4 float32."""
    points: Tensor
    """Px5x2 float32."""
    has_points: Tensor
    """(P,) bool."""


def assign(scene: LabelledScene) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Say which cells find which faces.

    A face belongs to the grids of its size, there to the cells around its middle, one at least. Where faces meet, the
    smaller has the cell. On grids just beyond its size a face's middle is not judged, nor is anything in a face that
    is itself not judged.

    Returns:
        (C,) bool: the cell's score counts; (P,) int64 finding cells; (P,) int64 their faces.
    """
    side = scene.picture.shape[0]
    centres, strides = (t.numpy() for t in cell_centres(side, side))
    owner, is_judged = np.full(len(centres), -1), np.ones(len(centres), bool)
    sizes = np.sqrt(np.prod(scene.boxes_xyxy[:, 2:] - scene.boxes_xyxy[:, :2], axis=1))
    for i in np.argsort(-sizes):
        box = scene.boxes_xyxy[i]
        if not scene.is_judged[i]:
            is_judged &= ((centres < box[:2]) | (centres > box[2:])).any(1)
            continue
        middle = np.clip((box[:2] + box[2:]) / 2, 0, side - 1)
        for stride, (low, high) in zip(STRIDES, SIZES_PX, strict=True):
            if not low / _UNJUDGED_MARGIN < sizes[i] < high * _UNJUDGED_MARGIN:
                continue
            distance = np.abs(centres - middle).max(1)
            near = (distance <= max(_REACH * sizes[i], 0.5 * stride)) & (strides == stride)
            if low <= sizes[i] < high:
                owner[near] = i
            else:
                is_judged &= ~near
    cells = np.flatnonzero(owner >= 0)
    is_judged[cells] = True
    return is_judged, cells, owner[cells]


def collate(scenes: Sequence[LabelledScene]) -> Batch:
    """Put scenes and their targets together."""
    judged, cells, boxes, points, has_points = [], [], [], [], []
    for n, scene in enumerate(scenes):
        is_judged, own, faces = assign(scene)
        judged.append(is_judged)
        cells.append(own + n * len(is_judged))
        boxes.append(scene.boxes_xyxy[faces])
        points.append(scene.points[faces])
        has_points.append(scene.has_points[faces])
    return Batch(
        torch.from_numpy(np.stack([scene.picture for scene in scenes])),
        torch.from_numpy(np.stack(judged)),
        torch.from_numpy(np.concatenate(cells)),
        torch.from_numpy(np.concatenate(boxes)),
        torch.from_numpy(np.concatenate(points)),
        torch.from_numpy(np.concatenate(has_points)),
    )


def detector_losses(output: SpotterOutput, batch: Batch, config: DetectorTrainingConfig) -> dict[str, Tensor]:
    """Loss terms of one batch, each a scalar: `score`, `box`, `points` and their weighted sum `total`.

    A finding cell's score should be the root of its box's overlap with the true one (quality focal loss, Li et al.,
    "Generalized Focal Loss", NeurIPS 2020); boxes are fitted by generalised IoU (Rezatofighi et al., CVPR 2019),
    points by smooth L1 over the face's size.
    """
    boxes, points = output.boxes.flatten(0, 1)[batch.cells], output.points.flatten(0, 1)[batch.cells]
    overlap, generalised = _overlaps(boxes, batch.boxes)
    logits, is_judged = output.score_logits.flatten(), batch.is_judged.flatten()
    wanted = torch.zeros_like(logits)
    wanted[batch.cells] = overlap.detach().clamp(0, 1).sqrt()
    focus = (logits.detach().sigmoid() - wanted).abs().square()
    score = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * focus * is_judged
    size = (batch.boxes[:, 2:] - batch.boxes[:, :2]).prod(1).sqrt()
    misses = (points - batch.points) / size[:, None, None]
    misses = F.smooth_l1_loss(misses, torch.zeros_like(misses), reduction="none", beta=0.03).mean((1, 2))
    count = max(len(batch.cells), 1)
    losses = {
        "score": score.sum() / count,
        "box": (1 - generalised).sum() / count,
        "points": (misses * batch.has_points).sum() / batch.has_points.sum().clamp_min(1),
    }
    losses["total"] = losses["score"] + config.box_weight * losses["box"] + config.points_weight * losses["points"]
    return losses


def _overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes pair by pair, Px4 each."""
    overlap = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp_min(0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - overlap
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    iou = overlap / union.clamp_min(1e-6)
    return iou, iou - (hull - union) / hull.clamp_min(1e-6)


@dataclass
class DetectorState(AveragedState[SpotterNet]):
    """A run's state, with the backgrounds that are drawn more often."""

    hard: list[int] = field(default_factory=list)
    """Indices of the backgrounds that fired when last looked at."""

    def content(self) -> dict[str, Any]:
        """What a snapshot holds, by name."""
        return super().content() | {"hard": self.hard}

    def restore(self, content: dict[str, Any]) -> None:
        """Take over everything that `content` gave in an earlier process."""
        super().restore(content)
        self.hard = content["hard"]

    def start_from(self, content: dict[str, Any]) -> None:
        """Begin with the averaged weights and the hard backgrounds of another run's snapshot."""
        super().start_from(content)
        self.hard = content["hard"]


def train_detector(
    parts: SceneParts,
    run_dir: Path,
    config: DetectorTrainingConfig,
    network_options: dict[str, Any] | None = None,
    start_from: Path | None = None,
) -> SpotterNet:
    """Train from scratch, or from the snapshot in `run_dir`, to the last step.

    Args:
        parts: what scenes are made of.
        run_dir: where snapshot.pt, config.json and log.jsonl are written; made if absent.
        config: the run's settings.
        network_options: arguments of `SpotterNet`, for tests.
        start_from: snapshot of another run, whose averaged weights the first step begins with.

    Returns:
        The averaged network in eval mode.
    """
    # Set up.
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "config.json").write_text(json.dumps(asdict(config), indent=2), encoding="utf-8")
    snapshot = run_dir / "snapshot.pt"
    state = DetectorState.begin(lambda: SpotterNet(**network_options or {}), config)
    state.resume(snapshot, start_from)

    # Mine, draw, step, average, tick.
    mining_steps = {round(share * config.steps) for share in config.mining_shares}
    start, sums = time.monotonic(), dict.fromkeys(("score", "box", "points", "total"), 0.0)
    while state.step < config.steps:
        if state.step in mining_steps:
            state.hard = find_hard(state.average, parts, config)
        sampler = SceneSampler(parts, config.scenes, state.hard)
        batch = collate([sampler.draw(rng) for rng in _chances(state.step, config)])
        for name, value in _step(state, batch, config).items():
            sums[name] += float(value.detach())
        state.update_average(config.ema_decay)
        state.step += 1
        if state.step % config.snapshot_steps == 0 or state.step == config.steps:
            _log(run_dir, state.step, sums, time.monotonic() - start, config)
            state.save(snapshot)
            start, sums = time.monotonic(), dict.fromkeys(sums, 0.0)
    return state.average


def _chances(step: int, config: DetectorTrainingConfig) -> Iterator[np.random.Generator]:
    for i in range(config.batch_size):
        yield np.random.default_rng((config.seed, step, i))


@torch.no_grad()
def find_hard(network: SpotterNet, parts: SceneParts, config: DetectorTrainingConfig, share: float = 0.15) -> list[int]:
    """Look at all backgrounds, a few views each, for the ones in which the network sees faces most.

    Returns:
        Indices into `parts.backgrounds`, the given share of them, worst first.
    """
    from .detector_scenes import random_view

    rng, network = np.random.default_rng(config.seed), network.eval()
    scores = []
    for backdrop in parts.backgrounds:
        views = np.stack([random_view(backdrop, config.scenes.side_px, rng, zoom=config.scenes.zoom) for _ in range(3)])
        with torch.autocast("cpu", torch.bfloat16, enabled=config.is_autocast):
            scores.append(float(network(to_images(torch.from_numpy(views))).score_logits.max().sigmoid()))
    order = np.argsort(scores)[::-1][: max(round(share * len(scores)), 1)]
    _logger.info("Face-free backgrounds score %.2f at worst, %.2f in the median.", max(scores), np.median(scores))
    return [int(i) for i in order]


def _step(state: DetectorState, batch: Batch, config: DetectorTrainingConfig) -> dict[str, Tensor]:
    with torch.autocast("cpu", torch.bfloat16, enabled=config.is_autocast):
        output = state.network(to_images(batch.pictures))
    losses = detector_losses(output, batch, config)
    state.descend(losses["total"], learning_rate_at(state.step, config), max_norm=5.0)
    return losses


def _log(run_dir: Path, step: int, sums: dict[str, float], secs: float, config: DetectorTrainingConfig) -> None:
    count = (step - 1) % config.snapshot_steps + 1
    means = {name: round(value / count, 4) for name, value in sums.items()}
    ms = 1000 * secs / (count * config.batch_size)
    _logger.info(
        "Step %d of %d: score %.3f, box %.3f, points %.4f, %.1f ms per scene.",
        step,
        config.steps,
        means["score"],
        means["box"],
        means["points"],
        ms,
    )
    with (run_dir / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, "ms_per_scene": round(ms, 2), **means}) + "\n")
