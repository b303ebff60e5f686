import json
import logging
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trainer.errors import OutOfSpaceError
from trainer.journal import LOG_NAME, Journal, read_log
from trainer.previews import draw_heatmap


def events_of(run_dir: Path, tag: str) -> dict[int, float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(run_dir))
    board.Reload()
    return {event.step: event.value for event in board.Scalars(tag)}


def test_log_board_and_log_line_tell_the_same_numbers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trainer.journal")
    with Journal(tmp_path) as journal:
        journal.tick(50, {"loss/cycle_a2b": 1.25, "rate/learning_rate": 1e-4})
    assert list(read_log(tmp_path / LOG_NAME)) == [{"step": 50, "loss/cycle_a2b": 1.25, "rate/learning_rate": 1e-4}]
    assert events_of(tmp_path, "loss/cycle_a2b") == {50: 1.25}
    assert "Step 50: loss/cycle_a2b 1.25, rate/learning_rate 0.0001." in caplog.messages


def test_what_is_not_finite_is_null_in_the_log_and_missing_on_the_board(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.tick(1, {"loss/total": math.nan, "loss/other": math.inf})
        journal.tick(2, {"loss/total": 3.0})

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    lines = (tmp_path / LOG_NAME).read_text().splitlines()
    assert [json.loads(line, parse_constant=refuse) for line in lines] == [
        {"step": 1, "loss/total": None, "loss/other": None},
        {"step": 2, "loss/total": 3.0},
    ]
    assert events_of(tmp_path, "loss/total") == {2: 3.0}


def test_a_resumed_run_drops_what_it_will_do_again(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        for step in (10, 20, 30):
            journal.tick(step, {"loss/total": float(step)})
    with Journal(tmp_path, start_step=20) as journal:
        journal.tick(30, {"loss/total": -30.0})
    assert [entry["loss/total"] for entry in read_log(tmp_path / LOG_NAME)] == [10.0, 20.0, -30.0]
    assert events_of(tmp_path, "loss/total") == {10: 10.0, 20: 20.0, 30: -30.0}


def test_a_line_cut_off_by_a_crash_does_not_stop_the_next_run(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.tick(10, {"loss/total": 1.0})
    with (tmp_path / LOG_NAME).open("a") as file:
        file.write('{"step": 20, "loss/to')
    with Journal(tmp_path, start_step=20) as journal:
        journal.tick(30, {"loss/total": 3.0})
    assert [entry["step"] for entry in read_log(tmp_path / LOG_NAME)] == [10, 30]


def test_pictures_are_shown_on_the_board(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Journal(tmp_path) as journal:
        journal.picture("preview", np.zeros((8, 6, 3), np.uint8), 5)
    board = EventAccumulator(str(tmp_path))
    board.Reload()
    assert [(event.step, event.width, event.height) for event in board.Images("preview")] == [(5, 6, 8)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told_with_what_is_still_whole(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        (tmp_path / LOG_NAME).symlink_to("/dev/full")
        with pytest.raises(OutOfSpaceError, match="snapshots made so far are whole"):
            journal.tick(1, {"loss/total": 1.0})


def test_importing_the_journal_imports_no_tensorboard() -> None:
    code = "import sys, trainer.journal, trainer.previews; print({'tensorboard', 'matplotlib'} & sys.modules.keys())"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("value", [0.0, 7.5, math.nan, math.inf])
def test_a_heat_map_without_differences_is_cold_everywhere(value: float) -> None:
    picture = np.full((16, 16, 3), 100, np.uint8)
    drawn = draw_heatmap(picture, np.full((4, 4), value, np.float32))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == 1
    red, _, blue = (int(level) for level in drawn[0, 0])
    assert blue > red
