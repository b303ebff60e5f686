"""Find the ffmpeg program and run it so that it can neither hang us nor outlive us.

Arguments are built by ffmpeg-python (`compile` only); its own way of running a process deadlocks once ffmpeg has
written more to stderr than a pipe holds (ffmpeg-python #195), so processes are run here. Nothing in this module knows
about codecs, frames or streams.
"""

import functools
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from .errors import FfmpegError, OutOfSpaceError

logger = logging.getLogger(__name__)

FORMAT_WHITELIST = "mov,mp4,matroska,webm,mpegts,avi,flv,mpeg,asf,ogg"
"""Demuxers a source may use: real containers only, none that can name another file (no playlists, no concat)."""

SOURCE_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMAT_WHITELIST}
"""Input options for anything that came from a user, for the ffmpeg program and for PyAV alike."""

OLDEST_GOOD_VERSION = (6, 0)
"""A system program older than this is passed over for the bundled one: it loses rotation in mkv and last durations."""

_NUM_STDERR_LINES = 12
_DIE_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"  # PR_SET_PDEATHSIG
)


@functools.cache
def ffmpeg_program() -> str:
    """Return the path of the ffmpeg program: `UGATIT_FFMPEG`, else the system's, else imageio-ffmpeg's.

    A system program older than version 6 is used only where there is no bundled one.

    Raises:
        FfmpegError: There is none, or `UGATIT_FFMPEG` names a file that cannot be run.
    """
    chosen = os.environ.get("UGATIT_FFMPEG")
    if chosen:
        found = shutil.which(chosen)
        if found is None:
            raise FfmpegError(f"UGATIT_FFMPEG names {chosen!r}, which is not a program; correct it or unset it.")
        return os.path.abspath(found)
    system, bundled = shutil.which("ffmpeg"), _bundled_program()
    if system is not None and (bundled is None or _is_good(system)):
        return system
    if bundled is None:
        raise FfmpegError(
            "no ffmpeg program was found; install ffmpeg, or `pip install imageio-ffmpeg`, or set UGATIT_FFMPEG."
        )
    return bundled


def _bundled_program() -> str | None:
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


def _is_good(program: str) -> bool:
    try:
        is_good = parse_version(_query(program, "-version")) >= OLDEST_GOOD_VERSION
    except FfmpegError as error:
        logger.warning("Passed over the system's ffmpeg: %s", error)
        return False
    if not is_good:
        logger.info("Passed over %r, which is older than version %d.%d.", program, *OLDEST_GOOD_VERSION)
    return is_good


@functools.cache
def ffmpeg_version() -> tuple[int, int]:
    """Return (major, minor) of the program; builds named only by date or commit count as the newest.

    Raises:
        FfmpegError: The program is missing or does not run.
    """
    return parse_version(_query(ffmpeg_program(), "-version"))


def parse_version(banner: str) -> tuple[int, int]:
    """Read (major, minor) from the first line of `ffmpeg -version`; (99, 0) when it has no release number."""
    match = re.match(r"ffmpeg version n?(\d+)\.(\d+)", banner)
    return (int(match[1]), int(match[2])) if match else (99, 0)


@functools.cache
def available_encoders() -> frozenset[str]:
    """Return the names of the encoders this program was built with (a GPU one may still fail to start)."""
    return frozenset(re.findall(r"^ [VAS][A-Z.]{5} (\S+)", _query(ffmpeg_program(), "-encoders"), re.MULTILINE))


@functools.cache
def encoder_pixel_formats(encoder: str) -> tuple[str, ...]:
    """Return the pixel formats `encoder` accepts, in its own order; empty when it does not say."""
    match = re.search(r"Supported pixel formats: (.+)", _query(ffmpeg_program(), "-h", f"encoder={encoder}"))
    return tuple(match[1].split()) if match else ()


def file_url(path: Path | str) -> str:
    """Return `path` as an absolute `file:` URL, so that no name is taken for a protocol, an option or a pattern."""
    return "file:" + os.path.abspath(path)


def graph_url(path: Path | str) -> str:
    """Return `file_url(path)` in a form that ffmpeg-python takes for any name; `compile_arguments` turns it back.

    Its graphs are hashed as UTF-8, which names that are no UTF-8 have none of.
    """
    return file_url(path).encode("utf-8", "surrogateescape").decode("latin-1")


def compile_arguments(stream: Any, extra: Sequence[str] = ()) -> list[str]:
    """Return ffmpeg-python's output node `stream` as arguments without the program's name.

    Args:
        stream: Output node with one output.
        extra: Further output arguments: the released ffmpeg-python (0.2) cannot repeat an option.
    """
    import ffmpeg

    *arguments, output = (_without_disguise(str(argument)) for argument in ffmpeg.get_args(stream))
    return [*arguments, *extra, output]


def _without_disguise(argument: str) -> str:
    is_url = argument.startswith("file:")
    return argument.encode("latin-1").decode("utf-8", "surrogateescape") if is_url else argument


