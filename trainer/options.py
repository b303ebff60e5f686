"""The options of `train`: one per field of `TrainConfig`, and the order in which preset, file and flags count.

Declares no default and no bound of its own, and checks no two options against each other (checks.py). Imports no torch.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .config import SECTIONS, TrainConfig, merged
from .errors import TrainConfigError
from .presets import PRESETS, preset_values

HEADINGS = {
    "run": "The run",
    "data": "Pictures",
    "networks": "Networks",
    "losses": "Loss weights",
    "objective": "What the discriminators see",
    "optimizer": "Optimizer, schedule and averaging",
}
"""Heading of each section in `train --help`, in the order shown."""

FREE_ON_RESUME = frozenset(
    {
        ("data", "workers"),
        ("run", "steps"),
        ("run", "device"),
        ("run", "threads"),
        ("run", "precision"),
        ("run", "compile"),
        ("run", "snapshot_every"),
        ("run", "keep_snapshots"),
        ("run", "preview_every"),
        ("run", "evaluate_every"),
        ("run", "log_every"),
        ("run", "max_bad_steps"),
        ("run", "features"),
    }
)
"""Options (section, name) that may change in a run that goes on: nothing it has done would have been different,
but for the learning rates behind a changed `steps`."""

Values = Mapping[str, Mapping[str, Any]]
"""A part of a config: values by section and name."""


class SectionOption(click.Option):
    """An option that is listed under the heading of its section."""

    def __init__(self, *names: Any, section: str, **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help lists options by section, those of the command itself first."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of options per heading."""
        rows: dict[str, list[tuple[str, str]]] = {heading: [] for heading in ("Options", *HEADINGS.values())}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                heading = HEADINGS[param.section] if isinstance(param, SectionOption) else "Options"
                rows[heading].append(record)
        for heading, records in rows.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def train_options(command: Any) -> Any:
    """Decorate a Click command with one option per field of every section of `TrainConfig`."""
    for section in reversed(HEADINGS):
        for f in reversed(fields(SECTIONS[section])):
            command = _option(section, f)(command)
    return command


def some_train_options(section: str, *names: str) -> Callable[[Any], Any]:
    """Return a decorator that adds the options of some fields of one section."""

    def decorate(command: Any) -> Any:
        for f in reversed(fields(SECTIONS[section])):
            if f.name in names:
                command = _option(section, f)(command)
        return command

    return decorate


def given_values(context: click.Context) -> dict[str, dict[str, Any]]:
    """Return what was really asked for, on the command line or by the environment, by section and name."""
    given: dict[str, dict[str, Any]] = {}
    for param in context.command.params:
        if isinstance(param, SectionOption) and param.name is not None:
            source = context.get_parameter_source(param.name)
            if source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
                given.setdefault(param.section, {})[param.name] = context.params[param.name]
    return given


def resolve_config(preset: str | None, file: Path | None, given: Values) -> TrainConfig:
    """Build the config of a new run: defaults, over them the preset, then the file, then what was given.

    Args:
        preset: a name in `PRESETS`, or None.
        file: TOML, or the `config.json` of a run, or None.
        given: the flags, by section and name.

    Raises:
        TrainConfigError: the file cannot be read, names something unknown, or holds a value out of bounds.
    """
    config = TrainConfig()
    content = {} if file is None else read_config_file(file)
    named = content.pop("preset", None)
    chosen = preset or named
    if chosen is not None:
        if chosen not in PRESETS:
            raise TrainConfigError(f"there is no preset '{chosen}'; use {', '.join(PRESETS)}.")
        config = merged(config, preset_values(chosen), source=f"preset '{chosen}'")
    config = merged(config, content, source=f"'{file}'")
    return merged(config, given, source="the command line")


def resume_config(config: TrainConfig, given: Values) -> TrainConfig:
    """Return a run's own config with what may change when it goes on.

    Raises:
        TrainConfigError: something was given that would have changed what the run has done.
    """
    for section, values in given.items():
        for name, value in values.items():
            was = getattr(getattr(config, section), name)
            if (section, name) not in FREE_ON_RESUME and value != was:
                raise TrainConfigError(
                    f"{flag_of(section, name)} is {was!r} in this run and cannot become {value!r} now; begin a new run "
                    "with --start-from RUN and the option."
                )
    return merged(config, given, source="the command line")


def read_config_file(path: Path) -> dict[str, Any]:
    """Read values by section from TOML, or from JSON: a config alone, or a run's `config.json`.

    Raises:
        TrainConfigError: missing, or neither.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise TrainConfigError(f"'{path}' cannot be read as a config: {error}.") from error
    if not isinstance(content, dict):
        raise TrainConfigError(f"'{path}' holds no sections; it must look like a run's config.json.")
    return dict(content["config"]) if isinstance(content.get("config"), dict) else content


def flag_of(section: str, name: str) -> str:
    """Return how an option is written on the command line."""
    f = next(f for f in fields(SECTIONS[section]) if f.name == name)
    return _declaration(f).partition("/")[0]


def _declaration(f: dataclasses.Field[Any]) -> str:
    flag: str | None = f.metadata["flag"]
    if flag is not None:
        return flag
    dashed = f.name.replace("_", "-")
    return f"--{dashed}/--no-{dashed}" if f.type == "bool" else f"--{dashed}"


def _option(section: str, f: dataclasses.Field[Any]) -> Any:
    settings: dict[str, Any] = {"help": f.metadata["help"], "default": f.default, "show_default": f.default != ""}
    if f.type != "bool":
        settings |= {"type": _kind(f), "metavar": f.metadata["metavar"] or _metavar(f)}
    return click.option(_declaration(f), f.name, cls=SectionOption, section=section, **settings)


def _metavar(f: dataclasses.Field[Any]) -> str | None:
    """N for whole numbers, X for others; None lets Click list choices."""
    if f.metadata["choices"] is not None:
        return None
    return {"int": "N", "float": "X"}.get(str(f.type).partition(" ")[0])


def _kind(f: dataclasses.Field[Any]) -> Any:
    low, high, choices = (f.metadata[key] for key in ("low", "high", "choices"))
    if choices is not None:
        return click.Choice(choices)
    numbers = {"int": click.IntRange, "float": click.FloatRange}.get(str(f.type).partition(" ")[0])
    return str if numbers is None else numbers(low, high)
