"""A process that takes one job from the table and publishes its result; what rows 14 to 16 trace and disturb.

`python -m tests.faults.one_job FOLDER` makes the job if there is none, recovers what an earlier run left, does what is
queued, and exits with 0 if the job is done then. Small enough for strace: no daemon, no media.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import JobsError
from jobs.job import Job, JobKind, JobState, Sighting, Stamp, Treatment
from jobs.locks import OwnerLocks, new_owner
from jobs.progress_file import ProgressFile
from jobs.publishing import JobPublisher
from jobs.recovery import recover
from jobs.store import JobStore, open_store
from jobs.worker import Worker, WorkerSettings

FAILS = "ONE_JOB_FAILS"
"""With this variable the first attempt fails."""

CONTENT = b"".join(b"frame %06d\n" % number for number in range(3000))
"""The result; every byte of it has one right place."""


@dataclass
class Report:
    """What the publisher needs of pipeline's report."""

    input_sha256: str
    output: str = ""

    def to_json(self) -> str:
        return json.dumps({"output": self.output})


def run(folder: Path) -> JobState:
    """Do it; return the state of the job."""
    state_dir = folder / "out" / ".ugatit"
    with open_store(state_dir / "jobs.sqlite", check=True) as store:
        locks = OwnerLocks(state_dir)
        with locks.hold(recoverer := new_owner()):
            recover(store, locks, recoverer, backoff_secs=0)
        _accept(store, folder)
        with locks.hold(owner := new_owner()):
            stop: list[float] = []  # filled when there is nothing to do, or nothing can be done
            settings = WorkerSettings(state_dir, owner, backoff_secs=0, make_handler=lambda choices: _convert)
            Worker(settings, store, lambda: bool(stop), stop.append).run()
        locks.sweep()
        return store.get(1).state


def _accept(store: JobStore, folder: Path) -> None:
    source = folder / "inbox" / "clip.mp4"
    stamp = Stamp.of(source.stat())
    if not store.list():
        name, out = Path(source.name), folder / "out"
        treatment = Treatment(min_free_bytes=0)
        store.sight([Sighting(JobKind.VIDEO, str(source.parent), source, name, out, treatment, "options", stamp)])
    for job in store.list({JobState.SETTLING}):
        store.queue(job, "f" * 64, stamp)
    for job in store.list({JobState.BLOCKED}):
        store.wake(job.id)


def _convert(job: Job, progress: ProgressFile, publisher: JobPublisher, *, is_young: bool = False) -> None:
    if os.environ.pop(FAILS, None):
        raise RuntimeError("this attempt was to fail")
    job.work_folder.mkdir(parents=True, exist_ok=True)
    finished = job.work_folder / "finished.mp4"
    finished.write_bytes(CONTENT)
    progress.checkpoint()
    publisher.publish(finished, job.output_folder / job.relative, Report(job.fingerprint or ""))


def prepare(folder: Path) -> None:
    """Make the folders and the source."""
    for name in ("inbox", "out"):
        (folder / name).mkdir(parents=True)
    (folder / "inbox" / "clip.mp4").write_bytes(b"source")


def visible(folder: Path) -> list[Path]:
    """What anybody sees in the output folder, reports left out."""
    return sorted(path for path in (folder / "out").glob("*") if path.suffix == ".mp4")


def assert_legal(folder: Path) -> None:
    """Nothing partial is visible, and the next run ends the job: once, whole."""
    assert all(path.read_bytes() == CONTENT for path in visible(folder))
    assert run(folder) is JobState.DONE
    assert [path.read_bytes() for path in visible(folder)] == [CONTENT]
    assert visible(folder)[0].with_suffix(".report.json").exists()


def main() -> int:
    """Return 0 if the job is done, 3 after an error that the program knows, 4 after one of the system's."""
    try:
        return 0 if run(Path(sys.argv[1])) is JobState.DONE else 1
    except JobsError:
        return 3
    except OSError:
        return 4


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
