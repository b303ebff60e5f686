"""A watch folder is known by its mark, and watched by one process (rows 25 and 28 of the fault matrix)."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.errors import AlreadyWatchedError, WatchFolderError
from jobs.names import MARK
from jobs.roots import Root, is_away


class Table:
    """What the job table knows of a folder."""

    def __init__(self) -> None:
        self.token: str | None = None
        self.is_another = False

    def remember(self, token: str) -> None:
        self.token = token


@pytest.fixture
def table() -> Table:
    return Table()


@contextmanager
def root_of(path: Path, table: Table) -> Iterator[Root]:
    root = Root(path, lambda: table.token, table.remember, lambda folder: table.is_another)
    try:
        yield root
    finally:
        root.release()


def check(root: Root) -> None:
    with root.opened():
        pass


def test_a_folder_is_marked_when_it_is_first_opened(tmp_path: Path, table: Table) -> None:
    with root_of(tmp_path, table) as root:
        with root.opened() as folder:
            assert os.path.samestat(os.fstat(folder), tmp_path.stat())
        assert (tmp_path / MARK).read_text() == f"{table.token}\n"
        assert not is_away(tmp_path, table.token)


def test_the_mark_stays_the_same(tmp_path: Path, table: Table) -> None:
    with root_of(tmp_path, table) as root:
        check(root)
        first = table.token
        check(root)
    with root_of(tmp_path, table) as root:
        check(root)
    assert table.token == first


def test_a_second_process_is_refused_and_told_which_folder_it_is(tmp_path: Path, table: Table) -> None:
    with root_of(tmp_path, table) as first, root_of(tmp_path, Table()) as second:
        check(first)
        with pytest.raises(AlreadyWatchedError, match=f'"{tmp_path}" is watched by another process'):
            check(second)
        first.release()
        check(second)


def test_a_folder_that_is_not_there_is_away(tmp_path: Path, table: Table) -> None:
    with root_of(tmp_path / "none", table) as root, pytest.raises(WatchFolderError, match='none" is away'):
        check(root)
    assert is_away(tmp_path / "none", "token")


def test_an_empty_folder_in_place_of_one_with_open_jobs_is_away_and_not_marked(tmp_path: Path, table: Table) -> None:
    table.token, table.is_another = "0123", True
    with root_of(tmp_path, table) as root, pytest.raises(WatchFolderError, match="is not the folder that jobs"):
        check(root)
    assert list(tmp_path.iterdir()) == []
    assert table.token == "0123"


def test_a_folder_with_another_mark_is_away_while_jobs_are_open(tmp_path: Path, table: Table) -> None:
    (tmp_path / MARK).write_text("4567\n")
    table.token, table.is_another = "0123", True
    with root_of(tmp_path, table) as root, pytest.raises(WatchFolderError):
        check(root)
    assert is_away(tmp_path, table.token)


def test_a_folder_without_mark_is_marked_anew_when_no_job_depends_on_it(tmp_path: Path, table: Table) -> None:
    table.token = "0123"
    with root_of(tmp_path, table) as root:
        check(root)
    assert table.token not in (None, "0123")
    assert (tmp_path / MARK).read_text() == f"{table.token}\n"


def test_a_mark_that_another_table_wrote_is_taken_over(tmp_path: Path, table: Table) -> None:
    (tmp_path / MARK).write_text("4567\n")
    with root_of(tmp_path, table) as root:
        check(root)
    assert table.token == "4567"
    assert (tmp_path / MARK).read_text() == "4567\n"


def test_a_mark_that_was_left_empty_by_a_crash_is_written_again(tmp_path: Path, table: Table) -> None:
    (tmp_path / MARK).touch()
    with root_of(tmp_path, table) as root:
        check(root)
    assert (tmp_path / MARK).read_text() == f"{table.token}\n"


def test_a_link_in_place_of_the_mark_is_not_followed(tmp_path: Path, table: Table) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / MARK).symlink_to(tmp_path / "elsewhere")
    with root_of(tmp_path / "in", table) as root, pytest.raises(WatchFolderError):
        check(root)
    assert not (tmp_path / "elsewhere").exists()


def test_the_lock_follows_a_mark_that_was_replaced(tmp_path: Path, table: Table) -> None:
    with root_of(tmp_path, table) as first, root_of(tmp_path, Table()) as second:
        check(first)
        (tmp_path / MARK).unlink()
        check(first)
        with pytest.raises(AlreadyWatchedError):
            check(second)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


@needs_root
def test_a_mount_that_goes_is_away_and_when_it_comes_back_it_is_the_same(tmp_path: Path, table: Table) -> None:
    disk, place = tmp_path / "disk", tmp_path / "place"
    disk.mkdir()
    place.mkdir()
    with root_of(place, table) as root:
        with mounted(place, "--bind", disk):
            check(root)
        table.is_another = True
        with pytest.raises(WatchFolderError):
            check(root)
        assert is_away(place, table.token)
        assert list(place.iterdir()) == []
        with mounted(place, "--bind", disk):
            check(root)


@needs_root
def test_a_folder_that_cannot_be_written_to_is_known_by_its_inode(tmp_path: Path, table: Table) -> None:
    with mounted(tmp_path, "-t", "tmpfs", "-o", "ro", "none"), root_of(tmp_path, table) as root:
        check(root)
        assert table.token == f"inode {tmp_path.stat().st_ino}"
        check(root)
        assert not is_away(tmp_path, table.token)
    assert is_away(tmp_path, table.token)


@contextmanager
def mounted(place: Path, *words: str | Path) -> Iterator[None]:
    """Mount something; its end is like that of a disk that is pulled out."""
    done = subprocess.run(["mount", *words, place], capture_output=True)
    if done.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
