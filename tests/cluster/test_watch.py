"""Watch folders whose jobs are rendered on a cluster: whatever becomes of it, the job table stays the truth."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import ROOT, TwoNodes, kill, wait_for
from tests.cluster.drivers import renderers_of
from tests.pipeline.clips import write_clip

pytestmark = pytest.mark.cluster


class Watch:
    """A daemon over the folder `in`, with results in `out`."""

    def __init__(self, nodes: TwoNodes, root: Path) -> None:
        self.inbox, self.output = root / "in", root / "out"
        self.inbox.mkdir()
        self.output.mkdir()
        self._environment = nodes.users_environment | {"UGATIT_CACHE": os.environ["UGATIT_CACHE"]}
        self._log = (root / "log.txt").open("w+b")
        words = ["watch", str(self.inbox), "-o", str(self.output), "--style", "rehearsal", "--chunk-secs", "0.5"]
        words += ["--settle-secs", "0.2", "--blocked-secs", "1", "--min-free", "1M", "--cluster", nodes.address]
        self.process = subprocess.Popen(self._command(*words), cwd=ROOT, env=self._environment, stderr=self._log)

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "run.py", "--log-level", "INFO", "--json", *words]

    def jobs(self) -> list[dict[str, Any]]:
        """What `jobs list` says."""
        assert self.process.poll() is None, self.log()
        words = self._command("jobs", "list", "-o", str(self.output))
        done = subprocess.run(words, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False)
        return json.loads(done.stdout)["jobs"] if done.returncode == 0 else []  # type: ignore[no-any-return]

    def wait_for_state(self, *states: str, secs: float = 240.0) -> dict[str, Any]:
        """Wait until the one job is in one of some states."""
        return wait_for(lambda: next((job for job in self.jobs() if job["state"] in states), None), secs)  # type: ignore[return-value]

    def finished_chunks(self) -> list[Path]:
        """Marks of finished chunks."""
        return list(self.output.glob(".ugatit/jobs/*/*/chunk-*.json"))

    def log(self) -> str:
        """What it said on stderr."""
        self._log.seek(0)
        return self._log.read().decode()

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def close(self) -> None:
        """End it, surely."""
        kill(self.process.pid)
        self.process.wait()
        self._log.close()


@pytest.fixture
def watch(nodes: TwoNodes, tmp_path: Path) -> Iterator[Watch]:
    watch = Watch(nodes, tmp_path)
    try:
        yield watch
    finally:
        print(watch.log())
        watch.close()


def test_a_job_waits_for_a_cluster_that_is_gone_and_is_done_when_it_is_back(nodes: TwoNodes, watch: Watch) -> None:
    write_clip(watch.inbox / "clip.mp4", 250)
    wait_for(watch.finished_chunks, 180)
    nodes.kill_head()
    job = watch.wait_for_state("blocked")
    assert job["block"] == "cluster"
    assert (job["deaths"], job["exceptions"]) == (0, 0)
    nodes.stop()
    nodes.heal()
    job = watch.wait_for_state("done", "failed")
    assert job["state"] == "done"
    [report] = [json.loads(path.read_text()) for path in watch.output.glob("*.report.json")]
    assert report["chunks_resumed"] >= 1
    assert watch.stop() == 0
    wait_for(lambda: not renderers_of(nodes), 30)
