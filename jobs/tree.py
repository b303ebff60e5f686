"""Read a watch folder's tree: its media files with their stamps, and what in it is odd. Opens folders, never files.

What the files are good for is decided in candidates.py.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from .beneath import opened_folder
from .job import JobKind, Stamp
from .names import is_foreign_folder, is_hidden, is_our_folder, is_unfinished

SIDECAR_SUFFIX = ".toml"
"""What follows a source's whole name in that of its sidecar."""

_MOST_LEVELS = 40
"""Folders in folders; deeper ones are left out."""

KindOf = Callable[[str], JobKind | None]
"""Tells by its name what a file is."""


@dataclass(frozen=True)
class File:
    """A media file."""

    relative: str
    """Path below the watch folder."""
    kind: JobKind
    """Video or picture."""
    stamp: Stamp
    """As it is now."""
    sidecar: Stamp | None
    """Of `NAME.toml` beside it; None without one."""


@dataclass
class Tree:
    """One folder and all below it."""

    relative: str
    """Path below the watch folder; empty for that itself."""
    files: list[File] = field(default_factory=list)
    """Media files directly in it."""
    unfinished: list[Stamp] = field(default_factory=list)
    """Of files in it that are hidden or have temporary names: something may still be coming."""
    folders: list[Tree] = field(default_factory=list)
    """Those directly in it."""
    sidecar: Stamp | None = None
    """Of `NAME.toml` beside it."""

    def walk(self) -> Iterator[Tree]:
        """Go through this folder and all below."""
        yield self
        for folder in self.folders:
            yield from folder.walk()


@dataclass
class Reading:
    """What came out of reading a tree."""

    tree: Tree
    oddities: dict[str, str] = field(default_factory=dict)
    """Relative path of what is left out for a reason that a user should know -> that reason."""
    unread: list[str] = field(default_factory=list)
    """Relative paths of folders and files that could not be looked at: what they hold is not gone."""


class TreeReader:
    """Reads trees of one watch folder."""

    def __init__(
        self, kind_of: KindOf, *, excluded: Collection[tuple[int, int]] = (), is_recursive: bool = True
    ) -> None:
        """Set what is read.

        Args:
            kind_of: tells by its name what a file is.
            excluded: device and inode of folders that are left out, like that of the results.
            is_recursive: look into sub-folders.
        """
        self._kind_of = kind_of
        self._excluded = frozenset(excluded)
        self._is_recursive = is_recursive

    def read(self, folder: int, relative: str = "") -> Reading:
        """Read all below an open folder.

        Args:
            folder: its descriptor.
            relative: its path below the watch folder.
        """
        reading = Reading(Tree(relative))
        self._read(folder, reading.tree, reading, 0)
        return reading

    def _read(self, folder: int, tree: Tree, reading: Reading, level: int) -> None:
        try:
            with os.scandir(folder) as found:
                entries = {entry.name: entry for entry in found}
        except OSError:
            reading.unread.append(tree.relative)
            return
        for name, entry in entries.items():
            relative = f"{tree.relative}/{name}" if tree.relative else name
            try:
                if not entry.is_dir(follow_symlinks=False):
                    self._add(entry, relative, entries, tree, reading)
                elif self._is_wanted(entry, relative):
                    below = Tree(relative, sidecar=_sidecar(entries, name))
                    self._enter(folder, name, below, reading, level + 1)
                    tree.folders.append(below)
            except FileNotFoundError:
                pass  # it went while we looked
            except OSError:
                reading.unread.append(relative)

    def _is_wanted(self, entry: os.DirEntry[str], relative: str) -> bool:
        """Tell whether a folder is to be looked into; unfinished ones are Safari's, like `clip.mp4.download`."""
        name = entry.name
        if not self._is_recursive or is_hidden(name) or is_unfinished(name) or is_foreign_folder(name):
            return False
        status = entry.stat(follow_symlinks=False)
        return not is_our_folder(relative) and (status.st_dev, status.st_ino) not in self._excluded

    def _enter(self, parent: int, name: str, tree: Tree, reading: Reading, level: int) -> None:
        if level > _MOST_LEVELS:
            reading.oddities[tree.relative] = f"it lies more than {_MOST_LEVELS} folders deep"
            return
        with opened_folder(name, parent) as folder:
            self._read(folder, tree, reading, level)

    def _add(
        self,
        entry: os.DirEntry[str],
        relative: str,
        entries: dict[str, os.DirEntry[str]],
        tree: Tree,
        reading: Reading,
    ) -> None:
        name = entry.name
        if is_hidden(name) or is_unfinished(name):
            if entry.is_file(follow_symlinks=False):
                tree.unfinished.append(_stamp(entry))
            return
        if not entry.is_file(follow_symlinks=False):
            reading.oddities[relative] = _oddity(entry)
            return
        kind = self._kind_of(name)
        if kind is not None:
            tree.files.append(File(relative, kind, _stamp(entry), _sidecar(entries, name)))


def _stamp(entry: os.DirEntry[str]) -> Stamp:
    return Stamp.of(entry.stat(follow_symlinks=False))


def _sidecar(entries: dict[str, os.DirEntry[str]], name: str) -> Stamp | None:
    entry = entries.get(name + SIDECAR_SUFFIX)
    return None if entry is None else _stamp(entry)


def _oddity(entry: os.DirEntry[str]) -> str:
    mode = entry.stat(follow_symlinks=False).st_mode
    names = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFBLK: "a device",
        stat.S_IFCHR: "a device",
    }
    return f"it is {names.get(stat.S_IFMT(mode), 'no regular file')}, which is never opened"
