"""What tests of jobs/ share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.store import open_store
from tests.jobs.made_jobs import Folders
from tests.jobs.queues import Inbox


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    """An empty watch folder with its folder for results and its job table."""
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    with open_store(tmp_path / "out" / ".ugatit" / "jobs.sqlite") as store:
        yield Inbox(tmp_path, store)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Folders]:
    """Folders with a job table in which jobs are made."""
    folders = Folders(tmp_path)
    with folders.store:
        yield folders
