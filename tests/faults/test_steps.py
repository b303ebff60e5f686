"""Row 2: whoever is killed at any step of the protocol, the job is done once in the end. All steps are tried."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs import fault_points
from jobs.fault_points import FAULT_POINTS
from jobs.selftest.victims import Victim, kill
from tests.faults import one_job
from tests.faults.watching import Watch

ROOM = Path(fault_points.__file__).parent


def test_row_02_the_list_of_steps_is_the_steps_that_are_in_the_code() -> None:
    sources = [path.read_text(encoding="utf-8") for path in ROOM.rglob("*.py")]
    assert {name for source in sources for name in re.findall(r'reach\("([a-z:_]+)"\)', source)} == set(FAULT_POINTS)


def provoke(shared: Watch, point: str, name: str) -> None:
    """Make somebody come along a point: most are on the way of every job."""
    if point.startswith("release"):
        shared.shim("exit 1")
    if point.startswith("recover"):
        shared.shim("hang")
        shared.drop(name)
        shared.until(shared.is_shim_read, "an ffmpeg that hangs")
        kill(shared.pids(Victim.WORKER))
        return
    shared.drop(name)
    if point == "aftermath:linked":
        (shared.inbox / f"same-{name}").write_bytes((shared.inbox / name).read_bytes())


def daemons(point: str) -> bool:
    """Tell whether only a daemon comes along a point."""
    return point.startswith(("intake:", "aftermath:"))


CASES = [pytest.param(point, marks=[] if daemons(point) else [pytest.mark.slow]) for point in FAULT_POINTS]


@pytest.mark.parametrize("point", CASES)
def test_row_02_a_process_that_dies_at_any_step_costs_nothing(shared: Watch, point: str) -> None:
    shared.ensure_running()
    shared.until(lambda: bool(shared.pids(Victim.WORKER)), "a worker")
    name = f"{point.replace(':', '-')}.mp4"
    shared.fault.write_text(point)

    provoke(shared, point, name)
    shared.until(lambda: not shared.fault.exists(), f"a death at {point}")
    shared.daemon.wait_for(lambda: not shared.daemon.is_running, 0.3)
    shared.ensure_running()

    shared.until((shared.out / name).exists, f"the result after a death at {point}")
    shared.until_through()


@pytest.mark.parametrize("point", [point for point in FAULT_POINTS if not daemons(point)])
def test_row_02_a_worker_that_dies_at_any_step_leaves_nothing_half_done(point: str, tmp_path: Path) -> None:
    one_job.prepare(tmp_path / "job")
    if point.startswith("recover"):
        assert run_killed_at("work:finished", tmp_path / "job") == -signal.SIGKILL
    assert run_killed_at(point, tmp_path / "job") == -signal.SIGKILL
    one_job.assert_legal(tmp_path / "job")


def run_killed_at(point: str, folder: Path) -> int:
    environment = os.environ | {"UGATIT_FAULT_AT": point, one_job.FAILS: "1" if point.startswith("release") else ""}
    command = [sys.executable, "-m", "tests.faults.one_job", str(folder)]
    return subprocess.run(command, cwd=ROOM.parent, env=environment, capture_output=True, check=False).returncode
