"""Daemons for the rows: one for all that only drop things, and new ones for those that need their own."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest

from jobs.selftest.daemon import DaemonProcess
from tests.faults.watching import Watch

StartWatch = Callable[..., Watch]
SHIM = Path(__file__).with_name("shim.py")


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[StartWatch]:
    """Make a `Watch`; it is started when the test says so, and nothing of it is left when the test ends."""
    made: list[Watch] = []

    def make(*options: str, config: str | None = None, **environment: str) -> Watch:
        folder = tmp_path / f"watch{len(made)}"
        daemon = DaemonProcess(folder, environment=with_shim(folder) | environment, config=config)
        made.append(Watch(daemon, random.Random(0), options))
        return made[-1]

    yield make
    for one in made:
        one.daemon.kill_all()


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """One daemon for many rows; after the last of them everything must be there, once, whole, and nothing else.

    Three deaths or exceptions fail a job, and `poison.mp4` kills its worker.
    """
    folder = tmp_path_factory.mktemp("shared")
    environment = with_shim(folder) | {
        "UGATIT_FAULT_AT": f"@{folder / 'fault'}",
        "UGATIT_REHEARSAL": "exit:poison.mp4",
    }
    options = ("--max-deaths", "3", "--max-exceptions", "3", "--incomplete-secs", "0.5", "--on-done", "true")
    one = Watch(DaemonProcess(folder, environment=environment), random.Random(0), options)
    one.daemon.start()
    try:
        yield one
        one.ensure_running()
        one.until_through()
        one.end()
    finally:
        one.daemon.kill_all()


def with_shim(folder: Path) -> dict[str, str]:
    """Return the environment in which `shim.py` stands for ffmpeg, told what to do by `folder/shim`."""
    return {
        "UGATIT_FFMPEG": str(SHIM),
        "UGATIT_SHIM_REAL": imageio_ffmpeg.get_ffmpeg_exe(),
        "UGATIT_SHIM_MODE": str(folder / "shim"),
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
    }


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small disk in memory; the test is skipped where that is not allowed."""
    mounted: list[Path] = []

    def mount(size: str = "4m") -> Path:
        path = tmp_path / f"disk{len(mounted)}"
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a tmpfs needs root")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=False)
