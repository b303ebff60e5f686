"""Sources that change, go, or come back after they were seen (rows 19, 20, 25, 26, 28 and 48)."""

import hashlib
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs import fingerprints
from jobs.errors import AlreadyWatchedError, StoreFullError
from jobs.job import JobState
from tests.jobs.watched import SETTLE_SECS, Watched


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with Watched(tmp_path) as watched:
        yield watched


def finish(watched: Watched) -> None:
    """Do what a worker does with the next job."""
    job = watched.claim()
    output = watched.output / job.relative
    output.write_bytes(b"result")
    watched.store.finish(watched.store.begin_publishing(job, output, 6, "0" * 64, "{}"))


# Changed


def test_a_queued_source_that_changes_settles_again_with_its_new_content(watched: Watched) -> None:
    watched.drop("clip.mp4", b"old")
    watched.settle()
    watched.drop("clip.mp4", b"newer")
    watched.look()
    assert watched.states() == {"clip.mp4": "settling"}
    watched.settle()
    (job,) = watched.jobs(JobState.QUEUED)
    assert job.fingerprint == hashlib.sha256(b"newer").hexdigest()


def test_a_source_that_was_replaced_by_rename_settles_again(watched: Watched, tmp_path: Path) -> None:
    watched.drop("clip.mp4", b"old")
    watched.settle()
    (tmp_path / "other.mp4").write_bytes(b"new")
    os.replace(tmp_path / "other.mp4", watched.path / "clip.mp4")
    watched.settle()
    (job,) = watched.jobs(JobState.QUEUED)
    assert job.fingerprint == hashlib.sha256(b"new").hexdigest()


def test_a_source_that_is_worked_on_is_left_to_its_worker(watched: Watched) -> None:
    watched.drop("clip.mp4", b"old")
    watched.settle()
    job = watched.claim()
    watched.drop("clip.mp4", b"newer")
    watched.look()
    assert watched.states() == {"clip.mp4": "running"}
    assert watched.store.is_mine(job)


def test_changed_content_after_the_end_is_a_new_job(watched: Watched) -> None:
    watched.drop("clip.mp4", b"old")
    watched.settle()
    finish(watched)
    watched.look()
    assert [job.state for job in watched.jobs()] == [JobState.DONE]
    watched.drop("clip.mp4", b"newer")
    watched.settle()
    assert [job.state for job in watched.jobs()] == [JobState.DONE, JobState.QUEUED]


def test_a_new_time_with_the_same_content_is_no_new_job(watched: Watched) -> None:
    path = watched.drop("clip.mp4", b"same")
    watched.settle()
    finish(watched)
    os.utime(path, (1, 1))
    watched.settle()
    assert [job.state for job in watched.jobs()] == [JobState.DONE]
    before = watched.store.moves()
    watched.look()
    assert watched.store.moves() == before


