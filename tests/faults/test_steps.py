"""Row 2: whoever is killed at any step of the protocol, the job is done once in the end. All steps are tried."""

import re
from pathlib import Path

import pytest

from jobs import fault_points
from jobs.fault_points import FAULT_POINTS
from jobs.selftest.victims import Victim, kill
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
        shared.until_state(name, "running")
        kill(shared.pids(Victim.WORKER))
        return
    shared.drop(name)
    if point == "aftermath:linked":
        same = shared.inbox / name
        (shared.inbox / f"same-{name}").write_bytes(same.read_bytes())


@pytest.mark.parametrize("point", FAULT_POINTS)
def test_row_02_a_process_that_dies_at_any_step_costs_nothing(shared: Watch, point: str) -> None:
    shared.ensure_running()
    shared.until(lambda: bool(shared.pids(Victim.WORKER)), "a worker")
    name = f"{point.replace(':', '-')}.mp4"
    shared.fault.write_text(point)

    provoke(shared, point, name)
    shared.until(lambda: not shared.fault.exists(), f"a death at {point}")
    shared.daemon.wait_for(lambda: not shared.daemon.is_running, 0.3)
    shared.ensure_running()

    shared.until_state(name, "done")
