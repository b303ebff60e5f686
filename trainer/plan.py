"""What a call of `train` asks for, before anything is built; and the way from there to a run's end.

The loop itself is loop.py.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from alignment.downloads import cache_dir
from model.devices import choose_device, fast_precision

from .checks import check_config
from .config import TrainConfig, merged
from .data import TrainingData
from .distributed import Team, team_from_environment
from .errors import TrainConfigError, TrainingDataError
from .memory import warn_if_too_large
from .progress import Progress, training_progress
from .run_folder import RunFolder

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """A run that could begin or go on."""

    config: TrainConfig
    data: Path
    """Folder with trainA/ and trainB/."""
    runs: Path
    """Folder of all runs."""
    name: str
    """Of a new run."""
    folder: RunFolder | None = None
    """Of the run that goes on; None: a new one."""
    found: dict[str, Any] = field(default_factory=dict)
    """What a run that goes on began with."""

    @property
    def device(self) -> torch.device:
        """Where it computes, for a single process."""
        return choose_device(self.config.run.device)

    def precision(self, device: torch.device) -> str:
        """`fp32` or `bf16`."""
        wanted = self.config.run.precision
        return wanted if wanted != "auto" else "bf16" if fast_precision(device) == "bf16" else "fp32"


@dataclass(frozen=True)
class TrainResult:
    """What came out of a run."""

    folder: Path
    """The run's."""
    step: int
    """Steps done."""
    skipped_steps: int
    """Of these, those whose gradients were not finite."""
    is_interrupted: bool
    """It was stopped and can go on."""
    scores: dict[str, float]
    """Figures on held-out pictures at the end."""
    styles: dict[str, Path]
    """Style files by direction."""


def begun(config: TrainConfig, data: Path, runs: Path, name: str | None) -> Plan:
    """Plan a new run.

    Raises:
        TrainConfigError: options contradict each other.
        TrainingDataError: there is no such folder.
    """
    check_config(config)
    _check_data(data)
    config = _with_whole_paths(config)
    return Plan(config, data, runs, name or data.resolve().name)


def resumed(run: Path, runs: Path, data: Path | None, changed: Callable[[TrainConfig], TrainConfig]) -> Plan:
    """Plan to go on with a run.

    Args:
        run: its folder, or `latest`.
        runs: where `latest` looks.
        data: where the pictures are now; None: where they were.
        changed: gives the config with what may change.

    Raises:
        RunFolderError: there is no such run.
        TrainConfigError: something may not change.
    """
    folder = RunFolder.find(run, runs)
    config, found = folder.read_config()
    config = changed(config)
    check_config(config)
    data = data or Path(found["data"])
    _check_data(data)
    return Plan(config, data, folder.path.parent, folder.path.name, folder, found)


def data_of(data: Path | None, config_file: Path | None) -> Path:
    """Return the folder of pictures that was given, or the one that a run's `config.json` names.

    Raises:
        TrainConfigError: neither is there.
    """
    if data is not None:
        return data
    if config_file is not None and config_file.suffix == ".json":
        found = json.loads(config_file.read_text(encoding="utf-8")).get("found", {})
        if "data" in found:
            return Path(found["data"])
    raise TrainConfigError("say where the pictures are: train DATA, a folder with trainA/ and trainB/.")


def carry_out(plan: Plan) -> TrainResult | None:
    """Train.

    Returns:
        What came out; None in processes that are not the main one.
    """
    from .loop import train

    with (
        team_from_environment(plan.config.run.device) as team,
        training_progress(is_shown=team.is_main) as progress,
    ):
        device = choose_device(team.device(plan.config.run.device))
        if plan.config.run.threads is not None:
            torch.set_num_threads(plan.config.run.threads)
        precision = plan.precision(device)
        warn_if_too_large(plan.config, precision, device)
        data = _read_data(plan, team, device, progress)
        folder = team.shared(_open_folder(plan, team, data, device, precision) if team.is_main else None)
        plan = dataclasses.replace(plan, folder=folder)
        result = train(plan, data, team, device, precision, progress)
        return result if team.is_main else None


def _read_data(plan: Plan, team: Team, device: torch.device, progress: Progress) -> TrainingData:
    data = TrainingData(
        plan.data,
        plan.config,
        rank=team.rank,
        world_size=team.size,
        cache_dir=cache_dir() / "training",
        progress=progress.stage("reading pictures"),
    )
    for domain, count in (("A", data.num_a), ("B", data.num_b)):
        began_with = plan.found.get(f"num_{domain.lower()}", count)
        if began_with != count:
            _logger.warning(
                "'%s' has %d usable pictures of %s, the run began with %d: its batches will be others than planned.",
                plan.data,
                count,
                domain,
                began_with,
            )
    data.prepare(device=device, progress=progress.stage("finding faces"))
    team.wait()
    return data


def _open_folder(plan: Plan, team: Team, data: TrainingData, device: torch.device, precision: str) -> RunFolder:
    """Return the run's folder with its config in it as it now is."""
    folder = plan.folder or RunFolder.create(plan.runs, plan.name)
    found = {
        "data": str(plan.data.resolve()),
        "num_a": data.num_a,
        "num_b": data.num_b,
        "num_pairs": data.num_pairs,
        "unreadable": sorted(str(path) for path in data.unreadable),
        "device": str(device),
        "precision": precision,
        "processes": team.size,
        "versions": _versions(),
    }
    folder.write_config(plan.config, found)
    return folder


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("ugatit-pipeline", "torch", "numpy", "opencv-python"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that is not installed
            found[name] = "unknown"
    return found


def _check_data(data: Path) -> None:
    if not data.is_dir():
        raise TrainingDataError(f"there is no folder '{data}'; it must hold trainA/ and trainB/.")


def _with_whole_paths(config: TrainConfig) -> TrainConfig:
    """Make paths absolute, so that `config.json` means the same in every folder."""
    changes: dict[str, dict[str, str]] = {}
    named = (("data", "pairs"), ("objective", "parser_weights"), ("run", "start_from"), ("run", "start_back_from"))
    for section, name in named:
        value = getattr(getattr(config, section), name)
        if value is not None and Path(value).exists():
            changes.setdefault(section, {})[name] = str(Path(value).resolve())
    return merged(config, changes, source="the command line")
