"""What an option of watching is: where it counts, what its values are, how one is checked.

The options themselves stand in options.py. Reads no file.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .schedule import parse_schedule


class Place(StrEnum):
    """Which dataclass holds an option, and so where it may be written."""

    DAEMON = "daemon"
    """WatchConfig: the command line, or the top of watch.toml."""
    FOLDER = "folder"
    """FolderConfig: also a `[[folder]]` table."""
    JOB = "job"
    """Treatment: also a `[[folder]]` table; some of these in a sidecar too."""


@dataclass(frozen=True)
class Option:
    """One thing that can be set."""

    name: str
    """Its key in TOML; on the command line with dashes."""
    place: Place
    """Where it counts."""
    kind: str
    """What its value is, a name in CHECKS."""
    help: str
    """One sentence for `--help`."""
    heading: str
    """Under which heading `--help` shows it; empty where only files can set it."""
    field: str = ""
    """Field of the dataclass, where that has another name."""
    low: float | None = None
    """Smallest value."""
    high: float | None = None
    """Largest value."""
    choices: tuple[str, ...] = ()
    """All values of a choice."""
    metavar: str | None = None
    """What stands for the value in `--help`."""
    scale: float | None = None
    """The field holds the value times this."""
    is_in_sidecars: bool = False
    """A sidecar in the watch folder may say it too; whoever can drop files must not gain more than that."""

    @property
    def flag(self) -> str:
        """How it is written on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def filled_field(self) -> str:
        """Name of the field that it fills."""
        return self.field or self.name

    def check(self, value: Any) -> Any:
        """Return the value in its one spelling.

        Args:
            value: in a type of TOML; what this function has returned is taken too.

        Raises:
            ValueError: it is out of bounds or of another type; the message goes on after the option's name.
        """
        return CHECKS[self.kind](self, value)

    def parse(self, text: str) -> Any:
        """Return the value that a text on the command line means; raise ValueError as `check` does."""
        if self.kind in ("whole", "number"):
            try:
                return self.check(int(text) if re.fullmatch(r"\s*[+-]?\d+\s*", text) else float(text))
            except ValueError as error:
                raise ValueError(str(error) if _is_number(text) else f'is "{text}", not a number') from None
        return self.check(text)


def parse_size(value: int | str) -> int:
    """Read a number of bytes: a whole number, or text like `2G`, `500 MB`, `1.5GiB` (a K is 1024).

    Raises:
        ValueError: it is neither.
    """
    match = _SIZE.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        raise ValueError(f'is "{value}", not a size; write it like "2G" or "500M"')
    return int(float(match[1]) * 1024 ** " kmgt".index((match[2] or " ").lower()))


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shown(value: Any) -> str:
    """A value as TOML spells it, near enough."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _bounds(option: Option) -> str:
    if option.high is None:
        return f"{option.low:g} or more"
    return f"{option.low:g} to {option.high:g}"


def _check_number(option: Option, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"is {_shown(value)}, not a number")
    is_below = option.low is not None and not value >= option.low  # so that NaN is below
    if is_below or (option.high is not None and value > option.high) or not math.isfinite(value):
        raise ValueError(f"is {value:g}, not {_bounds(option)}")
    return value


def _check_seconds(option: Option, value: Any) -> float:
    return float(_check_number(option, value))


def _check_whole(option: Option, value: Any) -> int:
    if isinstance(value, float) and math.isfinite(value) and value % 1:
        raise ValueError(f"is {value:g}, not a whole number")
    return int(_check_number(option, value))


def _check_choice(option: Option, value: Any) -> str:
    if value not in option.choices:
        raise ValueError(f'is "{value}", not one of {", ".join(option.choices)}')
    return str(value)


def _check_flag(option: Option, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"is {_shown(value)}, not true or false")
    return value


def _check_text(option: Option, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"is {_shown(value)}, not a text")
    return value


def _check_size(option: Option, value: Any) -> int:
    return parse_size(value)


def _check_command(option: Option, value: Any) -> tuple[str, ...]:
    """A list of arguments; text is cut as a shell would cut it, but no shell ever sees it."""
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"is {_shown(value)}, which cannot be cut into arguments: {error}") from error
    if not isinstance(words, Sequence) or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise ValueError('is not a command; write a list of its arguments, like ["notify-send", "{output}"]')
    return tuple(words)


def _check_schedule(option: Option, value: Any) -> str:
    if isinstance(value, list | tuple) and all(isinstance(window, str) for window in value):
        value = ", ".join(value)
    try:
        parse_schedule(_check_text(option, value))
    except ValueError as error:
        sentence = str(error)
        raise ValueError(sentence if sentence.startswith("is ") else f"is wrong: {sentence.rstrip('.')}") from error
    return str(value)


def _check_words(option: Option, value: Any) -> tuple[str, ...]:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) and word.strip() for word in words):
        raise ValueError(f"is {_shown(value)}, not a list of names")
    return tuple(word.strip() for word in words)


CHECKS: dict[str, Callable[[Option, Any], Any]] = {
    "number": _check_seconds,
    "whole": _check_whole,
    "choice": _check_choice,
    "flag": _check_flag,
    "text": _check_text,
    "path": _check_text,
    "size": _check_size,
    "command": _check_command,
    "schedule": _check_schedule,
    "words": _check_words,
}
"""How a value of each kind is checked."""
