"""Rows 3, 5, 28: one daemon at a time, and what it has begun it or its successor ends."""

import signal
import subprocess

import pytest

from jobs.selftest.daemon import program
from jobs.selftest.victims import processes
from tests.faults.conftest import StartWatch
from tests.faults.watching import Watch


def test_row_28_a_second_daemon_on_the_same_folder_refuses(shared: Watch) -> None:
    shared.ensure_running()
    shared.until(lambda: (shared.daemon.state / "jobs.sqlite").exists(), "the first one")
    command = [*program(), "watch", str(shared.inbox), "-o", str(shared.out), "--style", "rehearsal"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode not in (0, 1)
    assert "watch" in second.stderr
    assert shared.daemon.is_running


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_row_05_a_signal_drains_in_time_and_the_next_daemon_goes_on(watch: StartWatch, number: int) -> None:
    one = watch(UGATIT_REHEARSAL="slow:0.02")
    one.daemon.start()
    one.drop("clip.mp4", num_frames=120)
    one.until_state("clip.mp4", "running")

    one.daemon.signal(number)
    assert one.daemon.wait(30) == 0
    assert one.state("clip.mp4") in ("queued", "done")

    one.daemon.start()
    one.until_through()
    one.end()


@pytest.mark.slow
def test_row_03_workers_end_with_a_daemon_that_is_killed(watch: StartWatch) -> None:
    one = watch(UGATIT_REHEARSAL="slow:0.02")
    one.daemon.start()
    one.drop("clip.mp4", num_frames=150)
    one.until_state("clip.mp4", "running")
    one.daemon.signal(signal.SIGKILL)
    one.until(lambda: not processes(one.daemon.marker), "the end of all that the daemon had started", 5)

    one.daemon.start()
    one.until_through()
    assert one.job("clip.mp4")["attempt"] == 2
    one.end()
