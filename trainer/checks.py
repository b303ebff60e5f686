"""Checks options against each other, before anything is read or built; messages name the flags. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .config import TrainConfig
from .errors import TrainConfigError

Complaints = Iterator[str]


def check_config(config: TrainConfig) -> None:
    """Raise unless the options of a run make sense together.

    Raises:
        TrainConfigError: they do not; the message lists every contradiction.
    """
    complaints = [text for check in _CHECKS for text in check(config)]
    if complaints:
        raise TrainConfigError("options contradict each other: " + "; ".join(complaints) + ".")


def smallest_side_px(depth: int) -> int:
    """Return the smallest square picture that a discriminator of so many layers can judge."""
    return {3: 8, 4: 12}.get(depth) or 24 << max(depth - 5, 0)


def _of_networks(config: TrainConfig) -> Complaints:
    chosen = config.networks
    if chosen.image_size_px % 4:
        yield f"--size is {chosen.image_size_px}, it must be a multiple of 4"
    for flag, depth in (("--global-depth", chosen.global_depth), ("--local-depth", chosen.local_depth)):
        side = smallest_side_px(depth)
        if chosen.image_size_px < side:
            yield f"{flag} {depth} needs pictures of {side} px or more, --size is {chosen.image_size_px}"
    if chosen.has_input_candidate and chosen.num_masks < 2:
        yield f"--input-candidate needs --num-masks 2 or more, it is {chosen.num_masks}"


def _of_objective(config: TrainConfig) -> Complaints:
    wanted = config.objective
    if wanted.mask_cam_input and wanted.mask_cam_features:
        yield "--mask-cam-input and --mask-cam-features do the same; give one"
    if config.losses.disc_cam == 0 and (wanted.mask_cam_input or wanted.mask_cam_features):
        yield "--mask-cam-input and --mask-cam-features mean nothing with --disc-cam 0"
    if not config.needs_masks:
        for flag, is_set in (("--keep-eyewear-mouth", wanted.keep_eyewear_mouth), ("--hard-mask", wanted.hard_mask)):
            if is_set:
                yield f"{flag} shapes face masks, but nothing uses them; give --background or --mask-disc-loss too"


def _of_pairs(config: TrainConfig) -> Complaints:
    run = config.run
    if run.pair_steps and config.data.pairs is None:
        yield f"--pair-steps is {run.pair_steps}, but no --pairs say which pictures belong together"
    if config.data.pairs is not None and not run.pair_steps:
        yield "--pairs are used by the first --pair-steps, which is 0"
    if run.pair_steps > run.steps:
        yield f"--pair-steps is {run.pair_steps}, the whole run has {run.steps}"


_CHECKS: tuple[Callable[[TrainConfig], Complaints], ...] = (_of_networks, _of_objective, _of_pairs)
