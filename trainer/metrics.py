"""FID and KID of two sets of features, through torchmetrics at float64. Knows neither pictures nor generators.

FID: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017.
KID: Binkowski et al., "Demystifying MMD GANs", 2018; the unbiased estimator with the kernel (x y / D + 1)^3.
torchmetrics is imported at first use, as that takes seconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Features = npt.NDArray[np.float32]
"""NxD: a row of features for each picture."""

MIN_PICTURES = 2
"""Fewer have neither a covariance nor a kernel between two of them."""
MAX_SUBSET_SIZE = 1000
"""Rows that KID compares at once, at most: what torchmetrics and the literature take."""

_NUM_SUBSETS, _NUM_LARGE_SUBSETS, _LARGE = 100, 20, 250
_SEED = 0
_CHUNK = 1024


@dataclass(frozen=True)
class Kid:
    """A kernel distance; 0 is expected of two draws from one set, and an estimate may be a little below."""

    value: float
    """The unbiased estimate from all pictures, or from subsets where the sets differ in size or are large."""
    std: float
    """Deviation over seeded random subsets of half of the pictures: what a difference must exceed to mean something."""


def fid(real: Features, fake: Features) -> float:
    """Compute the Fréchet distance of two sets of features.

    It is biased by the number of pictures, strongly where that is below D: compare equal numbers only.

    Args:
        real: NxD, at least two rows.
        fake: MxD, at least two rows.

    Raises:
        ValueError: fewer rows.
    """
    _check(real, fake)
    from_torchmetrics = _imported("fid")
    metric = from_torchmetrics.FrechetInceptionDistance(feature=_AsTheyAre(real.shape[1]))
    _fill(metric, real, fake)
    return float(metric.compute())


def kid(real: Features, fake: Features) -> Kid:
    """Compute the kernel distance of two sets of features; equal sets give equal numbers, whatever the dice were.

    Two sets of equal size, up to MAX_SUBSET_SIZE rows, are compared as they are. torchmetrics compares only equal
    numbers, so otherwise the estimate is the mean over seeded random subsets of the smaller set's size.

    Args:
        real: NxD, at least two rows.
        fake: MxD, at least two rows.

    Raises:
        ValueError: fewer rows.
    """
    _check(real, fake)
    smaller = min(len(real), len(fake), MAX_SUBSET_SIZE)
    is_all = len(real) == len(fake) == smaller
    value, _ = kid_of_subsets(real, fake, subset_size=smaller, num_subsets=1 if is_all else _num_subsets(smaller))
    half = max(smaller // 2, MIN_PICTURES)
    _, std = kid_of_subsets(real, fake, subset_size=half, num_subsets=_num_subsets(half))
    return Kid(value, std)


def kid_of_subsets(real: Features, fake: Features, *, subset_size: int, num_subsets: int) -> tuple[float, float]:
    """Compute mean and deviation of the kernel distance over random subsets, always the same ones.

    Args:
        real: NxD.
        fake: MxD.
        subset_size: rows of each subset, at most N and M.
        num_subsets: how often rows are drawn.
    """
    from_torchmetrics = _imported("kid")
    with _quiet():  # it warns that it keeps all features: we have them in memory anyway
        metric = from_torchmetrics.KernelInceptionDistance(
            feature=_AsTheyAre(real.shape[1]), subsets=num_subsets, subset_size=subset_size
        )
    _fill(metric, real, fake)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_SEED)  # of the CPU alone: the run's other dice stay as they lie
        mean, std = metric.compute()
    return float(mean), float(std)


class _AsTheyAre(nn.Module):
    """What torchmetrics calls a feature network: here the features are known, and go on in float64."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """NxD of any float type -> NxD float64."""
        return features.double()


def _fill(metric: Any, real: Features, fake: Features) -> None:
    for features, is_real in ((real, True), (fake, False)):
        for start in range(0, len(features), _CHUNK):
            metric.update(torch.from_numpy(np.ascontiguousarray(features[start : start + _CHUNK])), real=is_real)


def _num_subsets(subset_size: int) -> int:
    return _NUM_SUBSETS if subset_size <= _LARGE else _NUM_LARGE_SUBSETS


def _check(real: Features, fake: Features) -> None:
    if min(len(real), len(fake)) < MIN_PICTURES:
        raise ValueError(f"there are {len(real)} real and {len(fake)} fake pictures; scores need at least two of each.")


def _imported(name: str) -> Any:
    with _quiet():
        import torchmetrics.image

        return {"fid": torchmetrics.image.fid, "kid": torchmetrics.image.kid}[name]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of torchmetrics and of what it imports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
