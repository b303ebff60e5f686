"""After a job its source goes where the user wants it, equal sources get their result, commands run: at least once."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs import hooks
from jobs.aftermath import Aftermath
from jobs.disposal import stamp_of
from jobs.fault_points import FAULT_POINTS
from jobs.job import Job, JobKind, Link

from .made_jobs import Folders


def job(made: Folders, name: str, content: str = "", **treatment: object) -> Job:
    dropped = made.drop(name, content, **treatment)
    assert isinstance(dropped, Job)
    return dropped


def run(made: Folders, is_away: Callable[[str], bool] = lambda name: False) -> Aftermath:
    """Run until nothing is to be done any more."""
    aftermath = Aftermath(made.store, is_away)
    until = time.monotonic() + 20
    while not aftermath.is_idle and time.monotonic() < until:
        if not aftermath.tick():
            time.sleep(0.01)
    return aftermath


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestSource:
    def test_is_kept_unless_asked_otherwise(self, made: Folders) -> None:
        made.do(job(made, "a.mp4"))
        run(made)
        assert names(made.inbox) == ["a.mp4"]
        assert not made.store.unfinished_aftermath()

    def test_moves_to_done_with_its_sidecar_and_the_table_knows(self, made: Folders) -> None:
        done = made.do(job(made, "toon/a.mp4", after="move")) if (made.out / "toon").mkdir() is None else None
        (made.inbox / "toon" / "a.mp4.toml").write_text("crf = 20")
        run(made)
        assert names(made.inbox) == ["done/toon/a.mp4", "done/toon/a.mp4.toml"]
        assert done is not None
        assert made.store.get(done.id).source == made.inbox / "done" / "toon" / "a.mp4"

    def test_takes_the_next_number_where_done_has_one_of_its_name(self, made: Folders) -> None:
        (made.inbox / "done").mkdir()
        (made.inbox / "done" / "a.mp4").write_text("an older one")
        made.do(job(made, "a.mp4", after="move"))
        run(made)
        assert names(made.inbox) == ["done/a-2.mp4", "done/a.mp4"]
        assert (made.inbox / "done" / "a.mp4").read_text() == "an older one"

    def test_is_deleted_with_its_sidecar(self, made: Folders) -> None:
        made.do(job(made, "a.mp4", after="delete"))
        (made.inbox / "a.mp4.toml").write_text("crf = 20")
        run(made)
        assert names(made.inbox) == []

    @pytest.mark.parametrize("after", ["move", "delete"])
    def test_stays_when_it_is_not_what_was_worked_on(self, made: Folders, after: str) -> None:
        made.do(job(made, "a.mp4", after=after))
        (made.inbox / "a.mp4").write_text("somebody's new film")
        run(made)
        assert (made.inbox / "a.mp4").read_text() == "somebody's new film"

    def test_that_failed_moves_to_failed_and_a_text_says_why(self, made: Folders) -> None:
        failed = made.fail(job(made, "a.mp4"), "there is no picture in it.")
        run(made)
        assert names(made.inbox) == ["failed/a.mp4", "failed/a.mp4.reason.txt"]
        text = (made.inbox / "failed" / "a.mp4.reason.txt").read_text()
        assert text.startswith("there is no picture in it.")
        assert f"jobs retry {failed.id}" in text

    def test_that_failed_stays_if_it_shall(self, made: Folders) -> None:
        made.fail(job(made, "a.mp4", after_failure="keep"))
        run(made)
        assert names(made.inbox) == ["a.mp4"]

    def test_that_failed_and_then_succeeded_leaves_failed_without_a_reason(self, made: Folders) -> None:
        failed = made.fail(job(made, "a.mp4", after="move"))
        run(made)
        again = made.store.retry(failed.id)
        made.do(again)
        run(made)
        assert names(made.inbox) == ["done/a.mp4"]

    def test_of_a_cancelled_job_stays(self, made: Folders) -> None:
        made.store.cancel(job(made, "a.mp4", after="delete").id)
        run(made)
        assert names(made.inbox) == ["a.mp4"]
        assert not made.store.unfinished_aftermath()

    def test_of_a_folder_that_is_away_waits(self, made: Folders) -> None:
        made.do(job(made, "a.mp4", after="move"))
        run(made, is_away=lambda name: True)
        assert names(made.inbox) == ["a.mp4"]
        run(made)
        assert names(made.inbox) == ["done/a.mp4"]

    def test_that_cannot_be_moved_is_said_once_and_tried_again_ever_less_often(
        self, made: Folders, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        now = [1000.0]
        monkeypatch.setattr("jobs.aftermath.boot_secs", lambda: now[0])
        monkeypatch.setattr("jobs.disposal.rename_no_replace", _refuse)
        made.do(job(made, "a.mp4", after="move"))
        aftermath = Aftermath(made.store, lambda name: False)
        tries = []
        for _ in range(150):
            now[0] += 1
            if aftermath.tick():
                tries.append(now[0])
        assert [round(later - tries[0]) for later in tries] == [0, 15, 45, 105]
        assert caplog.text.count("no links here") == 1
        monkeypatch.undo()
        run(made)
        assert names(made.inbox) == ["done/a.mp4"]

    def test_that_is_gone_already_is_nobodys_trouble(self, made: Folders) -> None:
        done = made.do(job(made, "a.mp4", after="delete"))
        done.source.unlink()
        run(made)
        assert not made.store.unfinished_aftermath()

    def test_is_found_again_when_the_daemon_died_after_moving_it(self, made: Folders) -> None:
        done = made.do(job(made, "a.mp4", after="move"))
        (made.inbox / "done").mkdir()
        done.source.rename(made.inbox / "done" / "a.mp4")
        run(made)
        assert made.store.get(done.id).source == made.inbox / "done" / "a.mp4"

    def test_has_one_name_in_the_end_when_the_daemon_died_between_two(self, made: Folders) -> None:
        done = made.do(job(made, "a.mp4", after="move"))
        (made.inbox / "done").mkdir()
        os.link(done.source, made.inbox / "done" / "a.mp4")
        made.store.restamp(done, stamp_of(done.source))
        made.store.move_source(done, done.source, stamp_of(done.source))
        run(made)
        assert names(made.inbox) == ["done/a.mp4"]


class TestFolder:
    @pytest.fixture
    def album(self, made: Folders) -> Path:
        folder = made.inbox / "album"
        folder.mkdir()
        for name in ("1.jpg", "2.jpg"):
            (folder / name).write_text(name)
        return folder

    def accepted(self, made: Folders, album: Path, after: str) -> None:
        made.accept(album, JobKind.FOLDER, "of the album", after=after)
        made.do(made.store.get(1))

    def test_of_pictures_moves_as_a_whole(self, made: Folders, album: Path) -> None:
        self.accepted(made, album, "move")
        run(made)
        assert names(made.inbox) == ["done/album/1.jpg", "done/album/2.jpg"]

    def test_of_pictures_is_deleted_but_for_what_nobody_looked_at(self, made: Folders, album: Path) -> None:
        (album / "notes.txt").write_text("mine")
        self.accepted(made, album, "delete")
        run(made)
        assert names(made.inbox) == ["album/notes.txt"]

    def test_into_which_a_picture_came_stays(self, made: Folders, album: Path) -> None:
        self.accepted(made, album, "delete")
        (album / "3.jpg").write_text("new")
        run(made)
        assert names(made.inbox) == ["album/1.jpg", "album/2.jpg", "album/3.jpg"]


class TestLink:
    def linked(self, made: Folders, **treatment: object) -> tuple[Job, Link]:
        first = job(made, "a.mp4", "the same", **treatment)
        second = made.drop("b.mp4", "the same", **treatment)
        assert isinstance(second, Link)
        return first, second

    def test_gives_an_equal_source_the_result_under_its_own_name(self, made: Folders) -> None:
        first, second = self.linked(made)
        made.do(first)
        run(made)
        assert (made.out / "b.mp4").samefile(made.out / "a.mp4")
        report = json.loads((made.out / "b.report.json").read_text())
        assert report == {"input": str(second.source), "output": str(made.out / "b.mp4"), "frames": 7}
        assert not made.store.links(pending=True)
        assert not (made.state / "jobs").exists() or not list((made.state / "jobs").iterdir())

    def test_moves_the_equal_source_too(self, made: Folders) -> None:
        first, _ = self.linked(made, after="move")
        made.do(first)
        run(made)
        assert names(made.inbox) == ["done/a.mp4", "done/b.mp4"]

    def test_never_replaces_a_foreign_file(self, made: Folders) -> None:
        first, _ = self.linked(made)
        (made.out / "b.mp4").write_text("somebody's")
        made.do(first)
        run(made)
        assert (made.out / "b.mp4").read_text() == "somebody's"
        assert (made.out / "b-2.mp4").samefile(made.out / "a.mp4")

    def test_made_twice_is_made_once(self, made: Folders) -> None:
        from jobs.linking import link_result

        first, second = self.linked(made)
        done = made.do(first)
        assert link_result(done, second) == link_result(done, second) == made.out / "b.mp4"
        assert names(made.out).count("b.mp4") == 1

    def test_copies_where_no_link_can_be(self, made: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
        from jobs.linking import link_result

        first, second = self.linked(made)
        done = made.do(first)
        monkeypatch.setattr("os.link", _refuse)
        assert link_result(done, second).read_text() == (made.out / "a.mp4").read_text()
        assert not (made.out / "b.mp4").samefile(made.out / "a.mp4")

    def test_of_a_failed_job_sends_the_equal_source_to_failed(self, made: Folders) -> None:
        first, _ = self.linked(made)
        made.fail(first)
        run(made)
        assert names(made.inbox) == [
            "failed/a.mp4",
            "failed/a.mp4.reason.txt",
            "failed/b.mp4",
            "failed/b.mp4.reason.txt",
        ]

    def test_whose_result_was_taken_away_has_it_made_again(
        self, made: Folders, caplog: pytest.LogCaptureFixture
    ) -> None:
        first, _ = self.linked(made)
        done = made.do(first)
        (made.out / "a.mp4").unlink()
        run(made)
        assert made.store.get(done.id).state == "queued"
        assert "is gone" in caplog.text


def _refuse(*_: object, **__: object) -> None:
    raise OSError(1, "no links here")


SAY = (
    "import os, sys, json; json.dump([sys.argv[2:], {k: v for k, v in os.environ.items() if 'UGATIT_JOB' in k}],"
    " open(sys.argv[1], 'w'))"
)


class TestCommand:
    def test_gets_its_placeholders_and_variables(self, made: Folders) -> None:
        said = made.root / "said.json"
        command = (
            sys.executable,
            "-c",
            SAY,
            str(said),
            "{input}",
            "to {output}",
            "{report}",
            "{id}{state}",
            "{nothing}",
        )
        made.do(job(made, "{id} $(x).mp4", after="move", on_done=command))
        run(made)
        arguments, variables = json.loads(said.read_text())
        moved, output = made.inbox / "done" / "{id} $(x).mp4", made.out / "{id} $(x).mp4"
        report = made.out / "{id} $(x).report.json"
        assert arguments == [str(moved), f"to {output}", str(report), "1done", "{nothing}"]
        assert variables["UGATIT_JOB_OUTPUT"] == str(output)

    def test_for_failures_is_another_one(self, made: Folders) -> None:
        said = made.root / "said.json"
        made.fail(job(made, "a.mp4", on_done=("never",), on_failed=(sys.executable, "-c", SAY, str(said), "{state}")))
        run(made)
        arguments, variables = json.loads(said.read_text())
        assert arguments == ["failed"]
        assert variables["UGATIT_JOB_REASON"] == "it is broken."

    def test_that_fails_has_its_last_words_in_the_log_and_the_job_is_done(
        self, made: Folders, caplog: pytest.LogCaptureFixture
    ) -> None:
        command = (sys.executable, "-c", "import sys; print('no such share'); sys.exit(3)")
        made.do(job(made, "a.mp4", on_done=command))
        run(made)
        assert "ended with code 3" in caplog.text
        assert "no such share" in caplog.text
        assert not made.store.unfinished_aftermath()

    def test_that_does_not_exist_is_said_and_nothing_else_happens(
        self, made: Folders, caplog: pytest.LogCaptureFixture
    ) -> None:
        made.do(job(made, "a.mp4", on_done=("/no/such/program",)))
        run(made)
        assert "cannot be started" in caplog.text
        assert not made.store.unfinished_aftermath()

    def test_that_hangs_is_ended_with_all_its_children(self, caplog: pytest.LogCaptureFixture) -> None:
        hook = hooks.Hook(("sh", "-c", "sleep 77 & wait"), {"id": "1"}, limit_secs=0.3)
        until = time.monotonic() + 20
        while not hook.poll() and time.monotonic() < until:
            time.sleep(0.02)
        assert "ran longer than 0.3 s" in caplog.text

    def test_stops_nothing_while_it_runs(self, made: Folders) -> None:
        made.do(job(made, "a.mp4", on_done=("sleep", "30")))
        made.do(job(made, "b.mp4", after="move"))
        aftermath = Aftermath(made.store, lambda name: False)
        aftermath.tick()
        assert names(made.inbox) == ["a.mp4", "done/b.mp4"]
        assert aftermath.is_running
        aftermath.stop()
        assert [left.id for left in made.store.unfinished_aftermath()] == [1]


ONE_AFTERMATH = """
import sys, time
from pathlib import Path
from jobs.aftermath import Aftermath
from jobs.store import open_store

