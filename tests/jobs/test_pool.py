"""Workers in processes of their own: killed, hanging, swelling, drained; nothing is lost and nobody stays behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from jobs.handlers import default_choices
from jobs.job import Job, JobState
from jobs.locks import OwnerLocks
from jobs.pool import Pool, PoolSettings, find_devices
from jobs.process_tree import descendants
from jobs.recovery import recover
from tests.jobs.queues import Inbox, ObedientHandler
from tests.pipeline.media import make_video

PATIENCE_SECS = 60.0


class Daemon:
    """As much of a daemon as workers need."""

    def __init__(self, inbox: Inbox, **settings: Any) -> None:
        chosen = {"workers": 1, "backoff_secs": 0.05, "make_handler": ObedientHandler} | settings
        self.inbox = inbox
        self.pool = Pool(PoolSettings(inbox.state_dir, **chosen))
        self.pids: set[int] = set()

    def until(self, is_reached: Callable[[], object]) -> None:
        """Turn round until something is so."""
        end = time.monotonic() + PATIENCE_SECS
        while not is_reached():
            assert time.monotonic() < end, f"{self.inbox.store.list()}, {self.pool.running()}"
            self.pool.tick()
            self.pool.end_strays(self.inbox.store.holders())
            self.pids |= {pid for worker in self.pool.pids() for pid in (worker, *descendants(worker))}
            recover(
                self.inbox.store,
                OwnerLocks(self.inbox.state_dir),
                "daemon",
                backoff_secs=0.05,
                ending_of=self.pool.ending_of,
            )
            time.sleep(0.02)

    def until_over(self, *jobs: Job) -> list[Job]:
        """Turn round until jobs have ended, and return them."""
        self.until(lambda: all(self.job(job).state in ("done", "failed", "cancelled") for job in jobs))
        return [self.job(job) for job in jobs]

    def until_at_work(self, job: Job) -> int:
        """Turn round until a worker says that it is at a job; return its process."""
        self.until(lambda: any(status.job == job.id for status in self.pool.running()))
        return next(status.pid for status in self.pool.running() if status.job == job.id)

    def job(self, job: Job) -> Job:
        return self.inbox.store.get(job.id)

    def left(self) -> list[int]:
        """Processes that were ever seen below a worker and still run."""
        return [pid for pid in self.pids if is_running(pid)]


@contextmanager
def daemon(inbox: Inbox, **settings: Any) -> Iterator[Daemon]:
    """Have a pool, and see that nothing is left of it."""
    made = Daemon(inbox, **settings)
    made.pool.start()
    try:
        yield made
    finally:
        made.pool.kill()
        eventually(lambda: not made.left())


def eventually(is_reached: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_SECS
    while not is_reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    with suppress(OSError):
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    return False


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_pool_works_off_a_queue(inbox: Inbox) -> None:
    jobs = [inbox.drop(f"{number}.mp4", f"plain {number}".encode()) for number in range(6)]
    with daemon(inbox, workers=2) as running:
        done = running.until_over(*jobs)
    assert [job.state for job in done] == [JobState.DONE] * 6
    assert [job.attempt for job in done] == [1] * 6
    assert len(list(inbox.output.glob("*.mp4"))) == 6


def test_a_killed_workers_job_is_done_by_the_next_one_once(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4", b"crawl 40")
    with daemon(inbox) as running:
        os.kill(running.until_at_work(job), signal.SIGKILL)
        [done] = running.until_over(job)
    assert (done.state, done.attempt) == (JobState.DONE, 2)
    assert [path.name for path in inbox.output.glob("*.mp4")] == ["clip.mp4"]


def test_a_poison_job_fails_after_three_deaths_and_the_others_are_done(inbox: Inbox) -> None:
    poison = inbox.drop("poison.mp4", b"die")
    others = [inbox.drop(f"{number}.mp4", f"plain {number}".encode()) for number in range(3)]
    with daemon(inbox) as running:
        poison, *others = running.until_over(poison, *others)
    assert (poison.state, poison.deaths) == (JobState.FAILED, 3)
    assert poison.reason == "its worker died 3 times, the last time: its worker ended with code 70"
    assert [job.state for job in others] == [JobState.DONE] * 3


def test_a_job_that_makes_no_progress_is_ended_with_all_that_it_started(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4", b"hang", max_deaths=1)
    with daemon(inbox, stall_secs=1.0) as running:
        running.until(lambda: len(running.pids) > 1)
        [failed] = running.until_over(job)
        running.until(lambda: set(running.left()) <= set(running.pool.pids()))
    assert failed.state is JobState.FAILED
    assert "made no progress for 1 s" in failed.reason


def test_a_worker_that_waits_for_jobs_is_not_taken_for_stalled(inbox: Inbox) -> None:
    with daemon(inbox, stall_secs=0.5) as running:
        running.until(running.pool.running)
        [pid], end = running.pool.pids(), time.monotonic() + 1.6
        running.until(lambda: time.monotonic() > end)
        assert running.pool.pids() == [pid]


@pytest.mark.parametrize(("device", "wish", "reason"), [("cpu", b"burst", "Memory"), ("cuda:0", b"swell", "700 MiB")])
def test_a_job_that_takes_too_much_memory_is_ended(inbox: Inbox, device: str, wish: bytes, reason: str) -> None:
    """By a limit of the system, and beside CUDA, where there can be none, by the pool."""
    job = inbox.drop("clip.mp4", wish, max_deaths=1, max_exceptions=1)
    other = inbox.drop("other.mp4", b"plain")
    with daemon(inbox, memory_bytes=700 << 20, devices=(device,)) as running:
        failed, done = running.until_over(job, other)
    assert failed.state is JobState.FAILED
    assert reason in failed.reason
    assert done.state is JobState.DONE


def test_a_drained_worker_stops_at_a_checkpoint_and_takes_no_more(inbox: Inbox) -> None:
    jobs = [inbox.drop("clip.mp4", b"crawl 100000"), inbox.drop("other.mp4", b"plain")]
    with daemon(inbox) as running:
        running.until_at_work(jobs[0])
        running.pool.drain()
        running.until(lambda: running.pool.is_idle)
    first, second = (inbox.store.get(job.id) for job in jobs)
    assert (first.state, first.attempt, first.deaths, first.exceptions) == (JobState.QUEUED, 1, 0, 0)
    assert (second.state, second.attempt) == (JobState.QUEUED, 0)


def test_a_worker_that_does_not_stop_within_the_grace_time_is_ended_and_its_job_not_blamed(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4", b"hang")
    with daemon(inbox, grace_secs=0.3) as running:
        running.until_at_work(job)
        running.pool.drain()
        running.until(lambda: running.pool.is_idle)
        running.until(lambda: running.job(job).state is JobState.QUEUED)
        assert running.job(job).deaths == 0


def test_a_worker_drops_a_job_that_was_cancelled(inbox: Inbox) -> None:
    job, other = inbox.drop("clip.mp4", b"crawl 100000"), inbox.drop("other.mp4", b"plain")
    with daemon(inbox) as running:
        pid = running.until_at_work(job)
        inbox.store.cancel(job.id)
        [done] = running.until_over(other)
        assert running.pool.pids() == [pid]
    assert done.state is JobState.DONE
    assert inbox.store.get(job.id).state is JobState.CANCELLED
    assert not job.work_folder.exists()


def test_a_worker_that_hangs_over_a_cancelled_job_is_ended(inbox: Inbox) -> None:
    job, other = inbox.drop("clip.mp4", b"hang"), inbox.drop("other.mp4", b"plain")
    with daemon(inbox) as running:
        running.until_at_work(job)
        inbox.store.cancel(job.id)
        [done] = running.until_over(other)
    assert done.state is JobState.DONE
    assert inbox.store.get(job.id).state is JobState.CANCELLED


def test_sigterm_to_every_process_of_a_service_does_not_end_the_server_of_the_workers(inbox: Inbox) -> None:
    with daemon(inbox) as running:
        running.until(running.pool.running)
        [pid] = running.pool.pids()
        os.kill(parent_of(pid), signal.SIGTERM)
        done = running.until_over(inbox.drop("clip.mp4", b"plain"))
        assert running.pool.pids() == [pid]
    assert done[0].state is JobState.DONE


def test_workers_die_with_their_server_and_come_back_with_a_new_one(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4", b"crawl 40")
    with daemon(inbox) as running:
        os.kill(parent_of(running.until_at_work(job)), signal.SIGKILL)
        [done] = running.until_over(job)
    assert (done.state, done.attempt) == (JobState.DONE, 2)


def test_workers_and_what_they_started_die_with_the_daemon(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4", b"hang")
    parent = subprocess.Popen([sys.executable, "-m", "tests.jobs.pool_process", str(inbox.state_dir)])
    try:
        eventually(lambda: inbox.store.get(job.id).state is JobState.RUNNING and len(descendants(parent.pid)) >= 4)
        below = descendants(parent.pid)
    finally:
        parent.kill()
        parent.wait()
    eventually(lambda: not OwnerLocks(inbox.state_dir).is_alive(inbox.store.get(job.id).owner or ""))
    eventually(lambda: not [pid for pid in below if is_running(pid) and "time.sleep(600)" not in command(pid)])
    for pid in below:  # its own child outlives it here, as one of a daemon's would until the next start
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def test_workers_that_die_at_once_come_back_ever_later(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UGATIT_FAULT_AT", "claim:before")
    inbox.drop("clip.mp4", b"plain")
    with daemon(inbox) as running:
        started, end = set[int](), time.monotonic() + 3.0
        running.until(lambda: started.update(running.pool.pids()) or time.monotonic() > end)
    assert 2 <= len(started) <= 5  # at 0, 0.25, 0.75, 1.75 s


def test_a_video_goes_on_from_the_chunks_that_a_killed_worker_had_finished(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_video(inbox.folder / "clip.mp4", num_frames=50)
    job = inbox.queue(clip, convert=default_choices() | {"style": "rehearsal", "chunk_secs": 0.4})
    monkeypatch.setenv("UGATIT_FAULT_AT", "work:chunk:3")  # after the analysis and two of five chunks
    with daemon(inbox, make_handler=None) as running:
        running.until(lambda: running.job(job).deaths)
        monkeypatch.delenv("UGATIT_FAULT_AT")
        [done] = running.until_over(job)
        running.until(lambda: not job.work_folder.exists())
    assert (done.state, done.attempt) == (JobState.DONE, 2)
    report = json.loads((inbox.output / "clip.report.json").read_text())
    assert (report["chunks_resumed"], report["frames"]) == (2, 50)


def test_every_gpu_gets_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert find_devices() == ("cuda:0", "cuda:1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert find_devices() == ("auto",)
