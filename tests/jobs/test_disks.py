"""What is asked of file systems, and renaming that never replaces."""

import ctypes
import errno
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs import disks
from jobs.disks import free_bytes, is_network_fs, rename_no_replace, sync


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """Another file system, of 256 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def _without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


def _without_either(monkeypatch: pytest.MonkeyPatch) -> None:
    _without_links(monkeypatch)
    monkeypatch.setattr(disks, "_renameat2", lambda source, target: False)


WAYS = pytest.mark.parametrize("limit", [lambda patch: None, _without_links, _without_either])
Limit = Callable[[pytest.MonkeyPatch], None]


@WAYS
def test_a_file_gets_a_free_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    limit(monkeypatch)
    source, target = tmp_path / "source", tmp_path / os.fsdecode(b"\xfftarget")
    source.write_text("content")
    rename_no_replace(source, target)
    assert target.read_text() == "content"
    assert list(tmp_path.iterdir()) == [target]


@WAYS
def test_a_file_never_replaces_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    limit(monkeypatch)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("new")
    target.write_text("old")
    with pytest.raises(FileExistsError):
        rename_no_replace(source, target)
    assert (source.read_text(), target.read_text()) == ("new", "old")


@WAYS
def test_a_folder_gets_a_free_name_and_never_replaces_even_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: Limit
) -> None:
    limit(monkeypatch)
    source, target, taken = tmp_path / "source", tmp_path / "target", tmp_path / "taken"
    source.mkdir()
    taken.mkdir()
    (source / "one.png").write_text("one")
    with pytest.raises(FileExistsError):
        rename_no_replace(source, taken)
    rename_no_replace(source, target)
    assert (target / "one.png").read_text() == "one"
    assert not source.exists()


def test_a_dangling_link_has_its_name_taken(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.touch()
    target.symlink_to(tmp_path / "nothing")
    with pytest.raises(FileExistsError):
        rename_no_replace(source, target)


@WAYS
def test_one_of_many_wins_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    limit(monkeypatch)
    barrier, lost = threading.Barrier(8), []

    def race(number: int) -> None:
        source = tmp_path / f"source-{number}"
        source.write_text(str(number))
        barrier.wait()
        try:
            rename_no_replace(source, tmp_path / "target")
        except FileExistsError:
            lost.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost) == 7
    assert int((tmp_path / "target").read_text()) not in lost


def test_renaming_to_another_file_system_says_so(tmp_path: Path, other_disk: Path) -> None:
    source = tmp_path / "source"
    source.touch()
    for make in (source.touch, lambda: (source.unlink(), source.mkdir())):
        make()
        with pytest.raises(OSError, match="cross-device") as caught:
            rename_no_replace(source, other_disk / "target")
        assert caught.value.errno == errno.EXDEV


def test_a_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rename_no_replace(tmp_path / "none", tmp_path / "target")


def test_free_space_is_what_is_left_on_that_very_disk(tmp_path: Path, other_disk: Path) -> None:
    assert free_bytes(other_disk / "not" / "there" / "yet") == 256 << 10
    (other_disk / "file").write_bytes(bytes(64 << 10))
    assert free_bytes(other_disk) == 192 << 10
    assert abs(free_bytes(tmp_path) - shutil.disk_usage(tmp_path).free) < 1 << 30


def test_local_file_systems_are_no_networks(tmp_path: Path, other_disk: Path) -> None:
    assert is_network_fs(tmp_path / "not" / "there" / "yet") is None
    assert is_network_fs(other_disk) is None


@pytest.mark.parametrize(
    ("magic", "name"), [(0x6969, "nfs"), (0xFF534D42, "cifs"), (0x65735546, "fuse"), (0xEF53, None)]
)
def test_network_file_systems_are_known_by_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, magic: int, name: str | None
) -> None:
    class Libc:
        def statfs(self, path: bytes, status: object) -> int:
            ctypes.cast(status, ctypes.POINTER(ctypes.c_long))[0] = magic  # type: ignore[arg-type]
            return 0

    monkeypatch.setattr(disks, "_libc", Libc)
    assert is_network_fs(tmp_path) == name


def test_files_and_folders_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (synced.append(os.readlink(f"/proc/self/fd/{handle}")), fsync(handle))
    )
    (tmp_path / "file").touch()
    sync(tmp_path / "file")
    sync(tmp_path)
    assert synced == [str(tmp_path / "file"), str(tmp_path)]


def test_a_sync_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(OSError, match="Input/output"):
            sync(path)
