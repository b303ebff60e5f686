"""Opening what lies below a folder without leaving it (rows 38 and 39 of the fault matrix)."""

import ctypes
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from jobs.beneath import opened_file, opened_folder
from jobs.errors import OddSourceError
from jobs.names import shown

_EXCHANGE = 2


def read(folder: Path, relative: str) -> bytes:
    with opened_folder(folder) as root, opened_file(root, relative) as handle:
        return os.read(handle, 100)


def test_a_file_is_read_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/clip.mp4").write_bytes(b"inside")
    assert read(tmp_path, "a/b/clip.mp4") == b"inside"


def test_a_link_is_not_followed_at_the_end_nor_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/secret.mp4").write_bytes(b"outside")
    (tmp_path / "in/link.mp4").symlink_to(tmp_path / "out/secret.mp4")
    (tmp_path / "in/way").symlink_to(tmp_path / "out")
    for relative in ("link.mp4", "way/secret.mp4", "../out/secret.mp4"):
        with pytest.raises(OddSourceError):
            read(tmp_path / "in", relative)


def test_a_folder_that_became_a_link_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "way").symlink_to(tmp_path / "out")
    with opened_folder(tmp_path) as root, pytest.raises(OSError, match="way"), opened_folder("way", root):
        pass
    with opened_folder(tmp_path / "way") as root:  # the watch folder itself may be named by a link
        assert os.path.samestat(os.fstat(root), (tmp_path / "out").stat())


def test_a_pipe_is_refused_at_once_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(OddSourceError, match="no regular file"):
        read(tmp_path, "pipe.mp4")


def test_a_missing_file_is_an_ordinary_error(tmp_path: Path) -> None:
    for relative in ("clip.mp4", "a/clip.mp4"):
        with pytest.raises(FileNotFoundError):
            read(tmp_path, relative)


def test_no_handle_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/clip.mp4").write_bytes(b"x")
    (tmp_path / "a/link.mp4").symlink_to("clip.mp4")
    before = os.listdir("/proc/self/fd")
    for relative in ("a/clip.mp4", "a/link.mp4", "a/none.mp4", "b/none.mp4"):
        with suppress(OddSourceError, FileNotFoundError):
            read(tmp_path, relative)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("swapped", ["day", "day/clip.mp4"])
def test_what_is_swapped_for_a_link_again_and_again_never_leads_outside(tmp_path: Path, swapped: str) -> None:
    (tmp_path / "in/day").mkdir(parents=True)
    (tmp_path / "out/day").mkdir(parents=True)
    (tmp_path / "in/day/clip.mp4").write_bytes(b"inside")
    (tmp_path / "out/day/clip.mp4").write_bytes(b"outside")
    (tmp_path / "link").symlink_to(tmp_path / "out" / swapped)
    outcomes = set[bytes]()
    with _swapping(tmp_path / "in" / swapped, tmp_path / "link"):
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            try:
                outcomes.add(read(tmp_path / "in", "day/clip.mp4"))
            except (OddSourceError, OSError) as error:
                outcomes.add(type(error).__name__.encode())
    assert b"inside" in outcomes
    assert b"outside" not in outcomes
    assert b"OddSourceError" in outcomes


def test_names_are_shown_on_one_line_and_in_utf_8() -> None:
    assert shown("a\nb") == "a\\x0ab"
    assert shown("a\u202eb") == "a\\u202eb"
    assert shown(os.fsdecode(b"\xff.mp4")) == "\\udcff.mp4"
    assert shown("Größe 日本.mp4") == "Größe 日本.mp4"


@contextmanager
def _swapping(one: Path, other: Path) -> Iterator[None]:
    """Exchange two names as fast as it goes."""
    libc, is_over = ctypes.CDLL(None), threading.Event()
    if not hasattr(libc, "renameat2"):
        pytest.skip("no renameat2 here")

    def swap() -> None:
        while not is_over.is_set():
            libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), _EXCHANGE)
            time.sleep(0.0002)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
