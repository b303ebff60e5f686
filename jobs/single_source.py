"""Look at one source where it lies: how it is now, and whether a program writes to it.

Opens regular files below an open watch folder and nothing else; tables and trees of whole folders are others' business.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace

from .beneath import check_regular, opened_file, opened_way
from .candidates import Candidate, of_folder, pictures
from .job import JobKind, Stamp
from .readiness import has_writer
from .tree import SIDECAR_SUFFIX, Reading, TreeReader


def look_at(root: int, relative: str, kind: JobKind, reader: TreeReader) -> Candidate | None:
    """Return a source as it is now, whether or not a look through the folder would find it.

    Args:
        root: descriptor of the watch folder.
        relative: path of the source below it.
        kind: what it was taken for.
        reader: reads a folder of pictures.

    Returns:
        None if it is gone; a folder without pictures is.

    Raises:
        OddSourceError: a link, a pipe or the like has taken its place, or a part of its path is a link.
        OSError: it cannot be looked at now.
    """
    try:
        sidecar = _stamp_of(root, relative + SIDECAR_SUFFIX)
        if kind is not JobKind.FOLDER:
            stamp = _stamp_of(root, relative)
            return None if stamp is None else Candidate(relative, kind, stamp, stamp, sidecar)
        reading = _read(root, relative, reader)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if reading.unread:
        raise PermissionError(f"{reading.unread[0]} cannot be read")
    return replace(of_folder(reading.tree), sidecar=sidecar) if pictures(reading.tree) else None


def is_written(root: int, relative: str, kind: JobKind, reader: TreeReader) -> bool:
    """Tell whether a program of this machine has a source, or any picture of it, open for writing.

    Raises:
        OddSourceError, OSError: as `look_at`; also FileNotFoundError.
    """
    return any(_has_writer(root, path) for path in _files(root, relative, kind, reader))


def _files(root: int, relative: str, kind: JobKind, reader: TreeReader) -> Iterator[str]:
    if kind is not JobKind.FOLDER:
        yield relative
        return
    yield from (file.relative for file in pictures(_read(root, relative, reader).tree))


def _read(root: int, relative: str, reader: TreeReader) -> Reading:
    with opened_way(root, relative) as folder:
        return reader.read(folder, relative)


def _has_writer(root: int, relative: str) -> bool:
    with opened_file(root, relative) as handle:
        return has_writer(handle)


def _stamp_of(root: int, relative: str) -> Stamp | None:
    """Stamp of a regular file, not opened; None where there is none."""
    way, _, name = relative.rpartition("/")
    with opened_way(root, way) as folder:
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # a source's name can be so long that no sidecar fits it
                return None
            raise
    check_regular(status, relative)
    return Stamp.of(status)
