"""Feed an ffmpeg process with packets whose stamps are exact: a NUT (or Matroska) stream on its stdin.

Raw frames and copied packets take the same way. The writer blocks while ffmpeg is busy, so memory stays bounded; an
ffmpeg that takes nothing for too long is killed, and its death is told as an error to the next writer.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from types import TracebackType
from typing import Any, Self

from .errors import FfmpegError
from .ffmpeg import FfmpegProcess

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

STALL_SECS = 600.0
"""An ffmpeg that takes no packet for this long is taken for hung."""


PIPE_BYTES = 1 << 20
"""Size of the pipe: as large as Linux gives to everybody."""


class FfmpegFeed:
    """A running ffmpeg that reads packets from us. Leaving the context without an error waits for its success.

    Args:
        arguments: ffmpeg's arguments; they read `pipe:0`.
        container_format: `nut`, or `matroska` where packets carry an alpha layer.
        stall_secs: Kill ffmpeg when one write takes longer.

    Raises:
        FfmpegError: On leaving or writing, when ffmpeg failed or was killed.
        OutOfSpaceError: Likewise, when the disk is full.
    """

    def __init__(self, arguments: Any, *, container_format: str = "nut", stall_secs: float = STALL_SECS) -> None:
        import av

        read_end, self._write_end = _wide_pipe()
        try:
            self.process = FfmpegProcess(arguments, stdin=read_end)
        except BaseException:
            os.close(self._write_end)
            raise
        finally:
            os.close(read_end)
        try:
            self.container: Any = av.open(f"pipe:{self._write_end}", "w", format=container_format)
        except BaseException:
            self.process.close()
            self._close_pipe()
            raise
        self._watchdog = _Watchdog(self.process, stall_secs)

    def mux(self, packet: Any) -> None:
        """Hand one packet over; blocks until ffmpeg has room for it."""
        import av

        try:
            with self._watchdog:
                self.container.mux(packet)
        except (av.FFmpegError, OSError) as error:
            self._raise_death(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._abort()
            return
        try:
            self._finish()
        finally:
            self.process.close()

    def _finish(self) -> None:
        import av

        with self._watchdog:
            try:
                self.container.close()
            except (av.FFmpegError, OSError) as error:
                self._raise_death(error)
            self._close_pipe()
            self.process.wait()
        self._watchdog.check()

    def _raise_death(self, error: Exception) -> None:
        """Tell why ffmpeg stopped reading."""
        self._watchdog.check()
        self._close_pipe()
        self.process.wait(10)
        raise FfmpegError(f"ffmpeg stopped reading before the end: {error}.") from error

    def _abort(self) -> None:
        """Kill ffmpeg first: it would finish a short file at the end of its input."""
        import av

        self.process.kill()
        try:
            self.container.close()
        except (av.FFmpegError, OSError) as error:
            logger.debug("Closing the pipe of a dead ffmpeg: %s.", error)
        self._close_pipe()
        self.process.close()

    def _close_pipe(self) -> None:
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1


def _wide_pipe() -> tuple[int, int]:
    """A pipe that holds a good part of a frame, where the system lets us: fewer turns between its two ends."""
    read_end, write_end = os.pipe()
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):  # the user may have used up what is allowed
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return read_end, write_end


class _Watchdog:
    """Kills the process when the guarded block lasts too long; one sleeping thread per process."""

    def __init__(self, process: FfmpegProcess, limit_secs: float) -> None:
        self._process = process
        self._limit_secs = limit_secs
        self._since: float | None = None
        self._has_bitten = False
        self._thread = threading.Thread(target=self._watch, name="ffmpeg-watchdog", daemon=True)
        self._thread.start()

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._since = None

    def check(self) -> None:
        """Raise when the process was killed by this watchdog."""
        if self._has_bitten:
            raise FfmpegError(f"ffmpeg took nothing for {self._limit_secs:g} s and was killed.")

    def _watch(self) -> None:
        while self._process.is_running():
            since = self._since
            if since is not None and time.monotonic() - since > self._limit_secs:
                self._has_bitten = True
                self._process.kill()
            time.sleep(min(1.0, self._limit_secs / 4))
