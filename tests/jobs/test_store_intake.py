"""How sources become jobs, and what happens to the second one with the same content."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.errors import MoveError
from jobs.job import Job, JobState, Link, Stamp
from jobs.store import JobStore, open_store
from tests.jobs.rows import STAMP, claimed, done, ended, joined, newer, published, queued, settled, sighting, states


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    with open_store(tmp_path / "jobs.sqlite") as opened:
        yield opened


def test_what_is_seen_settles_and_is_known(store: JobStore) -> None:
    first, second = store.sight([sighting("a.mp4", after="move"), sighting("b.mp4", stamp=newer())])
    assert (first.id, first.state, first.treatment.after) == (1, JobState.SETTLING, "move")
    assert store.known("/in") == {
        Path("/in/a.mp4"): (STAMP, 1, JobState.SETTLING),
        Path("/in/b.mp4"): (newer(), 2, JobState.SETTLING),
    }
    assert store.known("/elsewhere") == {}
    assert second == store.get(2)


def test_ten_thousand_files_are_accepted_at_once(store: JobStore) -> None:
    jobs = store.sight([sighting(f"{number}.mp4") for number in range(10_000)])
    store.queue_many([(job, f"content {job.id}", STAMP) for job in jobs])
    assert store.counts()[JobState.QUEUED] == 10_000
    assert len(store.known("/in")) == 10_000


def test_names_that_are_no_text_survive(store: JobStore) -> None:
    name = os.fsdecode(b"clip-\xff\xfe\n.mp4")
    folder = os.fsdecode(b"/in-\xff")
    queued(store, name, folder=folder, content="c")
    job = store.release(claimed(store), JobState.FAILED, reason=f"'{name}' is broken")
    assert job.source == Path(folder, name)
    assert job.folder == folder
    assert store.list(folder=folder) == [job]
    assert list(store.known(folder)) == [Path(folder, name)]
    assert "\\udcff" in job.reason


def test_a_report_that_quotes_a_name_which_is_no_text_stays_the_same_json(store: JobStore) -> None:
    import json

    queued(store, "a.mp4")
    facts = {"input": os.fsdecode(b"/in/\xff.mp4"), "umlaut": "ü"}
    store.begin_publishing(claimed(store), Path("/out/a"), 1, "x", json.dumps(facts, ensure_ascii=False))
    assert json.loads(store.get(1).report or "") == facts


def test_a_source_that_changes_while_it_waits_starts_over_as_the_same_job(store: JobStore) -> None:
    job = queued(store, "a.mp4")
    again = settled(store, "a.mp4", stamp=newer(), after="delete")
    assert (again.id, again.state, again.fingerprint, again.stamp) == (job.id, JobState.SETTLING, None, newer())
    assert again.treatment.after == "delete"
    assert states(store, job.id) == ["settling", "queued", "settling"]


def test_changed_content_under_the_name_of_a_finished_job_is_a_new_job(store: JobStore) -> None:
    first = done(store, "a.mp4", "old")
    second = queued(store, "a.mp4", "new", stamp=newer())
    assert second.id != first.id
    assert store.get(first.id).state is JobState.DONE
    assert store.known("/in")[Path("/in/a.mp4")] == (newer(), second.id, JobState.QUEUED)


def test_the_same_content_under_another_name_becomes_a_link(store: JobStore) -> None:
    queued(store, "a.mp4", "same")
    link = joined(store, "b.mp4", "same", folder="/other", after="delete")
    assert isinstance(link, Link)
    assert (link.source, link.job_id, link.output, link.folder) == (Path("/other/b.mp4"), 1, None, "/other")
    assert link.treatment.after == "delete"
    assert store.links() == []  # not before the job is done
    store.finish(published(store, claimed(store)))
    assert store.links() == [link]
    made = store.finish_link(link, Path("/out/b.mp4"))
    assert made.output == Path("/out/b.mp4")
    assert store.links() == []
    assert store.links(pending=False, job_id=1) == [made]
    assert store.links(pending=False, job_id=2) == []


def test_a_sighting_that_became_a_link_has_a_history_and_no_row(store: JobStore) -> None:
    queued(store, "a.mp4", "same")
    joined(store, "b.mp4", "same")
    assert [job.id for job in store.list()] == [1]
    assert [(move.after, move.reason) for move in store.history(2)] == [
        (JobState.SETTLING, ""),
        (JobState.CANCELLED, "same content as job 1"),
    ]
    assert store.known("/in")[Path("/in/b.mp4")] == (STAMP, 1, JobState.QUEUED)


def test_numbers_are_not_used_again(store: JobStore) -> None:
    queued(store, "a.mp4", "same")
    joined(store, "b.mp4", "same")
    assert settled(store, "c.mp4").id == 3


def test_other_options_make_another_job_of_the_same_content(store: JobStore) -> None:
    from dataclasses import replace

    queued(store, "a.mp4", "same")
    [other] = store.sight([replace(sighting("b.mp4"), opts_hash="other")])
    assert isinstance(store.queue(other, "same", STAMP), Job)
    assert store.counts()[JobState.QUEUED] == 2


@pytest.mark.parametrize("end", [JobState.FAILED, JobState.CANCELLED])
def test_content_of_a_job_that_ended_badly_queues_that_job_again(store: JobStore, end: JobState) -> None:
    queued(store, "a.mp4", "same")
    store.release(claimed(store), JobState.QUEUED, deaths=2, exceptions=1)
    first = store.release(claimed(store), end, reason="bad luck")
    again = joined(store, "b.mp4", "same", priority=7)
    assert isinstance(again, Job)
    assert (again.id, again.state, again.source) == (first.id, JobState.QUEUED, Path("/in/b.mp4"))
    assert (again.deaths, again.exceptions, again.reason, again.priority) == (0, 0, "", 7)
    assert claimed(store).attempt == 3


def test_an_old_source_that_still_lies_there_is_linked_when_its_job_takes_a_new_one(
    store: JobStore, tmp_path: Path
) -> None:
    folder = str(tmp_path)
    queued(store, "a.mp4", "same", folder=folder)
    store.release(claimed(store), JobState.FAILED)
    (tmp_path / "a.mp4").touch()
    joined(store, "b.mp4", "same", folder=folder)
    assert [link.source.name for link in store.links(pending=False)] == ["a.mp4"]
    # When the old one is seen again, both stay with the one job, and nothing goes round in circles.
    again = joined(store, "a.mp4", "same", folder=folder, stamp=newer())
    assert isinstance(again, Link)
    assert store.get(1).source.name == "b.mp4"


def test_a_source_in_the_failed_folder_is_not_linked(store: JobStore, tmp_path: Path) -> None:
    job = queued(store, "a.mp4", "same", folder=str(tmp_path))
    store.release(claimed(store), JobState.FAILED)
    moved = tmp_path / "failed" / "a.mp4"
    moved.parent.mkdir()
    moved.touch()
    store.move_source(job, moved)
    joined(store, "b.mp4", "same", folder=str(tmp_path))
    assert store.links(pending=False) == []


def test_a_done_job_whose_result_vanished_is_queued_again(store: JobStore) -> None:
    done(store, "a.mp4", "same")
    job = store.queue(settled(store, "a.mp4", stamp=newer()), "same", newer(), output_exists=lambda job: False)
    assert isinstance(job, Job)
    assert (job.id, job.state, job.stamp) == (1, JobState.QUEUED, newer())


def test_the_own_source_of_a_done_job_changes_nothing_but_its_stamp(store: JobStore) -> None:
    before = done(store, "a.mp4", "same")
    store.note_aftermath(before)
    after = joined(store, "a.mp4", "same", stamp=newer())
    assert isinstance(after, Job)
    assert (after.id, after.state, after.stamp) == (1, JobState.DONE, newer())
    assert store.unfinished_aftermath() == []
    assert store.known("/in")[Path("/in/a.mp4")] == (newer(), 1, JobState.DONE)


def test_a_source_that_comes_back_is_disposed_of_like_the_first_one(store: JobStore) -> None:
    job = done(store, "a.mp4", "same", after="move")
    store.move_source(job, Path("/in/done/a.mp4"))
    store.note_aftermath(job)
    again = joined(store, "a.mp4", "same", stamp=newer())
    assert isinstance(again, Job)
    assert (again.id, again.source) == (1, Path("/in/a.mp4"))
    assert store.unfinished_aftermath() == [again]


def test_a_linked_source_that_comes_back_is_linked_once_more(store: JobStore, tmp_path: Path) -> None:
    done(store, "a.mp4", "same")
    output = tmp_path / "b.mp4"
    output.touch()
    for after, pending in (("keep", 0), ("move", 1)):
        link = joined(store, "b.mp4", "same", after=after)
        assert isinstance(link, Link)
        store.finish_link(link, output)
        joined(store, "b.mp4", "same", stamp=newer(), after=after)
        assert len(store.links()) == pending


def test_a_linked_result_that_vanished_is_made_again(store: JobStore) -> None:
    done(store, "a.mp4", "same")
    link = joined(store, "b.mp4", "same")
    assert isinstance(link, Link)
    store.finish_link(link, Path("/nowhere/b.mp4"))
    joined(store, "b.mp4", "same", stamp=newer())
    assert [link.source.name for link in store.links()] == ["b.mp4"]


def test_a_link_ends_when_its_source_has_other_content(store: JobStore) -> None:
    queued(store, "a.mp4", "same")
    joined(store, "b.mp4", "same")
    other = queued(store, "b.mp4", "other", stamp=newer())
    assert store.links(pending=False) == []
    assert store.known("/in")[Path("/in/b.mp4")] == (newer(), other.id, JobState.QUEUED)
    assert store.get(1).state is JobState.QUEUED


def test_when_a_source_is_gone_another_one_with_its_content_is_seen_anew(store: JobStore, tmp_path: Path) -> None:
    queued(store, "a.mp4", "same", folder=str(tmp_path))
    joined(store, "b.mp4", "same", folder=str(tmp_path))
    store.cancel(1, "source gone")
    assert list(store.known(str(tmp_path))) == [tmp_path / "a.mp4"]
    again = joined(store, "b.mp4", "same", folder=str(tmp_path))
    assert isinstance(again, Job)
    assert (again.id, again.state, again.source) == (1, JobState.QUEUED, tmp_path / "b.mp4")


def test_a_cancelled_settling_job_cannot_be_queued_any_more(store: JobStore) -> None:
    job, other = settled(store, "a.mp4"), settled(store, "b.mp4")
    store.cancel(job.id)
    with pytest.raises(MoveError, match="job 1 is cancelled, not settling"):
        store.queue_many([(other, "b", STAMP), (job, "a", STAMP)])
    assert store.get(other.id).state is JobState.SETTLING  # all or nothing


def test_a_settling_job_may_be_told_why_it_waits(store: JobStore) -> None:
    job = settled(store, "a.mp4")
    seen = store.restamp(job, newer(), reason="somebody writes to it", delay_secs=5.0)
    assert (seen.stamp, seen.reason) == (newer(), "somebody writes to it")
    assert seen.ready_boot_secs > 0
    assert store.known("/in")[job.source][0] == newer()
    store.queue(job, "a", newer())
    assert store.restamp(job, STAMP).stamp == newer()  # too late


def test_the_age_of_a_stamp_is_kept_while_it_is_the_same(store: JobStore) -> None:
    job = settled(store, "a.mp4")
    assert store.restamp(job, STAMP).stamped_boot_secs == job.stamped_boot_secs > 0
    assert store.restamp(job, newer()).stamped_boot_secs > job.stamped_boot_secs


def test_a_source_that_can_never_be_a_job_is_refused(store: JobStore) -> None:
    job = store.refuse(settled(store, "a.mp4").id, "it is a FIFO")
    assert (job.state, job.reason) == (JobState.FAILED, "it is a FIFO")
    assert store.retry(job.id).state is JobState.SETTLING  # it has no fingerprint
    with pytest.raises(MoveError):
        store.refuse(queued(store, "b.mp4").id, "too late")


def test_a_failed_source_that_changes_is_a_new_job(store: JobStore) -> None:
    ended(store, "a.mp4", JobState.FAILED, "cut off")
    job = queued(store, "a.mp4", "whole", stamp=Stamp(500, 1, 1, 400))
    assert job.id == 2
    assert store.get(1).state is JobState.FAILED
