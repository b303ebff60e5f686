"""What a full disk means for a run: one message that says what is still whole. Writes nothing."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutOfSpaceError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def full_disk_told(path: Path, still_whole: str) -> Iterator[None]:
    """Turn the system's "no space left" into our own error.

    Args:
        path: what is written.
        still_whole: a sentence without its full stop: what the user still has, and how to go on.

    Raises:
        OutOfSpaceError: the disk is full, or the user's share of it.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if _is_no_space(error):
            raise OutOfSpaceError(f"no space left on the disk of '{path.parent}'; {still_whole}.") from error
        raise


def _is_no_space(error: BaseException) -> bool:
    """Tell it from the error or, as torch's writer wraps what its stream raised, from one behind it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _NO_SPACE:
            return True
        seen = seen.__cause__ or seen.__context__
    return False
