"""What a watch would do with everything that lies in its folders now, and why it leaves out the rest.

Looks at names, stamps, sidecars and the job table; opens no media, writes nothing, makes no folder.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .beneath import opened_folder
from .candidates import Candidate, Rules, candidates
from .config import FolderConfig, WatchConfig
from .config_files import treatment_for
from .errors import WatchConfigError
from .find_table import TABLE_NAME
from .handlers import kind_of, style_names
from .job import JobKind, JobState, Stamp
from .names import MARK, is_foreign_folder, is_hidden, is_our_folder, is_unfinished, shown
from .publishing import candidates as free_names
from .report_files import report_path
from .sidecars import sidecar_of
from .store import open_store
from .tree import SIDECAR_SUFFIX, Reading, TreeReader

if TYPE_CHECKING:
    from rich.table import Table

Known = Mapping[Path, tuple[Stamp, int, JobState]]
"""What the job table knows of sources: stamp, number and state of the job."""


@dataclass(frozen=True)
class Forecast:
    """What would become of one thing in a watch folder."""

    folder: str
    """The watch folder."""
    source: str
    """Path below it."""
    what: str
    """convert, fail, known (the table has a job for it), ignore; away for a folder that is not there now."""
    kind: str = ""
    """video, picture or folder; empty for what is ignored."""
    style: str = ""
    """The style it would get."""
    output: str = ""
    """Where the result would go; a video's suffix may still change to that of its container."""
    priority: int = 0
    """Higher ones go first."""
    why: str = ""
    """Why it would fail or is ignored, or which job knows it."""


def forecast(config: WatchConfig) -> list[Forecast]:
    """Return what would become of everything in the watch folders.

    Raises:
        StoreError: there is a job table, and it cannot be read.
    """
    return [one for folder in config.folders for one in _of_folder(folder, _known(config, folder))]


def as_record(one: Forecast) -> dict[str, Any]:
    """Return it as JSON values; names that are not UTF-8 as escapes."""
    return {
        name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for name, value in vars(one).items()
    }


def forecast_table(found: list[Forecast]) -> Table:
    """Return a table with one line for each thing."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("WHAT", "SOURCE", "KIND", "STYLE", "RESULT, OR WHY NOT"):
        table.add_column(heading, overflow="fold")
    for one in found:
        last = f"{one.output}{f'  ({one.why})' if one.why else ''}" if one.what == "convert" else one.why
        source = str(Path(one.folder, one.source))
        table.add_row(*(Text(shown(text)) for text in (one.what, source, one.kind, one.style, last)))
    return table


def _known(config: WatchConfig, folder: FolderConfig) -> Known:
    table = config.state_dir / TABLE_NAME
    if not table.is_file():
        return {}
    with open_store(table, read_only=True) as store:
        return store.known(folder.name)


def _of_folder(folder: FolderConfig, known: Known) -> Iterator[Forecast]:
    excluded = _identity(folder.output)
    reader = TreeReader(lambda name: kind_of(Path(name)), excluded=excluded, is_recursive=folder.is_recursive)
    try:
        with opened_folder(folder.path) as handle:
            reading = reader.read(handle)
    except OSError as error:
        yield Forecast(folder.name, "", "away", why=f"the folder cannot be read: {error.strerror}")
        return
    rules = Rules(by_folder=folder.folders == "job", is_style=style_names().__contains__)
    taken = set[Path]()
    for candidate in sorted(candidates(reading.tree, rules), key=lambda one: one.relative):
        yield _of_candidate(folder, candidate, known.get(folder.path / candidate.relative), taken)
    yield from _ignored(folder, reading, excluded)


def _of_candidate(
    folder: FolderConfig, candidate: Candidate, seen: tuple[Stamp, int, JobState] | None, taken: set[Path]
) -> Forecast:
    """What becomes of something that counts; `taken` are names of results, to which this one's is added."""
    source = folder.path / candidate.relative
    told = Forecast(folder.name, candidate.relative, "convert", candidate.kind.value)
    try:
        sidecar = sidecar_of(source) if candidate.sidecar is not None else None
        treatment, relative, priority = treatment_for(folder, Path(candidate.relative), sidecar)
    except WatchConfigError as error:
        return replace(told, what="fail", why=str(error))
    told = replace(told, style=str(treatment.convert["style"]), priority=priority)
    if seen is not None and seen[0] == candidate.stamp:
        return replace(told, what="known", why=f"job {seen[1]} is {seen[2]}")
    wanted = folder.output / relative
    output = next(
        name for name in free_names(wanted, candidate.kind) if name not in taken and _is_free(name, candidate.kind)
    )
    if treatment.on_conflict == "fail" and output != wanted:
        return replace(told, what="fail", why=f'"{wanted}" is there already')
    taken.add(output)
    return replace(told, output=str(output), why="" if seen is None else f"it changed after job {seen[1]}")


def _is_free(output: Path, kind: JobKind) -> bool:
    return not os.path.lexists(output) and report_path(output, kind) is not None


def _ignored(folder: FolderConfig, reading: Reading, excluded: Collection[tuple[int, int]]) -> Iterator[Forecast]:
    """Everything that is left out, in the order of the names."""
    files = {file.relative for part in reading.tree.walk() for file in part.files}
    reasons = dict(_left_out(folder, files, excluded))
    reasons |= {name: "it cannot be looked at" for name in reading.unread if name} | reading.oddities
    for name, why in sorted(reasons.items()):
        yield Forecast(folder.name, name, "ignore", why=why)


def _left_out(
    folder: FolderConfig, files: Collection[str], excluded: Collection[tuple[int, int]]
) -> Iterator[tuple[str, str]]:
    """Relative path and reason of all that is neither in `files` nor below something else that is left out."""
    for parent, folders, names in os.walk(folder.path):
        for name in list(folders):
            path = Path(parent, name)
            why = _why_no_folder(folder, path, excluded)
            if why:
                folders.remove(name)
                yield str(path.relative_to(folder.path)), why
        for name in names:
            relative = str(Path(parent, name).relative_to(folder.path))
            if relative not in files and name != MARK:
                yield relative, _why_no_file(name)


def _why_no_folder(folder: FolderConfig, path: Path, excluded: Collection[tuple[int, int]]) -> str:
    if is_hidden(path.name):
        return "hidden"
    if is_foreign_folder(path.name):
        return "a folder of some system's own"
    if is_our_folder(str(path.relative_to(folder.path))):
        return "sources that are through"
    if _identity(path) & set(excluded):
        return "the folder for the results"
    return "" if folder.is_recursive else "sub-folders are not looked into"


def _why_no_file(name: str) -> str:
    if is_hidden(name):
        return "hidden"
    if is_unfinished(name):
        return "unfinished, by its name"
    if name.endswith(SIDECAR_SUFFIX):
        return "a sidecar or a configuration"
    return "neither a video nor a picture"


def _identity(folder: Path) -> set[tuple[int, int]]:
    """Device and inode of a folder; nothing where it is not there."""
    try:
        status = os.stat(folder)
    except OSError:
        return set()
    return {(status.st_dev, status.st_ino)}
