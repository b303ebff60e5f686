"""A folder of the user that keeps compiled networks from one run to the next, bounded in size and age.

Files are whole or not there. Knows nothing of networks. Whatever goes wrong with the folder costs a warning and time,
never a result.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sys
import time
from pathlib import Path

from .style import write_atomically

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "UGATIT_CACHE"
"""Environment variable that names the folder; empty: keep nothing."""
MAX_BYTES = 2 * 1024**3
"""The files that were not used for longest go when the folder holds more."""
MAX_AGE_DAYS = 60
"""Files that nobody used for so long go."""

_SUFFIX = ".cached"
_MAGIC = b"ugatit-cache-1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size
_HALF_WRITTEN_SECS = 3600.0  # what a process that died left of a file it was writing


def cache_folder() -> Path | None:
    """Where files are kept: the folder of `UGATIT_CACHE`, else one in the user's cache folder; None for nowhere."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named is not None:
        return Path(named).expanduser() if named else None
    return _user_cache() / "ugatit-pipeline"


def read_cached(key: str) -> bytes | None:
    """What was kept under a key (a file name without suffix), None where nothing whole is there."""
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / f"{key}{_SUFFIX}"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("The cached file %s cannot be read (%s); going on without it.", path, error)
        return None
    start = len(_MAGIC) + _DIGEST_BYTES
    payload = content[start:]
    if content[:start] != _MAGIC + hashlib.sha256(payload).digest():
        logger.warning("The cached file %s is damaged; it is made anew.", path)
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # was used now
    return payload


def write_cached(key: str, payload: bytes) -> None:
    """Keep something under a key; other processes see all of it or nothing."""
    folder = cache_folder()
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{key}{_SUFFIX}", _MAGIC + hashlib.sha256(payload).digest() + payload)
        _prune(folder)
    except OSError as error:
        logger.warning(
            "Nothing can be kept in %s (%s), so the next start takes as long; %s can name another folder.",
            folder,
            error,
            FOLDER_VARIABLE,
        )


def _prune(folder: Path) -> None:
    """Delete what is old, half written or too much; other processes may do the same at the same time."""
    now, total = time.time(), 0
    for used, size, path in sorted(_entries(folder), reverse=True):
        age_secs = now - used
        if path.suffix == _SUFFIX:
            total += size
            is_due = age_secs > MAX_AGE_DAYS * 86400 or total > MAX_BYTES
        else:
            is_due = _SUFFIX in path.name and age_secs > _HALF_WRITTEN_SECS
        if is_due:
            path.unlink(missing_ok=True)


def _entries(folder: Path) -> list[tuple[float, int, Path]]:
    """Last use, bytes and path of every file that this module may have written."""
    entries = []
    for path in folder.iterdir():
        if _SUFFIX not in path.name:
            continue
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            entries.append((status.st_mtime, status.st_size, path))
    return entries


def _user_cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    named = os.environ.get("XDG_CACHE_HOME", "")
    return Path(named) if os.path.isabs(named) else Path.home() / ".cache"
