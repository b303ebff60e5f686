"""Whether a watch is running and well is told by its lock and by its last sign of life."""

import json
from pathlib import Path

import pytest

from jobs import health
from jobs.health import LOCK_NAME, FolderHealth, Heartbeat, judge
from jobs.locks import FileLock

WELL = FolderHealth("/inbox", True)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path


def test_a_watch_that_beats_is_healthy(state: Path) -> None:
    with FileLock(state / LOCK_NAME):
        Heartbeat(state).beat("watching", [WELL], counts={"done": 3})
        verdict = judge(state)
    assert verdict.is_healthy
    assert verdict.facts["counts"] == {"done": 3}


def test_without_a_lock_no_watch_is_running_whatever_the_file_says(state: Path) -> None:
    Heartbeat(state).beat("watching", [WELL])
    verdict = judge(state)
    assert not verdict.is_healthy
    assert "no watch is running" in verdict.problems[0]


def test_a_watch_that_stopped_beating_is_not_healthy(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FileLock(state / LOCK_NAME):
        Heartbeat(state).beat("watching", [WELL])
        now = health.boot_secs()
        monkeypatch.setattr(health, "boot_secs", lambda: now + 100)
        assert "100 s old" in judge(state).problems[0]


def test_a_sign_of_life_from_before_the_start_of_the_machine_does_not_count(state: Path) -> None:
    with FileLock(state / LOCK_NAME):
        Heartbeat(state).beat("watching", [WELL])
        facts = json.loads((state / "health.json").read_text())
        (state / "health.json").write_text(json.dumps(facts | {"boot_id": "another"}))
        assert "older than the machine's start" in judge(state).problems[0]


def test_a_folder_that_is_away_is_named(state: Path) -> None:
    with FileLock(state / LOCK_NAME):
        Heartbeat(state).beat("watching", [WELL, FolderHealth("/mnt/nas", False, "it is not mounted")])
        assert judge(state).problems == ('the watch folder "/mnt/nas" is away: it is not mounted',)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"'])
def test_a_file_that_cannot_be_read_is_no_sign_of_life(state: Path, text: str) -> None:
    with FileLock(state / LOCK_NAME):
        (state / "health.json").write_text(text)
        assert not judge(state).is_healthy
