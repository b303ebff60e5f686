"""Whatever is done in a watch folder, in the end every file in it has its job and no job lacks its file."""

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.errors import LostClaimError
from jobs.job import JobKind, JobState
from tests.jobs.watched import Watched

FOLDERS = ["", "trip/", "trip/day/", "sketch/"]


class Users:
    """Several people and programs at once, all of them impatient."""

    def __init__(self, watched: Watched, seed: int) -> None:
        self.watched, self.random = watched, random.Random(seed)
        self.number = 0

    def act(self) -> None:
        acts = [self.write, self.write, self.append, self.replace, self.rename, self.delete, self.copy, self.touch]
        self.random.choice([*acts, self.work, self.restart, self.look])()

    def files(self) -> list[Path]:
        return sorted(path for path in self.watched.path.rglob("*.mp4") if path.is_file())

    def on_one(self, act: Callable[[Path], object]) -> None:
        if files := self.files():
            act(self.random.choice(files))

    def content(self) -> bytes:
        return b"%d" % self.random.randrange(40)

    def place(self) -> Path:
        self.number += 1
        path = self.watched.path / f"{self.random.choice(FOLDERS)}{self.number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self) -> None:
        self.place().write_bytes(self.content())

    def append(self) -> None:
        self.on_one(lambda path: path.write_bytes(path.read_bytes() + self.content()))

    def replace(self) -> None:
        part = self.watched.path / ".part"
        part.write_bytes(self.content())
        self.on_one(lambda path: os.replace(part, path))

    def rename(self) -> None:
        self.on_one(lambda path: os.rename(path, self.place()))

    def delete(self) -> None:
        self.on_one(os.unlink)

    def copy(self) -> None:
        self.on_one(lambda path: self.place().write_bytes(path.read_bytes()))

    def touch(self) -> None:
        self.on_one(lambda path: os.utime(path, (self.random.randrange(2**32),) * 2))

    def restart(self) -> None:
        self.watched.restart()

    def look(self) -> None:
        self.watched.look()

    def work(self) -> None:
        """Do a job, or find as a worker would that its source is another one by now."""
        store = self.watched.store
        job = store.claim("worker")
        if job is None:
            return
        self.watched.run_for(self.random.choice([0.0, 0.05]))
        try:
            if not job.source.exists():
                store.release(job, JobState.CANCELLED, reason="source gone")
            elif sha256(job.source) != job.fingerprint:
                store.release(job, JobState.SETTLING, reason="it has changed")
            else:
                output = self.watched.output / f"{job.id}.mp4"
                output.write_bytes(b"result")
                store.finish(store.begin_publishing(job, output, 6, "0" * 64, "{}"))
        except LostClaimError:
            pass


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("seed", range(3))
def test_every_file_has_its_job_and_no_job_lacks_its_file(tmp_path: Path, seed: int) -> None:
    with Watched(tmp_path, settle_secs=0.05, rescan_secs=0.1) as watched:
        users = Users(watched, seed)
        for _ in range(120):
            users.act()
            watched.run_for(users.random.choice([0.0, 0.0, 0.02]))
        watched.settle()
        _check(watched, users)


def _check(watched: Watched, users: Users) -> None:
    known = watched.store.known(str(watched.path))
    for path in users.files():
        job = watched.store.get(known[path][1])
        assert (job.state, job.fingerprint) in {(state, sha256(path)) for state in (JobState.QUEUED, JobState.DONE)}
        assert job.kind is JobKind.VIDEO
    for job in watched.jobs():
        assert job.state in (JobState.QUEUED, JobState.DONE, JobState.CANCELLED)
        assert job.state is not JobState.QUEUED or sha256(job.source) == job.fingerprint
    identities = [(job.fingerprint, job.opts_hash) for job in watched.jobs() if job.fingerprint]
    assert len(identities) == len(set(identities))
