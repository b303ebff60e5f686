"""A result becomes visible whole, once, over nothing else."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from jobs import publishing
from jobs.contents import measure
from jobs.errors import LostClaimError, OtherContentError, OutputTakenError, StoreFullError
from jobs.job import Job, JobKind, JobState
from jobs.publishing import JobPublisher, candidates, complete, is_visible
from tests.jobs.queues import FakeReport, Inbox


def finished_file(job: Job, content: bytes = b"result") -> Path:
    job.work_folder.mkdir(parents=True, exist_ok=True)
    path = job.work_folder / "finished.mp4"
    path.write_bytes(content)
    return path


def publish(inbox: Inbox, job: Job, **more: Any) -> JobPublisher:
    publisher = JobPublisher(inbox.store, job, **more)
    publisher.publish(finished_file(job), job.output_folder / job.relative, FakeReport())
    return publisher


def names(inbox: Inbox) -> list[str]:
    return sorted(str(p.relative_to(inbox.output)) for p in inbox.output.rglob("*.*") if ".ugatit" not in p.parts)


def test_a_result_has_its_name_its_report_and_a_job_that_is_done(inbox: Inbox) -> None:
    inbox.drop("trip/clip.mp4")
    done = publish(inbox, inbox.claim()).job
    assert names(inbox) == ["trip/clip.mp4", "trip/clip.report.json"]
    assert done.state is JobState.DONE
    assert done.output == inbox.output / "trip" / "clip.mp4"
    assert (done.output_bytes, done.output_sha256) == (6, hashlib.sha256(b"result").hexdigest())
    assert json.loads((inbox.output / "trip" / "clip.report.json").read_text())["output"] == str(done.output)


def test_a_foreign_file_keeps_its_name_and_content(inbox: Inbox) -> None:
    (inbox.output / "clip.mp4").write_bytes(b"foreign")
    (inbox.output / "clip-2.mp4").symlink_to("nowhere")
    inbox.drop("clip.mp4")
    publish(inbox, inbox.claim())
    assert (inbox.output / "clip.mp4").read_bytes() == b"foreign"
    assert (inbox.output / "clip-3.mp4").read_bytes() == b"result"
    assert json.loads((inbox.output / "clip-3.report.json").read_text())["output"].endswith("clip-3.mp4")


def test_a_name_that_is_taken_between_look_and_link_is_not_overwritten(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def race(source: Path, target: Path) -> None:
        if target.name == "clip.mp4":
            target.write_bytes(b"foreign")
        os.link(source, target)

    monkeypatch.setattr(publishing, "rename_no_replace", race)
    inbox.drop("clip.mp4")
    done = publish(inbox, inbox.claim()).job
    assert done.output == inbox.output / "clip-2.mp4"
    assert (inbox.output / "clip.mp4").read_bytes() == b"foreign"
    assert not (inbox.output / "clip.report.json").exists()


def test_a_taken_name_fails_a_job_that_shall_fail_then_before_any_work(inbox: Inbox) -> None:
    (inbox.output / "clip.mp4").write_bytes(b"foreign")
    inbox.drop("clip.mp4", on_conflict="fail")
    with pytest.raises(OutputTakenError, match="is there already"):
        JobPublisher(inbox.store, inbox.claim()).check(inbox.output / "clip.mp4")


def test_a_name_that_is_taken_in_the_last_moment_fails_such_a_job_too(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def race(source: Path, target: Path) -> None:
        target.write_bytes(b"foreign")
        os.link(source, target)

    monkeypatch.setattr(publishing, "rename_no_replace", race)
    inbox.drop("clip.mp4", on_conflict="fail")
    with pytest.raises(OutputTakenError):
        publish(inbox, inbox.claim())
    assert names(inbox) == ["clip.mp4"]


def test_nothing_appears_once_the_job_was_cancelled(inbox: Inbox) -> None:
    job = inbox.drop("clip.mp4")
    claimed = inbox.claim()
    inbox.store.cancel(job.id)
    with pytest.raises(LostClaimError):
        publish(inbox, claimed)
    assert names(inbox) == []


def test_a_source_with_other_content_than_was_queued_gives_no_result(inbox: Inbox) -> None:
    inbox.drop("clip.mp4")
    job = inbox.claim()
    publisher = JobPublisher(inbox.store, job)
    with pytest.raises(OtherContentError):
        publisher.publish(finished_file(job), inbox.output / "clip.mp4", FakeReport("0" * 64))
    assert names(inbox) == []


def test_a_folder_appears_in_one_piece_with_its_report_beside_it(inbox: Inbox) -> None:
    (inbox.folder / "trip.2024").mkdir()
    inbox.queue(inbox.folder / "trip.2024", JobKind.FOLDER)
    (inbox.output / "trip.2024").mkdir()
    job = inbox.claim()
    result = job.work_folder / "result"
    (result / "day").mkdir(parents=True)
    (result / "a.png").write_bytes(b"a")
    (result / "day" / "b.png").write_bytes(b"bb")
    publisher = JobPublisher(inbox.store, job)
    published = publisher.publish(result, inbox.output / "trip.2024", FakeReport())
    assert published == inbox.output / "trip.2024-2"
    assert (published / "day" / "b.png").read_bytes() == b"bb"
    assert (inbox.output / "trip.2024-2.report.json").exists()
    assert publisher.job.output_bytes == 3
    assert is_visible(publisher.job)


def test_the_hash_of_a_folder_knows_names_and_contents(tmp_path: Path) -> None:
    hashes = set()
    for number, (name, content) in enumerate([("a", b"x"), ("b", b"x"), ("a", b"y"), ("a/c", b"x")]):
        path = tmp_path / str(number) / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        hashes.add(measure(tmp_path / str(number))[1])
    assert len(hashes) == 4


def test_a_report_of_a_result_that_was_removed_is_replaced_and_a_foreign_one_stays(inbox: Inbox) -> None:
    inbox.drop("clip.mp4")
    (inbox.output / "clip.report.json").write_text(json.dumps({"output": str(inbox.output / "clip.mp4"), "old": 1}))
    publish(inbox, inbox.claim())
    assert "old" not in json.loads((inbox.output / "clip.report.json").read_text())
    inbox.drop("clip.mkv", b"another")
    publish(inbox, inbox.claim())
    assert names(inbox) == ["clip.mkv", "clip.mkv.report.json", "clip.mp4", "clip.report.json"]


def test_a_result_that_is_visible_is_finished_however_long_the_disk_is_full(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [OSError(28, "No space left"), StoreFullError("full")]

    def fail_at_first(job: Job) -> None:
        if errors:
            raise errors.pop()

    monkeypatch.setattr(publishing, "place_report", fail_at_first)
    waited: list[Exception] = []
    inbox.drop("clip.mp4")
    done = publish(inbox, inbox.claim(), wait=waited.append).job
    assert done.state is JobState.DONE
    assert [type(error) for error in waited] == [StoreFullError, OSError]


def test_a_publication_can_be_completed_again_from_the_start(inbox: Inbox) -> None:
    inbox.drop("clip.mp4")
    job = inbox.claim()
    finished = finished_file(job)
    job = inbox.store.begin_publishing(job, inbox.output / "clip.mp4", *measure(finished), '{"output": "x"}')
    assert not is_visible(job)
    os.link(finished, inbox.output / "clip.mp4")
    assert is_visible(job)
    (inbox.output / "clip.report.json").write_text("cut of")
    assert complete(inbox.store, job).state is JobState.DONE
    assert (inbox.output / "clip.mp4.report.json").read_text() == '{"output": "x"}'


def test_what_has_the_name_but_not_the_content_is_not_the_result(inbox: Inbox) -> None:
    inbox.drop("clip.mp4")
    job = inbox.store.begin_publishing(
        inbox.claim(), inbox.output / "clip.mp4", 6, hashlib.sha256(b"result").hexdigest(), ""
    )
    (inbox.output / "clip.mp4").write_bytes(b"foreig")
    assert not is_visible(job)


def test_a_name_of_full_length_finds_another_one_that_fits(inbox: Inbox) -> None:
    final = inbox.output / ("ü" * 125 + ".mp4")
    _, second, third = (name for name, _ in zip(candidates(final, JobKind.VIDEO), range(3), strict=False))
    assert len(os.fsencode(second.name)) <= 255
    assert second.name.endswith("-2.mp4")
    assert second != third


def test_a_name_that_is_no_utf8_is_published_with_its_report(inbox: Inbox) -> None:
    name = os.fsdecode(b"cl\xffip.mp4")
    inbox.drop(name)
    done = publish(inbox, inbox.claim()).job
    assert done.output == inbox.output / name
    assert (inbox.output / os.fsdecode(b"cl\xffip.report.json")).exists()
    assert is_visible(done)
