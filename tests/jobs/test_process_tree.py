"""Nothing that a worker started goes on without it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from jobs.process_tree import OWNER_VARIABLE, anonymous_bytes, descendants, kill_marked, kill_tree

NESTED = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], start_new_session=True)
print(flush=True)
time.sleep(60)
"""


def eventually(is_reached: Callable[[], object]) -> None:
    end = time.monotonic() + 30.0
    while not is_reached():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child in a session of its own."""
    environment = os.environ | {OWNER_VARIABLE: f"test-{os.getpid()}"}
    process = subprocess.Popen([sys.executable, "-S", "-c", NESTED], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
    kill_marked(f"test-{os.getpid()}")


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return ") Z" not in file.read()


def test_a_tree_is_killed_whatever_group_its_processes_are_in(parent: subprocess.Popen[bytes]) -> None:
    [child] = descendants(parent.pid)
    assert anonymous_bytes(parent.pid) > anonymous_bytes(child) > 0
    kill_tree(parent.pid)
    assert parent.wait(30) == -signal.SIGKILL
    eventually(lambda: not is_there(child))


def test_even_a_tree_that_stands_still_is_killed(parent: subprocess.Popen[bytes]) -> None:
    [child] = descendants(parent.pid)
    os.kill(child, signal.SIGSTOP)
    kill_tree(parent.pid)
    eventually(lambda: not is_there(child))


def test_what_a_dead_worker_left_is_found_by_its_mark(parent: subprocess.Popen[bytes]) -> None:
    [child] = descendants(parent.pid)
    parent.kill()
    parent.wait()
    assert is_there(child)
    assert kill_marked("somebody else") == 0
    assert kill_marked(f"test-{os.getpid()}") == 1
    eventually(lambda: not is_there(child))
