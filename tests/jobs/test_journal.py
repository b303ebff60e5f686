"""The journal says every change of state once, in order, whatever happens to it."""

import json
import logging
from pathlib import Path

import pytest

from jobs.journal import Journal, last_number, log_file

from .made_jobs import Folders


def lines(made: Folders, name: str = "moves.jsonl") -> list[dict[str, object]]:
    return [json.loads(line) for line in (made.state / name).read_text().splitlines()]


def test_every_change_of_state_is_one_line(made: Folders) -> None:
    made.do(made.job("a.mp4"))
    Journal(made.store, made.state).flush()
    assert [line["after"] for line in lines(made)] == ["settling", "queued", "running", "publishing", "done"]
    assert lines(made)[-1]["output"] == str(made.out / "a.mp4")


def test_a_journal_goes_on_where_the_last_one_stopped(made: Folders) -> None:
    Journal(made.store, made.state).flush()
    made.do(made.job("a.mp4"))
    Journal(made.store, made.state).flush()
    made.fail(made.job("b.mp4"))
    Journal(made.store, made.state).flush()
    numbers = [line["number"] for line in lines(made)]
    assert numbers == list(range(1, 10))


def test_a_line_that_was_torn_by_a_kill_is_written_again(made: Folders) -> None:
    made.do(made.job("a.mp4"))
    Journal(made.store, made.state).flush()
    path = made.state / "moves.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    Journal(made.store, made.state).flush()
    whole = [line for line in path.read_text().splitlines() if line.endswith("}")]
    assert json.loads(whole[-1])["after"] == "done"
    assert [json.loads(line)["number"] for line in whole] == [1, 2, 3, 4, 5]


def test_a_large_file_makes_room_and_numbers_go_on(made: Folders) -> None:
    made.do(made.job("a.mp4"))
    Journal(made.store, made.state, max_bytes=10).flush()
    made.fail(made.job("b.mp4"))
    Journal(made.store, made.state, max_bytes=10).flush()
    assert [line["number"] for line in lines(made, "moves.jsonl.1")] == [1, 2, 3, 4, 5]
    assert lines(made)[0]["number"] == 6


def test_the_last_number_is_found_in_the_file_before_an_empty_one(made: Folders) -> None:
    made.do(made.job("a.mp4"))
    Journal(made.store, made.state).flush()
    path = made.state / "moves.jsonl"
    path.rename(made.state / "moves.jsonl.1")
    assert last_number(path) == 5


def test_what_cannot_be_written_is_written_later(made: Folders) -> None:
    journal = Journal(made.store, made.state / "away")
    made.do(made.job("a.mp4"))
    with pytest.raises(OSError, match="No such file"):
        journal.tick()
    (made.state / "away").mkdir()
    assert journal.tick() == 5


def test_failures_of_earlier_runs_are_not_this_ones(made: Folders) -> None:
    first = made.job("a.mp4")
    made.fail(first)
    journal = Journal(made.store, made.state)
    journal.begin()
    assert not journal.failed
    second = made.job("b.mp4")
    made.fail(second)
    journal.flush()
    assert journal.failed == {second.id}
    made.store.retry(second.id)
    journal.flush()
    assert not journal.failed


def test_the_log_file_tells_what_the_terminal_does_not(made: Folders, tmp_path: Path) -> None:
    made.do(made.job("a.mp4"))
    with log_file(tmp_path / "watch.log"):
        Journal(made.store, made.state).flush()
        logging.getLogger("somebody.else").info("nothing for us")
    text = (tmp_path / "watch.log").read_text()
    assert f'job 1 "a.mp4" is done as "{made.out / "a.mp4"}"' in text
    assert "nothing for us" not in text


def test_names_that_are_no_text_do_not_stop_the_journal(made: Folders, tmp_path: Path) -> None:
    made.drop("\udcff\n.mp4", "x")
    with log_file(tmp_path / "watch.log"):
        Journal(made.store, made.state).flush()
    assert '"\\udcff\\x0a.mp4" is queued' in (tmp_path / "watch.log").read_text()
    assert lines(made)[0]["source"] == str(made.inbox / "\udcff\n.mp4")
