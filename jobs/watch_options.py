"""Click's side of the options of watching: one Click option per row of options.py, and help under headings.

Declares no default and no bound of its own. Imports no torch.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

import click
from click.core import ParameterSource

from .config import FolderConfig, WatchConfig
from .job import Treatment
from .option_kinds import Option, Place
from .options import BY_NAME, HEADINGS, OPTIONS

CONVERSION = "Conversion, as in `convert`"
"""Heading of convert's own options."""

_HOLDERS: dict[Place, Any] = {Place.DAEMON: WatchConfig, Place.FOLDER: FolderConfig, Place.JOB: Treatment}


class WatchCommand(click.Command):
    """A command whose help lists the options of watching by heading, convert's own last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of options per heading."""
        rows: dict[str, list[tuple[str, str]]] = {heading: [] for heading in (*HEADINGS, CONVERSION, "Other")}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                rows[_heading(param)].append(record)
        for heading, records in rows.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


class HeadedOption(click.Option):
    """An option that is listed under a heading."""

    def __init__(self, *names: Any, heading: str, **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.heading = heading


class ValueType(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of Click only
    """The values of one option, checked by its row in options.py."""

    def __init__(self, option: Option) -> None:
        self._option = option
        self.name = option.kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value in its one spelling; fail with a sentence where it is out of bounds."""
        if not isinstance(value, str):
            return value
        try:
            return self._option.parse(value)
        except ValueError as error:
            self.fail(f"it {str(error).rstrip('.')}.", param, ctx)


def headed_option(*names: str, heading: str, **settings: Any) -> Callable[[Any], Any]:
    """Return a decorator like click.option whose option is listed under a heading."""
    return click.option(*names, cls=HeadedOption, heading=heading, **settings)


def watch_options(command: Any) -> Any:
    """Decorate a Click command with one option per row of options.py that the command line can set."""
    for option in reversed(OPTIONS):
        if option.heading:
            command = _decorate(option)(command)
    return command


def given_values(context: click.Context, choices: frozenset[str]) -> dict[str, Any]:
    """Return what was really asked for, on the command line or by the environment, by name.

    Args:
        context: of a command with `watch_options` and convert's options.
        choices: names of convert's choices.
    """
    asked = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    return {
        name: value
        for name, value in context.params.items()
        if (name in choices or (name in BY_NAME and BY_NAME[name].heading))
        and context.get_parameter_source(name) in asked
    }


def _decorate(option: Option) -> Callable[[Any], Any]:
    default = default_of(option)
    if option.kind == "flag":
        return headed_option(option.flag, option.name, heading=option.heading, is_flag=True, help=option.help)
    return headed_option(
        option.flag,
        option.name,
        heading=option.heading,
        type=click.Choice(option.choices) if option.choices else ValueType(option),
        default=_spelt(option, default),
        show_default=default not in (None, ()),
        metavar=option.metavar,
        help=option.help,
    )


def default_of(option: Option) -> Any:
    """Return the default of the field that an option fills, in the option's own unit; None where there is none."""
    field = next(field for field in fields(_HOLDERS[option.place]) if field.name == option.filled_field)
    if field.default is MISSING or field.default is None:
        return None
    return field.default / option.scale if option.scale else field.default


def _spelt(option: Option, value: Any) -> Any:
    """A value as one would write it on the command line."""
    if option.kind == "command" and value is not None:
        return shlex.join(value)
    if option.kind == "size" and value is not None:
        return _size(value)
    return f"{value:g}" if isinstance(value, float) else value


def _size(size_bytes: int) -> str:
    for unit, letter in ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")):
        if size_bytes and size_bytes % unit == 0:
            return f"{size_bytes // unit}{letter}"
    return str(size_bytes)


def _heading(param: click.Parameter) -> str:
    if isinstance(param, HeadedOption):
        return param.heading
    return "Other" if param.name == "help" else CONVERSION
