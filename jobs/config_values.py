"""Tables of TOML to checked values: unknown keys, bounds, relative paths, each error with its file, line and key.

Knows the options of watching (options.py) and convert's choices (handlers.py); which table may hold what is the
caller's business.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import WatchConfigError
from .handlers import check_choices
from .names import shown
from .option_kinds import Place
from .options import BY_NAME
from .toml_lines import KeyPath, locate

_MAX_FILE_BYTES = 1 << 20

_MOST_CHARACTERS = 600

_STYLE_SUFFIX = ".safetensors"

UNUSED_CHOICES = frozenset({"overwrite", "resume"})
"""Choices of convert that mean nothing here: nothing is ever overwritten, and all work is taken up again."""

_FILE_CHOICES = frozenset({"face_like", "face_like_weights", "detector_weights", "parser_weights"})
"""Choices of convert that are names of files."""


@dataclass(frozen=True)
class ConfigSource:
    """Where values came from: what errors name, and what relative paths are relative to."""

    name: str
    """File name, or `the command line`."""
    folder: Path
    """Absolute folder that relative paths start from."""
    content: Mapping[str, Any]
    """The parsed TOML."""
    text: str = ""
    """The TOML itself, from which errors learn their line."""

    def error(self, place: KeyPath, sentence: str) -> WatchConfigError:
        """Return an error that names the file and the line of a key or table."""
        lines = locate(self.text)
        line = lines.get(place) or lines.get(place[:-1])
        return refusal(f"{self.name}{f', line {line}' if line else ''}: {sentence}")

    def checked(self, table: Mapping[str, Any], place: KeyPath, known: Collection[str]) -> dict[str, Any]:
        """Return a table's values in their one spelling, paths made absolute.

        Args:
            table: keys and values as TOML gives them.
            place: the way to the table.
            known: the keys that it may hold.

        Raises:
            WatchConfigError: a key is unknown, or a value out of bounds.
        """
        return {key: self._checked_value(key, value, (*place, key), known) for key, value in table.items()}

    def _checked_value(self, key: str, value: Any, place: KeyPath, known: Collection[str]) -> Any:
        if key not in known:
            raise self.error(place, _unknown(key, known))
        option = BY_NAME.get(key)
        try:
            if option is None:
                return checked_choice(key, value, self.folder)
            clean = option.check(value)
        except RecursionError as error:
            raise self.error(place, f"`{key}` is nested too deeply.") from error
        except ValueError as error:
            sentence = str(error)
            raise self.error(place, f"`{key}` {sentence}{'' if sentence.endswith(('.', '?')) else '.'}") from error
        return absolute(clean, self.folder) if option.kind == "path" else clean


def read_source(path: Path, max_bytes: int = _MAX_FILE_BYTES) -> ConfigSource:
    """Read a TOML file.

    Raises:
        WatchConfigError: it cannot be read, is larger than `max_bytes`, or is no TOML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise refusal(f"{path.name}: larger than {max_bytes} bytes, so it is no configuration.")
        text = data.decode("utf-8-sig")  # Windows editors begin with a mark
        return ConfigSource(path.name, Path(os.path.abspath(path)).parent, tomllib.loads(text), text)
    except OSError as error:
        raise refusal(f'{path.name}: "{path}" cannot be read: {error.strerror}.') from error
    except UnicodeDecodeError as error:
        raise refusal(f"{path.name}, line {error.object[: error.start].count(10) + 1}: no UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise refusal(_syntax_error(path.name, str(error))) from error
    except RecursionError as error:
        raise refusal(f"{path.name}: its values are nested too deeply.") from error


def refusal(sentence: str) -> WatchConfigError:
    """Return an error whose message is fit for one line of a log, whatever names and values it quotes."""
    text = shown(sentence)
    return WatchConfigError(text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} ...")


def checked_choice(key: str, value: Any, folder: Path) -> Any:
    """Return one of convert's choices, checked, paths in it made absolute.

    Raises:
        ValueError: it is not allowed; the message goes on after the key's name.
    """
    if key == "faces" and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # TOML has numbers, the command line only text
    try:
        clean = check_choices({key: value})[key]
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f"`{key}` ")) from error
    if key == "style":
        return _style(clean, folder)
    if key == "style_for":
        return [f"{number}={_style(style, folder)}" for number, _, style in (text.partition("=") for text in clean)]
    if key in _FILE_CHOICES and clean:
        return _file(clean, folder) if isinstance(clean, str) else [_file(name, folder) for name in clean]
    return clean


def absolute(name: str | Path, folder: Path) -> Path:
    """Return a path made absolute from a folder, `~` filled in; links in it stay."""
    return Path(os.path.abspath(folder / Path(name).expanduser()))


def is_style_file(style: str) -> bool:
    """Tell whether a style is given as a file rather than by its name."""
    return style.endswith(_STYLE_SUFFIX) or "/" in style


def _style(style: str, folder: Path) -> str:
    """A style's name, or the absolute path of its file."""
    return _file(style, folder) if is_style_file(style) else style


def _file(name: str, folder: Path) -> str:
    path = absolute(name, folder)
    if not path.is_file():
        raise ValueError(f'is "{name}", and there is no file "{path}"')
    return str(path)


def _unknown(key: str, known: Collection[str]) -> str:
    """What to say of a key that cannot stand where it does."""
    if key in BY_NAME and BY_NAME[key].place is Place.DAEMON:
        return f"`{key}` counts for all folders; it belongs to the top, above the first [[folder]]."
    if key == "path":
        return "`path` belongs into a [[folder]] table."
    suggestion = _suggestion(key, known)
    return f"there is no key `{key}`{suggestion or '.'}"


def _suggestion(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word.replace("-", "_").lower(), sorted(known), n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _syntax_error(name: str, message: str) -> str:
    """The parser's words, with the line where all our messages have it."""
    match = re.search(r"\s*\(at line (\d+), column (\d+)\)", message)
    if match is None:
        return f"{name}: {message.rstrip('.')}."
    return f"{name}, line {match[1]}: {message[: match.start()].rstrip('.')} (column {match[2]})."
