"""Processes that read pictures ahead end with the run, however it ends, and say nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.training_folders import write_data

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys, time
from pathlib import Path
from trainer.config import TrainConfig
from trainer.data import TrainingData

if __name__ == "__main__":
    root = Path(sys.argv[1])
    values = {"data": {"workers": 2}, "networks": {"image_size_px": 32}, "run": {"steps": 100000}}
    data = TrainingData(root, TrainConfig.from_dict(values, source="test"), cache_dir=root / "cache")
    batches = data.batches()
    next(batches)
    try:
        print("running", flush=True)
        for _ in batches:
            time.sleep(0.01)
    except KeyboardInterrupt:
        print(next(data.batches(3))[0].a.real.shape[0], flush=True)
        print("saved", flush=True)
    batches.close()
    print("closed", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="sends signals to a process group")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_reading_process_and_no_traceback(tmp_path: Path, number: signal.Signals) -> None:
    # Given a run with reading processes, in a process group as a terminal makes one
    root = write_data(tmp_path / "data")
    command = [sys.executable, "-W", "error", "-c", SCRIPT, str(root)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    run = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes)
    assert run.stdout is not None
    assert run.stdout.readline() == "running\n"

    # When Ctrl-C reaches the whole group, or the training process alone is killed
    if number == signal.SIGINT:
        os.killpg(run.pid, number)
    else:
        run.kill()
    output, errors = run.communicate(timeout=60)

    # Then it ends quietly, and all others with it
    assert errors == ""
    assert output == ("1\nsaved\nclosed\n" if number == signal.SIGINT else "")
    for _ in range(150):
        if not is_group_alive(run.pid):
            return
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGKILL)
    pytest.fail("reading processes are still there after 15 s")


def is_group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
