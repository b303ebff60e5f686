"""Which folders for results are one daemon's: two with tables of their own would clear away each other's work in them.

Each is locked in its `.ugatit/`, as is the state folder; the locks end with the process.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from .errors import AlreadyWatchedError
from .find_table import STATE_FOLDER
from .health import LOCK_NAME
from .locks import FileLock, holder


class Territory:
    """The locks that a daemon holds."""

    def __init__(self, state_dir: Path, outputs: Iterable[Path]) -> None:
        """Name what is to be locked on entering.

        Args:
            state_dir: the state folder.
            outputs: folders for results.
        """
        self._state_dir = state_dir
        self._outputs = tuple(outputs)
        self._locks: dict[Path, FileLock] = {}

    def __enter__(self) -> Self:
        try:
            self._take(self._state_dir, "uses")
            self.extend(self._outputs)
        except BaseException:
            self.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def extend(self, outputs: Iterable[Path]) -> None:
        """Lock more folders for results; they are made if they are not there.

        Raises:
            AlreadyWatchedError: another daemon has one of them.
            OSError: one cannot be made.
        """
        for output in outputs:
            output.mkdir(parents=True, exist_ok=True)
            self._take(output / STATE_FOLDER, "puts its results into")

    def holds(self, output: Path) -> bool:
        """Tell whether a folder for results is ours; one that is nobody's becomes so, if it is there."""
        with suppress(AlreadyWatchedError, OSError):
            if output.is_dir():
                self._take(output / STATE_FOLDER, "")
                return True
        return False

    def release(self) -> None:
        """Give all locks back."""
        for lock in self._locks.values():
            lock.release()
        self._locks.clear()

    def _take(self, folder: Path, what: str) -> None:
        if folder in self._locks:
            return
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_NAME)
        if not lock.acquire():
            place = folder if what == "uses" else folder.parent
            raise AlreadyWatchedError(
                f'another watch {what} "{place}" ({holder(lock.path)}); end it first, or choose another --output.'
            )
        self._locks[folder] = lock
