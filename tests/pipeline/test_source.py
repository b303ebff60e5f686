"""What is made of a source that changes meanwhile is dropped, however well the change hides."""

import os
from pathlib import Path

import pytest

from pipeline.errors import SourceChangedError, UnreadableInputError, VerificationError
from pipeline.progress import SilentProgress
from pipeline.source import Source, watched


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Something to convert."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"abc")
    return path


def test_a_file_that_was_left_alone_passes(clip: Path) -> None:
    source = Source(clip)
    source.check()
    source.check_content(source.read_hash(SilentProgress()), SilentProgress())


def _append(clip: Path) -> None:
    with clip.open("ab") as file:
        file.write(b"d")


def _replace(clip: Path) -> None:
    other = clip.with_name("other")
    other.write_bytes(b"xyz")
    os.utime(other, ns=(clip.stat().st_atime_ns, clip.stat().st_mtime_ns))
    other.replace(clip)


@pytest.mark.parametrize(
    ("change", "told"), [(_append, "was changed"), (_replace, "was changed"), (Path.unlink, "was removed")]
)
def test_appending_replacing_and_removing_are_noticed(clip: Path, change: object, told: str) -> None:
    source = Source(clip)
    change(clip)  # type: ignore[operator]
    with pytest.raises(SourceChangedError, match=told):
        source.check()


def test_a_change_that_keeps_size_and_time_is_noticed_by_reading_again(clip: Path) -> None:
    source, status = Source(clip), clip.stat()
    sha256 = source.read_hash(SilentProgress())
    clip.write_bytes(b"xyz")
    os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))
    source.check()
    with pytest.raises(SourceChangedError):
        source.check_content(sha256, SilentProgress())


def test_a_source_that_is_not_what_was_accepted_is_not_even_begun(clip: Path) -> None:
    with pytest.raises(SourceChangedError, match="after it had been accepted"):
        Source(clip, "0" * 64).read_hash(SilentProgress())


def _fail_after_a_change(clip: Path, error: Exception) -> None:
    with watched(clip):
        _append(clip)
        raise error


@pytest.mark.parametrize("error", [UnreadableInputError("cut off"), VerificationError("too few")])
def test_an_error_is_told_as_a_change_where_that_lies_behind_it(clip: Path, error: Exception) -> None:
    with pytest.raises(SourceChangedError):
        _fail_after_a_change(clip, error)
    with pytest.raises(type(error), match=str(error)), watched(clip):
        raise error


def test_what_is_no_fault_of_the_source_passes_unharmed(clip: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        _fail_after_a_change(clip, ZeroDivisionError())
