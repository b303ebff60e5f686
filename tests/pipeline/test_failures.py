"""Every error of ours has a course, known by its type; no two programs spell it."""

import errno
import importlib

import pytest
import torch

from alignment.errors import DetectorUnavailableError
from model.errors import DeviceError, StyleNotFoundError
from pipeline import errors, failures
from pipeline.failures import Course, sort_failure


@pytest.mark.parametrize("name", failures._BY_TYPE)
def test_every_type_in_the_table_exists_under_that_name(name: str) -> None:
    module, _, kind = name.rpartition(".")
    found = getattr(importlib.import_module(module), kind)
    assert issubclass(found, BaseException)
    assert f"{found.__module__}.{found.__qualname__}" == name


@pytest.mark.parametrize(
    ("error", "course", "block"),
    [
        (errors.SourceChangedError(), Course.CHANGED, ""),
        (errors.UnreadableInputError(), Course.WAIT, ""),
        (errors.UnsupportedInputError(), Course.FAIL, ""),
        (errors.QuotaError(), Course.FAIL, ""),
        (errors.OutputExistsError(), Course.FAIL, ""),
        (errors.OutputError(), Course.BLOCK, "output"),
        (errors.OutOfSpaceError(), Course.BLOCK, "disk"),
        (errors.FfmpegError(), Course.RETRY, ""),
        (errors.VerificationError(), Course.RETRY, ""),
        (errors.UnsuitableStyleError(), Course.FAIL, ""),
        (StyleNotFoundError(), Course.FAIL, ""),
        (DeviceError(), Course.BLOCK, "device"),
        (DetectorUnavailableError(), Course.FAIL, ""),
        (torch.OutOfMemoryError(), Course.BLOCK, "device"),
        (OSError(errno.ENOSPC, "No space left on device"), Course.BLOCK, "disk"),
        (OSError(errno.EROFS, "Read-only file system"), Course.BLOCK, "output"),
        (OSError(errno.EIO, "Input/output error"), Course.RETRY, ""),
        (MemoryError(), Course.RETRY, ""),
        (RuntimeError("No space left on device"), Course.RETRY, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_has_its_course(error: Exception, course: Course, block: str) -> None:
    found = sort_failure(error)
    assert (found.course, found.block) == (course, block)


def test_only_what_nobody_thought_of_is_called_so() -> None:
    assert sort_failure(ZeroDivisionError()).is_unforeseen
    assert not sort_failure(errors.FfmpegError()).is_unforeseen


def test_a_process_whose_device_is_gone_should_end() -> None:
    assert sort_failure(DeviceError()).is_process_spoiled
    assert not sort_failure(errors.OutOfSpaceError()).is_process_spoiled
