"""Which further losses of the generators a run asks for; the losses are in `consistency.py` and `perceptual.py`."""

from __future__ import annotations

import torch

from .config import TrainConfig
from .consistency import TemporalTerm
from .objective import ExtraTerm
from .perceptual import PerceptualTerm, load_parser_features


def build_extra_terms(config: TrainConfig, device: torch.device | str) -> list[ExtraTerm]:
    """Build the terms whose weight is not 0.

    Their draws come from torch's own generator on the CPU: a run that seeds it, or brings its state back, repeats them.
    """
    weights = config.losses
    terms: list[ExtraTerm] = []
    if weights.temporal:
        terms.append(TemporalTerm(weights.temporal, config.objective.temporal_ramp))
    if weights.perceptual:
        terms.append(PerceptualTerm(weights.perceptual, load_parser_features(device)))
    return terms
