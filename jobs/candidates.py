"""What in a watch folder counts, and as what: a video, a picture, or a folder of pictures that is one job.

Works on trees that were read (tree.py); touches no disk and no table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from .job import JobKind, Stamp
from .tree import File, Tree


@dataclass(frozen=True)
class Candidate:
    """Something that is, or will be, the source of a job."""

    relative: str
    """Path below the watch folder, that of a style's folder included."""
    kind: JobKind
    """What it is."""
    stamp: Stamp
    """What a job remembers; of a folder: sums over its pictures."""
    activity: Stamp
    """What must stand still while it settles; of a folder also what has a temporary name in it."""
    sidecar: Stamp | None = None
    """Of the TOML file beside it; None without one."""


@dataclass(frozen=True)
class Rules:
    """How the user wants pictures in folders to be taken, and what is so already."""

    by_folder: bool = True
    """A sub-folder whose tree holds pictures and no video is one job."""
    is_style: Callable[[str], bool] = lambda name: False
    """Tells whether a first-level folder only says the style of what lies in it."""
    folder_jobs: Collection[str] = ()
    """Relative paths of folders that have been accepted as one job and stay so, whatever else comes into them."""
    single_files: Collection[str] = ()
    """Relative paths of files that have jobs of their own: folders that hold one are not made one job."""


def candidates(tree: Tree, rules: Rules) -> list[Candidate]:
    """Return all candidates of a watch folder's tree."""
    kept = _ancestors(rules.single_files) if rules.by_folder else frozenset[str]()
    found = [_single(file) for file in tree.files]
    for folder in tree.folders:
        if rules.is_style(folder.relative):
            found += [_single(file) for file in folder.files]
            for below in folder.folders:
                found += _below(below, rules, kept)
        else:
            found += _below(folder, rules, kept)
    return found


def of_folder(tree: Tree) -> Candidate:
    """Return a folder of pictures as one candidate."""
    stamps = [file.stamp for part in tree.walk() for file in part.files if file.kind is JobKind.PICTURE]
    unfinished = [stamp for part in tree.walk() for stamp in part.unfinished]
    return Candidate(tree.relative, JobKind.FOLDER, total(stamps), total(stamps + unfinished), tree.sidecar)


def pictures(tree: Tree) -> list[File]:
    """Return all pictures of a tree in the order in which the fingerprint counts them: folder by folder."""
    found = [file for part in tree.walk() for file in part.files if file.kind is JobKind.PICTURE]
    return sorted(found, key=lambda file: file.relative.split("/"))


def total(stamps: Collection[Stamp]) -> Stamp:
    """Return the stamp of several files together: it changes when one is written to, renamed, added or removed."""
    return Stamp(
        sum(stamp.size_bytes for stamp in stamps),
        sum(stamp.mtime_ns for stamp in stamps),
        sum(stamp.ctime_ns for stamp in stamps),
        0,
    )


def _below(tree: Tree, rules: Rules, kept: frozenset[str]) -> Iterator[Candidate]:
    """Candidates of a sub-folder: itself, or what it holds."""
    kinds = {file.kind for part in tree.walk() for file in part.files}
    is_accepted = tree.relative in rules.folder_jobs and JobKind.PICTURE in kinds
    is_album = rules.by_folder and tree.relative not in kept and kinds == {JobKind.PICTURE}
    if is_accepted or is_album:
        yield of_folder(tree)
        yield from (_single(file) for part in tree.walk() for file in part.files if file.kind is JobKind.VIDEO)
        return
    yield from (_single(file) for file in tree.files)
    for folder in tree.folders:
        yield from _below(folder, rules, kept)


def _single(file: File) -> Candidate:
    return Candidate(file.relative, file.kind, file.stamp, file.stamp, file.sidecar)


def _ancestors(paths: Collection[str]) -> frozenset[str]:
    """All folders that lie on the way to some paths."""
    found = set[str]()
    for path in paths:
        while (path := path.rpartition("/")[0]) and path not in found:
            found.add(path)
    return frozenset(found)
