"""Jobs of dead workers go on: what is visible is finished, the rest is done again, poison is given up."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from jobs import recovery
from jobs.contents import measure
from jobs.errors import LostClaimError
from jobs.job import Job, JobState
from jobs.locks import OwnerLocks
from jobs.process_tree import OWNER_VARIABLE
from jobs.recovery import Ending, recover
from jobs.store import open_store
from tests.jobs.queues import Inbox


def recover_all(inbox: Inbox, **more: object) -> list[Job]:
    return recover(inbox.store, OwnerLocks(inbox.state_dir), "daemon", **more)  # type: ignore[arg-type]


def recorded(inbox: Inbox, content: bytes = b"result") -> tuple[Job, Path]:
    """A job whose worker died after it had recorded its result; the result in the work folder."""
    inbox.drop("clip.mp4")
    job = inbox.claim("dead")
    job.work_folder.mkdir(parents=True)
    finished = job.work_folder / "finished.mp4"
    finished.write_bytes(content)
    output = inbox.output / "clip.mp4"
    report = json.dumps({"output": str(output)})
    return inbox.store.begin_publishing(job, output, *measure(finished), report), finished


def test_a_running_job_of_a_dead_worker_is_queued_again_and_the_death_counted(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4")
    inbox.claim("dead")
    [recovered] = recover_all(inbox)
    assert (recovered.id, recovered.state, recovered.deaths, recovered.owner) == (job.id, JobState.QUEUED, 1, None)
    assert "its worker died (death 1 of 3)" in recovered.reason


def test_a_living_workers_job_is_left_alone(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4")
    with OwnerLocks(inbox.state_dir).hold("alive"):
        inbox.claim("alive")
        assert recover_all(inbox) == []
    assert inbox.store.get(job.id).state is JobState.RUNNING


def test_a_job_that_killed_three_workers_fails_and_its_work_is_removed(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4")
    for _ in range(3):
        inbox.claim("dead").work_folder.mkdir(parents=True, exist_ok=True)
        recover_all(inbox, backoff_secs=0.0)
    assert inbox.store.get(job.id).state is JobState.FAILED
    assert "died 3 times" in inbox.store.get(job.id).reason
    assert not job.work_folder.exists()


def test_chunks_are_kept_for_the_next_attempt(inbox: Inbox) -> None:
    inbox.drop("clip.mp4")
    job = inbox.claim("dead")
    job.work_folder.mkdir(parents=True)
    (job.work_folder / "chunk").touch()
    recover_all(inbox)
    assert (job.work_folder / "chunk").exists()


def test_a_worker_that_was_ended_on_purpose_costs_its_job_nothing(inbox: Inbox) -> None:
    inbox.drop("clip.mp4")
    inbox.claim("dead")
    [recovered] = recover_all(inbox, ending_of=lambda owner: Ending(f"{owner} was ended", is_counted=False))
    assert (recovered.state, recovered.deaths, recovered.reason) == (JobState.QUEUED, 0, "dead was ended")


def test_a_result_that_became_visible_is_finished_with_the_report_from_the_table(inbox: Inbox) -> None:
    job, finished = recorded(inbox)
    os.link(finished, inbox.output / "clip.mp4")
    [done] = recover_all(inbox)
    assert (done.state, done.deaths, done.output) == (JobState.DONE, 0, inbox.output / "clip.mp4")
    assert (inbox.output / "clip.report.json").read_text() == job.report
    assert not job.work_folder.exists()


def test_a_result_that_was_only_recorded_is_made_again(inbox: Inbox) -> None:
    recorded(inbox)
    [job] = recover_all(inbox)
    assert (job.state, job.deaths) == (JobState.QUEUED, 1)
    assert not (inbox.output / "clip.report.json").exists()


def test_a_foreign_file_under_the_recorded_name_is_not_taken_for_the_result(inbox: Inbox) -> None:
    recorded(inbox)
    (inbox.output / "clip.mp4").write_bytes(b"foreig")
    [job] = recover_all(inbox)
    assert job.state is JobState.QUEUED


def test_nothing_is_decided_while_the_folder_for_results_is_away(inbox: Inbox, tmp_path: Path) -> None:
    job, finished = recorded(inbox)
    os.link(finished, inbox.output / "clip.mp4")
    inbox.output.rename(tmp_path / "away")
    with open_store(tmp_path / "away" / ".ugatit" / "jobs.sqlite") as store:
        assert recover(store, OwnerLocks(tmp_path / "away" / ".ugatit"), "daemon") == []
        (tmp_path / "away").rename(inbox.output)
    assert [done.id for done in recover_all(inbox)] == [job.id]
    assert inbox.store.get(job.id).state is JobState.DONE


def test_what_could_not_be_finished_is_finished_by_the_next_call(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    job, finished = recorded(inbox)
    os.link(finished, inbox.output / "clip.mp4")

    def fail(*_: object) -> Job:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "complete", fail)
        assert recover_all(inbox) == []
    assert inbox.store.get(job.id).owner == "daemon"
    assert [done.state for done in recover_all(inbox)] == [JobState.DONE]


def test_of_several_that_recover_at_once_each_job_goes_to_one(inbox: Inbox) -> None:
    for number in range(5):
        inbox.drop(f"{number}.mp4", bytes([number]))
        inbox.claim("dead")
    found: list[int] = []
    barrier = threading.Barrier(3)

    def take(owner: str) -> None:
        with open_store(inbox.store.path) as store:
            barrier.wait()
            found.extend(job.id for job in recover(store, OwnerLocks(inbox.state_dir), owner))

    with ExitStack() as held:
        for index in range(3):
            held.enter_context(OwnerLocks(inbox.state_dir).hold(f"r{index}"))
        threads = [threading.Thread(target=take, args=(f"r{index}",)) for index in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == [1, 2, 3, 4, 5]
    assert [job.deaths for job in inbox.store.list()] == [1] * 5


def test_a_worker_that_was_thought_dead_can_change_nothing_any_more(inbox: Inbox) -> None:
    inbox.drop("clip.mp4")
    claimed = inbox.claim("slow")
    recover_all(inbox)
    with pytest.raises(LostClaimError):
        inbox.store.begin_publishing(claimed, inbox.output / "clip.mp4", 1, "0", "")
    assert not inbox.store.is_mine(replace(claimed, owner="daemon"))


def test_what_the_dead_worker_started_is_ended_before_the_next_attempt(inbox: Inbox) -> None:
    inbox.drop("clip.mp4")
    inbox.claim("dead")
    left = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], env={OWNER_VARIABLE: "dead"})
    recover_all(inbox)
    assert left.wait(30) == -signal.SIGKILL
