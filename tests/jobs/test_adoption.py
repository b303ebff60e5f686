"""After the job table was lost, results that are there are found again and nothing is converted twice (row 31)."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from jobs import adoption
from jobs.adoption import find_result
from jobs.job import Job, JobKind, JobState
from jobs.publishing import JobPublisher
from jobs.store import open_store
from tests.jobs.queues import FakeReport, Inbox
from tests.jobs.test_worker import run

Lose = Callable[[Inbox], Inbox]


def never(job: Job, progress: Any, publisher: JobPublisher) -> None:
    raise AssertionError(f"'{job.source}' is converted again")


@pytest.fixture
def lose() -> Iterator[Lose]:
    """Makes a new table for the same folders."""
    with ExitStack() as stack:

        def anew(inbox: Inbox) -> Inbox:
            inbox.store.close()
            (inbox.state_dir / "jobs.sqlite").unlink()
            return Inbox(inbox.root, stack.enter_context(open_store(inbox.state_dir / "jobs.sqlite")))

        yield anew


def files(inbox: Inbox) -> dict[str, bytes]:
    paths = (path for path in inbox.output.rglob("*") if path.is_file() and ".ugatit" not in path.parts)
    return {str(path.relative_to(inbox.output)): path.read_bytes() for path in paths}


def test_a_lost_table_costs_no_conversion(inbox: Inbox, lose: Lose) -> None:
    for number in range(3):
        inbox.drop(f"trip/{number}.mp4", b"content %d" % number)
    run(inbox)
    before = files(inbox)
    inbox = lose(inbox)
    for number in range(3):
        inbox.queue(inbox.folder / f"trip/{number}.mp4")
    run(inbox, never)
    assert inbox.store.counts()[JobState.DONE] == 3
    assert files(inbox) == before
    job = inbox.store.get(2)
    assert job.output == inbox.output / "trip/1.mp4"
    assert json.loads(job.report or "")["output"] == str(job.output)
    assert [move.after for move in inbox.store.history(2)][-2:] == [JobState.PUBLISHING, JobState.DONE]


def test_a_folder_of_pictures_is_found_as_a_whole(inbox: Inbox) -> None:
    job = _publish_folder(inbox)
    assert find_result(job) is not None
    (inbox.output / "pics" / "1.png").write_bytes(b"other")
    assert find_result(job) is None


def test_a_result_that_took_a_second_name_is_found_there(inbox: Inbox, lose: Lose) -> None:
    inbox.drop("clip.mp4", b"first")
    run(inbox)
    inbox.drop("clip.mp4", b"second")
    run(inbox)
    assert (inbox.output / "clip-2.mp4").read_bytes() == b"dnoces"
    inbox = lose(inbox)
    inbox.queue(inbox.folder / "clip.mp4")
    run(inbox, never)
    assert inbox.store.get(1).output == inbox.output / "clip-2.mp4"


def test_a_result_whose_report_had_to_take_the_long_name_is_found(inbox: Inbox, lose: Lose) -> None:
    (inbox.output / "clip.report.json").write_text("somebody's notes")
    inbox.drop("clip.mp4")
    run(inbox)
    assert (inbox.output / "clip.mp4.report.json").exists()
    inbox = lose(inbox)
    inbox.queue(inbox.folder / "clip.mp4")
    run(inbox, never)


def test_results_that_were_moved_with_their_folder_are_found(inbox: Inbox, tmp_path: Path) -> None:
    job = _published(inbox)
    os.rename(inbox.output / "clip.mp4", inbox.output / "sub.mp4")
    report = json.loads((inbox.output / "clip.report.json").read_text())
    (inbox.output / "clip.report.json").write_text(json.dumps(report | {"output": "/elsewhere/sub.mp4"}))
    found = find_result(job)
    assert found is not None
    assert found.output == inbox.output / "sub.mp4"


@pytest.mark.parametrize("what", ["content", "options", "result", "size", "gone", "no seal", "torn", "array", "link"])
def test_what_does_not_match_is_not_taken(inbox: Inbox, what: str, tmp_path: Path) -> None:
    from dataclasses import replace

    job = _published(inbox)
    result, report = inbox.output / "clip.mp4", inbox.output / "clip.report.json"
    facts = json.loads(report.read_text())
    assert find_result(job) is not None
    match what:
        case "content":
            job = replace(job, fingerprint="other")
        case "options":
            job = replace(job, opts_hash="other")
        case "result":
            result.write_bytes(b"other!!")
        case "size":
            result.write_bytes(result.read_bytes() + b"more")
        case "gone":
            result.unlink()
        case "no seal":
            del facts["job"]
            report.write_text(json.dumps(facts))
        case "torn":
            report.write_text(report.read_text()[:-20])
        case "array":
            report.write_text("[]")
        case "link":
            report.rename(tmp_path / "elsewhere")
            report.symlink_to(tmp_path / "elsewhere")
    assert find_result(job) is None


@pytest.mark.parametrize("name", ["..", "/", "", ".", "../../etc/passwd"])
def test_a_report_cannot_point_outside_its_folder(inbox: Inbox, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    job = _published(inbox)
    read = list[Path]()
    monkeypatch.setattr(adoption, "measure", lambda path, tick: read.append(path))
    report = inbox.output / "clip.report.json"
    report.write_text(json.dumps(json.loads(report.read_text()) | {"output": name}))
    assert find_result(job) is None
    assert all(path.parent == inbox.output and path.name != ".." for path in read)


def test_a_result_is_not_taken_from_a_job_that_is_cancelled_meanwhile(inbox: Inbox, lose: Lose) -> None:
    from jobs.errors import LostClaimError

    _published(inbox)
    inbox = lose(inbox)
    inbox.queue(inbox.folder / "clip.mp4")
    job = inbox.claim()
    found = find_result(job)
    assert found is not None
    inbox.store.cancel(job.id)
    with pytest.raises(LostClaimError):
        JobPublisher(inbox.store, job).adopt(found)


def _published(inbox: Inbox) -> Job:
    inbox.drop("clip.mp4")
    run(inbox)
    return inbox.store.get(1)


def _publish_folder(inbox: Inbox) -> Job:
    (inbox.folder / "pics").mkdir()
    inbox.queue(inbox.folder / "pics", JobKind.FOLDER)
    job = inbox.claim()
    finished = job.work_folder / "finished"
    finished.mkdir(parents=True)
    (finished / "1.png").write_bytes(b"one")
    publisher = JobPublisher(inbox.store, job)
    publisher.publish(finished, inbox.output / "pics", FakeReport())  # type: ignore[arg-type]
    return publisher.job
