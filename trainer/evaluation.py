"""Measure generators and styles on held-out pictures: FID and KID of both directions, time, and a grid to look at.

How pictures are compared is features.py's and metrics.py's work. Trains nothing and writes no files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import nn

from model import Style, load_engine, load_style
from model.engine import Engine
from model.images import to_pictures, to_tensor

from .errors import TrainingDataError
from .features import FeatureExtractor, load_features
from .grid import Picture, Row, Section, draw_grid
from .held_out import MAX_PICTURES, HeldOut
from .metrics import MIN_PICTURES, Features, fid, kid
from .networks import DIRECTIONS, Direction
from .previews import translation_tiles
from .translate import Pictures, translate

NUM_SHOWN = 6
"""Pictures in the grid of a style."""

_BATCH_SIZE = 4
_NUM_TIMED = 7

Translate = Callable[[Pictures], Pictures]
"""NxHxWx3 uint8 RGB of one domain -> the same of the other."""


class HeldOutPictures(Protocol):
    """Pictures of both domains that no network was trained on."""

    @property
    def pictures_a(self) -> Pictures:
        """NxHxWx3 uint8 RGB of domain A."""
        ...

    @property
    def pictures_b(self) -> Pictures:
        """The same of domain B."""
        ...


class Evaluator:
    """Compares what generators make with real pictures; those are read, and their features computed, once.

    Args:
        held_out: the real pictures.
        features: what is compared.
    """

    def __init__(self, held_out: HeldOutPictures, features: FeatureExtractor) -> None:
        self._held_out, self._extract = held_out, features
        self._real: dict[str, Features] = {}

    @property
    def features_name(self) -> str:
        """What the features are called in the names of scores."""
        return self._extract.name

    @property
    def chooses_by(self) -> str:
        """Name of the score of `scores` that tells which snapshot is best; lower is better."""
        return f"a2b/kid_{self.features_name}"

    def scores(self, generators: Mapping[str, nn.Module]) -> dict[str, float]:
        """Measure both directions.

        Args:
            generators: `gen_a2b` and `gen_b2a`; a direction without generator is left out.

        Returns:
            What `direction_scores` gives, each name after its direction: `a2b/kid_parser`. Nothing for a direction
            with fewer than two pictures.
        """
        return {
            f"{direction.name}/{name}": score
            for direction in DIRECTIONS
            if (generator := generators.get(f"gen_{direction.name}")) is not None
            for name, score in self.direction_scores(direction, _translator(generator)).items()
        }

    def direction_scores(self, direction: Direction, translate: Translate) -> dict[str, float]:
        """Measure one direction; at no time are there more than a few fakes in memory.

        Returns:
            For features F: `fid_F` and `kid_F` of fakes against real pictures of the target, `kid_F_std`,
            `kid_F_two_domain`, the mean of that KID and the one against the source, which is what the table of
            U-GAT-IT seems to hold; `num_fake`, `num_real` and `num_source`, the numbers of pictures behind them. Empty
            with fewer than two pictures.
        """
        source = self._pictures(direction.source)
        if min(len(source), len(self._pictures(direction.target))) < MIN_PICTURES:
            return {}
        fakes = np.concatenate([self._extract(translate(chunk)) for chunk in _chunks(source)])
        return self._compared(fakes, direction)

    def untouched_scores(self, direction: Direction) -> dict[str, float]:
        """Measure the source's own pictures as if they were fakes: what a style must beat."""
        real, name = self.real_features(direction.source), self.features_name
        distance = kid(self.real_features(direction.target), real)
        return {f"fid_{name}": fid(self.real_features(direction.target), real), f"kid_{name}": distance.value}

    def real_features(self, domain: str) -> Features:
        """Features of the real pictures of `a` or `b`."""
        if domain not in self._real:
            self._real[domain] = self._extract(self._pictures(domain))
        return self._real[domain]

    def _pictures(self, domain: str) -> Pictures:
        return self._held_out.pictures_a if domain == "a" else self._held_out.pictures_b

    def _compared(self, fakes: Features, direction: Direction) -> dict[str, float]:
        target, source = self.real_features(direction.target), self.real_features(direction.source)
        to_target, to_source, name = kid(target, fakes), kid(source, fakes), self.features_name
        return {
            f"fid_{name}": fid(target, fakes),
            f"kid_{name}": to_target.value,
            f"kid_{name}_std": to_target.std,
            f"kid_{name}_two_domain": (to_target.value + to_source.value) / 2,
            "num_fake": len(fakes),
            "num_real": len(target),
            "num_source": len(source),
        }


@dataclass(frozen=True)
class StyleEvaluation:
    """What was found out about a style."""

    figures: dict[str, Any]
    """Ready for JSON: the style, how it was run, scores, numbers of pictures, milliseconds."""
    grid: Picture
    """HxWx3 uint8 RGB: held-out pictures, heat maps and fakes, and pictures of the target."""

    def lines(self) -> list[str]:
        """Tell the figures to a person."""
        told, features = self.figures, self.figures["features"]
        counts, scores, untouched = told["num_pictures"], told["scores"], told["untouched"]
        compared = f"{counts['fake']} fakes against {counts['real']} real pictures of {told['direction'][-1].upper()}"
        return [
            f"{told['style']} ({told['direction']}): {compared}, features: {features}",
            f"  KID {scores[f'kid_{features}']:.5f} +- {scores[f'kid_{features}_std']:.5f}"
            f"   (untouched pictures {untouched[f'kid_{features}']:.5f})",
            f"  KID, mean of both domains {scores[f'kid_{features}_two_domain']:.5f}",
            f"  FID {scores[f'fid_{features}']:.4f}   (untouched pictures {untouched[f'fid_{features}']:.4f})",
            f"  {told['ms_per_picture']:.1f} ms per picture of {told['size_px']} px, {told['precision']} on "
            f"{told['device']}",
        ]


