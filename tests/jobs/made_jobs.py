"""Jobs in any state, made in a table as intake and workers make them; no media, no processes."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from jobs.disposal import stamp_of
from jobs.job import Job, JobKind, JobState, Link, Sighting, Treatment
from jobs.store import JobStore, open_store


@dataclass
class Folders:
    """A watch folder, a folder for results, and the table between them."""

    root: Path
    store: JobStore = field(init=False)

    def __post_init__(self) -> None:
        self.inbox, self.out = self.root / "inbox", self.root / "out"
        self.state = self.out / ".ugatit"
        for folder in (self.inbox, self.state):
            folder.mkdir(parents=True)
        self.store = open_store(self.state / "jobs.sqlite")

    def drop(self, name: str, content: str = "", **treatment: object) -> Job | Link:
        """Put a file into the watch folder and queue it."""
        source = self.inbox / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(content or name)
        kind = JobKind.PICTURE if source.suffix == ".jpg" else JobKind.VIDEO
        return self.accept(source, kind, hashlib.sha256(source.read_bytes()).hexdigest(), **treatment)

    def job(self, name: str) -> Job:
        """Put a file of new content into the watch folder and queue it."""
        dropped = self.drop(name)
        assert isinstance(dropped, Job)
        return dropped

    def accept(self, source: Path, kind: JobKind, fingerprint: str, **treatment: object) -> Job | Link:
        """Queue what lies in the watch folder."""
        settled = self.sight(source, kind, **treatment)
        return self.store.queue(settled, fingerprint, stamp_of(source))

    def sight(self, source: Path, kind: JobKind = JobKind.VIDEO, **treatment: object) -> Job:
        """See what lies in the watch folder."""
        relative, asked = source.relative_to(self.inbox), Treatment(**treatment)  # type: ignore[arg-type]
        seen = Sighting(kind, str(self.inbox), source, relative, self.out, asked, "options", stamp_of(source))
        return self.store.sight([seen])[0]

    def do(self, job: Job) -> Job:
        """Claim the job and publish a result of it."""
        claimed = self.claim(job)
        output = self.out / job.relative
        if job.kind is JobKind.FOLDER:
            output.mkdir()
            (output / "one.jpg").write_text("restyled")
        else:
            output.write_text(f"restyled {job.source.read_text()}")
        publishing = self.store.begin_publishing(
            claimed, output, 1, "sha", '{"input": "?", "output": "?", "frames": 7}'
        )
        return self.store.finish(publishing)

    def fail(self, job: Job, reason: str = "it is broken.") -> Job:
        """Claim the job and give it up."""
        return self.store.release(self.claim(job), JobState.FAILED, reason=reason)

    def claim(self, job: Job) -> Job:
        """Claim the job; it must be the next one."""
        claimed = self.store.claim("a-worker")
        assert claimed is not None
        assert claimed.id == job.id
        return claimed
