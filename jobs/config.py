"""What a daemon watches and how: frozen dataclasses with their defaults.

Bounds and help stand in options.py; files and command lines are read elsewhere (config_files.py, cli_watch.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .job import Treatment


@dataclass(frozen=True)
class FolderConfig:
    """One watch folder."""

    path: Path
    """Absolute path of the folder that is watched."""
    output: Path
    """Absolute path of the folder for its results."""
    treatment: Treatment = field(default_factory=Treatment)
    """What its jobs get, unless a style folder or a sidecar says otherwise."""
    folders: str = "job"
    """A sub-folder of pictures is one job (job), or each of its pictures is one (each)."""
    settle_secs: float = 5.0
    """A file counts as complete when nothing about it changed for so long."""
    incomplete_secs: float = 600.0
    """A file that cannot be read is taken for an unfinished copy for so long after its last change."""
    rescan_secs: float = 10.0
    """The whole folder is looked through so often, whatever events say."""
    schedule: str | None = None
    """Jobs start only in this window of local time, like `22:00-06:00` or `sat,sun 00:00-24:00`; None: always."""
    priority: int = 0
    """Jobs of folders with a higher number go first."""
    is_recursive: bool = True
    """Sub-folders are looked into."""
    network: bool | None = None
    """The folder is a network mount (polled, settles longer); None finds out."""

    @property
    def name(self) -> str:
        """The folder's path as text: what jobs remember of it."""
        return str(self.path)


@dataclass(frozen=True)
class WatchConfig:
    """Everything a daemon needs to know."""

    folders: tuple[FolderConfig, ...]
    """The watch folders; at least one."""
    state_dir: Path
    """Folder of the job table, locks and logs, on a local disk; usually OUT/.ugatit."""
    workers: int | None = None
    """Worker processes; None: one per device."""
    devices: tuple[str, ...] | None = None
    """Devices that the workers take in turn, in torch's names; None: every GPU, or the CPU."""
    stall_secs: float = 300.0
    """A job without any sign of progress for so long is ended and tried again."""
    grace_secs: float = 30.0
    """After SIGTERM workers may go on to the end of a chunk for so long."""
    backoff_secs: float = 2.0
    """First delay after a failure that may pass; it doubles every time."""
    blocked_secs: float = 15.0
    """So often it is looked whether what blocks a job is over."""
    memory_bytes: int | None = None
    """A worker that needs more is ended; None: no limit."""
    poll: str = "auto"
    """Look for changes by polling: auto (where events are not to be had), always, never."""
    is_once: bool = False
    """End when everything that lies in the folders is through."""
    dashboard: str | None = None
    """Address of the status page, like `:8080`; None: none."""
    dashboard_actions: bool = False
    """That page can change things too."""
    source_file: Path | None = None
    """The watch.toml it came from, looked at again when it changes."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """What the command line said, which goes before the file also when that is read again."""

    def folder(self, name: str) -> FolderConfig | None:
        """Return the folder of that name."""
        return next((folder for folder in self.folders if folder.name == name), None)


def check_trees(folders: Sequence[FolderConfig], error: Callable[[int, str], Exception]) -> None:
    """Refuse watch folders and output folders that would feed each other.

    An output folder may lie in its own watch folder (it is left out there), and several folders may share one.

    Args:
        folders: all that is watched.
        error: makes the exception for the folder of a number, from 0, and a sentence.
    """
    for number, folder in enumerate(folders):
        if _is_inside(folder.path, folder.output):
            raise error(number, f'"{folder.path}" lies in the folder for its results, "{folder.output}".')
        for other in folders[:number]:
            sentence = _clash(folder, other) or _clash(other, folder)
            if sentence:
                raise error(number, sentence)


def _clash(one: FolderConfig, other: FolderConfig) -> str | None:
    """What is wrong about two folders in this order."""
    if os.path.realpath(one.path) == os.path.realpath(other.path):
        return f'"{one.path}" is watched twice.'
    if _is_inside(one.path, other.path):
        return f'"{one.path}" lies in another watch folder, "{other.path}".'
    if _is_inside(one.output, other.path):
        return f'the results in "{one.output}" would be taken for sources of "{other.path}".'
    if _is_inside(one.path, other.output):
        return f'"{one.path}" lies in a folder for results, "{other.output}".'
    return None


def _is_inside(path: Path, folder: Path) -> bool:
    """Tell whether a path is a folder or lies below it, wherever links lead."""
    return os.path.commonpath((os.path.realpath(path), os.path.realpath(folder))) == os.path.realpath(folder)
