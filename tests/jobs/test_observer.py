"""Hints about what happens in watch folders, and that they go on (rows 22, 23 and 24 of the fault matrix)."""

import errno
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobs import observer as module
from jobs.config import FolderConfig
from jobs.job import JobState
from jobs.observer import Observer
from tests.jobs.watched import Watched


@dataclass
class Listening:
    """An observer of one folder."""

    path: Path
    poll: str = "auto"
    is_network: bool = False
    observer: Observer = field(init=False)

    def __post_init__(self) -> None:
        self.observer = Observer(self.poll)

    @property
    def name(self) -> str:
        return str(self.path)

    def check(self, *, is_there: bool = True) -> None:
        """Look after it now, not only in a second."""
        self.observer._next_check_secs = 0.0
        folder = FolderConfig(self.path, self.path.with_name("out"))
        self.observer.watch({self.name: (folder, self.is_network)} if is_there else {})

    def has_hint(self, secs: float = 5.0) -> bool:
        end = time.monotonic() + secs
        while time.monotonic() < end:
            if self.observer.take() == {self.name}:
                return True
            time.sleep(0.01)
        return False

    def is_silent(self) -> bool:
        return not self.has_hint(0.3)

    @property
    def threads(self) -> list[Any]:
        inner = self.observer._ears[self.name]._observer
        return [inner, *inner.emitters, inner._inotify_fd]


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    path = tmp_path / "in"
    path.mkdir()
    listening = Listening(path)
    yield listening
    listening.observer.stop()


def begin(listening: Listening) -> None:
    listening.check()
    assert listening.has_hint()


def test_a_folder_is_to_be_looked_at_when_listening_begins(listening: Listening) -> None:
    listening.check()
    assert listening.has_hint()
    assert listening.is_silent()
    assert listening.observer.detail(listening.name) == "events"


def test_what_comes_goes_or_is_renamed_at_any_depth_is_a_hint(listening: Listening) -> None:
    begin(listening)
    (listening.path / "a/b").mkdir(parents=True)
    assert listening.has_hint()
    time.sleep(0.1)
    listening.observer.take()
    (listening.path / "a/b/clip.mp4").write_bytes(b"x")
    assert listening.has_hint()
    time.sleep(0.1)
    listening.observer.take()
    os.rename(listening.path / "a/b/clip.mp4", listening.path / "clip.mp4")
    assert listening.has_hint()
    time.sleep(0.1)
    listening.observer.take()
    (listening.path / "clip.mp4").unlink()
    assert listening.has_hint()


def test_reading_and_hidden_files_are_no_hints(listening: Listening) -> None:
    (listening.path / "clip.mp4").write_bytes(b"x")
    (listening.path / ".ugatit").mkdir()
    begin(listening)
    (listening.path / "clip.mp4").read_bytes()
    list(os.scandir(listening.path))
    (listening.path / ".ugatit/progress.json").write_bytes(b"x")
    (listening.path / ".clip.mp4.Xy12Ab").write_bytes(b"x")
    assert listening.is_silent()


