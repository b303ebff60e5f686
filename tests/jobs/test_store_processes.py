"""Several processes at one job table (row 29), and processes that die in the middle of a change."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.job import JobState
from jobs.store import open_store
from tests.jobs.rows import STAMP, sighting

ROOT = Path(__file__).parents[2]

_CLAIMER = """
import json, sys
from pathlib import Path
from jobs.store import open_store
with open_store(Path(sys.argv[1])) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    claimed = []
    while (job := store.claim(sys.argv[2])) is not None:
        claimed.append([job.id, job.attempt])
print(json.dumps(claimed))
"""

_WRITER = """
import sys
from pathlib import Path
from jobs.job import JobState
from jobs.store import open_store
from tests.jobs.rows import STAMP, claimed, published, queued
with open_store(Path(sys.argv[1])) as store:
    number = len(store.list())
    print("ready", flush=True)
    while True:
        number += 1
        queued(store, f"{sys.argv[2]}-{number}")
        job = published(store, claimed(store))
        print(store.finish(job).id, flush=True)
"""


@pytest.fixture
def memory_disk() -> Iterator[Path]:
    """A folder in memory, where commits are so fast that processes really meet; a slow disk keeps them apart."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as folder:
        yield Path(folder)


_STEPS = """
import sys
from pathlib import Path
from jobs.errors import StoreError
from jobs.store import open_store
from tests.jobs.rows import STAMP, published, settled
try:
    store = open_store(Path(sys.argv[1]))
    for name in ("a", "b"):
        job = settled(store, name)
        print("settling", flush=True)
        for state, step in (
            ("queued", lambda: store.queue(job, name, STAMP)),
            ("running", lambda: store.claim("w")),
            ("publishing", lambda: published(store, job)),
            ("done", lambda: store.finish(job)),
        ):
            job = step()
            print(state, flush=True)
except StoreError:
    print("refused", flush=True)
"""


def _start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _race(path: Path, num_jobs: int) -> list[list[list[int]]]:
    """Let two processes claim all jobs at once; return what each of them got."""
    with open_store(path) as store:
        jobs = store.sight([sighting(str(number)) for number in range(num_jobs)])
        store.queue_many([(job, str(job.id), STAMP) for job in jobs])
    processes = [_start(_CLAIMER, path, owner) for owner in ("one", "two")]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [json.loads(process.communicate(timeout=300)[0]) for process in processes]


def _check_race(path: Path, num_jobs: int) -> None:
    claims = _race(path, num_jobs)
    winners = Counter(job_id for process in claims for job_id, _ in process)
    assert winners == Counter(range(1, num_jobs + 1))  # each once
    assert {attempt for process in claims for _, attempt in process} == {1}
    assert all(claims)  # both were at it
    with open_store(path, check=True) as store:
        assert store.counts()[JobState.RUNNING] == num_jobs


def test_every_claim_has_one_winner(memory_disk: Path) -> None:
    _check_race(memory_disk / "jobs.sqlite", 3000)


@pytest.mark.slow
def test_ten_thousand_claims_have_one_winner_each(tmp_path: Path) -> None:
    _check_race(tmp_path / "jobs.sqlite", 10_000)


def test_a_change_survives_whole_or_not_at_all_when_its_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    open_store(path).close()
    for kill in range(6):
        process = _start(_WRITER, path, kill)
        time.sleep(0.02 + 0.017 * kill)
        process.send_signal(signal.SIGKILL)
        done = [int(line) for line in process.communicate()[0].split()]
        with open_store(path, check=True) as store:
            # What was told to be done is done, and its history tells the whole way.
            assert set(done) <= {job.id for job in store.list({JobState.DONE})}
            for job in store.list():
                assert store.history(job.id)[-1].after is job.state
            for orphan in store.orphans(lambda owner: False):
                store.release(orphan, JobState.FAILED)
            for job in store.list({JobState.SETTLING, JobState.QUEUED}):
                store.cancel(job.id)


@pytest.mark.slow
def test_a_call_waits_thirty_seconds_for_a_lock_and_succeeds(tmp_path: Path) -> None:
    """Row 30."""
    path = tmp_path / "jobs.sqlite"
    with open_store(path) as store:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN EXCLUSIVE")
        threading.Timer(30.0, lambda: other.execute("COMMIT")).start()
        began = time.monotonic()
        store.pause(True)
        assert 29.0 < time.monotonic() - began < 35.0
        assert store.is_paused()
        other.close()


@pytest.mark.slow
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64", "unlink", "openat"])
def test_a_system_call_that_fails_leaves_a_sound_table_that_has_all_it_acknowledged(
    tmp_path: Path, call: str, error: str
) -> None:
    """Rows 13 to 15, for the table alone."""
    if shutil.which("strace") is None:
        pytest.skip("no strace")
    for nth in (1, 2, 3, 5, 8, 13):
        path = tmp_path / f"{nth}.sqlite"
        open_store(path).close()
        watched = [f"-P{name}" for name in (path, f"{path}-journal")]
        strace = ["strace", "-f", "-qq", "-o/dev/null", *watched, "-e", f"inject={call}:error={error}:when={nth}"]
        command = [*strace, sys.executable, "-c", _STEPS, str(path)]
        told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.split()
        with open_store(path, check=True) as store:
            moves = [move.after.value for move in store.moves()]
        assert moves == [state for state in told if state != "refused"]