def test_a_source_that_changes_while_it_is_read_is_read_again(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read, was_read = watched.path / "clip.mp4", os.read, list[int]()

    def read_and_overwrite(handle: int, most: int) -> bytes:
        block = read(handle, most)
        if block == b"first" and not was_read:
            was_read.append(1)
            path.write_bytes(b"other")
        return block

    monkeypatch.setattr(fingerprints.os, "read", read_and_overwrite)
    watched.drop("clip.mp4", b"first")
    watched.settle()
    (job,) = watched.jobs()
    assert job.fingerprint == hashlib.sha256(b"other").hexdigest()
    assert [move.after for move in watched.store.moves()] == [JobState.SETTLING, JobState.QUEUED]


def test_a_source_that_changes_just_before_it_is_read_settles_first(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, times = watched.intake._hasher.submit, list[float]()

    def overwrite_and_submit(*order: Any) -> None:
        if not times:
            watched.drop("clip.mp4", b"other")
        times.append(time.monotonic())
        submit(*order)

    monkeypatch.setattr(watched.intake._hasher, "submit", overwrite_and_submit)
    watched.drop("clip.mp4", b"first")
    watched.settle()
    (job,) = watched.jobs(JobState.QUEUED)
    assert job.fingerprint == hashlib.sha256(b"other").hexdigest()
    assert len(times) == 2
    assert times[1] - times[0] >= SETTLE_SECS


def test_a_picture_that_comes_into_a_finished_folder_makes_a_new_job_of_the_folder(watched: Watched) -> None:
    watched.drop("trip/1.jpg")
    watched.settle()
    finish(watched)
    watched.drop("trip/2.jpg")
    watched.settle()
    assert [job.state for job in watched.jobs()] == [JobState.DONE, JobState.QUEUED]


def test_a_video_that_comes_into_a_settling_folder_has_it_taken_file_by_file(watched: Watched) -> None:
    watched.drop("trip/1.jpg")
    watched.look()
    watched.drop("trip/clip.mp4")
    watched.settle()
    assert watched.states() == {"trip": "cancelled", "trip/1.jpg": "queued", "trip/clip.mp4": "queued"}


def test_a_video_that_comes_into_a_queued_folder_leaves_it_as_it_is(watched: Watched) -> None:
    watched.drop("trip/1.jpg")
    watched.settle()
    watched.drop("trip/clip.mp4")
    watched.settle()
    assert watched.states() == {"trip": "queued", "trip/clip.mp4": "queued"}


def test_a_queued_folder_stays_one_job_when_pictures_are_to_be_taken_one_by_one_from_now_on(watched: Watched) -> None:
    watched.drop("old/1.jpg")
    watched.settle()
    watched.intake.reload(watched.configured(folders="each"))
    watched.drop("new/2.jpg")
    watched.settle()
    assert watched.states() == {"old": "queued", "new/2.jpg": "queued"}


# Gone


@pytest.mark.parametrize("name", ["clip.mp4", "trip/1.jpg"])
@pytest.mark.parametrize("is_queued", [False, True])
def test_a_waiting_source_that_is_deleted_is_cancelled(watched: Watched, name: str, is_queued: bool) -> None:
    path = watched.drop(name)
    watched.settle() if is_queued else watched.look()
    path.unlink()
    watched.look()
    (job,) = watched.jobs()
    assert (job.state, job.reason) == (JobState.CANCELLED, "source gone")
    watched.run(lambda: watched.intake.is_quiet)


def test_a_source_that_is_deleted_while_it_is_worked_on_is_left_to_its_worker(watched: Watched) -> None:
    path = watched.drop("clip.mp4")
    watched.settle()
    job = watched.claim()
    path.unlink()
    watched.look()
    assert watched.store.is_mine(job)


def test_a_source_that_is_renamed_while_queued_goes_on_under_its_new_name(watched: Watched) -> None:
    path = watched.drop("old.mp4", b"content")
    watched.settle()
    os.rename(path, watched.path / "new.mp4")
    watched.settle()
    assert watched.states() == {"new.mp4": "queued"}


def test_a_cancelled_source_that_comes_back_is_taken_again(watched: Watched, tmp_path: Path) -> None:
    path = watched.drop("clip.mp4")
    watched.settle()
    os.rename(path, tmp_path / "clip.mp4")
    watched.look()
    os.rename(tmp_path / "clip.mp4", path)
    watched.settle()
    assert watched.states() == {"clip.mp4": "queued"}


def test_a_link_that_takes_the_place_of_a_source_is_not_followed(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/clip.mp4").write_bytes(b"secret")
    watched.drop("trip/clip.mp4", b"own")
    watched.drop("other.mp4", b"own too")
    watched.look()
    shutil.rmtree(watched.path / "trip")
    (watched.path / "trip").symlink_to(tmp_path / "outside")
    (watched.path / "other.mp4").unlink()
    (watched.path / "other.mp4").symlink_to(tmp_path / "outside/clip.mp4")
    watched.settle()
    assert set(watched.states().values()) == {"cancelled"}
    assert all(job.fingerprint is None for job in watched.jobs())


# Sent back, taken up again


def test_a_source_that_a_worker_sent_back_is_tried_again_after_a_longer_time(watched: Watched) -> None:
    watched.drop("clip.mp4")
    watched.settle()
    watched.store.release(watched.claim(), JobState.SETTLING, reason="waiting: it has no end yet")
    watched.look()
    settling = watched.intake._folders[str(watched.path)].settler.get(1)
    assert settling is not None
    assert settling.wait_secs == 2 * SETTLE_SECS
    watched.settle()
    (job,) = watched.jobs()
    assert (job.state, job.attempt) == (JobState.QUEUED, 1)


def test_quiet_is_not_said_while_a_worker_has_sent_a_source_back(watched: Watched) -> None:
    watched.drop("clip.mp4")
    watched.settle()
    job = watched.claim()
    watched.run(lambda: watched.intake.is_quiet)
    watched.store.release(job, JobState.SETTLING, reason="waiting: it has no end yet")
    assert not watched.intake.is_quiet
    watched.run(lambda: watched.intake.is_quiet)
    assert watched.states() == {"clip.mp4": "queued"}


def test_what_settled_when_the_daemon_died_goes_on_settling(watched: Watched) -> None:
    watched.drop("clip.mp4")
    watched.drop("trip/1.jpg")
    watched.look()
    assert set(watched.states().values()) == {"settling"}
    watched.restart()
    watched.settle()
    assert watched.states() == {"clip.mp4": "queued", "trip": "queued"}


def test_what_somebody_cancels_while_it_settles_stays_cancelled(watched: Watched) -> None:
    watched.drop("clip.mp4")
    watched.look()
    watched.store.cancel(1)
    watched.settle()
    assert watched.states() == {"clip.mp4": "cancelled"}


def test_one_cancelled_source_does_not_keep_the_others_from_being_queued(watched: Watched) -> None:
    for name in ("one.mp4", "two.mp4", "three.mp4"):
        watched.drop(name)
    watched.look()
    watched.store.cancel(2)
    for folder in watched.intake._folders.values():
        folder._next_secs = float("inf")  # so that it is not noticed in time
    watched.run(lambda: len(watched.jobs(JobState.QUEUED)) == 2)
    assert len(watched.jobs(JobState.CANCELLED)) == 1


def test_a_failed_source_in_our_own_folder_can_be_tried_again(watched: Watched) -> None:
    watched.drop("clip.mp4")
    watched.look()
    job = watched.store.refuse(1, "no")
    (watched.path / "failed").mkdir()
    os.rename(job.source, watched.path / "failed/clip.mp4")
    watched.store.move_source(job, watched.path / "failed/clip.mp4")
    watched.look()
    assert watched.states() == {"failed/clip.mp4": "failed"}
    watched.store.retry(1)
    watched.settle()
    (job,) = watched.jobs(JobState.QUEUED)
    assert (job.source, job.relative) == (watched.path / "failed/clip.mp4", Path("clip.mp4"))


def test_a_source_that_failed_for_its_sidecar_gets_the_better_one_where_it_lies_now(watched: Watched) -> None:
    watched.drop("trip/clip.mp4")
    watched.drop("trip/clip.mp4.toml", b'style = "nonsense"\n')
    watched.settle()
    (job,) = watched.jobs(JobState.FAILED)
    (watched.path / "failed").mkdir()
    os.rename(watched.path / "trip", watched.path / "failed/trip")
    watched.store.move_source(job, watched.path / "failed/trip/clip.mp4")
    watched.drop("failed/trip/clip.mp4.toml", b'style = "sketch"\n')
    watched.store.retry(job.id)
    watched.settle()
    (job,) = watched.jobs(JobState.QUEUED)
    assert (job.relative, job.treatment.convert["style"]) == (Path("trip/clip.mp4"), "sketch")


def test_nothing_is_lost_when_the_table_is_full_for_a_while(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreFullError("no space")

    with monkeypatch.context() as patched:
        patched.setattr(watched.store, "sight", fail)
        watched.drop("clip.mp4")
        with pytest.raises(StoreFullError):
            watched.look()
        assert not watched.intake.is_quiet
    with monkeypatch.context() as patched:
        patched.setattr(watched.store, "queue_many", fail)
        with pytest.raises(StoreFullError):
            watched.run(lambda: False)
        assert watched.states() == {"clip.mp4": "settling"}
    watched.settle()
    assert watched.states() == {"clip.mp4": "queued"}


# Settings, other processes


def test_a_folder_can_be_added_and_taken_away_while_it_runs(watched: Watched, tmp_path: Path) -> None:
    watched.drop("clip.mp4")
    watched.settle()
    old, watched.path = watched.path, tmp_path / "second"
    watched.path.mkdir()
    watched.intake.reload(watched.configured())
    watched.drop("other.mp4")
    (old / "late.mp4").write_bytes(b"late")
    watched.settle()
    assert {job.source.name for job in watched.jobs()} == {"clip.mp4", "other.mp4"}
    with Watched(tmp_path) as again:
        again.settle()
        assert {job.source.name for job in again.jobs()} == {"clip.mp4", "other.mp4", "late.mp4"}


def test_new_settings_count_for_what_is_sighted_after_them(watched: Watched) -> None:
    watched.drop("before.mp4")
    watched.settle()
    watched.intake.reload(watched.configured(style="sketch"))
    watched.drop("after.mp4")
    watched.settle()
    styles = {job.source.name: job.treatment.convert["style"] for job in watched.jobs()}
    assert styles == {"before.mp4": "toon", "after.mp4": "sketch"}


def test_two_intakes_with_different_tables_cannot_watch_one_folder(watched: Watched, tmp_path: Path) -> None:
    other = Watched(tmp_path)
    with pytest.raises(AlreadyWatchedError, match="watched by another process"):
        other.intake.start()
    other.intake.stop()
    other.store.close()


def test_a_folder_that_is_not_there_yet_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(tmp_path)
    watched.path.rmdir()
    with watched:
        watched.run_for(0.5)
        assert watched.intake.away == {str(watched.path)}
        watched.run(lambda: watched.intake.is_quiet)
        watched.path.mkdir()
        watched.drop("clip.mp4")
        watched.run(lambda: watched.states() == {"clip.mp4": "queued"})
        assert watched.intake.away == frozenset()
    assert len([line for line in caplog.messages if "is away" in line]) == 1


# Mounts that go


@pytest.fixture
def disk(watched: Watched) -> Iterator[Path]:
    """The watch folder as a mount of a folder elsewhere, with one queued and one settling source."""
    folder = watched.root / "disk"
    folder.mkdir()
    watched.intake.stop()
    mount(folder, watched.path)
    watched.restart()
    yield folder
    while not subprocess.run(["umount", "--lazy", watched.path], capture_output=True).returncode:
        pass  # a bind mount on the same disk is none to os.path.ismount


def mount(folder: Path, place: Path) -> None:
    if os.geteuid() != 0 or subprocess.run(["mount", "--bind", folder, place], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")


def unmount(place: Path) -> None:
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_mount_that_vanishes_cancels_nothing_and_goes_on_when_it_is_back(watched: Watched, disk: Path) -> None:
    watched.drop("queued.mp4")
    watched.drop("trip/1.jpg")
    watched.settle()
    watched.drop("settling.mp4")
    watched.look()
    before = watched.states()
    unmount(watched.path)
    for _ in range(3):
        watched.look()
    assert watched.states() == before
    assert watched.intake.away == {str(watched.path)}
    assert os.listdir(watched.path) == [".ugatit-watch"]  # of the time before the mount
    mount(disk, watched.path)
    watched.settle()
    assert watched.states() == {"queued.mp4": "queued", "trip": "queued", "settling.mp4": "queued"}
    assert [move.job_id for move in watched.store.moves() if move.after is JobState.CANCELLED] == []


def test_a_mount_that_comes_back_empty_cancels_nothing_and_full_again_goes_on(
    watched: Watched, disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched.drop("queued.mp4")
    watched.settle()
    unmount(watched.path)
    watched.look()
    empty = watched.root / "empty"
    empty.mkdir()
    mount(empty, watched.path)
    watched.look()
    assert watched.states() == {"queued.mp4": "queued"}
    assert "is not the folder that jobs are waiting for" in caplog.text
    unmount(watched.path)
    mount(disk, watched.path)
    watched.settle()
    assert watched.states() == {"queued.mp4": "queued"}
    assert watched.intake.away == frozenset()


def test_a_mount_that_goes_while_it_is_looked_through_cancels_nothing(watched: Watched, disk: Path) -> None:
    watched.drop("queued.mp4")
    watched.settle()
    folder = watched.intake._folders[str(watched.path)]
    with folder._root.opened() as root:
        unmount(watched.path)
        folder._compare(root, folder.settler.reader.read(root))
    assert watched.states() == {"queued.mp4": "queued"}


def test_sources_that_were_deleted_on_the_disk_meanwhile_are_cancelled_when_it_is_back(
    watched: Watched, disk: Path
) -> None:
    watched.drop("gone.mp4")
    watched.drop("there.mp4")
    watched.settle()
    unmount(watched.path)
    watched.look()
    (disk / "gone.mp4").unlink()
    mount(disk, watched.path)
    watched.settle()
    assert watched.states() == {"gone.mp4": "cancelled", "there.mp4": "queued"}


def test_a_mark_that_somebody_deleted_is_written_again_when_the_sources_are_there(watched: Watched) -> None:
    watched.drop("clip.mp4")
    watched.settle()
    (watched.path / ".ugatit-watch").unlink()
    watched.look()
    assert watched.intake.away == frozenset()
    assert (watched.path / ".ugatit-watch").exists()


def test_it_is_quiet_without_errors_in_the_log(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    watched.drop("clip.mp4")
    watched.settle()
    watched.intake.stop()
    assert caplog.messages == []


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), MemoryError("no room")])
def test_a_source_that_cannot_be_read_is_waited_for_and_refused_in_the_end(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(fingerprints, "fingerprint", fail)
        watched.drop("clip.mp4")
        watched.look()
        watched.run(lambda: watched.jobs()[0].reason)
        assert watched.states() == {"clip.mp4": "settling"}
        assert watched.jobs()[0].reason.startswith("it cannot be read: ")
        watched.intake.reload(watched.configured(incomplete_secs=0.1))
        watched.settle()
    assert watched.states() == {"clip.mp4": "failed"}
