"""Claims, the fence around them, and what workers make of jobs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import clocks, rows, store_claims, store_table
from jobs.errors import LostClaimError, MoveError
from jobs.job import JobState
from jobs.store import JobStore, open_store
from tests.jobs.rows import STAMP, claimed, done, joined, newer, published, queued, settled, sighting, states


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    with open_store(tmp_path / "jobs.sqlite") as opened:
        yield opened


def test_a_claim_names_its_owner_and_counts_the_attempt(store: JobStore) -> None:
    queued(store, "a.mp4")
    job = claimed(store, "worker-1")
    assert (job.state, job.owner, job.attempt) == (JobState.RUNNING, "worker-1", 1)


def test_only_queued_jobs_are_claimed(store: JobStore) -> None:
    settled(store, "a.mp4")
    done(store, "b.mp4")
    assert store.claim("worker") is None


def test_higher_priority_goes_first_then_the_lower_number(store: JobStore) -> None:
    for name, priority in (("a", 0), ("b", 5), ("c", 5), ("d", -1)):
        queued(store, name, priority=priority)
    assert [claimed(store).relative.name for _ in range(4)] == ["b", "c", "a", "d"]


def test_only_jobs_of_open_folders_are_claimed(store: JobStore) -> None:
    queued(store, "a.mp4", folder="/night")
    queued(store, "b.mp4", folder="/day")
    assert claimed(store, "w").folder == "/night"
    assert store.claim("w", folders=[]) is None
    assert store.claim("w", folders=["/night"]) is None
    assert store.claim("w", folders=["/night", "/day"]) is not None


def test_no_job_of_a_closed_folder_is_claimed(store: JobStore) -> None:
    queued(store, "a.mp4", folder="/night")
    queued(store, "b.mp4", folder="/day")
    store.close_folders({"/night"})
    assert store.closed_folders() == {"/night"}
    assert claimed(store).folder == "/day"
    assert store.claim("w") is None
    store.close_folders(())
    assert claimed(store).folder == "/night"


def test_a_held_job_is_claimed_when_it_is_let_go(store: JobStore) -> None:
    job = queued(store, "a.mp4")
    store.hold(job.id, True)
    assert store.claim("w") is None
    store.hold(job.id, False)
    assert claimed(store).id == job.id


def test_nothing_is_claimed_while_all_is_paused(store: JobStore) -> None:
    queued(store, "a.mp4")
    store.pause(True)
    assert store.is_paused()
    assert store.claim("w") is None
    store.pause(False)
    assert not store.is_paused()
    assert store.claim("w") is not None


def test_a_delayed_job_waits_on_the_boot_clock(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    for module in (store_claims, store_table):
        monkeypatch.setattr(module, "boot_secs", lambda: now)
    queued(store, "a.mp4")
    job = store.release(claimed(store), JobState.QUEUED, delay_secs=30.0)
    assert job.ready_boot_secs == 1030.0
    now = 1029.0
    assert store.claim("w") is None
    now = 1030.0
    assert store.claim("w") is not None


def test_a_restart_of_the_machine_ends_all_delays(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    queued(store, "a.mp4")
    job = store.release(claimed(store), JobState.QUEUED, delay_secs=1e6)
    for module in (clocks, rows, store_claims, store_table):
        monkeypatch.setattr(module, "boot_id", lambda: "another boot")
    assert store.get(job.id).ready_boot_secs == 0.0
    assert store.claim("w") is not None


def test_the_wall_clock_delays_nothing(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.clocks.time.time", lambda: 10.0)  # back to 1970
    queued(store, "a.mp4")
    assert claimed(store).changed_at == 10.0


def test_a_job_goes_through_publishing_to_done(store: JobStore) -> None:
    queued(store, "a.mp4")
    job = store.finish(published(store, claimed(store)))
    assert states(store, job.id) == ["settling", "queued", "running", "publishing", "done"]
    assert (job.output, job.output_bytes, job.output_sha256) == (Path("/out/result.mp4"), 5, "5ha")
    assert job.report == '{"frames": 1}'
    assert job.owner is None


def test_another_name_may_be_put_on_record_while_publishing(store: JobStore) -> None:
    queued(store, "a.mp4")
    job = published(store, claimed(store), "/out/a.mp4")
    job = published(store, job, "/out/a-2.mp4")
    assert store.finish(job).output == Path("/out/a-2.mp4")
    assert states(store, job.id).count("publishing") == 1


def test_a_job_is_not_done_without_publishing(store: JobStore) -> None:
    queued(store, "a.mp4")
    with pytest.raises(MoveError, match="job 1 is running and cannot become done"):
        store.finish(claimed(store))


@pytest.mark.parametrize("step", ["publish", "finish", "release", "take over"])
def test_a_stale_worker_can_change_nothing(store: JobStore, step: str) -> None:
    queued(store, "a.mp4")
    stale = claimed(store, "w")
    store.release(stale, JobState.QUEUED)
    fresh = published(store, claimed(store, "w"))  # the same worker, at its second attempt
    steps = {
        "publish": lambda: published(store, stale),
        "finish": lambda: store.finish(stale),
        "release": lambda: store.release(stale, JobState.FAILED),
        "take over": lambda: store.take_over(stale, "other"),
    }
    with pytest.raises(LostClaimError, match="attempt 1 of 'w'"):
        steps[step]()
    assert store.get(fresh.id) == fresh
    assert store.is_mine(fresh)
    assert not store.is_mine(stale)


def test_cancelling_takes_a_job_from_its_worker(store: JobStore) -> None:
    queued(store, "a.mp4")
    job = claimed(store)
    store.cancel(job.id, "not wanted")
    assert not store.is_mine(job)
    with pytest.raises(LostClaimError):
        published(store, job)
    assert store.get(job.id).state is JobState.CANCELLED
    assert store.get(job.id).reason == "not wanted"


def test_what_is_being_published_cannot_be_cancelled(store: JobStore) -> None:
    queued(store, "a.mp4")
    job = published(store, claimed(store))
    with pytest.raises(MoveError, match="publishing"):
        store.cancel(job.id)
    assert store.finish(job).state is JobState.DONE


def test_deaths_and_exceptions_are_counted_apart(store: JobStore) -> None:
    queued(store, "a.mp4")
    store.release(claimed(store), JobState.QUEUED, deaths=1)
    store.release(claimed(store), JobState.QUEUED, exceptions=1)
    job = store.release(claimed(store), JobState.BLOCKED, block="disk", reason="the disk is full")
    assert (job.deaths, job.exceptions, job.attempt, job.block) == (1, 1, 3, "disk")
    assert store.wake(job.id).state is JobState.QUEUED


def test_a_result_on_record_stays_on_record_when_its_job_goes_back_in_line(store: JobStore) -> None:
    queued(store, "a.mp4")
    store.release(published(store, claimed(store), "/out/a.mp4"), JobState.BLOCKED, block="disk")
    assert store.get(1).output == Path("/out/a.mp4")


def test_a_changed_source_settles_again_without_fingerprint_or_result(store: JobStore) -> None:
    queued(store, "a.mp4")
    job = store.release(claimed(store), JobState.SETTLING, stamp=newer(), reason="it grew")
    assert (job.state, job.fingerprint, job.stamp, job.reason) == (JobState.SETTLING, None, newer(), "it grew")
    assert store.known("/in")[Path("/in/a.mp4")] == (newer(), 1, JobState.SETTLING)


def test_sources_with_the_old_content_are_seen_anew_when_it_changes(store: JobStore) -> None:
    queued(store, "a.mp4", "same")
    joined(store, "b.mp4", "same")
    store.release(claimed(store), JobState.SETTLING, stamp=newer())
    assert store.links(pending=False) == []
    assert set(store.known("/in")) == {Path("/in/a.mp4")}


def test_orphans_are_jobs_of_owners_that_live_no_more(store: JobStore) -> None:
    for name in "abc":
        queued(store, name)
    dead, alive, publishing = claimed(store, "dead"), claimed(store, "alive"), claimed(store, "dead")
    publishing = published(store, publishing)
    assert store.orphans(lambda owner: owner == "alive") == [dead, publishing]
    assert alive not in store.orphans(lambda owner: owner == "alive")


def test_one_of_two_recoveries_takes_an_orphan_over(store: JobStore) -> None:
    queued(store, "a.mp4")
    orphan = claimed(store, "dead")
    mine = store.take_over(orphan, "me")
    with pytest.raises(LostClaimError):
        store.take_over(orphan, "other")
    assert mine.attempt == orphan.attempt
    assert store.release(mine, JobState.QUEUED, deaths=1).deaths == 1


def test_the_history_names_the_worker_of_every_move(store: JobStore) -> None:
    queued(store, "a.mp4")
    store.release(claimed(store, "w"), JobState.FAILED, reason="broken")
    moves = [(move.before, move.after, move.attempt, move.owner, move.reason) for move in store.history(1)]
    assert moves == [
        (None, "settling", 0, None, ""),
        ("settling", "queued", 0, None, ""),
        ("queued", "running", 1, "w", ""),
        ("running", "failed", 1, "w", "broken"),
    ]


def test_moves_are_read_page_by_page(store: JobStore) -> None:
    store.sight([sighting(f"{number}", stamp=STAMP) for number in range(5)])
    first = store.moves(limit=3)
    rest = store.moves(after=first[-1].number)
    assert [move.job_id for move in first + rest] == [1, 2, 3, 4, 5]
