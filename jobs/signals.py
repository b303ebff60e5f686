"""What SIGTERM and SIGINT ask of the daemon: once, to stop where nothing is lost; twice, to stop now.

Handlers only count: what follows is the loop's business, so that nothing is interrupted half-way.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

EXIT_INTERRUPTED = 130
"""Exit code after the second signal."""

_ONE_REQUEST_SECS = 0.5
_STOPPING = (signal.SIGTERM, signal.SIGINT)


class StopRequests:
    """How often somebody asked the process to stop."""

    def __init__(self) -> None:
        self.count = 0
        self._asked = -_ONE_REQUEST_SECS
        self.is_reload_wanted = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    @property
    def is_stopping(self) -> bool:
        """Somebody asked once, at least."""
        return self.count > 0

    @property
    def is_urgent(self) -> bool:
        """Somebody asked twice."""
        return self.count > 1

    def stop(self) -> None:
        """Ask, as a signal does; what comes within half a second is the same request.

        `timeout`, and who ends a whole process group, send the same signal twice.
        """
        now = time.monotonic()
        if now - self._asked >= _ONE_REQUEST_SECS:
            self.count += 1
            self._asked = now
        self._wake()

    def take_reload(self) -> bool:
        """Tell whether SIGHUP came since the last call."""
        wanted, self.is_reload_wanted = self.is_reload_wanted, False
        return wanted

    def wait(self, secs: float) -> None:
        """Sleep, but not beyond a signal."""
        if select.select([self._wake_read], [], [], secs)[0]:
            os.read(self._wake_read, 64)

    def close(self) -> None:
        """Give the pipe back."""
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop()

    def _on_reload(self, number: int, frame: FrameType | None) -> None:
        self.is_reload_wanted = True
        self._wake()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # it is full: the reader will wake up
            os.write(self._wake_write, b"!")


@contextmanager
def stop_requests(*, is_hangup_reload: bool = False) -> Iterator[StopRequests]:
    """Count the signals that come while the context is open; only the main thread may do so.

    Args:
        is_hangup_reload: SIGHUP asks for the configuration to be read again; else, as when the terminal is closed, to
            stop.
    """
    requests = StopRequests()
    on_hangup = requests._on_reload if is_hangup_reload else requests._on_stop
    before = {number: signal.signal(number, requests._on_stop) for number in _STOPPING}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, on_hangup)
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        requests.close()
