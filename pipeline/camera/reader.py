"""Read a live source in a thread and keep its newest frame only: who is slow misses frames, and never falls behind."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from time import perf_counter

from ..errors import UnreadableInputError
from ..frames import Frame
from .source import CameraSource

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECS, _LONGEST_PAUSE_SECS = 0.25, 5.0
"""Pauses between attempts to open a lost source again; each is twice as long as the one before."""
_JOIN_SECS = 2.0


@dataclass(frozen=True)
class LiveFrame:
    """A frame and when it came."""

    frame: Frame
    """Upright, of its own planes."""
    captured_secs: float
    """perf_counter when it was read."""


class NewestFrame:
    """A thread that reads, and the one frame that waits. Use as a context manager.

    Args:
        source: what to read.
        reconnect_secs: an endless source that is lost is opened again for so long; 0 gives up at once.
    """

    def __init__(self, source: CameraSource, reconnect_secs: float) -> None:
        self.num_captured = 0
        """Frames read."""
        self.num_missed = 0
        """Frames that were replaced by a newer one before anybody took them."""
        self.num_reconnects = 0
        """How often a lost source came back."""
        self._source, self._reconnect_secs = source, reconnect_secs
        self._waiting: LiveFrame | None = None
        self._error: Exception | None = None
        self._is_over = False
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)

    def __enter__(self) -> NewestFrame:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_JOIN_SECS)  # a stream that says nothing holds its thread until its own time is up

    @property
    def is_over(self) -> bool:
        """The source has ended and its last frame was taken."""
        with self._changed:
            return self._is_over and self._waiting is None

    def take(self, timeout_secs: float) -> LiveFrame | None:
        """Return the newest frame that was not taken yet; None where none came in time, or the source is over.

        Raises:
            UnreadableInputError: the source could not be opened, or not again.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._is_over, timeout_secs)
            taken, self._waiting = self._waiting, None
            if taken is None and self._error is not None:
                raise self._error
            return taken

    def _read(self) -> None:
        try:
            self._read_on()
        except Exception as error:
            self._error = error
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _read_on(self) -> None:
        """Read until the end; open a lost source again."""
        pause_secs, lost_since = _FIRST_PAUSE_SECS, None
        while not self._stop.is_set():
            refusal: UnreadableInputError | None = None
            try:
                num_read = self._read_until_lost(is_back=lost_since is not None)
            except UnreadableInputError as error:
                if self.num_captured == 0:  # it never was there: no reason to wait for it
                    raise
                num_read, refusal = 0, error
            if self._stop.is_set() or not self._source.is_endless:
                return
            if num_read:
                pause_secs, lost_since = _FIRST_PAUSE_SECS, None
            now = perf_counter()
            if lost_since is None:
                lost_since = now
                logger.warning("The source %s was lost; opening it again.", self._source.name)
            if now - lost_since >= self._reconnect_secs:
                raise refusal or UnreadableInputError(
                    f'the source "{self._source.name}" was lost and did not come back within '
                    f"{self._reconnect_secs:g} s (--reconnect)."
                )
            self._stop.wait(pause_secs)
            pause_secs = min(2 * pause_secs, _LONGEST_PAUSE_SECS)

    def _read_until_lost(self, *, is_back: bool) -> int:
        num_read = 0
        frames = self._source.frames(self._stop)
        try:
            for frame in frames:
                self.num_reconnects += is_back and num_read == 0
                num_read += 1
                with self._changed:
                    self.num_captured += 1
                    self.num_missed += self._waiting is not None
                    self._waiting = LiveFrame(frame, perf_counter())
                    self._changed.notify_all()
                if self._stop.is_set():
                    break
        finally:
            frames.close()  # type: ignore[attr-defined]  # every source's is a generator
        return num_read
