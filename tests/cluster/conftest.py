"""A real Ray cluster of two nodes on loopback, one CPU each; what tests break is mended before the next one."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

ROOT = Path(__file__).parents[2]
HEAD_IP, SECOND_IP = "127.0.0.2", "127.0.0.3"
SLOWNESS = "slow:0.02"
"""Of the rehearsal on the nodes: long enough to be killed in the middle of a chunk."""

T = TypeVar("T")

logging.getLogger("ray").setLevel(logging.WARNING)


def processes_with(mark: bytes) -> list[int]:
    """Processes that have a mark in their environment or on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes() or mark in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def processes_writing_to(folder: Path) -> list[int]:
    """Processes that have a file in a folder open: some of Ray's write their title over their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if any(os.readlink(link).startswith(f"{folder}/") for link in (entry / "fd").iterdir()):
                    found.append(int(entry.name))
    return found


def title_of(pid: int) -> str:
    """What a process calls itself."""
    with suppress(OSError):
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def parent_of(pid: int) -> int:
    """Process that started another."""
    with suppress(OSError, ValueError):
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_for(look: Callable[[], T], secs: float = 90.0) -> T:
    """Look again and again until there is something."""
    end = time.monotonic() + secs
    while not (found := look()):
        assert time.monotonic() < end, f"it did not come about within {secs:g} s"
        time.sleep(0.02)
    return found


GUARD = """
import shutil, sys
from pathlib import Path
sys.stdin.read()
from tests.cluster.conftest import kill, processes_with, processes_writing_to
for again in range(50):
    marked = [pid for mark in sys.argv[1:] for pid in processes_with(mark.encode())]
    for pid in marked + processes_writing_to(Path(sys.argv[2])):
        kill(pid)
shutil.rmtree(sys.argv[2], ignore_errors=True)
"""
"""Ends the cluster when its stdin is closed: also where the tests were killed and could not do it."""


class TwoNodes:
    """The cluster: a head and a second node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # short: Ray makes sockets in it
        self.mark = f"UGATIT_TEST_CLUSTER={uuid.uuid4().hex}"
        self.port = 0
        name, _, value = self.mark.partition("=")
        self.environment = os.environ | {
            name: value,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_DISABLE_DOCKER_CPU_WARNING": "1",
            "UGATIT_REHEARSAL": SLOWNESS,
            "UGATIT_SCRATCH": str(folder),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }
        self._raylets: dict[str, int] = {}
        self._guard = subprocess.Popen(
            [sys.executable, "-c", GUARD, name + "=" + value, str(folder)],
            stdin=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )

    @property
    def users_environment(self) -> dict[str, str]:
        """For programs that use the cluster and outlive it."""
        others = {self.mark.partition("=")[0], "UGATIT_SCRATCH"}
        return {name: value for name, value in self.environment.items() if name not in others}

    @property
    def address(self) -> str:
        """For --cluster."""
        return f"{HEAD_IP}:{self.port}"

    def heal(self) -> None:
        """Start what is missing."""
        if not self._is_up(HEAD_IP):
            self.stop()
            self._start_head()
        if not self._is_up(SECOND_IP):
            self.start_second()

    def start_second(self, *, before: tuple[str, ...] = (), **environment: str) -> None:
        """Start the second node; `before` stands before the command."""
        self._start(SECOND_IP, "--address", self.address, before=before, environment=environment)

    def _start_head(self) -> None:
        for _ in range(3):  # somebody else may take the port; a cluster that is started again has its old one
            self.port = self.port or 24_001 + uuid.uuid4().int % 3_000  # Ray takes many below and above by itself
            client, dashboard = self.port + 3_001, self.port + 6_002
            ports = f"--port={self.port}", f"--ray-client-server-port={client}", f"--dashboard-port={dashboard}"
            with suppress(subprocess.CalledProcessError):
                self._start(HEAD_IP, "--head", *ports, "--include-dashboard=false", f"--temp-dir={self.folder}")
                return
            self.port = 0
        pytest.fail("the head does not start")

    @property
    def client_address(self) -> str:
        """For --cluster, over the proxy."""
        return f"ray://{HEAD_IP}:{self.port + 3_001}"

    def _start(
        self, ip: str, *words: str, before: tuple[str, ...] = (), environment: dict[str, str] | None = None
    ) -> None:
        earlier = set(self._all_raylets())
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *words, f"--node-ip-address={ip}"]
        command += ["--num-cpus=1", "--num-gpus=0", "--object-store-memory=80000000", "--disable-usage-stats"]
        done = subprocess.run(
            [*before, *command],
            env=self.environment | (environment or {}),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            print(done.stdout, done.stderr)
            raise subprocess.CalledProcessError(done.returncode, command)
        [self._raylets[ip]] = set(self._all_raylets()) - earlier

    def _all_raylets(self) -> list[int]:
        return [pid for pid in processes_with(self.mark.encode()) if "raylet/raylet" in title_of(pid).split(" ")[0]]

    def _is_up(self, ip: str) -> bool:
        return self._raylets.get(ip, -1) in self._all_raylets()

    def raylet(self, ip: str) -> int:
        """Process of a node."""
        return self._raylets[ip]

    def actors(self, *ips: str) -> list[int]:
        """Processes of actors, on some nodes or on all."""
        raylets = {self._raylets[ip] for ip in ips or self._raylets}
        mine = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in mine if title_of(pid).startswith("ray::ChunkActor") and parent_of(pid) in raylets]

    def kill_node(self, ip: str) -> None:
        """Cut a node's power: all its processes at once."""
        raylet = self._raylets[ip]
        below = [pid for pid in processes_with(b"") if parent_of(pid) == raylet]
        for pid in (raylet, *below):
            kill(pid)
        wait_for(lambda: not self._is_up(ip))

    def kill_head(self) -> None:
        """Cut the power of the machine with the head."""
        for pid in processes_with(self.mark.encode()):
            if "gcs_server" in title_of(pid).split(" ")[0]:
                kill(pid)
        self.kill_node(HEAD_IP)

    def stop(self) -> None:
        """End everything, surely."""
        end = time.monotonic() + 20
        while left := self._all_processes():
            for pid in left:
                kill(pid)
            assert time.monotonic() < end, f"these do not end: {[title_of(pid) for pid in left]}"
            time.sleep(0.1)
        self._raylets.clear()

    def _all_processes(self) -> set[int]:
        by_mark = processes_with(self.mark.encode()) + processes_with(os.fsencode(self.folder))
        found = {*by_mark, *processes_writing_to(self.folder)}
        return found - {self._guard.pid}

    def close(self) -> None:
        """Be done with it."""
        self.stop()
        self._guard.communicate()


@pytest.fixture(scope="session")
def _nodes() -> Iterator[TwoNodes]:
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    nodes = TwoNodes(folder)
    try:
        yield nodes
    finally:
        nodes.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def nodes(_nodes: TwoNodes) -> TwoNodes:
    """The cluster, whole."""
    _nodes.heal()
    return _nodes
