"""When a source counts as complete."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jobs import readiness
from jobs.candidates import Candidate
from jobs.job import Job, JobKind, JobState, Stamp, Treatment
from jobs.readiness import Settling, has_writer

BEFORE = Stamp(1, 10, 10, 7)
LATER = Stamp(2, 20, 20, 7)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds on both clocks, to be moved."""
    now = [1000.0]
    monkeypatch.setattr(readiness.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(readiness, "boot_secs", lambda: now[0])
    return now


def job(attempt: int = 0, ready_boot_secs: float = 0.0) -> Job:
    path = Path("clip.mp4")
    settled = Job(1, JobState.SETTLING, JobKind.VIDEO, "/in", Path("/in") / path, path, Path("/out"), Treatment(), "o")
    return replace(settled, attempt=attempt, ready_boot_secs=ready_boot_secs)


def seen(stamp: Stamp) -> Candidate:
    return Candidate("clip.mp4", JobKind.VIDEO, stamp, stamp)


def read_only(path: Path) -> int:
    return os.open(path, os.O_RDONLY)


# Standing still


def test_a_source_is_due_when_nothing_changed_for_the_settle_time(clock: list[float]) -> None:
    settling = Settling.begin(job(), seen(BEFORE), 5.0)
    clock[0] += 4.9
    assert not settling.is_due
    clock[0] += 0.2
    assert settling.see(seen(BEFORE))
    assert settling.is_due


@pytest.mark.parametrize("part", ["size_bytes", "mtime_ns", "ctime_ns", "inode"])
def test_any_change_restarts_the_clock(clock: list[float], part: str) -> None:
    settling = Settling.begin(job(), seen(BEFORE), 5.0)
    clock[0] += 4.9
    assert not settling.see(seen(replace(BEFORE, **{part: 99})))
    clock[0] += 4.9
    assert not settling.is_due
    clock[0] += 0.2
    assert settling.is_due


def test_times_of_files_in_the_future_or_going_back_make_nothing_early_or_late(clock: list[float]) -> None:
    year_ns = 365 * 86_400 * 10**9
    settling = Settling.begin(job(), seen(replace(BEFORE, mtime_ns=time.time_ns() + year_ns)), 5.0)
    clock[0] += 2.0
    assert not settling.see(seen(replace(BEFORE, mtime_ns=time.time_ns() - year_ns)))
    clock[0] += 4.9
    assert not settling.is_due
    clock[0] += 0.2
    assert settling.is_due


def test_the_wall_clock_is_not_looked_at(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> float:
        raise AssertionError("somebody looked at the wall clock")

    monkeypatch.setattr(time, "time", refuse)
    settling = Settling.begin(job(), seen(BEFORE), 5.0)
    settling.restart()
    assert not settling.is_due


def test_what_a_worker_sent_back_waits_longer_every_time_but_not_for_ever(clock: list[float]) -> None:
    waits = [Settling.begin(job(attempt), seen(BEFORE), 5.0).wait_secs for attempt in (0, 1, 2, 3, 50)]
    assert waits == [5.0, 10.0, 20.0, 40.0, 300.0]
    assert Settling.begin(job(50), seen(BEFORE), 1000.0).wait_secs == 1000.0


def test_what_a_worker_sent_back_waits_for_its_delay_too_unless_it_changes(clock: list[float]) -> None:
    settling = Settling.begin(job(1, ready_boot_secs=clock[0] + 60), seen(BEFORE), 5.0)
    clock[0] += 30.0
    assert not settling.is_due
    settling.see(seen(LATER))
    clock[0] += 5.1
    assert settling.is_due


def test_what_is_being_read_is_not_due(clock: list[float]) -> None:
    settling = Settling.begin(job(), seen(BEFORE), 5.0)
    settling.is_hashed = True
    clock[0] += 60.0
    assert not settling.is_due


def test_a_file_that_is_written_to_is_looked_at_again_soon(clock: list[float]) -> None:
    settling = Settling.begin(job(), seen(BEFORE), 60.0)
    clock[0] += 60.0
    settling.look_again()
    assert not settling.is_due
    clock[0] += 1.0
    assert settling.is_due


# Writers


def test_a_file_has_a_writer_as_long_as_it_is_open_for_writing(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with path.open("wb") as writing:
        writing.write(b"x")
        writing.flush()
        handle = read_only(path)
        assert has_writer(handle)
    assert not has_writer(handle)
    with path.open("rb"):
        assert not has_writer(handle)
    os.close(handle)


def test_a_writer_under_another_name_of_the_file_is_seen(tmp_path: Path) -> None:
    path, other = tmp_path / "clip.mp4", tmp_path / "other.mp4"
    path.write_bytes(b"x")
    os.link(path, other)
    handle = read_only(path)
    with other.open("ab"):
        assert has_writer(handle)
    os.close(handle)


def test_where_leases_cannot_be_asked_for_nobody_writes(tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)  # a folder has no leases
    assert not has_writer(handle)
    os.close(handle)


def test_a_writer_that_comes_while_it_is_asked_neither_ends_us_nor_waits(tmp_path: Path) -> None:
    """The kernel signals the holder of a lease that a writer wants in: SIGIO would end the daemon."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"x")
    asking = (
        "import os, sys, time\n"
        "from jobs.readiness import has_writer\n"
        "handle = os.open(sys.argv[1], os.O_RDONLY)\n"
        "end = time.monotonic() + 1.0\n"
        "while time.monotonic() < end: has_writer(handle)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", asking, path], cwd=Path(__file__).parents[2])
    longest_secs = 0.0
    while process.poll() is None:
        began = time.monotonic()
        path.open("ab").close()
        longest_secs = max(longest_secs, time.monotonic() - began)
    assert process.returncode == 0
    assert longest_secs < 5.0
