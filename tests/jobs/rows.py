"""Sightings and finished jobs in bare tables, for tests of the table itself: nothing of it is on a disk."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from jobs.job import Job, JobKind, JobState, Link, Sighting, Stamp, Treatment
from jobs.store import JobStore

STAMP = Stamp(100, 200, 300, 400)


def sighting(name: str, folder: str = "/in", stamp: Stamp = STAMP, priority: int = 0, **treatment: Any) -> Sighting:
    """A video in a watch folder."""
    source = Path(folder, name)
    chosen = Treatment(**treatment)
    return Sighting(JobKind.VIDEO, folder, source, Path(name), Path("/out"), chosen, "options", stamp, priority)


def settled(store: JobStore, name: str, **more: Any) -> Job:
    """A job that settles."""
    [job] = store.sight([sighting(name, **more)])
    return job


def queued(store: JobStore, name: str, content: str = "", **more: Any) -> Job:
    """A job that is queued; its content is its name, if nothing else."""
    job = store.queue(settled(store, name, **more), content or name, more.get("stamp", STAMP))
    assert isinstance(job, Job)
    return job


def joined(store: JobStore, name: str, content: str, **more: Any) -> Job | Link:
    """What becomes of a source whose content another job may have; results are taken to exist."""
    return store.queue(settled(store, name, **more), content, more.get("stamp", STAMP), output_exists=lambda job: True)


def claimed(store: JobStore, owner: str = "worker") -> Job:
    """The next job, claimed."""
    job = store.claim(owner)
    assert job is not None
    return job


def published(store: JobStore, job: Job, output: str | Path = "/out/result.mp4") -> Job:
    """A claimed job whose result is on record."""
    return store.begin_publishing(job, Path(output), 5, "5ha", '{"frames": 1}')


def done(store: JobStore, name: str, content: str = "", **more: Any) -> Job:
    """A job that was claimed and finished; no other may be in line."""
    queued(store, name, content, **more)
    return store.finish(published(store, claimed(store), Path("/out", name)))


def ended(store: JobStore, name: str, state: JobState, content: str = "") -> Job:
    """A job that came to another end."""
    queued(store, name, content)
    return store.release(claimed(store), state, reason="why")


def states(store: JobStore, job_id: int) -> list[str]:
    """All states that a job has been in."""
    return [move.after.value for move in store.history(job_id)]


def newer(stamp: Stamp = STAMP) -> Stamp:
    """The stamp of a file that was written to."""
    return replace(stamp, mtime_ns=stamp.mtime_ns + 1)
