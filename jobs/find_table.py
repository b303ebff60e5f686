"""Which job table a command means: that of `-o OUT`, of `--state-dir DIR`, or the only one around here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .errors import StoreError

TABLE_NAME = "jobs.sqlite"
"""The job table, in the state folder."""
STATE_FOLDER = ".ugatit"
"""The state folder beside the results, unless `--state-dir` says another."""

F = TypeVar("F", bound=Callable[..., Any])


def table_options(*names: str) -> Callable[[F], F]:
    """Return a decorator that adds `-o` and the option for a state folder to a command that looks at a job table.

    Args:
        names: how the latter is called; `--state` and `--state-dir` if nothing is said.
    """

    def decorate(command: F) -> F:
        at = click.option(
            *(names or ("--state", "--state-dir")),
            "state_dir",
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help="State folder of the watch, if it is not OUT/.ugatit.",
        )
        results = click.option(
            "-o", "--output", type=click.Path(path_type=Path), metavar="OUT", help="Output folder of the watch."
        )
        return results(at(command))

    return decorate


def state_folder(output: Path | None, state: Path | None) -> Path:
    """Return the state folder whose table is meant.

    Args:
        output: the output folder, if the user named it.
        state: the state folder itself, if the user named that.

    Raises:
        StoreError: there is no table there; or none, or more than one, at or below the current folder.
    """
    if state is not None or output is not None:
        return _named(state or (output or Path()) / STATE_FOLDER)
    found = _around(Path.cwd())
    if not found:
        raise StoreError('there is no job table here; name the output folder that "watch" was given: -o OUT.')
    if len(found) > 1:
        names = ", ".join(f'"{path.parent}"' for path in found)
        raise StoreError(f"there are several job tables here; choose one: -o with {names}.")
    return found[0]


def _named(folder: Path) -> Path:
    if not (folder / TABLE_NAME).exists():
        raise StoreError(
            f'there is no job table "{folder / TABLE_NAME}"; name the output folder that "watch" was given.'
        )
    return folder.absolute()


def _around(folder: Path) -> list[Path]:
    candidates = [folder, folder / STATE_FOLDER, *sorted(folder.glob(f"*/{STATE_FOLDER}"))]
    return [path for path in candidates if (path / TABLE_NAME).is_file()]
