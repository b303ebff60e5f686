"""The file that is being converted: was it left alone meanwhile?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import FfmpegError, InputError, SourceChangedError, UnreadableInputError, VerificationError
from .progress import Progress
from .publish import sha256_of


class Source:
    """A file as it was when the work began.

    Args:
        path: the file.
        sha256: what its content must be; None takes any.
    """

    def __init__(self, path: Path, sha256: str | None = None) -> None:
        self.path = path
        self._stamp = _stamp(path)
        self._sha256 = sha256

    def read_hash(self, progress: Progress) -> str:
        """Return the SHA-256 of its content.

        Raises:
            SourceChangedError: it is not what it must be.
            UnreadableInputError: it cannot be read.
        """
        sha256 = hash_source(self.path, progress)
        if self._sha256 not in (None, sha256):
            raise SourceChangedError(f'"{self.path}" was changed after it had been accepted.')
        return sha256

    def check(self) -> None:
        """Look at size, time and inode.

        Raises:
            SourceChangedError: they are others now.
        """
        now = _stamp(self.path)
        if now != self._stamp:
            what = "was removed" if now is None else "was changed"
            raise SourceChangedError(f'"{self.path}" {what} while it was converted; nothing was published, run again.')

    def check_content(self, sha256: str, progress: Progress) -> None:
        """Read the whole file again.

        Raises:
            SourceChangedError: it does not have this hash.
        """
        if hash_source(self.path, progress) != sha256:
            raise SourceChangedError(
                f'"{self.path}" was changed while it was converted; nothing was published, run again.'
            )


@contextmanager
def watched(path: Path, sha256: str | None = None) -> Iterator[Source]:
    """Hold a source; an error of reading it is told as a change where that is what lies behind it.

    Args:
        path: the file.
        sha256: what its content must be; None takes any.

    Raises:
        SourceChangedError: the block failed, and the file is not as it was.
    """
    source = Source(path, sha256)
    try:
        yield source
    except (InputError, FfmpegError, VerificationError) as error:
        try:
            source.check()
        except SourceChangedError as changed:
            raise changed from error
        raise


def hash_source(path: Path, progress: Progress) -> str:
    """SHA-256 of a source, told as a stage: a large file on a slow disk takes minutes.

    Raises:
        UnreadableInputError: it cannot be read.
    """
    progress.start(path.name, "reading", None)
    if not path.is_file():
        raise UnreadableInputError(f'"{path}" {"is not a regular file" if path.exists() else "does not exist"}.')
    try:
        return sha256_of(path, on_block=progress.advance)
    except OSError as error:
        raise UnreadableInputError(f'"{path}" cannot be read: {error.strerror}.') from error


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when somebody writes to a file; None where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
