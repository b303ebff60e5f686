"""First weights from elsewhere, of the same architecture: `--start-from` and `--start-back-from`, style or run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from model import Generator, load_style

from .config import TrainConfig
from .networks import Networks, generator_config
from .options import flag_of
from .run_folder import RunFolder
from .snapshots import Snapshots, check_architecture

_SIZE = "image_size_px"


def architecture_of(config: TrainConfig) -> dict[str, Any]:
    """Return the settings that fix the shapes of all networks, by flag."""
    settings = dataclasses.asdict(config.networks)
    settings["disc_channels"] = config.networks.disc_channels or config.networks.base_channels
    if config.networks.head == "pooled":
        del settings[_SIZE]  # the networks take any size
    return {flag_of("networks", name): value for name, value in settings.items()}


def put_start(networks: Networks, config: TrainConfig) -> None:
    """Put the weights that `--start-from` and `--start-back-from` name into networks.

    Raises:
        SnapshotError: they are of another architecture; the message names the settings.
        ModelError: there is no such style, or its file is damaged.
    """
    there, back = config.run.start_from, config.run.start_back_from
    if there is not None and _is_run(there):
        networks.load_state_dict(_weights_of(there, config))
    elif there is not None:
        _put_style(networks.gen_a2b, there, config)
    if back is not None and _is_run(back):
        networks.load_state_dict(_weights_of(back, config) | {"gen_a2b": networks.gen_a2b.state_dict()})
    elif back is not None:
        _put_style(networks.gen_b2a, back, config)


def _is_run(named: str) -> bool:
    return (Path(named) / "config.json").is_file()


def _weights_of(run: str, config: TrainConfig) -> dict[str, Any]:
    """Weights of a run's networks by name."""
    folder = RunFolder.find(Path(run))
    content, _ = Snapshots(folder.snapshots, keep=1).load_newest(architecture_of(config))
    weights: dict[str, Any] = content["networks"]
    return weights


def _put_style(generator: Generator, named: str, config: TrainConfig) -> None:
    style = load_style(named)
    theirs, ours = dataclasses.asdict(style.config), dataclasses.asdict(generator_config(config))
    if style.config.head_size is not None and config.networks.head == "pooled":
        del theirs[_SIZE], ours[_SIZE]
    check_architecture(_by_flag(theirs), _by_flag(ours), f"the style '{named}'")
    generator.load_state_dict(style.generator.state_dict())


def _by_flag(settings: dict[str, Any]) -> dict[str, Any]:
    """Name a generator's settings by the flags of `train`."""
    worded, head_size = dict(settings), settings["head_size"]
    del worded["head_size"]
    worded["head"] = {None: "full", 1: "pooled"}.get(head_size, f"pooled to {head_size}")
    if worded.pop("mixes_colours"):
        worded["has_input_candidate"] = "mixing colours"
    return {flag_of("networks", name): value for name, value in worded.items()}