with open_store(Path(sys.argv[1])) as store:
    aftermath = Aftermath(store, lambda name: False)
    while not aftermath.is_idle:
        aftermath.tick()
        time.sleep(0.01)
"""


@pytest.mark.parametrize("point", [point for point in FAULT_POINTS if point.startswith("aftermath:")])
@pytest.mark.parametrize("times", ["1", "2"])
def test_killed_at_any_step_everything_is_done_in_the_end(made: Folders, point: str, times: str) -> None:
    said = made.root / "said"
    command = ("sh", "-c", f'echo "$UGATIT_JOB_INPUT" >> {said}')
    first = job(made, "a.mp4", "the same", after="move", on_done=command)
    made.drop("b.mp4", "the same", after="move", on_done=command)
    made.do(first)
    killed = subprocess.run(
        [sys.executable, "-c", ONE_AFTERMATH, str(made.state / "jobs.sqlite")],
        env=os.environ | {"UGATIT_FAULT_AT": f"{point}:{times}", "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
        timeout=60,
    )
    assert killed.returncode == (0 if (point, times) == ("aftermath:linked", "2") else -9)  # there is one link only
    run(made)
    assert names(made.inbox) == ["done/a.mp4", "done/b.mp4"]
    assert names(made.out)[-3:] == ["a.mp4", "b.mp4", "b.report.json"]
    assert set(said.read_text().split()) == {str(made.inbox / "done" / name) for name in ("a.mp4", "b.mp4")}
    assert not made.store.unfinished_aftermath()
    assert not made.store.links(pending=True)
