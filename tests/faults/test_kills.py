"""Rows 1, 3, 4, 6, 7, 8: SIGKILL at random moments, and programs that hang. All slow.

Row 7: frames are decoded in the worker itself (PyAV), so the decoder dies with row 1; where ffmpeg decodes, with row 6.
"""

import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from jobs.selftest import victims
from jobs.selftest.judging import COUNTS
from jobs.selftest.trials import Trial, TrialSettings
from jobs.selftest.victims import Victim, kill
from tests.faults.conftest import StartWatch

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("victim", list(Victim))
def test_rows_01_03_04_06_whoever_is_killed_nothing_is_lost(
    victim: Victim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(victims, "WEIGHTS", dict.fromkeys(Victim, 0) | {victim: 1})
    result = Trial(tmp_path, TrialSettings(kills=15, seed=1)).run()
    assert {name: result.judged[name] for name in COUNTS} == dict.fromkeys(COUNTS, 0), result.judged["details"]
    assert Counter(one.victim for one in result.kills)[victim] == 15
    assert set(result.judged["states"]) == {"done"}


def test_row_08_an_ffmpeg_that_hangs_is_noticed_and_ended_with_its_worker(watch: StartWatch) -> None:
    one = watch("--stall-secs", "2")
    one.daemon.start()
    one.shim("hang")
    one.drop("clip.mp4")
    began = time.monotonic()
    one.until_state("clip.mp4", "done")
    assert time.monotonic() - began < 30
    assert one.job("clip.mp4")["attempt"] == 2
    assert any("no progress" in move["reason"] for move in one.daemon.rows("moves"))
    one.end()


def test_row_08_an_ffmpeg_that_was_stopped_is_noticed_too(watch: StartWatch) -> None:
    one = watch("--stall-secs", "2")
    one.daemon.start()
    one.drop("clip.mp4", num_frames=200)
    one.until(lambda: bool(one.pids(Victim.FFMPEG)), "an ffmpeg", 60)
    kill(one.pids(Victim.FFMPEG), signal.SIGSTOP)
    one.until_state("clip.mp4", "done")
    one.end()
