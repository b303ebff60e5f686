"""The file of the job table: opening, checking, upgrading, moving aside. What the rows mean is others' business.

Nothing here (or elsewhere in a process that has it open) reads the file but through SQLite: closing any handle of it
would end the locks that the process's connections have on it.
"""

from __future__ import annotations

import itertools
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from . import schema
from .disks import free_bytes, is_network_fs, sync
from .errors import StoreBusyError, StoreDamagedError, StoreError, StoreFullError, StoreVersionError

logger = logging.getLogger(__name__)

LOCK_SECS = 60.0
"""So long a call waits for another process's transaction, which takes milliseconds, before it gives up."""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SPACE_BYTES = 1 << 17
"""With less than this free, an I/O error counts as a full disk."""


def open_file(path: Path, *, read_only: bool, check: bool, rebuild: bool, lock_secs: float) -> sqlite3.Connection:
    """Return a connection to a sound table of this version; see `store.open_store`, which this does the work for."""
    _refuse_network(path.parent)
    if not read_only:
        _make_folder(path.parent)
    try:
        return _open_sound(path, read_only=read_only, check=check, lock_secs=lock_secs)
    except StoreDamagedError as error:
        if read_only or not check:
            raise
        aside = move_aside(path)
        if not rebuild:
            raise StoreDamagedError(
                f"the job table is damaged ({error}); it was moved to '{aside}'. Start again to build a new one from"
                " the watch folders: results that are there already are not made again"
            ) from error
        logger.warning("The job table was damaged and is now '%s' (%s). A new one is built.", aside, error)
    return _open_sound(path, read_only=read_only, check=check, lock_secs=lock_secs)


def move_aside(path: Path) -> Path:
    """Give a damaged table, and its journal, the first free name NAME.corrupt-N; return that."""
    aside = _free_name(path, "corrupt")
    journal = path.with_name(path.name + "-journal")
    if journal.exists():  # first: without its table a journal is harmless, with a new one it is poison
        os.rename(journal, aside.with_name(aside.name + "-journal"))
    os.rename(path, aside)
    sync(path.parent)
    return aside


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StoreErrors that name the file and say what to do."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise  # a bug or a race of ours, not the file's
    except sqlite3.DatabaseError as error:
        raise _store_error(path, error) from error
    except UnicodeDecodeError as error:  # SQLite quotes what it finds in a damaged file
        raise StoreDamagedError(f"'{path}' holds text that is no text: {error}") from error


def _store_error(path: Path, error: sqlite3.DatabaseError) -> StoreError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    what = f"the job table '{path}'"
    if code in _DAMAGED:
        return StoreDamagedError(f"'{path}' is no sound SQLite database: {error}")
    if code in _BUSY:
        return StoreBusyError(f"{what} stays locked by another process: {error}; end the program that holds it")
    if code == sqlite3.SQLITE_FULL or (code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _is_full(path)):
        return StoreFullError(f"there is no space left for {what}: {error}; free some, then it goes on")
    return StoreError(f"{what} cannot be used: {error}; look at its disk and at the rights of its folder")


def _is_full(path: Path) -> bool:
    try:
        return free_bytes(path.parent) < _SPACE_BYTES
    except OSError:
        return False


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder '{folder}' for the job table cannot be made: {error.strerror}") from error


def _refuse_network(folder: Path) -> None:
    kind = is_network_fs(folder)
    if kind is not None:
        raise StoreError(
            f"'{folder}' is on a {kind} file system, where a job table is not safe; name a folder on a local disk"
            " (--state-dir)"
        )


def _open_sound(path: Path, *, read_only: bool, check: bool, lock_secs: float) -> sqlite3.Connection:
    if read_only and not path.exists():
        raise StoreError(f"there is no job table '{path}'; name the output folder that `watch` was given")
    with told(path):
        connection = _connect(path, read_only=read_only, lock_secs=lock_secs)
        try:
            _reach_version(connection, path, read_only=read_only)
            if check:
                _check(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _connect(path: Path, *, read_only: bool, lock_secs: float) -> sqlite3.Connection:
    # A reader, too, must be able to roll back what a killed writer left, so it opens for writing where it may.
    mode = "ro" if read_only and not os.access(path, os.W_OK) else "rw" if read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=lock_secs,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    try:
        for pragma in ("synchronous = EXTRA", "foreign_keys = ON", "temp_store = MEMORY", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA query_only = ON" if read_only else "PRAGMA journal_mode = DELETE")
    except BaseException:
        connection.close()
        raise
    return connection


def _reach_version(connection: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    version, is_empty = _version(connection)
    newest = len(schema.MIGRATIONS)
    if version > newest:
        raise StoreVersionError(
            f"the job table '{path}' is of version {version}, this program knows {newest}; install the newer program"
        )
    if version == 0 and not is_empty:
        raise StoreVersionError(
            f"'{path}' is another program's SQLite file, not a job table; name another folder (--state-dir)"
        )
    if version < newest:
        if read_only:
            raise StoreVersionError(
                f"the job table '{path}' is of version {version}, this program's is {newest}; `watch` upgrades it"
            )
        _upgrade(connection, path)


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version, _ = _version(connection)  # another process may have been faster
        if 0 < version < len(schema.MIGRATIONS):
            backup = _back_up(path, version)
            logger.info("The job table was of version %d; a copy is '%s'.", version, backup)
        for step in schema.MIGRATIONS[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _back_up(path: Path, version: int) -> Path:
    target = _free_name(path, f"version-{version}")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    sync(target)
    sync(target.parent)
    return target


def _check(connection: sqlite3.Connection, path: Path) -> None:
    findings = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
    if findings != ["ok"]:
        raise StoreDamagedError(f"'{path}' fails SQLite's integrity check: {'; '.join(findings)}")
    broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    if broken is not None:
        raise StoreDamagedError(f"'{path}' has a row of '{broken[0]}' whose job is missing")


def _version(connection: sqlite3.Connection) -> tuple[int, bool]:
    """Return the version, and whether there are no tables, as of the same moment."""
    query = "SELECT user_version, NOT EXISTS (SELECT 1 FROM sqlite_master) FROM pragma_user_version"
    version, is_empty = connection.execute(query).fetchone()
    return version, bool(is_empty)


def _free_name(path: Path, mark: str) -> Path:
    names = (path.with_name(f"{path.name}.{mark}-{number}") for number in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))
