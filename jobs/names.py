r"""What the name of a file in a watch folder tells: hidden, unfinished, ours, or another program's own business.

Nothing here looks at a disk.
"""

from __future__ import annotations

import os
import re

from .store_intake import OUR_FOLDERS

MARK = ".ugatit-watch"
"""File in a watch folder by which it is recognised, and locked (roots.py)."""

_UNFINISHED = (
    ".part",
    ".partial",
    ".crdownload",
    ".tmp",
    ".temp",
    ".download",
    ".opdownload",
    ".filepart",
    ".aria2",
    ".!ut",
    ".!qb",
    ".swp",
    "~",
)
"""Endings that programs give to files which they have not finished; rsync's and Syncthing's begin with a dot."""

_FOREIGN = frozenset(
    ("@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found", "__macosx")
)
"""Folders of NAS systems, Windows, Linux and macOS that hold thumbnails, waste and the like, in lower case."""

_FOREIGN_STARTS = ("~$", "~syncthing~")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is not meant to be seen; `.clip.mp4.Xy12Ab` of rsync is one."""
    return name.startswith(".")


def is_unfinished(name: str) -> bool:
    """Tell whether a program says by the name that it has not finished writing."""
    return name.lower().endswith(_UNFINISHED) or name.startswith(_FOREIGN_STARTS)


def is_foreign_folder(name: str) -> bool:
    """Tell whether a folder is some system's own: its thumbnails, its waste."""
    return name.lower() in _FOREIGN


def is_our_folder(relative: str) -> bool:
    """Tell whether a folder, by its path below the watch folder, holds sources that are through."""
    return relative in OUR_FOLDERS


def shown(path: str | os.PathLike[str]) -> str:
    r"""Make a path fit for a line of a log: no line breaks, no control characters, no bytes that are not UTF-8.

    Returns:
        the path, such characters as `\x0a`, `\u202e` or `\udcff`.
    """
    text = os.fspath(path).encode("utf-8", "backslashreplace").decode()
    return _CONTROL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
