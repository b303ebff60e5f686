"""From watch.toml, the command line and sidecars to what a daemon watches and what a job gets.

A file is read again when it changes; what is wrong in it is said with file, line and key, and the old one stays.
Values are checked in config_values.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .config import FolderConfig, WatchConfig, check_trees
from .config_values import UNUSED_CHOICES, ConfigSource, read_source
from .errors import WatchConfigError
from .handlers import default_choices, style_names
from .job import Treatment
from .option_kinds import Place
from .options import BY_NAME, OPTIONS
from .sidecars import read_sidecar

logger = logging.getLogger(__name__)

COMMAND_LINE = "the command line"
"""What errors call values that come from no file."""

_FIXED = (
    *("workers", "devices", "memory_bytes", "stall_secs", "grace_secs", "backoff_secs", "poll"),
    *("dashboard", "dashboard_actions"),
)
"""Fields of WatchConfig that a running daemon keeps."""

Values = Mapping[str, Any]
"""Checked values by name."""


def load_config(path: Path, overrides: Values | None = None) -> WatchConfig:
    """Read a watch.toml.

    Args:
        path: the file; relative paths in it start from its folder.
        overrides: values that go before those of the file, by name; paths in them are absolute or start from the
            working directory.

    Raises:
        WatchConfigError: it cannot be read or says something that cannot be; the message names line and key.
    """
    return replace(_built(read_source(path), _from_command_line(overrides or {})), source_file=Path(path).absolute())


def config_from_options(inbox: Path, output: Path, given: Values) -> WatchConfig:
    """Return what to watch where the command line says everything.

    Args:
        inbox: the watch folder.
        output: folder for results.
        given: other values by name, of OPTIONS and of convert's choices.

    Raises:
        WatchConfigError: a value is wrong, or the folders cannot be watched so.
    """
    content = {"folder": [{"path": str(inbox), "output": str(output)}]}
    return _built(ConfigSource(COMMAND_LINE, Path.cwd(), content), _from_command_line(given))


def treatment_for(folder: FolderConfig, relative: Path, sidecar: Path | None = None) -> tuple[Treatment, Path, int]:
    """Return what a source gets.

    Args:
        folder: the watch folder that it lies in.
        relative: its path below that; the first folder of it may be the name of a style.
        sidecar: the TOML file beside it, where there is one.

    Returns:
        The treatment; `relative` without a style's folder; the priority.

    Raises:
        WatchConfigError: the sidecar is wrong; the message names line and key.
    """
    treatment, values = folder.treatment, dict[str, Any]()
    style = style_folder(relative)
    if style is not None:
        values["style"] = style
        relative = Path(*relative.parts[1:])
    if sidecar is not None:
        values |= read_sidecar(sidecar)
    return _treatment(values, treatment), relative, values.get("priority", folder.priority)


def style_folder(relative: Path) -> str | None:
    """Return the style that a path's first folder names; None where it is an ordinary folder, or no folder."""
    return relative.parts[0] if len(relative.parts) > 1 and relative.parts[0] in style_names() else None


def _from_command_line(given: Values) -> dict[str, Any]:
    return ConfigSource(COMMAND_LINE, Path.cwd(), given).checked(given, (), _known() - {"path"})


def _built(source: ConfigSource, overrides: Values) -> WatchConfig:
    content = dict(source.content)
    tables = content.pop("folder", [])
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables) or not tables:
        raise source.error(("folder",), "no folder is named; write a table [[folder]] with `path` and `output`.")
    top = source.checked(content, (), _known() - {"path"})
    folders = []
    for number, table in enumerate(tables):
        place = ("folder", number)
        own = source.checked(table, place, _known(Place.FOLDER, Place.JOB))
        folders.append(_folder(source, place, top | own | dict(overrides)))
    check_trees(folders, lambda number, sentence: source.error(("folder", number), sentence))
    values = {name: value for name, value in (top | dict(overrides)).items() if name in _names(Place.DAEMON)}
    state_dir = Path(values.pop("state_dir", folders[0].output / ".ugatit"))
    return WatchConfig(tuple(folders), state_dir, **_filled(values), overrides=dict(overrides))


def _folder(source: ConfigSource, place: tuple[str, int], values: Values) -> FolderConfig:
    for name in ("path", "output"):
        if name not in values:
            raise source.error(place, f"this folder has no `{name}`.")
    own = {name: value for name, value in values.items() if name in _names(Place.FOLDER)}
    return FolderConfig(**own, treatment=_treatment(values, Treatment(convert=default_choices())))


def _treatment(values: Values, base: Treatment) -> Treatment:
    """A treatment with some values changed."""
    choices = {name: value for name, value in values.items() if name not in BY_NAME}
    own = {name: value for name, value in values.items() if name in _names(Place.JOB)}
    return replace(base, convert=dict(base.convert) | choices, **_filled(own))


def _filled(values: Values) -> dict[str, Any]:
    """Values by the name of the field that they fill, in its unit."""
    options = {BY_NAME[name]: value for name, value in values.items()}
    return {o.filled_field: value if o.scale is None else value * o.scale for o, value in options.items()}


def _names(*places: Place) -> frozenset[str]:
    return frozenset(option.name for option in OPTIONS if option.place in places)


def _known(*places: Place) -> frozenset[str]:
    """All keys that may stand in a table: those of some places (all, if none is named) and convert's choices."""
    return _names(*(places or Place)) | frozenset(default_choices()) - UNUSED_CHOICES


class ConfigFile:
    """A daemon's watch.toml, looked at now and then."""

    def __init__(self, config: WatchConfig) -> None:
        """Start from a config that was read from its `source_file`; without one nothing ever changes."""
        self._config = config
        self._path = config.source_file
        self._accepted = self._seen = self._stamp()

    def changed(self) -> bool:
        """Tell whether the file is another one than the last that was read, and has been for two looks.

        Call it every second or two: an editor that is still writing must not be read halfway.
        """
        before, self._seen = self._seen, self._stamp()
        return self._seen == before and self._seen != self._accepted

    def reload(self) -> WatchConfig | None:
        """Read the file again; None, and a warning in the log, where it is wrong and the old one stays."""
        self._accepted = self._seen = self._stamp()
        if self._path is None:
            return None
        try:
            config = load_config(self._path, self._config.overrides)
        except WatchConfigError as error:
            logger.warning("%s The configuration from before stays.", error)
            return None
        self._tell_fixed(config)
        kept = {name: getattr(self._config, name) for name in (*_FIXED, "state_dir", "is_once")}
        self._config = replace(config, **kept)
        return self._config

    def _tell_fixed(self, config: WatchConfig) -> None:
        """Say what a new configuration changes for the next start only."""
        old, name = self._config, self._path.name if self._path else COMMAND_LINE
        for field in _FIXED:
            if getattr(config, field) != getattr(old, field):
                logger.warning("%s: the new `%s` counts after a restart.", name, field)
        if config.state_dir != old.state_dir:
            logger.warning(
                '%s: the job table stays in "%s" now, but would be in "%s" after a restart; write state_dir = "%s" '
                "at the top to keep it.", name, old.state_dir, config.state_dir, old.state_dir,
            )  # fmt: skip

    def _stamp(self) -> tuple[int, ...] | None:
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
