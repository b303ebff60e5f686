"""The parts of a loop: each is done when it is time, none stops another; what is in the way is said once, and waits."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .clocks import boot_secs
from .errors import AlreadyWatchedError, StoreBusyError, StoreError, StoreFullError, WatchFolderError

logger = logging.getLogger(__name__)


class Rounds:
    """Does parts of the work, and remembers what keeps them from it."""

    def __init__(self) -> None:
        self.troubles: dict[str, str] = {}
        self.last_error = ""
        self._due: dict[str, float] = {}

    def do(self, part: str, work: Callable[[], object], every_secs: float = 0.0) -> None:
        """Do one part, if it is time; note what went wrong, and that it is over.

        Args:
            part: its name, as the subject of a sentence that begins with "the".
            work: does it.
            every_secs: not more often than this.

        Raises:
            StoreError: the table cannot be used, and waiting will not help.
        """
        if boot_secs() < self._due.get(part, 0.0):
            return
        self._due[part] = boot_secs() + every_secs
        try:
            work()
        except (StoreFullError, StoreBusyError, OSError, WatchFolderError, AlreadyWatchedError) as error:
            self._note(part, str(error))
        except StoreError:
            raise
        except Exception as error:  # a mistake in one part must not lose the others' work
            if self._note(part, f"{type(error).__name__}: {error}"):
                logger.exception("this should not have happened.")
        else:
            if self.troubles.pop(part, None) is not None:
                logger.info("the %s goes on: what was in the way is over.", part)

    def summary(self) -> str:
        """Return what is in the way now, as one line; empty if nothing is."""
        return "; ".join(f"{part}: {text}" for part, text in self.troubles.items())

    def _note(self, part: str, text: str) -> bool:
        """Remember what is in the way; say it once, and return whether it was said now."""
        if self.troubles.get(part) == text:
            return False
        self.troubles[part] = self.last_error = text
        logger.warning("the %s has to wait: %s", part, text)
        return True
