"""The status page in a real browser: it keeps itself up to date, its buttons work, and it works without scripts."""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from jobs.job import JobState
from tests.jobs.dashboard_site import Site
from tests.jobs.rows import claimed, done, ended, published, queued
from tests.jobs.test_dashboard_pages import write_progress

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SOON_MS = 20_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if BROWSER is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=BROWSER, args=FLAGS)
        except playwright.Error as error:
            pytest.skip(f"Chromium does not start here: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, {"allow_actions": True})


@contextmanager
def serving(site: Site, port: int = 0) -> Iterator[str]:
    """Serve to a browser; yields the address."""
    config = uvicorn.Config(site.app, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            site.closing.set()
            server.should_exit = True
            thread.join(20)
            site.closing.clear()


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    with serving(site) as address:
        yield address


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A page whose every complaint fails the test."""
    with browser.new_context(base_url=address) as context:
        page = context.new_page()
        page.set_default_timeout(SOON_MS)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: None if request.url.startswith(address) else complaints.append(request.url))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        yield page
        assert complaints == []


def soon(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_MS / 1000
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def open_live(page: Any, path: str = "/") -> None:
    page.goto(path)
    page.locator("#link.live").wait_for()


def test_an_open_page_follows_a_job_to_its_end(page: Any, site: Site) -> None:
    open_live(page)
    queued(site.store, "clip.mp4")
    page.locator("#waits").get_by_text("clip.mp4").wait_for()

    running = claimed(site.store)
    write_progress(site, running.owner or "", 1)
    card = page.locator('[data-job="1"]')
    playwright.expect(card.locator('[data-p="percent"]')).to_have_text("25 %", timeout=SOON_MS)

    write_progress(site, running.owner or "", 1, done=600, remaining_secs=30.0)
    playwright.expect(card.locator('[data-p="left"]')).to_have_text("30 s", timeout=SOON_MS)
    assert card.locator("progress").evaluate("bar => bar.value") == 50

    site.add_thumbnail(1, "before")
    site.add_thumbnail(1, "after")
    site.store.finish(published(site.store, running))
    picture = page.locator('#done img[alt="After"]')
    picture.wait_for()
    soon(lambda: picture.evaluate("picture => picture.naturalWidth") == 48)
    assert card.count() == 0


def test_retry_is_one_click(page: Any, site: Site) -> None:
    ended(site.store, "broken.mp4", JobState.FAILED)
    open_live(page)
    page.get_by_role("button", name="Retry job 1").click()
    soon(lambda: site.store.get(1).state is JobState.QUEUED)
    page.locator("#waits").get_by_text("broken.mp4").wait_for()


def test_what_did_not_change_stays_the_same_element(page: Any, site: Site) -> None:
    done(site.store, "old.mp4")
    open_live(page)
    page.locator("#done article").evaluate("card => { window.kept = card }")
    queued(site.store, "new.mp4")
    page.locator("#waits").get_by_text("new.mp4").wait_for()
    assert page.evaluate("window.kept.isConnected")


def test_a_page_finds_its_server_again(browser: Any, site: Site) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(SOON_MS)
        with serving(site) as address:
            open_live(page, address)
        page.locator("#link.lost").wait_for()
        queued(site.store, "meanwhile.mp4")
        with serving(site, int(address.rpartition(":")[2])):
            page.locator("#waits").get_by_text("meanwhile.mp4").wait_for()


@pytest.mark.parametrize("name", ["<script>alert(1)<!--.mp4", '"><img src=x onerror=alert(1)>.mp4'])
def test_a_hostile_name_stays_text(page: Any, site: Site, name: str) -> None:
    open_live(page)
    ended(site.store, name, JobState.FAILED, content="c")
    page.locator("#failures").get_by_text(name, exact=True).wait_for()
    page.get_by_role("link", name=name).click()
    playwright.expect(page.locator("h1")).to_have_text(name)


def test_before_and_after_meet_where_the_slider_is(page: Any, site: Site) -> None:
    done(site.store, "clip.mp4")
    site.add_thumbnail(1, "before")
    site.add_thumbnail(1, "after")
    open_live(page, "/jobs/1")
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("Home")
    clip = page.locator("#pictures figure").nth(1).evaluate("figure => getComputedStyle(figure).clipPath")
    assert clip == "inset(0px 0px 0px 0%)"


def test_without_scripts_everything_is_there_and_the_buttons_work(browser: Any, address: str, site: Site) -> None:
    ended(site.store, "broken.mp4", JobState.FAILED)
    with browser.new_context(base_url=address, java_script_enabled=False) as context:
        page = context.new_page()
        page.set_default_timeout(SOON_MS)
        page.goto("/jobs/1")
        page.get_by_role("button", name="Retry job 1").click()
        playwright.expect(page.locator(".chip")).to_have_text("Queued", timeout=SOON_MS)
        assert page.url == f"{address}/jobs/1"
    assert site.store.get(1).state is JobState.QUEUED


@pytest.mark.parametrize("path", ["/", "/jobs?state=failed", "/jobs/1", "/health"])
def test_nothing_is_wider_than_a_phone(browser: Any, address: str, site: Site, path: str) -> None:
    ended(site.store, "a-name-without-any-place-to-break-it" * 6 + ".mp4", JobState.FAILED)
    queued(site.store, "also-long" * 20, content="b")
    with browser.new_context(base_url=address, viewport={"width": 360, "height": 640}) as context:
        page = context.new_page()
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_token_is_asked_for_once(browser: Any, tmp_path: Path) -> None:
    site = Site(tmp_path, {"token": "correct-horse"})
    queued(site.store, "secret.mp4")
    with serving(site) as address, browser.new_context(base_url=address) as context:
        page = context.new_page()
        page.set_default_timeout(SOON_MS)
        page.goto("/")
        page.get_by_label("Token").fill("correct-horse")
        page.get_by_role("button", name="Open").click()
        page.get_by_text("secret.mp4").wait_for()
        page.goto("/jobs/1")
        playwright.expect(page.locator("h1")).to_have_text("secret.mp4")
