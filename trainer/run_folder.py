"""A run's folder `RUNS/NNNNN-NAME/`: how it is numbered, found and laid out, and its `config.json`.

Knows neither what is in a snapshot (snapshots.py) nor in the log (journal.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from model.style import write_atomically

from .config import TrainConfig
from .disk import full_disk_told
from .errors import RunFolderError

_NUMBERED = re.compile(r"(\d{5,})-.+")


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path
    """`RUNS/NNNNN-NAME`."""

    @property
    def config_file(self) -> Path:
        """Everything that fixes the run, and what was found when it began."""
        return self.path / "config.json"

    @property
    def snapshots(self) -> Path:
        """Folder of what the run can go on from."""
        return self.path / "snapshots"

    @property
    def previews(self) -> Path:
        """Folder of grids of pictures."""
        return self.path / "previews"

    @property
    def log_file(self) -> Path:
        """One JSON line per tick."""
        return self.path / "log.jsonl"

    @property
    def curves_file(self) -> Path:
        """The log, drawn."""
        return self.path / "curves.png"

    def style_file(self, direction: str, suffix: str = "") -> Path:
        """The best style of a direction, `a2b` or `b2a`; with the suffix `_last` the last one."""
        return self.path / f"style{'' if direction == 'a2b' else '_' + direction}{suffix}.safetensors"

    @classmethod
    def create(cls, runs: Path, name: str) -> Self:
        """Make the folder with the next free number; two runs that begin at once get two numbers.

        Args:
            runs: the folder of all runs; it is made if it is not there.
            name: of the run; characters that are not fit for a folder's name become dashes.

        Raises:
            RunFolderError: it cannot be made.
            OutOfSpaceError: the disk is full.
        """
        name = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"
        with full_disk_told(runs / name, "the run did not begin"):
            while True:
                path = runs / f"{_next_number(runs):05d}-{name}"
                try:
                    runs.mkdir(parents=True, exist_ok=True)
                    path.mkdir()
                except FileExistsError:
                    if runs.is_dir():
                        continue  # another run was faster
                    raise RunFolderError(f"'{runs}' is a file; give a folder for the runs with -o.") from None
                except OSError as error:
                    if isinstance(error, PermissionError | NotADirectoryError):
                        raise RunFolderError(f"no run can be kept in '{runs}': {error.strerror}.") from error
                    raise
                return cls(path)

    @classmethod
    def find(cls, path: Path, runs: Path | None = None) -> Self:
        """Return the folder of a run that is there.

        Args:
            path: the run's folder, or `latest`: the one of the highest number.
            runs: the folder in which `latest` looks.

        Raises:
            RunFolderError: it is no run's folder.
        """
        if str(path) == "latest" and runs is not None:
            numbered = _numbered(runs)
            if not numbered:
                raise RunFolderError(f"there is no run in '{runs}' to go on with.")
            path = numbered[max(numbered)]
        folder = cls(path)
        if not folder.config_file.is_file():
            raise RunFolderError(f"'{path}' is no run's folder: it has no config.json.")
        return folder

    def write_config(self, config: TrainConfig, found: Mapping[str, Any]) -> None:
        """Write `config.json`.

        Args:
            config: of the run.
            found: what the run began with that no option says: where the pictures are, how many, versions.
        """
        content = json.dumps({"config": config.to_dict(), "found": dict(found)}, indent=2) + "\n"
        with full_disk_told(self.config_file, "the run did not begin"):
            write_atomically(self.config_file, content.encode())

    def read_config(self) -> tuple[TrainConfig, dict[str, Any]]:
        """Return what `write_config` wrote.

        Raises:
            TrainConfigError: it names an unknown option, or one has a value out of bounds.
            RunFolderError: it cannot be read.
        """
        try:
            content = json.loads(self.config_file.read_text(encoding="utf-8"))
            values, found = content["config"], dict(content["found"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(f"'{self.config_file}' cannot be read: {error}.") from error
        return TrainConfig.from_dict(values, source=f"'{self.config_file}'"), found


def _numbered(runs: Path) -> dict[int, Path]:
    if not runs.is_dir():
        return {}
    matches = {path: _NUMBERED.fullmatch(path.name) for path in runs.iterdir() if path.is_dir()}
    return {int(match[1]): path for path, match in matches.items() if match is not None}


def _next_number(runs: Path) -> int:
    return max(_numbered(runs), default=-1) + 1
