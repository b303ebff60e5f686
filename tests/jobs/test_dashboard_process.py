"""The status page as a process: it listens where it was told, ends when it should, and is no burden."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from jobs.cli_dashboard import start_dashboard
from jobs.errors import DashboardError
from jobs.store import open_store
from tests.jobs.rows import queued

ROOT = Path(__file__).parents[2]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    with open_store(tmp_path / "jobs.sqlite") as store:
        queued(store, "clip.mp4")
    return tmp_path


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def page(state: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = start_dashboard(state, f":{port}")
    try:
        until(lambda: answers(port))
        yield process
    finally:
        process.kill()
        process.wait()


def until(is_so: Callable[[], bool], secs: float = 30) -> None:
    end = time.monotonic() + secs
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    except httpx.TransportError:
        return False


def test_the_daemon_s_page_serves_and_ends_at_once_though_somebody_listens(
    page: subprocess.Popen[bytes], port: int
) -> None:
    assert httpx.get(f"http://127.0.0.1:{port}/api/jobs").json()["counts"]["queued"] == 1
    with httpx.stream("GET", f"http://127.0.0.1:{port}/events", timeout=20) as news:
        next(news.iter_bytes())
        page.send_signal(signal.SIGTERM)
        assert page.wait(20) == 0


def test_the_page_holds_no_networks_and_no_decoders(page: subprocess.Popen[bytes]) -> None:
    if not Path("/proc/self/maps").exists():
        pytest.skip("no /proc")
    loaded = Path(f"/proc/{page.pid}/maps").read_text()
    assert not [name for name in ("libtorch", "cv2", "/av/") if name in loaded]


def test_other_machines_cannot_reach_it_unless_asked_for(page: subprocess.Popen[bytes], port: int) -> None:
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", port), timeout=2):  # noqa: PT011
        pass


def test_the_command_tells_programs_its_address_and_a_token_that_opens_it(state: Path) -> None:
    command = [sys.executable, "run.py", "--json", "dashboard", "--state", os.fspath(state), "--bind", "0.0.0.0:0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        assert httpx.get(told["address"]).status_code == 401
        assert httpx.get(told["address"], headers={"authorization": f"Bearer {told['token']}"}).status_code == 200
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
        assert server.stderr is not None
        assert server.stderr.read() == "Other machines can reach it, and what it sends is not encrypted.\n"


def test_the_command_names_the_table_that_is_not_there(tmp_path: Path) -> None:
    command = [sys.executable, "run.py", "dashboard", "-o", os.fspath(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 15
    assert f'there is no job table "{tmp_path}/.ugatit/jobs.sqlite"' in ended.stderr


def test_the_page_ends_with_the_daemon_that_is_killed(state: Path, port: int) -> None:
    code = f"from jobs.cli_dashboard import start_dashboard as s; from pathlib import Path; import time; \
        print(s(Path({os.fspath(state)!r}), ':{port}').pid, flush=True); time.sleep(60)"
    daemon = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    with daemon:
        assert daemon.stdout is not None
        page = int(daemon.stdout.readline())
        until(lambda: answers(port))
        daemon.kill()
    until(lambda: not is_alive(page))


def is_alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_an_address_that_is_none_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    with pytest.raises(DashboardError, match='"nonsense"'):
        start_dashboard(tmp_path, "nonsense")


def test_a_port_that_is_taken_is_told_in_one_line(state: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "jobs.dashboard", "--state", os.fspath(state), "--bind", f":{port}"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f'Error: cannot listen on "127.0.0.1:{port}": something else does already')
