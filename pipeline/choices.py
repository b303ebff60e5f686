"""A conversion's settings as plain data: checked, completed, told apart. What configuration files and tables hold.

It reads no media and loads no network, so that a daemon can use it.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import os
from collections.abc import Mapping
from dataclasses import Field, asdict, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from .choice import NO_STYLE, parse_faces, parse_style_for
from .publish import sha256_of
from .settings import REHEARSAL, ConvertSettings

_STYLE_SUFFIX = ".safetensors"
_STYLE_FOLDER_VARIABLE = "UGATIT_STYLE_DIR"


def default_choices() -> dict[str, Any]:
    """Return every setting's default, as JSON values."""
    return _as_json(ConvertSettings())


def settings_of(choices: Mapping[str, Any]) -> ConvertSettings:
    """Make settings of what `check_choices` gave; names that this version does not know are left out."""
    known = {f.name for f in fields(ConvertSettings)}
    values: Any = {name: tuple(v) if isinstance(v, list) else v for name, v in choices.items() if name in known}
    return ConvertSettings(**values)


def check_choices(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Check some settings and add the others.

    Args:
        choices: values by the names of ConvertSettings' fields; `-` may stand for `_`.

    Returns:
        All fields as JSON values, in their one spelling; names of files stay as they are.

    Raises:
        ValueError: a name or a value is wrong; the message names the key and what it may be.
    """
    checks = {f.name: f for f in fields(ConvertSettings)}
    checked = default_choices()
    for key, value in choices.items():
        name = key.replace("-", "_")
        if name not in checks:
            close = difflib.get_close_matches(name, checks, 1)
            raise ValueError(f"`{key}` is no setting" + (f"; did you mean `{close[0]}`?" if close else "."))
        try:
            checked[name] = _checked(checks[name], value)
        except ValueError as error:
            raise ValueError(f"`{key}` is {json.dumps(value, default=str)}, and {error}") from error
    return checked


def _checked(setting: Field[Any], value: Any) -> Any:
    meta, default = setting.metadata, setting.default
    if meta["is_repeatable"]:
        return _checked_list(setting.name, value)
    if value is None and default is None:
        return None
    if isinstance(default, bool):
        return _typed(value, bool, "true or false")
    if meta["low"] is not None:
        return _checked_number(
            value,
            meta["low"],
            meta["high"],
            is_whole=isinstance(default, int) or setting.name in ("crf", "threads", "parallel"),
        )
    text = _typed(value, str, "a text")
    if meta["choices"] is not None and text not in meta["choices"]:
        raise ValueError(f"it must be one of {', '.join(meta['choices'])}.")
    if setting.name == "faces":
        return _checked_faces(text)
    if setting.name == "style":
        return check_style(text)
    return text


def _typed(value: Any, kind: type, words: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"it must be {words}.")
    return value


def _checked_number(value: Any, low: float, high: float, *, is_whole: bool) -> int | float:
    is_number = isinstance(value, int if is_whole else int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise ValueError(f"it must be a {'whole ' if is_whole else ''}number from {low:g} to {high:g}.")
    return int(value) if is_whole else float(value)


def _checked_list(name: str, value: Any) -> list[str]:
    if isinstance(value, str) or not all(isinstance(one, str) for one in _typed(value, list | tuple, "a list")):  # type: ignore[arg-type]
        raise ValueError("it must be a list of texts.")
    if name != "style_for":
        return list(value)
    chosen = parse_style_for(tuple(value))
    for style in chosen.values():
        if style.lower() != NO_STYLE:
            check_style(style)
    return [f"{number}={style}" for number, style in sorted(chosen.items())]


def _checked_faces(text: str) -> str:
    choice = parse_faces(text)
    if choice.numbers:
        return "only:" + ",".join(str(number) for number in sorted(choice.numbers))
    return "all" if choice.at_once is None else str(choice.at_once)


def style_names() -> list[str]:
    """Return the names of the styles that are installed, sorted; nothing is loaded."""
    return sorted({path.stem for folder in _style_folders() for path in folder.glob(f"*{_STYLE_SUFFIX}")})


def check_style(name: str) -> str:
    """Return what names a style: a known name, or anything that can be the path of a style file.

    Raises:
        ValueError: it is neither.
    """
    known = style_names()
    if name in known or name == REHEARSAL or name.endswith(_STYLE_SUFFIX) or os.sep in name:
        return name
    close = difflib.get_close_matches(name, known, 1)
    hint = f' (did you mean "{close[0]}"?)' if close else ""
    raise ValueError(f'there is no style "{name}"{hint}; installed are {", ".join(known) or "none"}.')


def _style_folders() -> list[Path]:
    room = importlib.util.find_spec("model")  # importing it would bring PyTorch
    built_in = [Path(place) / "weights" for place in (room.submodule_search_locations or ())] if room else []
    own = os.environ.get(_STYLE_FOLDER_VARIABLE)
    return built_in + ([Path(own).expanduser()] if own else [])


def options_hash(choices: Mapping[str, Any], output_folder: Path) -> str:
    """Return a hex digest of everything that shapes the results: choices, contents of named files, output folder.

    A file that is not there counts as such: the hash changes when it comes.
    """
    settings = settings_of(choices)
    styles = [settings.style, *parse_style_for(settings.style_for).values()]
    named = [settings.face_like_weights, settings.detector_weights, settings.parser_weights, *settings.face_like]
    files = [name for name in [*styles, *named] if name]
    hashes = [_hash_of_file(name) for name in files if name not in style_names()]
    return settings.fingerprint(files=hashes, output_folder=os.fsencode(output_folder).hex())


def _hash_of_file(name: str) -> str | None:
    try:
        status = os.stat(name)
        return _hash_of_version(name, status.st_size, status.st_mtime_ns, status.st_ino)
    except OSError:
        return None


@lru_cache(maxsize=64)
def _hash_of_version(name: str, size: int, mtime_ns: int, inode: int) -> str:
    return sha256_of(Path(name))


def _as_json(settings: ConvertSettings) -> dict[str, Any]:
    return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(settings).items()}
