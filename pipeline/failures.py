"""What follows from an error for the one who gave the work: wait, try again, or give up. Knows types only, no words.

Types are known by name, so that looking one up imports nothing: PyTorch's need PyTorch.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import StrEnum


class Course(StrEnum):
    """What to do about a failed conversion."""

    WAIT = "wait"
    """The input may be incomplete: look again later, while it is young."""
    RETRY = "retry"
    """It may pass by itself."""
    BLOCK = "block"
    """Something around it is missing or full: go on when that is over."""
    FAIL = "fail"
    """It will never work."""
    CHANGED = "changed"
    """The input is another one now, or gone."""


@dataclass(frozen=True)
class Failure:
    """How to take an error."""

    course: Course
    block: str = ""
    """What is missing: disk, output, device, cluster; for BLOCK only."""
    is_unforeseen: bool = False
    """Nobody thought of it: its message alone may say little."""
    undoes_work: bool = False
    """What was done is done again: to come as far as this another time is no progress."""
    is_process_spoiled: bool = False
    """The process should end: its device or its memory is not sound any more."""


_BY_TYPE = {
    "pipeline.errors.SourceChangedError": Failure(Course.CHANGED),
    "pipeline.errors.UnreadableInputError": Failure(Course.WAIT),
    "pipeline.errors.InputError": Failure(Course.FAIL),
    "pipeline.errors.UnsuitableStyleError": Failure(Course.FAIL),
    "pipeline.errors.OutputExistsError": Failure(Course.FAIL),
    "pipeline.errors.OutputError": Failure(Course.BLOCK, "output"),
    "pipeline.errors.OutOfSpaceError": Failure(Course.BLOCK, "disk"),
    "pipeline.errors.ClusterError": Failure(Course.BLOCK, "cluster"),
    "pipeline.errors.ChunkError": Failure(Course.RETRY, undoes_work=True),
    "pipeline.errors.VerificationError": Failure(Course.RETRY, undoes_work=True),
    "pipeline.errors.PipelineError": Failure(Course.RETRY),
    "model.errors.DeviceError": Failure(Course.BLOCK, "device", is_process_spoiled=True),
    "model.errors.ModelError": Failure(Course.FAIL),
    "alignment.errors.AlignmentError": Failure(Course.FAIL),
    "faceseg.errors.FaceSegError": Failure(Course.FAIL),
    "torch.OutOfMemoryError": Failure(Course.BLOCK, "device", is_process_spoiled=True),
    "torch.AcceleratorError": Failure(Course.BLOCK, "device", is_process_spoiled=True),
    "builtins.MemoryError": Failure(Course.RETRY, is_unforeseen=True, is_process_spoiled=True),
}
"""By the full name of an error's class, or of the nearest class above it."""

_BY_ERRNO = {
    errno.ENOSPC: Failure(Course.BLOCK, "disk"),
    errno.EDQUOT: Failure(Course.BLOCK, "disk"),
    errno.EROFS: Failure(Course.BLOCK, "output"),
    errno.EACCES: Failure(Course.BLOCK, "output"),
    errno.EPERM: Failure(Course.BLOCK, "output"),
}
"""For errors of the system: those of reading an input were turned into our own before."""


def sort_failure(error: BaseException) -> Failure:
    """Tell what follows from an error of a conversion."""
    if isinstance(error, OSError) and error.errno in _BY_ERRNO:
        return _BY_ERRNO[error.errno]
    for kind in type(error).__mro__:
        found = _BY_TYPE.get(f"{kind.__module__}.{kind.__qualname__}")
        if found is not None:
            return found
    return Failure(Course.RETRY, is_unforeseen=True)
