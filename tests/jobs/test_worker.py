"""What a worker does with the jobs it claims; in this process, without pipeline."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import Draining, StoreError, StoreFullError
from jobs.job import Job, JobState
from jobs.locks import OwnerLocks
from jobs.names import MARK
from jobs.progress_file import ProgressFile, WorkerStatus, read_status, status_path
from jobs.publishing import JobPublisher
from jobs.worker import Worker, WorkerSettings
from pipeline.errors import FfmpegError, OutOfSpaceError, SourceChangedError, UnreadableInputError, VerificationError
from tests.jobs.queues import Inbox, copy_source

Handle = Callable[[Job, ProgressFile, JobPublisher], None]


class Rounds:
    """Says stop after so many idle rounds, and waits for nothing."""

    def __init__(self, idle: int = 1) -> None:
        self.left = idle

    def is_over(self) -> bool:
        return self.left <= 0

    def pause(self, secs: float) -> None:
        self.left -= 1


def run(inbox: Inbox, handle: Handle = copy_source, rounds: Rounds | None = None, **settings: Any) -> list[Any]:
    """Let a worker do all there is; return the choices that handlers were made with."""
    made, rounds = [], rounds or Rounds()

    def make(choices: Mapping[str, Any]) -> Any:
        made.append(choices)
        return lambda job, progress, publisher, is_young: handle(job, progress, publisher)

    told = WorkerSettings(inbox.state_dir, "worker", make_handler=make, **settings)
    with OwnerLocks(inbox.state_dir).hold("worker"):
        Worker(told, inbox.store, rounds.is_over, rounds.pause).run()
    return made


def failing(error: Exception) -> Handle:
    def handle(job: Job, progress: ProgressFile, publisher: JobPublisher) -> None:
        raise error

    return handle


def test_a_worker_does_all_jobs_and_leaves_no_work_behind(inbox: Inbox) -> None:
    jobs = [inbox.drop(f"{name}.mp4", name.encode()) for name in ("first", "second")]
    run(inbox)
    assert [inbox.store.get(job.id).state for job in jobs] == [JobState.DONE] * 2
    assert (inbox.output / "second.mp4").read_bytes() == b"dnoces"
    assert not any(job.work_folder.exists() for job in jobs)


def test_jobs_of_the_same_choices_share_a_handler_and_devices_left_open_become_the_workers(inbox: Inbox) -> None:
    for number, choices in enumerate(
        [{"style": "a"}, {"style": "a", "device": "auto"}, {"style": "b", "device": "mps"}]
    ):
        inbox.drop(f"{number}.mp4", bytes([number]), convert=choices)
    made = run(inbox, device="cuda:1")
    assert made == [{"style": "a", "device": "cuda:1"}, {"style": "b", "device": "mps"}]


def test_an_error_that_may_pass_queues_the_job_again(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4")
    run(inbox, failing(FfmpegError("ffmpeg was killed by SIGKILL.")))
    job = inbox.store.get(job.id)
    assert (job.state, job.exceptions, job.deaths) == (JobState.QUEUED, 1, 0)
    assert "SIGKILL" in job.reason
    assert job.ready_boot_secs > 0


def test_a_job_fails_when_its_errors_do_not_pass(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4")
    run(inbox, failing(FfmpegError("broken.")), backoff_secs=0.0)
    job = inbox.store.get(job.id)
    assert (job.state, job.attempt, job.exceptions) == (JobState.FAILED, 3, 3)
    assert not job.work_folder.exists()


def test_a_handler_that_comes_back_without_a_result_is_an_error(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4", max_exceptions=1)
    run(inbox, lambda job, progress, publisher: None)
    assert inbox.store.get(job.id).state is JobState.FAILED
    assert "without a result" in inbox.store.get(job.id).reason


@pytest.mark.parametrize("error", [OutOfSpaceError("full"), OSError(errno.ENOSPC, "No space left on device")])
def test_a_full_disk_blocks_a_job_and_spends_nothing(inbox: Inbox, error: Exception) -> None:
    job = inbox.drop("clip.mp4")
    run(inbox, failing(error))
    job = inbox.store.get(job.id)
    assert (job.state, job.block, job.exceptions, job.deaths) == (JobState.BLOCKED, "disk", 0, 0)


def test_an_unreadable_source_waits_while_it_is_young_and_fails_later(inbox: Inbox) -> None:
    job, error = inbox.drop("clip.mp4"), UnreadableInputError("cut off.")
    run(inbox, failing(error), incomplete_secs={str(inbox.folder): 60.0})
    waiting = inbox.store.get(job.id)
    assert (waiting.state, waiting.reason) == (JobState.SETTLING, "waiting: cut off.")
    assert waiting.exceptions == 0
    old = inbox.drop("old.mp4", b"old")
    run(inbox, failing(error), incomplete_secs={str(inbox.folder): 0.0})
    assert inbox.store.get(old.id).state is JobState.FAILED
    once = inbox.drop("once.mp4", b"once")
    run(inbox, failing(error), is_once=True)
    assert inbox.store.get(once.id).state is JobState.FAILED


def test_a_source_that_changed_meanwhile_settles_again_under_its_new_stamp(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4")

    def grow(job: Job, progress: ProgressFile, publisher: JobPublisher) -> None:
        job.source.write_bytes(b"longer content")
        raise SourceChangedError("was changed.")

    run(inbox, grow)
    job = inbox.store.get(job.id)
    assert (job.state, job.exceptions, job.fingerprint) == (JobState.SETTLING, 0, None)
    assert job.stamp is not None
    assert job.stamp.size_bytes == 14


def test_a_source_with_other_content_than_was_queued_settles_again(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4")
    (inbox.folder / "clip.mp4").write_bytes(b"changed before the claim")
    run(inbox)
    assert inbox.store.get(job.id).state is JobState.SETTLING
    assert not (inbox.output / "clip.mp4").exists()


def test_a_source_that_is_gone_cancels_its_job(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4")
    (inbox.folder / "clip.mp4").unlink()
    run(inbox, failing(UnreadableInputError("does not exist.")))
    assert (inbox.store.get(job.id).state, inbox.store.get(job.id).reason) == (JobState.CANCELLED, "its source is gone")


def test_a_watch_folder_that_is_away_blocks_its_jobs_and_cancels_none(inbox: Inbox) -> None:
    inbox.store.set_folder_mark(str(inbox.folder), "token")
    job = inbox.drop("clip.mp4")
    shutil.rmtree(inbox.folder)
    inbox.folder.mkdir()  # the empty place where a disk was mounted
    run(inbox, failing(SourceChangedError("was removed.")))
    job = inbox.store.get(job.id)
    assert (job.state, job.block) == (JobState.BLOCKED, "source")


def test_a_marked_watch_folder_without_the_source_cancels_the_job(inbox: Inbox) -> None:
    inbox.store.set_folder_mark(str(inbox.folder), "token")
    (inbox.folder / MARK).write_text("token\n")
    job = inbox.drop("clip.mp4")
    (inbox.folder / "clip.mp4").unlink()
    run(inbox, failing(SourceChangedError("was removed.")))
    assert inbox.store.get(job.id).state is JobState.CANCELLED


def test_the_result_of_a_cancelled_job_is_dropped(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4")

    def cancel(job: Job, progress: ProgressFile, publisher: JobPublisher) -> None:
        inbox.store.cancel(job.id)
        copy_source(job, progress, publisher)

    run(inbox, cancel)
    assert inbox.store.get(job.id).state is JobState.CANCELLED
    assert not (inbox.output / "clip.mp4").exists()
    assert not job.work_folder.exists()


def test_the_work_of_a_job_that_is_another_workers_now_stays(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4")

    def lose(job: Job, progress: ProgressFile, publisher: JobPublisher) -> None:
        job.work_folder.mkdir(parents=True)
        inbox.store.take_over(job, "another")
        copy_source(job, progress, publisher)

    run(inbox, lose)
    assert inbox.store.get(job.id).owner == "another"
    assert job.work_folder.exists()


def test_a_job_that_went_wrong_while_it_was_published_is_queued_again(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4")

    def break_off(job: Job, progress: ProgressFile, publisher: JobPublisher) -> None:
        publisher.job = inbox.store.begin_publishing(job, inbox.output / "clip.mp4", 1, "0", "{}")
        job.source.unlink()
        raise FfmpegError("broken.")

    run(inbox, break_off)
    assert [move.after for move in inbox.store.history(job.id)][-3:] == ["running", "publishing", "queued"]
    assert inbox.store.get(job.id).ready_boot_secs > 0


def test_a_worker_that_drains_stops_at_a_checkpoint_and_keeps_the_work(inbox: Inbox) -> None:
    job, rounds = inbox.drop("clip.mp4"), Rounds()

    def work_on(job: Job, progress: ProgressFile, publisher: JobPublisher) -> None:
        progress.start(job.source.name, "restyling", 10)
        job.work_folder.mkdir(parents=True)
        rounds.left = 0
        progress.advance(5)  # a chunk is not left half done
        progress.checkpoint()
        raise AssertionError

    run(inbox, work_on, rounds)
    job = inbox.store.get(job.id)
    assert (job.state, job.attempt, job.exceptions, job.deaths) == (JobState.QUEUED, 1, 0, 0)
    assert job.ready_boot_secs == 0
    assert job.work_folder.exists()


def test_a_stage_that_keeps_nothing_stops_at_once(tmp_path: Path) -> None:
    progress = ProgressFile(tmp_path / "s.json", WorkerStatus("w", 1), is_mine=lambda _: True, is_draining=lambda: True)
    progress.start("clip.mp4", "looking at", 100)
    with pytest.raises(Draining):
        progress.advance()


def test_an_error_while_draining_counts_as_an_interruption(inbox: Inbox) -> None:
    job, rounds = inbox.drop("clip.mp4"), Rounds()

    def die(job: Job, progress: ProgressFile, publisher: JobPublisher) -> None:
        rounds.left = 0
        raise FfmpegError("ffmpeg was killed by SIGTERM.")

    run(inbox, die, rounds)
    assert (inbox.store.get(job.id).state, inbox.store.get(job.id).exceptions) == (JobState.QUEUED, 0)


def test_a_device_that_fails_blocks_the_job_and_ends_the_worker(inbox: Inbox) -> None:
    jobs = [inbox.drop("a.mp4", b"a"), inbox.drop("b.mp4", b"b")]
    run(inbox, failing(MemoryError()))
    assert [inbox.store.get(job.id).attempt for job in jobs] == [1, 0]


def test_a_full_table_is_waited_for(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    job, real, errors = inbox.drop("clip.mp4"), inbox.store.release, [StoreFullError("full")] * 2

    def release(*args: Any, **more: Any) -> Job:
        if errors:
            raise errors.pop()
        return real(*args, **more)

    monkeypatch.setattr(inbox.store, "release", release)
    run(inbox, failing(FfmpegError("broken.")), Rounds(4))
    assert (inbox.store.get(job.id).state, errors) == (JobState.QUEUED, [])


def test_a_job_that_gets_on_is_not_blamed_for_what_went_wrong_before(inbox: Inbox) -> None:
    def stumble(job: Job, progress: ProgressFile, publisher: JobPublisher) -> None:
        progress.start(job.source.name, "restyling", 40)
        if job.attempt <= 5:
            progress.checkpoint()
        raise FfmpegError("ffmpeg was killed by SIGKILL.")

    job = inbox.drop("clip.mp4", max_exceptions=2)
    run(inbox, stumble, backoff_secs=0.0)
    job = inbox.store.get(job.id)
    assert (job.state, job.attempt, job.exceptions) == (JobState.FAILED, 6, 2)


def test_work_that_is_done_again_because_its_result_was_wrong_is_no_progress(inbox: Inbox) -> None:
    def go_wrong(job: Job, progress: ProgressFile, publisher: JobPublisher) -> None:
        job.work_folder.mkdir(parents=True, exist_ok=True)
        progress.start(job.source.name, "restyling", 40)
        progress.checkpoint()
        raise VerificationError("a frame is missing.")

    job = inbox.drop("clip.mp4", max_exceptions=3)
    run(inbox, go_wrong, backoff_secs=0.0)
    job = inbox.store.get(job.id)
    assert (job.state, job.attempt, job.exceptions) == (JobState.FAILED, 3, 3)


def test_a_table_that_is_another_one_now_ends_the_worker(inbox: Inbox) -> None:
    inbox.drop("clip.mp4")
    os.replace(inbox.store.path, inbox.store.path.with_name("old"))
    inbox.store.path.touch()
    with pytest.raises(StoreError, match="replaced"):
        run(inbox)


def test_the_status_file_tells_how_far_a_job_is(inbox: Inbox) -> None:
    seen = []

    def look(job: Job, progress: ProgressFile, publisher: JobPublisher) -> None:
        progress.start(job.source.name, "restyling", 40)
        progress.advance(10, 20)
        progress.finish()
        progress.start(job.source.name, "restyling", 40)
        seen.append(json.loads(status_path(inbox.state_dir, "worker").read_text()))
        copy_source(job, progress, publisher)

    job = inbox.drop("clip.mp4")
    run(inbox, look)
    [status] = seen
    assert (status["job"], status["attempt"], status["source"]) == (job.id, 1, "clip.mp4")
    assert (status["stage"], status["done"], status["total"], status["pid"]) == ("restyling", 0, 40, os.getpid())
    after = read_status(status_path(inbox.state_dir, "worker"))
    assert after is not None
    assert (after.job, after.jobs) == (None, 1)
