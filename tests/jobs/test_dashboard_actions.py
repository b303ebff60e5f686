"""What the buttons of the status page do to the table, and the news that open pages get."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from jobs.dashboard import live
from jobs.dashboard.live import News
from jobs.dashboard.reading import Reader
from jobs.dashboard.views import actions
from jobs.job import JobState
from tests.jobs.dashboard_site import Elements, Site
from tests.jobs.rows import claimed, done, ended, queued, settled


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, {"allow_actions": True})


def test_retry_queues_a_failed_job_with_new_budgets(site: Site) -> None:
    ended(site.store, "broken.mp4", JobState.FAILED)
    answer = site.post("/jobs/1/retry", {"back": "/jobs?state=failed"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?state=failed")
    assert site.store.get(1).state is JobState.QUEUED


def test_all_failed_jobs_of_a_page_are_retried_with_one_click(site: Site) -> None:
    for name in "abc":
        ended(site.store, name, JobState.FAILED)
    done(site.store, "d")
    assert 'name="ids" value="3 2 1"' in site.get("/jobs?state=failed").text
    site.post("/jobs/retry", {"ids": "3 4 1 99 x -2 2"})
    assert [site.store.get(job_id).state for job_id in (1, 2, 3, 4)] == [JobState.QUEUED] * 3 + [JobState.DONE]


def test_cancel_takes_a_job_from_its_worker_and_says_who_did_it(site: Site) -> None:
    job = queued(site.store, "clip.mp4")
    running = claimed(site.store)
    site.post("/jobs/1/cancel")
    cancelled = site.store.get(job.id)
    assert (cancelled.state, cancelled.reason) == (JobState.CANCELLED, "cancelled on the status page")
    assert not site.store.is_mine(running)


def test_a_held_job_is_not_claimed_until_it_is_released(site: Site) -> None:
    queued(site.store, "clip.mp4")
    site.post("/jobs/1/hold")
    assert site.store.claim("worker") is None
    site.post("/jobs/1/release")
    assert site.store.claim("worker") is not None


def test_pause_keeps_everything_from_being_begun(site: Site) -> None:
    queued(site.store, "clip.mp4")
    site.post("/pause")
    assert site.store.claim("worker") is None
    assert site.post("/resume").headers["location"] == "/"
    assert site.store.claim("worker") is not None


@pytest.mark.parametrize("verb", ["cancel", "retry", "hold"])
def test_a_button_that_comes_too_late_says_so_and_changes_nothing(site: Site, verb: str) -> None:
    done(site.store, "clip.mp4")
    answer = site.post(f"/jobs/1/{verb}")
    assert answer.status_code == 409
    assert "job 1 is done" in Elements(answer.text).text
    assert site.store.get(1).state is JobState.DONE


@pytest.mark.parametrize(
    ("path", "status"), [("/jobs/99/retry", 404), ("/jobs/1/purge", 404), ("/jobs/1/__class__", 404)]
)
def test_what_no_button_says_is_not_done(site: Site, path: str, status: int) -> None:
    ended(site.store, "broken.mp4", JobState.FAILED)
    assert site.post(path).status_code == status


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x", "/a\nb"]
)
def test_after_a_form_one_stays_on_this_server(site: Site, back: str) -> None:
    assert site.post("/pause", {"back": back}).headers["location"] == "/"


def test_every_state_offers_exactly_what_the_table_allows(site: Site) -> None:
    settled(site.store, "coming.mp4")
    for state in (JobState.FAILED, JobState.BLOCKED, JobState.CANCELLED):
        ended(site.store, f"{state}.mp4", state)
    done(site.store, "done.mp4")
    queued(site.store, "running.mp4")
    claimed(site.store)
    queued(site.store, "queued.mp4")
    offered = {job.state: [action.verb for action in actions(job)] for job in site.store.list()}
    assert offered == {
        JobState.SETTLING: ["cancel"],
        JobState.FAILED: ["retry"],
        JobState.BLOCKED: ["retry", "cancel"],
        JobState.CANCELLED: ["retry"],
        JobState.DONE: [],
        JobState.RUNNING: ["cancel"],
        JobState.QUEUED: ["hold", "cancel"],
    }


def heard(site: Site, change: Callable[[], object], kind: str) -> list[str]:
    """What a listener is told from the change on, up to the first event of a kind."""
    news = News(Reader(site.state))

    async def until(events: AsyncIterator[bytes], wanted: str) -> list[str]:
        told = []
        async for event in events:
            told.append(event.decode())
            if f"event: {wanted}\n" in told[-1]:
                return told
        return told

    async def listen() -> list[str]:
        async with aclosing(news.listen()) as events:  # type: ignore[type-var]
            await until(events, "hello")
            await until(events, "progress")
            change()
            return await asyncio.wait_for(until(events, kind), 20)

    return asyncio.run(listen())


def test_open_pages_are_told_when_the_table_changes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECS", 0.02)
    told = heard(site, lambda: queued(site.store, "new.mp4"), "table")
    assert told[-1] == "event: table\ndata: {}\n\n"


def test_open_pages_are_told_of_progress(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECS", 0.02)
    queued(site.store, "clip.mp4")
    told = heard(site, lambda: claimed(site.store), "progress")
    [running] = json.loads(told[-1].partition("data: ")[2])
    assert (running["id"], running["stage"], running["value"]) == (1, "starting", None)


def test_nobody_looks_for_news_that_nobody_wants(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECS", 0.01)
    looks = []
    news = News(Reader(site.state))
    monkeypatch.setattr(news, "_read", lambda: (looks.append(1), "[]"))

    async def come_and_go() -> int:
        async with aclosing(news.listen()) as events:  # type: ignore[type-var]
            await anext(events)
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.1)
        before = len(looks)
        await asyncio.sleep(0.1)
        assert before > 0
        return len(looks) - before

    assert asyncio.run(come_and_go()) == 0
