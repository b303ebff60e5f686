"""The `jobs` commands look at the table and change it, with or without a watch; people and programs can read them."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobs.errors import JobNotFoundError, StoreError
from jobs.health import LOCK_NAME, FolderHealth, Heartbeat
from jobs.job import JobState
from jobs.locks import FileLock
from run import cli

from .made_jobs import Folders

ROOT = Path(__file__).parents[2]


def call(made: Folders, *arguments: str, as_json: bool = False) -> Result:
    """Run `jobs ... -o OUT`; what it raises is raised here."""
    command = [*(["--json"] if as_json else []), "jobs", *arguments, "-o", str(made.out)]
    return CliRunner().invoke(cli, command, catch_exceptions=False, standalone_mode=False)


def answer(made: Folders, *arguments: str) -> dict[str, object]:
    return json.loads(call(made, *arguments, as_json=True).stdout)


def test_a_list_has_one_line_a_job_and_says_how_it_stands(made: Folders) -> None:
    made.do(made.job("a.mp4"))
    made.fail(made.job("[b].mp4"), "there is no picture in it.")
    lines = call(made, "list").stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [["1", "done", "a.mp4"], ["2", "failed", "[b].mp4"]]
    assert "there is no picture in it." in lines[2]
    assert lines[-1] == "1 done, 1 failed; no watch is running."


def test_names_with_control_characters_stay_on_their_line(made: Folders) -> None:
    made.drop("a\n\u202eb.mp4", "x")
    lines = call(made, "list").stdout.splitlines()
    assert len(lines) == 3
    assert r"a\x0a\u202eb.mp4" in lines[1]


def test_in_a_pipe_no_name_is_cut(made: Folders) -> None:
    made.job(f"{'long' * 50}.mp4")
    assert f"{'long' * 50}.mp4" in call(made, "list").stdout


def test_on_a_terminal_of_80_columns_no_line_is_longer(made: Folders) -> None:
    made.fail(
        made.job(f"{'long' * 50}.mp4"), "a reason that takes a little more than one line of a terminal needs room."
    )
    script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm"}
    command = [sys.executable, "-c", script, sys.executable, str(ROOT / "run.py"), "jobs", "list", "-o", str(made.out)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True, timeout=60
    )
    plain = [line.split("\x1b[0m")[-1] if "\x1b" in line else line for line in done.stdout.splitlines()]
    assert plain
    assert max(map(len, plain)) <= 80


def test_a_list_can_be_narrowed(made: Folders) -> None:
    made.do(made.job("a.mp4"))
    made.fail(made.job("b.mp4"))
    made.job("c.mp4")
    assert [each["id"] for each in answer(made, "list", "--state", "failed", "--state", "queued")["jobs"]] == [3, 2]  # type: ignore[attr-defined]
    assert [each["id"] for each in answer(made, "list", "--limit", "1")["jobs"]] == [3]  # type: ignore[attr-defined]
    assert answer(made, "list", "--folder", str(made.root))["jobs"] == []


def test_a_list_for_programs_also_has_the_counts(made: Folders) -> None:
    made.do(made.job("a.mp4"))
    told = answer(made, "list")
    assert told["counts"]["done"] == 1  # type: ignore[index]
    assert told["paused"] is False
    assert told["watching"] is False


def test_one_job_is_shown_with_its_history_and_report(made: Folders) -> None:
    made.do(made.job("a.mp4"))
    text = call(made, "show", "1").stdout
    assert str(made.out / "a.mp4") in text
    assert "publishing -> done" in text
    assert "frames              7" in text
    told = answer(made, "show", "1")
    assert [move["after"] for move in told["history"]] == ["settling", "queued", "running", "publishing", "done"]  # type: ignore[attr-defined]
    assert told["report"]["frames"] == 7  # type: ignore[index]


def test_a_job_that_is_not_there_is_said_so(made: Folders) -> None:
    with pytest.raises(JobNotFoundError, match="there is no job 7; `jobs list` shows all"):
        call(made, "show", "7")


def test_failed_jobs_are_queued_again_by_number_or_all_at_once(made: Folders) -> None:
    for name in "ab":
        made.fail(made.job(f"{name}.mp4"))
    assert call(made, "retry", "1").stdout == "job 1 queued again.\n"
    assert answer(made, "retry", "--failed") == {"jobs": [2], "errors": {}}
    assert made.store.counts()[JobState.QUEUED] == 2


def test_one_that_cannot_be_changed_does_not_keep_others_from_it(made: Folders) -> None:
    made.fail(made.job("a.mp4"))
    result = call(made, "retry", "9", "1")
    assert "there is no job 9" in result.stderr
    assert result.return_value == 1
    assert made.store.get(1).state is JobState.QUEUED


def test_whoever_names_no_job_is_told_how_to(made: Folders) -> None:
    result = CliRunner().invoke(cli, ["jobs", "cancel", "-o", str(made.out)])
    assert result.exit_code == 2
    assert "--all-queued" in result.stderr


def test_jobs_that_wait_are_cancelled_at_once_and_those_at_work_only_by_number(made: Folders) -> None:
    running = made.claim(made.job("a.mp4"))
    made.job("b.mp4")
    made.sight(Path(made.inbox / "a.mp4").rename(made.inbox / "c.mp4"))
    assert answer(made, "cancel", "--all-queued")["jobs"] == [2, 3]
    assert made.store.is_mine(running)
    call(made, "cancel", "1")
    assert not made.store.is_mine(running)
    assert (made.inbox / "b.mp4").exists()


def test_pausing_lets_nothing_be_claimed_until_resumed(made: Folders) -> None:
    made.job("a.mp4")
    call(made, "pause")
    assert made.store.claim("worker") is None
    assert "paused" in call(made, "list").stdout
    call(made, "resume")
    assert made.store.claim("worker") is not None


def test_pausing_one_job_holds_only_that(made: Folders) -> None:
    made.job("a.mp4")
    made.job("b.mp4")
    call(made, "pause", "1")
    assert "held" in call(made, "list").stdout
    claimed = made.store.claim("worker")
    assert claimed is not None
    assert claimed.id == 2
    call(made, "resume", "1")
    assert made.store.claim("worker") is not None


def test_old_jobs_whose_sources_are_gone_are_forgotten_with_their_thumbnails(made: Folders) -> None:
    for name in "ab":
        made.store.note_aftermath(made.do(made.job(f"{name}.mp4")))
    (made.inbox / "a.mp4").unlink()
    (made.state / "thumbnails").mkdir()
    for name in ("1-after.jpg", "2-after.jpg"):
        (made.state / "thumbnails" / name).touch()
    assert answer(made, "purge", "--older-than", "30d") == {"purged": 0}
    assert answer(made, "purge", "--older-than", "0s") == {"purged": 1}
    assert [path.name for path in (made.state / "thumbnails").iterdir()] == ["2-after.jpg"]


def test_an_age_needs_a_unit(made: Folders) -> None:
    result = CliRunner().invoke(cli, ["jobs", "purge", "--older-than", "30", "-o", str(made.out)])
    assert '"30" is no duration; write one like 90s' in result.stderr


def test_everything_can_be_taken_out(made: Folders) -> None:
    made.do(made.job("a,b.mp4"))
    records = json.loads(call(made, "export").stdout)["jobs"]
    assert [move["after"] for move in records[0]["moves"]][-1] == "done"
    rows = list(csv.DictReader(io.StringIO(call(made, "export", "--format", "csv").stdout)))
    assert [(row["state"], row["source"]) for row in rows] == [("done", str(made.inbox / "a,b.mp4"))]


def test_health_is_the_exit_code(made: Folders) -> None:
    result = call(made, "health")
    assert result.return_value == 1
    assert "no watch is running" in result.stdout
    with FileLock(made.state / LOCK_NAME):
        Heartbeat(made.state).beat("watching", [FolderHealth(str(made.inbox), True)], counts={"done": 2})
        result = call(made, "health")
        assert result.return_value == 0
        assert result.stdout.startswith("well: watching 1 folders")
        assert answer(made, "health")["healthy"] is True


class TestTable:
    def test_is_the_only_one_around_if_none_is_named(self, made: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(made.root)
        result = CliRunner().invoke(cli, ["jobs", "list"], catch_exceptions=False)
        assert "no jobs yet" in result.stdout

    def test_has_to_be_named_where_there_are_several(self, made: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
        Folders(made.root / "more").store.close()
        (made.root / "more" / "out").rename(made.root / "out2")
        monkeypatch.chdir(made.root)
        with pytest.raises(StoreError, match="several job tables"):
            CliRunner().invoke(cli, ["jobs", "list"], catch_exceptions=False, standalone_mode=False)

    def test_that_is_not_there_is_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"there is no job table .*name the output folder"):
            CliRunner().invoke(
                cli, ["jobs", "list", "-o", str(tmp_path)], catch_exceptions=False, standalone_mode=False
            )
        assert list(tmp_path.iterdir()) == []

    def test_can_lie_apart_from_the_results(self, made: Folders) -> None:
        result = CliRunner().invoke(cli, ["jobs", "list", "--state-dir", str(made.state)], catch_exceptions=False)
        assert "no jobs yet" in result.stdout
