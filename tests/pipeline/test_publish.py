"""Results appear whole, once, and over nothing that was there."""

import errno
import multiprocessing
from pathlib import Path

import pytest

from pipeline.errors import OutOfSpaceError, OutputError, OutputExistsError, PipelineError
from pipeline.publish import (
    check_absent,
    make_output_folder,
    out_of_space_told,
    publish,
    sha256_of,
    write_text,
)
from pipeline.work import _is_ours, work_folder, work_root


def test_publishing_moves_the_file_to_its_final_name(tmp_path: Path) -> None:
    (tmp_path / "work").write_bytes(b"new")
    publish(tmp_path / "work", tmp_path / "final", overwrite=False)
    assert (tmp_path / "final").read_bytes() == b"new"
    assert not (tmp_path / "work").exists()


def test_publishing_never_replaces_unless_told(tmp_path: Path) -> None:
    (tmp_path / "work").write_bytes(b"new")
    (tmp_path / "final").write_bytes(b"old")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        publish(tmp_path / "work", tmp_path / "final", overwrite=False)
    assert (tmp_path / "final").read_bytes() == b"old"
    publish(tmp_path / "work", tmp_path / "final", overwrite=True)
    assert (tmp_path / "final").read_bytes() == b"new"


def test_a_work_folder_is_gone_after_success(tmp_path: Path) -> None:
    with work_folder(work_root(tmp_path), "job", resume=True) as folder:
        (folder / "chunk").touch()
    assert list(tmp_path.iterdir()) == []


def test_a_work_folder_outlives_a_failure_and_is_found_again(tmp_path: Path) -> None:
    def fail() -> None:
        with work_folder(work_root(tmp_path), "job", resume=True) as folder:
            (folder / "chunk").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with work_folder(work_root(tmp_path), "job", resume=True) as folder:
        assert (folder / "chunk").exists()
    with work_folder(work_root(tmp_path), "job", resume=False) as folder:
        assert not (folder / "chunk").exists()


def _try_to_hold(root: Path) -> str:
    try:
        with work_folder(work_root(root), "job", resume=True):
            return "held"
    except PipelineError as error:
        return str(error)


def test_two_processes_do_not_share_a_work_folder(tmp_path: Path) -> None:
    with work_folder(work_root(tmp_path), "job", resume=True), multiprocessing.get_context("spawn").Pool(1) as pool:
        assert "another process" in pool.apply(_try_to_hold, (tmp_path,))


def test_a_full_disk_is_told_in_our_own_words(tmp_path: Path) -> None:
    with pytest.raises(OutOfSpaceError, match="no space left"), out_of_space_told(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_text_replaces_text_atomically(tmp_path: Path) -> None:
    write_text(tmp_path / "r.json", "one")
    write_text(tmp_path / "r.json", "two")
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]
    assert (tmp_path / "r.json").read_text() == "two"


def test_the_hash_is_sha256_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_of(tmp_path / "f").startswith("ba7816bf8f01cfea")


def test_a_failure_that_made_nothing_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), work_folder(work_root(tmp_path), "job", resume=True):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == [tmp_path / ".ugatit"]
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_lock_that_its_holder_has_removed_is_not_taken(tmp_path: Path) -> None:
    with (tmp_path / "job.lock").open("w") as lock:
        (tmp_path / "job.lock").unlink()
        assert not _is_ours(lock)


def test_an_output_folder_that_cannot_be_made_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r'file/out" cannot be made'):
        make_output_folder(tmp_path / "file" / "out")


def test_a_folder_is_never_replaced_by_a_result(tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError, match="is a folder"):
        check_absent(tmp_path, overwrite=True)


def test_text_is_written_under_the_longest_of_names(tmp_path: Path) -> None:
    write_text(tmp_path / ("x" * 255), "text")
    assert [len(p.name) for p in tmp_path.iterdir()] == [255]