def run_ffmpeg(arguments: Any, *, timeout_secs: float | None = None) -> str:
    """Run ffmpeg to its end and return what it wrote to stderr (its last 64 KiB).

    Args:
        arguments: An ffmpeg-python output node, or a list of arguments without the program's name.
        timeout_secs: Kill the program after this long; None waits for ever.

    Raises:
        FfmpegError: It failed, was killed or ran out of time.
        OutOfSpaceError: It failed because a disk is full.
    """
    process = FfmpegProcess(arguments)
    try:
        process.wait(timeout_secs)
        return process.stderr_tail()
    finally:
        process.close()


class FfmpegProcess:
    """One running ffmpeg: no shell, stderr in a temporary file, killed by the kernel when this process dies (Linux).

    Args:
        arguments: An ffmpeg-python output node, or a list of arguments without the program's name.
        stdin: File descriptor the program reads from; None closes its stdin.
    """

    def __init__(self, arguments: Any, *, stdin: int | None = None) -> None:
        if not isinstance(arguments, list | tuple):
            arguments = compile_arguments(arguments)
        command = [ffmpeg_program(), "-hide_banner", "-v", "warning", "-y", *arguments]
        if stdin is None:
            command.insert(1, "-nostdin")
        logger.debug("Running %s.", command)
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        try:
            self._process = spawn(command, stdin=stdin, stderr=self._stderr)
        except OSError as error:
            self._stderr.close()
            raise FfmpegError(f"{command[0]!r} could not be started: {error}.") from error

    @property
    def pid(self) -> int:
        """Process id, for tests that kill it."""
        return self._process.pid

    def is_running(self) -> bool:
        """Return whether the program has not ended yet."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill the program and its children at once; harmless when it has ended."""
        if self.is_running():
            _kill_group(self._process)
        self._process.wait()

    def wait(self, timeout_secs: float | None = None) -> None:
        """Wait for the end and check it.

        Raises:
            FfmpegError: It failed, was killed or ran out of time.
            OutOfSpaceError: It failed because a disk is full.
        """
        try:
            code = self._process.wait(timeout_secs)
        except subprocess.TimeoutExpired:
            self.kill()
            raise FfmpegError(f"ffmpeg did not end within {timeout_secs:g} s and was killed.") from None
        except BaseException:
            self.kill()
            raise
        said = self.stderr_tail()
        if code != 0:
            raise_for_failure(code, said)
        if said:
            logger.debug("ffmpeg ended well and said:\n%s", said)

    def stderr_tail(self, num_bytes: int = 65536) -> str:
        """Return the last `num_bytes` of stderr, decoded leniently."""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - num_bytes))
        return self._stderr.read().decode("utf-8", "replace")

    def close(self) -> None:
        """Kill the program if it still runs and drop its stderr."""
        self.kill()
        self._stderr.close()


def raise_for_failure(code: int, stderr: str) -> None:
    """Raise the error that fits a nonzero exit `code` and the program's `stderr`.

    Raises:
        OutOfSpaceError: A disk is full.
        FfmpegError: Anything else.
    """
    lines = [line for line in stderr.splitlines() if line.strip()]
    last_words = "\n  ".join(lines[-_NUM_STDERR_LINES:]) or "(it said nothing)"
    if "No space left on device" in stderr or "Disk quota exceeded" in stderr:
        raise OutOfSpaceError(f"the disk is full; free some space and run again. ffmpeg said:\n  {last_words}")
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"failed with exit code {code}"
    raise FfmpegError(f"ffmpeg {how}. It said:\n  {last_words}")


def spawn(command: Sequence[str], *, stdin: int | None, stderr: IO[bytes] | int) -> "subprocess.Popen[bytes]":
    """Start `command` in its own process group so that it dies with us, even by SIGKILL (Linux only)."""
    return (
        _spawner()
        .submit(
            subprocess.Popen,
            _dying_with_parent(command),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,  # Ctrl-C in the terminal reaches us alone; we end the program in order
        )
        .result()
    )


@functools.cache
def _spawner() -> ThreadPoolExecutor:
    """Return the thread that starts processes: Linux sends the death signal when the starting *thread* ends."""
    os.register_at_fork(after_in_child=_spawner.cache_clear)
    return ThreadPoolExecutor(1, thread_name_prefix="spawner")


def _dying_with_parent(command: Sequence[str]) -> list[str]:
    if not sys.platform.startswith("linux"):
        return list(command)
    setpriv = shutil.which("setpriv")
    if setpriv:
        return [setpriv, "--pdeathsig", "KILL", "--", *command]
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, *command]


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError, AttributeError):
        process.kill()


def _query(program: str, *arguments: str) -> str:
    command = [program, *(() if arguments == ("-version",) else ("-hide_banner",)), *arguments]
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise FfmpegError(
            f"{command[0]!r} does not run ({error}); install another ffmpeg or set UGATIT_FFMPEG."
        ) from error
    return result.stdout.decode("utf-8", "replace")
