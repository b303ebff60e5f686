"""A watch daemon for each test that needs one of its own, killed afterwards whatever happens."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.selftest.daemon import DaemonProcess
from tests.faults.watching import Watch

StartWatch = Callable[..., Watch]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[StartWatch]:
    """Make a `Watch`; it is started when the test says so, and nothing of it is left when the test ends."""
    made: list[Watch] = []

    def make(*options: str, **environment: str) -> Watch:
        folder = tmp_path / f"watch{len(made)}"
        made.append(Watch(DaemonProcess(folder, environment=environment), random.Random(0), options))
        return made[-1]

    yield make
    for one in made:
        one.daemon.kill_all()