def test_a_hidden_file_that_gets_a_visible_name_is_a_hint(listening: Listening) -> None:
    (listening.path / ".clip.mp4.Xy12Ab").write_bytes(b"x")
    begin(listening)
    os.rename(listening.path / ".clip.mp4.Xy12Ab", listening.path / "clip.mp4")
    assert listening.has_hint()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_of_an_error_is_replaced(
    listening: Listening, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begin(listening)

    def fail(name: str) -> bool:
        raise RuntimeError("a bug in a handler")

    with monkeypatch.context() as patched:
        patched.setattr(module, "is_hidden", fail)
        (listening.path / "lost.mp4").write_bytes(b"x")
        listening.threads[0].join(5.0)
    assert not listening.threads[0].is_alive()
    listening.check()
    assert listening.has_hint()
    assert "has stopped; beginning anew" in caplog.text
    assert all(thread.is_alive() for thread in listening.threads)
    (listening.path / "heard.mp4").write_bytes(b"x")
    assert listening.has_hint()


def test_an_emitter_that_stops_is_replaced(listening: Listening) -> None:
    begin(listening)
    emitter = listening.threads[1]
    emitter.stop()
    emitter.join(5.0)
    listening.check()
    assert listening.has_hint()
    (listening.path / "heard.mp4").write_bytes(b"x")
    assert listening.has_hint()


def test_a_folder_that_was_renamed_away_and_back_is_heard(listening: Listening) -> None:
    begin(listening)
    away = listening.path.with_name("away")
    os.rename(listening.path, away)
    listening.check(is_there=False)
    os.rename(away, listening.path)
    listening.check()
    assert listening.has_hint()
    (listening.path / "heard.mp4").write_bytes(b"x")
    assert listening.has_hint()


def test_a_folder_that_was_replaced_by_another_is_heard(listening: Listening) -> None:
    begin(listening)
    os.rename(listening.path, listening.path.with_name("away"))
    listening.path.mkdir()
    listening.check()
    assert listening.has_hint()
    (listening.path / "heard.mp4").write_bytes(b"x")
    assert listening.has_hint()


@pytest.mark.parametrize(
    ("number", "what_to_raise"),
    [(errno.ENOSPC, "fs.inotify.max_user_watches"), (errno.EMFILE, "fs.inotify.max_user_instances")],
)
def test_a_limit_of_the_system_is_said_once_with_what_to_raise_and_tried_again_later(
    listening: Listening,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
    what_to_raise: str,
) -> None:
    def fail() -> None:
        raise OSError(number, "limit")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_build_observer", fail)
        for _ in range(3):
            listening.check()
    assert [what_to_raise in message for message in caplog.messages] == [True]
    assert what_to_raise in listening.observer.detail(listening.name)
    listening.observer._ears[listening.name]._again_secs = 0.0
    begin(listening)
    assert listening.observer.detail(listening.name) == "events"


@pytest.mark.parametrize(
    ("poll", "is_network", "is_heard"), [("always", False, False), ("auto", True, False), ("never", True, True)]
)
def test_what_is_polled_is_not_listened_to(listening: Listening, poll: str, is_network: bool, is_heard: bool) -> None:
    other = Listening(listening.path, poll, is_network)
    other.check()
    try:
        assert other.has_hint()
        assert ("looked through" in other.observer.detail(other.name)) is not is_heard
        (other.path / "clip.mp4").write_bytes(b"x")
        assert other.has_hint(5.0 if is_heard else 0.3) is is_heard
    finally:
        other.observer.stop()


def test_stopping_leaves_no_thread(listening: Listening) -> None:
    before = threading.active_count()
    begin(listening)
    assert threading.active_count() > before
    listening.observer.stop()
    assert threading.active_count() == before


def test_stopping_leaves_no_thread_when_watchdog_stumbles(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise KeyError("a watch that it forgot")

    before = threading.active_count()
    begin(listening)
    monkeypatch.setattr(listening.threads[0], "_clear_emitters", fail)
    listening.observer.stop()
    assert threading.active_count() == before


# Together with the intake


def test_with_events_a_file_is_taken_long_before_the_next_look(tmp_path: Path) -> None:
    with Watched(tmp_path, rescan_secs=3600.0) as watched:
        watched.settle()
        watched.drop("clip.mp4")
        watched.run(lambda: watched.states() == {"clip.mp4": "queued"})


@pytest.mark.parametrize("trouble", ["instances", "watches"])
def test_without_events_a_file_is_found_by_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    def fail() -> None:
        raise OSError(errno.EMFILE if trouble == "instances" else errno.ENOSPC, "limit")

    monkeypatch.setattr(module, "_build_observer", fail)
    with Watched(tmp_path) as watched:
        watched.settle()
        watched.drop("clip.mp4")
        watched.run(lambda: watched.states() == {"clip.mp4": "queued"})


def test_events_that_get_lost_are_made_up_for_by_the_next_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Observer, "take", lambda self: frozenset[str]())
    with Watched(tmp_path) as watched:
        watched.settle()
        for number in range(50):
            watched.drop(f"{number}.mp4")
        watched.run(lambda: watched.store.counts()[JobState.QUEUED] == 50)


def test_a_watch_folder_that_is_renamed_away_and_back_is_watched_on(tmp_path: Path) -> None:
    with Watched(tmp_path) as watched:
        watched.drop("before.mp4")
        watched.settle()
        os.rename(watched.path, tmp_path / "away")
        watched.run(lambda: watched.intake.away)
        watched.run_for(0.3)
        os.rename(tmp_path / "away", watched.path)
        watched.drop("after.mp4")
        watched.run(lambda: len(watched.jobs(JobState.QUEUED)) == 2)
        assert watched.states() == {"before.mp4": "queued", "after.mp4": "queued"}
