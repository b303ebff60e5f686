"""What people and the daemon do to jobs, and what the table tells about them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.errors import JobNotFoundError, MoveError
from jobs.job import MOVES, TERMINAL, JobState
from jobs.store import JobStore, open_store
from tests.jobs.rows import claimed, done, ended, joined, newer, published, queued, settled


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    with open_store(tmp_path / "jobs.sqlite") as opened:
        yield opened


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.BLOCKED])
def test_retrying_gives_new_budgets(store: JobStore, state: JobState) -> None:
    queued(store, "a.mp4")
    store.release(claimed(store), JobState.QUEUED, deaths=2, exceptions=2)
    job = store.release(claimed(store), state, reason="why", block="disk", delay_secs=100)
    store.note_aftermath(job)
    job = store.retry(job.id)
    assert (job.state, job.deaths, job.exceptions, job.reason, job.block) == (JobState.QUEUED, 0, 0, "", "")
    assert claimed(store).id == job.id


def test_a_job_whose_result_is_there_is_not_retried(store: JobStore, tmp_path: Path) -> None:
    result = tmp_path / "a.mp4"
    result.touch()
    queued(store, "a.mp4")
    store.finish(published(store, claimed(store), result))
    with pytest.raises(MoveError, match=f"first move its result '{result}' away"):
        store.retry(1)
    result.unlink()
    assert store.retry(1).state is JobState.QUEUED


@pytest.mark.parametrize("state", [JobState.SETTLING, JobState.QUEUED, JobState.RUNNING])
def test_what_has_not_ended_is_not_retried(store: JobStore, state: JobState) -> None:
    job = settled(store, "a.mp4") if state is JobState.SETTLING else queued(store, "a.mp4")
    if state is JobState.RUNNING:
        claimed(store)
    with pytest.raises(MoveError, match=f"job 1 is {state.value}"):
        store.retry(job.id)


def test_all_actions_refuse_a_number_that_is_no_jobs(store: JobStore) -> None:
    for action in (store.get, store.cancel, store.retry, store.wake, lambda job: store.hold(job, True)):
        with pytest.raises(JobNotFoundError, match="no job 7"):
            action(7)


def test_a_blocked_job_wakes_up(store: JobStore) -> None:
    job = store.block(queued(store, "a.mp4").id, "source", "the watch folder is away")
    assert (job.state, job.block, job.reason) == (JobState.BLOCKED, "source", "the watch folder is away")
    assert store.claim("w") is None
    woken = store.wake(job.id)
    assert (woken.state, woken.block, woken.reason) == (JobState.QUEUED, "", "")
    with pytest.raises(MoveError):
        store.wake(job.id)
    claimed(store)
    with pytest.raises(MoveError):
        store.block(job.id, "disk", "full")


def test_every_move_is_one_that_job_py_knows(store: JobStore) -> None:
    for name, state in (("a", JobState.FAILED), ("b", JobState.SETTLING), ("c", JobState.CANCELLED)):
        ended(store, name, state)
    done(store, "d")
    store.cancel(2)
    for number in (1, 2, 3, 4):
        store.retry(number)
    moves = [move for move in store.moves() if move.before is not None]
    assert moves
    assert all(move.after in MOVES[move.before] for move in moves if move.before)


def test_what_follows_an_end_is_noted_once_per_end(store: JobStore) -> None:
    job = done(store, "a.mp4")
    assert store.unfinished_aftermath() == [job]
    store.note_aftermath(job)
    assert store.unfinished_aftermath() == []
    store.retry(job.id)
    store.note_aftermath(job)  # late news of the first end
    again = store.finish(published(store, claimed(store)))
    store.note_aftermath(job)
    assert store.unfinished_aftermath() == [again]


def test_a_moved_source_is_known_where_it_lies_now(store: JobStore) -> None:
    job = done(store, "a.mp4")
    moved = store.move_source(job, Path("/in/done/a.mp4"), newer())
    assert moved.source == Path("/in/done/a.mp4")
    assert store.known("/in") == {Path("/in/done/a.mp4"): (newer(), 1, JobState.DONE)}
    assert store.seen(Path("/in/a.mp4")) is None


def test_a_moved_source_does_not_take_its_old_name_from_a_newer_job(store: JobStore) -> None:
    old = done(store, "a.mp4", "old")
    new = queued(store, "a.mp4", "new", stamp=newer())
    store.move_source(old, Path("/in/done/a.mp4"))
    assert store.known("/in")[Path("/in/a.mp4")] == (newer(), new.id, JobState.QUEUED)


def test_lists_are_filtered_ordered_and_cut(store: JobStore) -> None:
    for name in "abcd":
        queued(store, name, folder="/x" if name == "b" else "/in")
    claimed(store)
    assert [job.id for job in store.list()] == [1, 2, 3, 4]
    assert [job.id for job in store.list({JobState.QUEUED}, limit=2, newest_first=True)] == [4, 3]
    assert [job.id for job in store.list(folder="/x")] == [2]
    assert store.list(set()) == []
    assert store.counts()[JobState.QUEUED] == 3
    assert set(store.counts()) == set(JobState)


def test_purging_forgets_ended_jobs_whose_sources_are_gone(store: JobStore, tmp_path: Path) -> None:
    folder = str(tmp_path)
    for name in ("gone", "there", "unfinished", "linked"):
        job = done(store, name, folder=folder)
        if name != "unfinished":
            store.note_aftermath(job)
    joined(store, "twin", "linked", folder=folder)
    queued(store, "waiting", folder=folder)
    for name in ("there", "twin"):
        (tmp_path / name).touch()
    assert store.purge(older_than_secs=3600) == 0
    assert store.purge(older_than_secs=-1) == 1
    assert [job.relative.name for job in store.list()] == ["there", "unfinished", "linked", "waiting"]
    assert store.history(1) == []
    assert tmp_path / "gone" not in store.known(folder)


def test_numbers_of_moves_go_on_after_a_purge(store: JobStore, tmp_path: Path) -> None:
    assert store.last_move() == 0
    store.note_aftermath(done(store, "gone", folder=str(tmp_path)))
    assert store.last_move() == 5
    store.purge(older_than_secs=-1)
    assert store.last_move() == 5
    settled(store, "next")
    assert [move.number for move in store.moves()] == [6]


def test_purging_believes_nothing_of_a_folder_that_is_away(store: JobStore, tmp_path: Path) -> None:
    away, unmounted = tmp_path / "away", tmp_path / "unmounted"
    unmounted.mkdir()
    for folder in (str(away), str(unmounted)):
        store.note_aftermath(done(store, "a.mp4", content=folder, folder=folder))
    store.set_folder_mark(str(unmounted), "the token of what was mounted there")
    assert store.purge(older_than_secs=-1) == 0


def test_a_folder_keeps_its_mark(store: JobStore) -> None:
    assert store.folder_mark("/in") is None
    store.set_folder_mark("/in", "one")
    store.set_folder_mark("/in", "two")
    assert store.folder_mark("/in") == "two"


def test_the_export_is_json_and_complete(store: JobStore) -> None:
    done(store, os.fsdecode(b"\xff.mp4"), "same")
    joined(store, "b.mp4", "same")
    [record] = json.loads(json.dumps(store.export()))
    assert record["state"] == "done"
    assert os.fsencode(record["source"]) == b"/in/\xff.mp4"
    assert record["report"] == {"frames": 1}
    assert [move["after"] for move in record["moves"]][-1] == "done"
    assert record["links"][0]["source"] == "/in/b.mp4"


def test_terminal_jobs_are_left_on_request_only() -> None:
    assert {state for state in JobState if MOVES[state] <= {JobState.QUEUED, JobState.SETTLING}} == TERMINAL


def test_one_store_serves_many_threads(store: JobStore) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for number in range(40):
        queued(store, f"{number}.mp4")
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda number: claimed(store, f"w{number}"), range(40)))
    assert sorted(job.id for job in jobs) == list(range(1, 41))
