"""The status page's process beside a watch: kept up, and gone with it."""

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.errors import DashboardError
from jobs.status_page import kept_up, status_page

Pages = list["subprocess.Popen[bytes]"]


def starter(pages: Pages, code: str) -> Callable[[], "subprocess.Popen[bytes]"]:
    """A start function that notes what it starts."""

    def start() -> "subprocess.Popen[bytes]":
        pages.append(subprocess.Popen([sys.executable, "-c", code]))
        return pages[-1]

    return start


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_page_that_dies_comes_back_and_goes_with_the_watch() -> None:
    pages: Pages = []
    with kept_up(starter(pages, "import time; time.sleep(60)"), 0.01):
        pages[0].kill()
        wait_until(lambda: len(pages) == 2)
        assert pages[1].poll() is None
    assert pages[1].poll() is not None
    assert len(pages) == 2


def test_a_page_that_cannot_be_served_is_not_started_again(caplog: pytest.LogCaptureFixture) -> None:
    pages: Pages = []
    with caplog.at_level(logging.WARNING), kept_up(starter(pages, "raise SystemExit(1)"), 0.01):
        wait_until(lambda: "goes on without it" in caplog.text)
    assert len(pages) == 1


def test_an_address_that_is_none_is_told_before_the_watch_begins(tmp_path: Path) -> None:
    with pytest.raises(DashboardError), status_page(tmp_path, "nowhere"):
        pytest.fail("it began")
