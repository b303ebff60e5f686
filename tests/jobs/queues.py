"""A job table with jobs in it, and a handler that stands in for pipeline's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.job import Job, JobKind, Sighting, Stamp, Treatment
from jobs.progress_file import ProgressFile
from jobs.publishing import JobPublisher
from jobs.store import JobStore


@dataclass
class Inbox:
    """A watch folder and a folder for results below one place, with the table between them."""

    root: Path
    store: JobStore

    @property
    def folder(self) -> Path:
        return self.root / "in"

    @property
    def output(self) -> Path:
        return self.root / "out"

    @property
    def state_dir(self) -> Path:
        return self.output / ".ugatit"

    def drop(self, name: str, content: bytes = b"content", kind: JobKind = JobKind.VIDEO, **treatment: Any) -> Job:
        """Write a source and queue it."""
        source = self.folder / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(content)
        return self.queue(source, kind, **treatment)

    def queue(self, source: Path, kind: JobKind = JobKind.VIDEO, **treatment: Any) -> Job:
        """Queue a source that is there."""
        chosen = Treatment(**{"min_free_bytes": 0} | treatment)
        stamp = Stamp.of(source.stat())
        relative = source.relative_to(self.folder)
        [job] = self.store.sight(
            [Sighting(kind, str(self.folder), source, relative, self.output, chosen, "options", stamp)]
        )
        content = source.read_bytes() if source.is_file() else source.name.encode()
        queued = self.store.queue(job, hashlib.sha256(content).hexdigest(), stamp)
        assert isinstance(queued, Job)
        return queued

    def claim(self, owner: str = "worker") -> Job:
        """Claim the next job."""
        job = self.store.claim(owner)
        assert job is not None
        return job


@dataclass
class FakeReport:
    """As much of pipeline's report as is used."""

    input_sha256: str = ""
    output: str = ""

    def to_json(self) -> str:
        import json

        return json.dumps({"output": self.output, "input_sha256": self.input_sha256})


def copy_source(job: Job, progress: ProgressFile, publisher: JobPublisher) -> None:
    """Do the least that a handler does: the result is the source, backwards."""
    content = job.source.read_bytes()
    progress.start(job.source.name, "copying", 1)
    job.work_folder.mkdir(parents=True, exist_ok=True)
    finished = job.work_folder / "finished"
    finished.write_bytes(content[::-1])
    progress.advance()
    publisher.publish(finished, job.output_folder / job.relative, FakeReport(hashlib.sha256(content).hexdigest()))


class ObedientHandler:
    """Does what the content of a source says, and copies it then."""

    def __init__(self, choices: Mapping[str, Any]) -> None:
        self.choices = choices

    def __call__(self, job: Job, progress: ProgressFile, publisher: JobPublisher, *, is_young: bool = False) -> None:
        wish = job.source.read_text().split()
        if wish:
            getattr(self, wish[0], lambda *_: None)(job, progress, *wish[1:])
        copy_source(job, progress, publisher)

    def die(self, job: Job, progress: ProgressFile) -> None:
        """End the process at once."""
        import os

        os._exit(70)

    def hang(self, job: Job, progress: ProgressFile) -> None:
        """Wait for ever, with a child that waits, too, in a session of its own."""
        import subprocess
        import sys
        import time

        subprocess.Popen(
            [sys.executable, "-S", "-c", "import time; time.sleep(600)", f"--job={job.source}"], start_new_session=True
        )
        time.sleep(600)

    def crawl(self, job: Job, progress: ProgressFile, steps: str = "200") -> None:
        """Get on slowly, with a checkpoint after every step."""
        import time

        progress.start(job.source.name, "crawling", int(steps))
        for _ in range(int(steps)):
            time.sleep(0.05)
            progress.advance()
            progress.checkpoint()

    def burst(self, job: Job, progress: ProgressFile) -> None:
        """Ask for much memory at once."""
        bytearray(8 << 30)

    def swell(self, job: Job, progress: ProgressFile) -> None:
        """Take ever more memory."""
        import time

        taken = []
        while True:
            taken.append(bytearray(8 << 20))
            progress.tick()
            time.sleep(0.02)
