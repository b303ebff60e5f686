"""Locks that live and die with their process, and owners that are known by them."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.errors import AlreadyWatchedError
from jobs.locks import FileLock, OwnerLocks, holder, is_free, new_owner

ROOT = Path(__file__).parents[2]

_HOLDER = """
import subprocess, sys
from pathlib import Path
from jobs.locks import FileLock
with FileLock(Path(sys.argv[1])):
    child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process holds the lock, and has a child."""
    command = [sys.executable, "-c", _HOLDER, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        yield process, child
    finally:
        process.kill()
        process.communicate()
        os.kill(child, signal.SIGKILL)


def test_a_lock_excludes_all_others_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "watch.lock"
    assert is_free(path)
    with FileLock(path) as lock:
        assert lock.is_held
        assert not is_free(path)
        assert not FileLock(path).acquire()
        assert lock.acquire()  # it has it already
    assert is_free(path)
    assert not lock.is_held
    assert lock.acquire()


def test_a_locked_file_is_refused_with_its_name_and_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "watch.lock"
    with held(path) as (process, _), pytest.raises(AlreadyWatchedError, match=f"'{path}'.*process {process.pid}"):
        FileLock(path).__enter__()


def test_a_killed_process_lets_go_though_its_child_lives(tmp_path: Path) -> None:
    path = tmp_path / "watch.lock"
    with held(path) as (process, child):
        assert not is_free(path)
        process.kill()
        process.wait()
        os.kill(child, 0)  # it is there
        assert is_free(path)
        with FileLock(path):
            assert holder(path) == f"process {os.getpid()}"


def test_asking_for_a_lock_makes_no_file(tmp_path: Path) -> None:
    assert is_free(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
    assert holder(tmp_path / "none") == "unknown"


def test_a_lock_does_not_follow_a_link(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("content")
    (tmp_path / "watch.lock").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        FileLock(tmp_path / "watch.lock").acquire()
    assert target.read_text() == "content"


def test_a_lock_whose_file_was_removed_locks_nothing_and_is_taken_anew(tmp_path: Path) -> None:
    path = tmp_path / "watch.lock"
    with FileLock(path):
        path.unlink()
        with FileLock(path) as other:
            assert other.is_held
            assert not is_free(path)


def test_a_file_that_is_removed_between_opening_and_locking_is_not_taken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flock = tmp_path / "watch.lock", fcntl.flock
    sweeps = [path.unlink]

    def swept(handle: int, operation: int) -> None:
        flock(handle, operation)
        if sweeps:
            sweeps.pop()()

    monkeypatch.setattr(fcntl, "flock", swept)
    with FileLock(path):
        assert not is_free(path)


def test_no_two_owners_have_the_same_name() -> None:
    names = {new_owner() for _ in range(100)}
    assert len(names) == 100
    assert all(f"-{os.getpid()}-" in name and "/" not in name for name in names)


def test_an_owner_lives_as_long_as_its_lock_is_held(tmp_path: Path) -> None:
    owners = OwnerLocks(tmp_path)
    assert not owners.is_alive("one")
    lock = owners.hold("one")
    assert owners.is_alive("one")
    with pytest.raises(AlreadyWatchedError):
        owners.hold("one")
    lock.release()
    assert not owners.is_alive("one")


def test_sweeping_removes_all_files_of_dead_owners_only(tmp_path: Path) -> None:
    owners = OwnerLocks(tmp_path)
    lock = owners.hold("alive-1")
    owners.hold("dead-1").release()
    for name in ("alive-1", "dead-1", "dead-12"):
        (owners.folder / f"{name}.json").touch()
    owners.hold("dead-12").release()
    assert owners.sweep() == ["dead-1", "dead-12"]
    assert sorted(path.name for path in owners.folder.iterdir()) == ["alive-1.json", "alive-1.lock"]
    assert owners.is_alive("alive-1")
    lock.release()


def test_sweeping_an_owner_without_a_folder_finds_nothing(tmp_path: Path) -> None:
    assert OwnerLocks(tmp_path / "none").sweep() == []
