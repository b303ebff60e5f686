"""A job table that is locked by another process, or whose disk is full (rows 13 and 30)."""

import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from jobs import store_file
from jobs.errors import StoreBusyError, StoreFullError
from jobs.store import open_store
from tests.jobs.rows import claimed, done, queued, sighting


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True)
    if made.returncode:
        pytest.skip("mounting needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_call_waits_for_others_and_then_succeeds(path: Path) -> None:
    with open_store(path) as store, closing(_connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        threading.Timer(0.4, lambda: other.execute("COMMIT")).start()
        store.pause(True)
        assert store.is_paused()


def test_a_call_gives_up_when_the_table_stays_locked_and_can_be_repeated(path: Path) -> None:
    with closing(_connect(path)) as other, open_store(path, lock_secs=0.1) as store:
        queued(store, "a.mp4")
        other.execute("BEGIN EXCLUSIVE")
        for call in (lambda: store.claim("w"), store.list, lambda: store.pause(True)):
            with pytest.raises(StoreBusyError, match="stays locked by another process"):
                call()
        other.execute("COMMIT")
        assert claimed(store).relative.name == "a.mp4"


def test_others_are_waited_for_a_minute(path: Path) -> None:
    assert store_file.LOCK_SECS == 60.0
    with open_store(path) as store:
        assert store._rows("PRAGMA busy_timeout")[0][0] == 60_000


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def test_a_full_disk_changes_nothing_and_hurts_only_as_long_as_it_is_full(small_disk: Path) -> None:
    path = small_disk / "jobs.sqlite"
    with open_store(path) as store:
        done(store, "a.mp4")
        queued(store, "b.mp4")
        before = store.export()
        filler = _fill(small_disk)
        with pytest.raises(StoreFullError, match="no space left"):
            store.sight([sighting(f"{number}.mp4") for number in range(1000)])
        for call in (lambda: store.claim("w"), lambda: store.pause(True)):
            with pytest.raises(StoreFullError):
                call()
        assert store.export() == before  # it can still be read
        filler.unlink()
        assert claimed(store).relative.name == "b.mp4"
        assert len(store.sight([sighting(f"{number}.mp4") for number in range(100)])) == 100
    with open_store(path, check=True) as store:
        assert len(store.list()) == 102


def test_a_table_that_has_filled_its_disk_itself_is_whole(small_disk: Path) -> None:
    accepted = 0
    with open_store(small_disk / "jobs.sqlite") as store, suppress(StoreFullError):
        while accepted < 10_000:
            store.sight([sighting(f"{accepted}-{part}") for part in range(20)])
            accepted += 20
    with open_store(small_disk / "jobs.sqlite", check=True) as store:
        assert len(store.list()) == accepted < 10_000


def test_a_full_disk_holds_no_new_table(small_disk: Path) -> None:
    filler = _fill(small_disk)
    with pytest.raises(StoreFullError):
        open_store(small_disk / "jobs.sqlite")
    filler.unlink()
    with open_store(small_disk / "jobs.sqlite", check=True) as store:
        assert store.list() == []


def _fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        for _ in range(1000):
            file.write(bytes(4096))
    return filler
