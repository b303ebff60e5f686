"""What can be set for watching, apart from convert's own choices: one row per option, with its bounds and its help.

Click's options (cli_watch.py) and the keys of watch.toml and of sidecars (config_files.py) are both made from this
table. Defaults stand in the dataclasses that the options fill. Reads no file.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .schedule import SCHEDULE_SYNTAX, parse_schedule


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


def _bounds(option: Option) -> str:
    if option.high is None:
        return f"{option.low:g} or more"
    return f"{option.low:g} to {option.high:g}"


def _check_number(option: Option, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"is {value!r}, not a number")
    is_below = option.low is not None and not value >= option.low  # so that NaN is below
    if is_below or (option.high is not None and value > option.high) or value == float("inf"):
        raise ValueError(f"is {value:g}, not {_bounds(option)}")
    return value


def _check_seconds(option: Option, value: Any) -> float:
    return float(_check_number(option, value))


def _check_whole(option: Option, value: Any) -> int:
    if isinstance(value, float) and value == value and value not in (float("inf"), float("-inf")) and value % 1:
        raise ValueError(f"is {value:g}, not a whole number")
    return int(_check_number(option, value))


def _check_choice(option: Option, value: Any) -> str:
    if value not in option.choices:
        raise ValueError(f'is "{value}", not one of {", ".join(option.choices)}')
    return str(value)


def _check_flag(option: Option, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"is {value!r}, not true or false")
    return value


def _check_text(option: Option, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"is {value!r}, not a text")
    return value


def _check_size(option: Option, value: Any) -> int:
    return parse_size(value)


def _check_command(option: Option, value: Any) -> tuple[str, ...]:
    """A list of arguments; text is cut as a shell would cut it, but no shell ever sees it."""
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"is {value!r}, which cannot be cut into arguments: {error}") from error
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
        raise ValueError(f"is {value!r}, not a list of names")
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

SOURCES, COMPLETE, WORKERS, LIMITS, RUNNING = (
    "Sources and results",
    "When a file is complete",
    "Workers and retries",
    "Limits",
    "Running",
)
"""Headings of `watch --help`, in their order."""

HEADINGS = (SOURCES, COMPLETE, WORKERS, LIMITS, RUNNING)
"""All of them."""

OPTIONS: tuple[Option, ...] = (
    Option("path", Place.FOLDER, "path", "The folder that is watched.", ""),
    Option("output", Place.FOLDER, "path", "Folder for the results.", ""),
    Option(
        "after", Place.JOB, "choice", "What becomes of a source after success: it stays, moves to done/ in the watch "
        "folder, or is deleted.", SOURCES, choices=("keep", "move", "delete"), is_in_sidecars=True,
    ),
    Option(
        "after_failure", Place.JOB, "choice", "After a failure: it stays, or moves to failed/ with a text that says "
        "why.", SOURCES, choices=("keep", "move"), is_in_sidecars=True,
    ),
    Option(
        "on_conflict", Place.JOB, "choice", "Where another file has the result's name: clip-2.mp4, or a failure.",
        SOURCES, choices=("suffix", "fail"), is_in_sidecars=True,
    ),
    Option(
        "folders", Place.FOLDER, "choice", "A sub-folder of pictures is one job, or each picture is.", SOURCES,
        choices=("job", "each"),
    ),
    Option(
        "on_done", Place.JOB, "command", "Program to run after each success, without a shell; {input}, {output}, "
        "{report}, {id} and {state} in its arguments are filled in.", SOURCES, metavar="COMMAND",
    ),
    Option("on_failed", Place.JOB, "command", "The same after each failure.", SOURCES, metavar="COMMAND"),
    Option("is_recursive", Place.FOLDER, "flag", "Look into sub-folders too.", ""),
    Option(
        "priority", Place.FOLDER, "whole", "Jobs with a higher number go first.", "", low=-1_000_000, high=1_000_000,
        is_in_sidecars=True,
    ),
    Option(
        "settle_secs", Place.FOLDER, "number", "A file counts as complete when nothing about it changed for so long; "
        "30 on network mounts.", COMPLETE, low=0.05, high=86_400, metavar="SECONDS",
    ),
    Option(
        "incomplete_secs", Place.FOLDER, "number", "What cannot be read is taken for an unfinished copy for so long "
        "after its last change.", COMPLETE, low=0, high=604_800, metavar="SECONDS",
    ),
    Option(
        "rescan_secs", Place.FOLDER, "number", "The folder is looked through so often, whatever events say.",
        COMPLETE, low=0.05, high=86_400, metavar="SECONDS",
    ),
    Option(
        "poll", Place.DAEMON, "choice", "Look for changes instead of being told: where telling does not work, always, "
        "never.", COMPLETE, choices=("auto", "always", "never"),
    ),
    Option("network", Place.FOLDER, "flag", "The folder is a network mount; found out where not said.", ""),
    Option(
        "workers", Place.DAEMON, "whole", "Processes that convert; default: one per device.", WORKERS, low=1, high=1024,
        metavar="N",
    ),
    Option(
        "devices", Place.DAEMON, "words", "Devices that the workers take in turn, like cuda:0,cuda:1; default: all "
        "GPUs, or the CPU.", WORKERS, metavar="DEVICE,...",
    ),
    Option(
        "stall_secs", Place.DAEMON, "number", "A job without any progress for so long is ended and tried again.",
        WORKERS, low=1, high=604_800, metavar="SECONDS",
    ),
    Option(
        "grace_secs", Place.DAEMON, "number", "At SIGTERM workers may go on to the end of a chunk for so long.",
        WORKERS, low=0, high=86_400, metavar="SECONDS",
    ),
    Option(
        "backoff_secs", Place.DAEMON, "number", "First delay after an error that may pass; it doubles every time.",
        WORKERS, low=0, high=3_600, metavar="SECONDS",
    ),
    Option(
        "blocked_secs", Place.DAEMON, "number", "So often it is looked whether what blocks a job is over.", WORKERS,
        low=0.05, high=86_400, metavar="SECONDS",
    ),
    Option(
        "max_deaths", Place.JOB, "whole", "Workers that may die over a job before it fails.", WORKERS, low=1, high=1000,
        metavar="N",
    ),
    Option(
        "max_exceptions", Place.JOB, "whole", "Errors that may pass before a job fails.", WORKERS, low=1, high=1000,
        metavar="N",
    ),
    Option(
        "max_memory", Place.DAEMON, "size", "End a worker that needs more memory than this, like 8G.", LIMITS,
        field="memory_bytes", metavar="SIZE",
    ),
    Option(
        "min_free", Place.JOB, "size", "Begin no job while the disk of the results has less free space.", LIMITS,
        field="min_free_bytes", metavar="SIZE",
    ),
    Option(
        "max_minutes_at_1080p", Place.JOB, "number", "Refuse a video that is longer; in other sizes the same number "
        "of pixels, so a quarter of the minutes at 2160p.", LIMITS, field="max_pixel_secs", low=0.001, high=1e6,
        metavar="MINUTES", scale=1920 * 1080 * 60,
    ),
    Option(
        "schedule", Place.FOLDER, "schedule", 'Start jobs in these windows of local time only, like "22:00-06:00" or '
        '"mon-fri 20:00-07:00, sat,sun 00:00-24:00".', LIMITS, metavar=SCHEDULE_SYNTAX,
    ),
    Option(
        "state", Place.DAEMON, "path", "Folder of the job table and the logs, on a local disk; default: .ugatit in "
        "the first output folder.", RUNNING, field="state_dir", metavar="FOLDER",
    ),
)  # fmt: skip
"""Every option, in the order of `--help`."""

BY_NAME = {option.name: option for option in OPTIONS}
"""Options by name."""
