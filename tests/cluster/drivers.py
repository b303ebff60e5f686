"""`convert --cluster` as a process of its own, to be looked at and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline.settings import ConvertSettings
from tests.cluster.conftest import ROOT, TwoNodes, kill, parent_of, processes_with, title_of, wait_for

CHUNK_SECS = 0.5
NUM_CHUNKS = 8
NUM_FRAMES = 100

Stamp = tuple[int, int]


class Driver:
    """A conversion on the cluster.

    Args:
        nodes: the cluster.
        clip: what is converted.
        folder: where the result goes.
        options: further ones.
    """

    def __init__(self, nodes: TwoNodes, clip: Path, folder: Path, *options: str, address: str = "") -> None:
        self.output = folder / f"restyled{clip.suffix}"
        self.work = folder / ".ugatit" / "work"
        command = [sys.executable, "run.py", "--log-level", "INFO", "--json", "convert", str(clip)]
        command += ["-o", str(self.output), "--chunk-secs", str(CHUNK_SECS), "--cluster", address or nodes.address]
        command += options or ("--style", "rehearsal")
        environment = nodes.users_environment | {"UGATIT_CACHE": os.environ["UGATIT_CACHE"]}
        self._log = (folder / "log.txt").open("w+b")
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=self._log)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            print(self.log())
        kill(self.process.pid)
        self.process.communicate()
        self._log.close()

    @property
    def link(self) -> int:
        """Its process that speaks with Ray."""
        mine = [pid for pid in processes_with(b"pipeline.cluster.link") if parent_of(pid) == self.process.pid]
        return mine[0] if mine else 0

    def finished(self) -> dict[str, Stamp]:
        """Chunks that are marked as finished, with what changes when they are written again."""
        marks = sorted(self.work.glob("*/chunk-*.json"))
        return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in marks}

    def wait_for_chunks(self, count: int = 1) -> dict[str, Stamp]:
        """Wait until so many chunks are finished, and one more is at work."""

        def look() -> dict[str, Stamp]:
            assert self.process.poll() is None, self.log()
            found = self.finished()
            return found if len(found) >= count else {}

        return wait_for(look)

    def end(self, secs: float = 180.0) -> dict[str, Any]:
        """Wait for its end; return what it prints."""
        out, _ = self.process.communicate(timeout=secs)
        return json.loads(out) if out else {}

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def log(self) -> str:
        """What it said on stderr."""
        self._log.seek(0)
        return self._log.read().decode()

    def nodes_used(self) -> set[str]:
        """Addresses of the nodes on which chunks were rendered."""
        lines = [line for line in self.log().splitlines() if " was rendered on " in line]
        return {line.partition(" was rendered on ")[2].partition("(")[2].partition(")")[0] for line in lines}


def renderers_of(nodes: TwoNodes) -> list[str]:
    """Actors and their encoders that are still there."""
    return [title_of(pid) for pid in nodes.actors()]


def rehearsal(**more: Any) -> ConvertSettings:
    """The choices of `Driver` for a run on this machine alone."""
    return ConvertSettings(style="rehearsal", chunk_secs=CHUNK_SECS, **more)