def evaluate_style(
    style: str | Path,
    data: Path,
    *,
    direction: str = "a2b",
    features: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    limit: int = MAX_PICTURES,
) -> StyleEvaluation:
    """Measure a style on the held-out pictures of a data set.

    Args:
        style: name of a built-in style, or a style file.
        data: folder with testA/ and testB/.
        direction: what the style translates, `a2b` or `b2a`.
        features: one of `features.CHOICES`.
        device: where generator and features run.
        precision: of the generator; see `model.load_engine`.
        limit: most pictures of each domain.

    Raises:
        TrainingDataError: a test folder is missing or has fewer than two pictures.
        FeatureWeightsError: the features' weights cannot be used.
        ModelError: there is no such style, device or precision.
    """
    way = next(d for d in DIRECTIONS if d.name == direction)
    loaded = load_style(style)
    held_out = HeldOut(data, loaded.card.crop_size_px, limit=limit, is_required=True)
    pictures = {"a": held_out.pictures_a, "b": held_out.pictures_b}
    if few := {name: len(found) for name, found in pictures.items() if len(found) < MIN_PICTURES}:
        raise TrainingDataError(f"'{data}': {few} readable test pictures by domain; figures need at least two of each.")
    engine = load_engine(loaded, device=device, precision=precision)
    evaluator = Evaluator(held_out, load_features(features, engine.device))
    scores = evaluator.direction_scores(way, lambda chunk: to_pictures(engine(to_tensor(chunk))))
    counts = {name: int(scores.pop(f"num_{name}")) for name in ("fake", "real", "source")}
    figures = {
        "style": loaded.name,
        "sha256": loaded.sha256,
        "direction": direction,
        "features": evaluator.features_name,
        "num_pictures": counts,
        "scores": scores,
        "untouched": evaluator.untouched_scores(way),
        "ms_per_picture": _ms_per_picture(engine, pictures[way.source]),
        "size_px": held_out.size_px,
        "device": engine.device,
        "precision": engine.precision,
    }
    return StyleEvaluation(figures, _style_grid(loaded, way, pictures, _title(figures)))


def score_lines(scores: Mapping[str, float]) -> list[str]:
    """Tell a person the scores of a training run, a line for each kind of generator and direction.

    Args:
        scores: by `KIND/DIRECTION/NAME`, where the last two are those of `Evaluator.scores`.
    """
    groups: dict[str, dict[str, float]] = {}
    for path, score in scores.items():
        group, _, name = path.rpartition("/")
        groups.setdefault(group, {})[name] = score
    return [f"{group.replace('/', ' '):13}{_told(found)}" for group, found in groups.items()]


def _told(found: Mapping[str, float]) -> str:
    features = next(name.removeprefix("fid_") for name in found if name.startswith("fid_"))
    return (
        f"KID {found[f'kid_{features}']:.5f} +- {found[f'kid_{features}_std']:.5f} "
        f"(both domains {found[f'kid_{features}_two_domain']:.5f}), FID {found[f'fid_{features}']:.4f}; "
        f"{found['num_fake']:.0f} fakes, {found['num_real']:.0f} real, features: {features}"
    )


def _title(figures: Mapping[str, Any]) -> str:
    """One line of ASCII over the grid."""
    counts, kid_name = figures["num_pictures"], f"kid_{figures['features']}"
    score, std = figures["scores"][kid_name], figures["scores"][f"{kid_name}_std"]
    return f"{figures['style']}: {kid_name} {score:.4f} +- {std:.4f} ({counts['fake']} fake, {counts['real']} real)"


def _translator(generator: nn.Module) -> Translate:
    return lambda pictures: translate(generator, pictures)


def _chunks(pictures: Pictures) -> list[Pictures]:
    return [pictures[start : start + _BATCH_SIZE] for start in range(0, len(pictures), _BATCH_SIZE)]


def _ms_per_picture(engine: Engine, pictures: Pictures) -> float:
    """Median over some batches of the size that the engine likes, the way to the device and back included."""
    batch = to_tensor(np.resize(pictures, (engine.batch_size, *pictures.shape[1:])))
    secs = []
    for _ in range(_NUM_TIMED):
        start = time.perf_counter()
        engine(batch)
        secs.append(time.perf_counter() - start)
    return 1000 * float(np.median(secs)) / len(batch)


def _style_grid(style: Style, direction: Direction, pictures: Mapping[str, Pictures], title: str) -> Picture:
    """Some held-out pictures and what the style makes of them; then some of the target, to compare with."""
    rows = [
        Row(str(index + 1), translation_tiles(style.generator, None, direction, pictures[direction.source][index]))
        for index in _evenly(len(pictures[direction.source]), NUM_SHOWN)
    ]
    target, name = pictures[direction.target], direction.target.upper()
    num_columns = max(len(row.tiles) for row in rows)
    examples = {f"real {name} {i + 1}": target[i] for i in _evenly(len(target), num_columns)}
    return draw_grid([Section(direction.name, rows), Section("target", [Row("", examples)])], title=title)


def _evenly(count: int, limit: int) -> list[int]:
    """At most `limit` of `count` positions, at even distances."""
    chosen = min(count, limit)
    return [index * count // chosen for index in range(chosen)]
