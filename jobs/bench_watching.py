"""What watching costs beside the conversions: a look through many known files, a new worker, the status page.

For `bench --full`; the command line's entry hands it over, for pipeline knows no jobs. It prints nothing.
"""

from __future__ import annotations

import os
import socket
import statistics
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .cli_dashboard import start_dashboard
from .config import FolderConfig
from .errors import JobsError
from .find_table import TABLE_NAME
from .folder_intake import FolderIntake
from .job import JobKind, Sighting, Stamp, Treatment
from .pool import Pool, PoolSettings
from .progress_file import read_status, status_path
from .store import JobStore, open_store

_AT_ONCE = 1000
_ROUNDS = 5
_PATIENCE_SECS = 60.0

OnStep = Callable[[int, int], None]


@dataclass(frozen=True)
class WatchingFigure:
    """One number."""

    name: str
    """Short, for comparisons."""
    what: str
    """For people."""
    value: float
    """Median of a few rounds."""
    unit: str
    """`ms` or `MB`."""


def measure_watching(on_step: OnStep, *, num_files: int = 10_000, num_jobs: int = 200_000) -> list[WatchingFigure]:
    """Measure all of it in folders that are removed again.

    Args:
        on_step: called with steps done and to do.
        num_files: known files that are looked through.
        num_jobs: jobs in the table that the page shows.

    Raises:
        JobsError: a process that was started does not answer.
    """
    figures: list[WatchingFigure] = []
    with tempfile.TemporaryDirectory(prefix="ugatit-bench-") as name:
        for number, measure in enumerate(
            (
                lambda root: _rescan(root, num_files),
                lambda root: _page(root, num_jobs),
                _worker,
            ),
            1,
        ):
            root = Path(name) / str(number)
            root.mkdir()
            figures += measure(root)
            on_step(number, 3)
    return figures


def _rescan(root: Path, num_files: int) -> list[WatchingFigure]:
    folder, output, state = root / "in", root / "out", root / "state"
    for each in (folder, output):
        each.mkdir()
    files = [folder / f"{number:06d}.mp4" for number in range(num_files)]
    for file in files:
        file.write_bytes(file.name.encode())
    with open_store(state / TABLE_NAME) as store:
        _fill(store, folder, output, files)
        intake = FolderIntake(store, FolderConfig(folder, output), frozenset, is_once=False)
        intake.start()
        try:
            secs = [_secs_of(intake.look) for _ in range(_ROUNDS + 1)]
        finally:
            intake.stop()
        if not intake.is_through:
            raise JobsError("files that the table knows were taken for new ones.")
    what = f"a look through {num_files:,} files that are known"
    return [WatchingFigure("rescan", what, 1000 * statistics.median(secs[1:]), "ms")]


def _page(root: Path, num_jobs: int) -> list[WatchingFigure]:
    folder, output, state = root / "in", root / "out", root / "state"
    folder.mkdir()
    sample = folder / "sample.mp4"
    sample.write_bytes(b"sample")
    with open_store(state / TABLE_NAME) as store:
        _fill(store, folder, output, [folder / f"{number:06d}.mp4" for number in range(num_jobs)], like=sample)
    with _served(state) as (address, pid):
        secs = [_secs_of(lambda: urllib.request.urlopen(address, timeout=_PATIENCE_SECS).read()) for _ in range(8)]
        megabytes = _rss_bytes(pid) / 1e6
    return [
        WatchingFigure("page", f"a page of the status page, {num_jobs:,} jobs", 1000 * statistics.median(secs), "ms"),
        WatchingFigure("page memory", "memory of its process", megabytes, "MB"),
    ]


def _worker(root: Path) -> list[WatchingFigure]:
    open_store(root / TABLE_NAME).close()
    pool = Pool(PoolSettings(root, workers=1))
    first, *others = (_secs_to_worker(pool, root) for _ in range(_ROUNDS))
    return [
        WatchingFigure("first worker", "the first worker, with the server that it is forked from", 1000 * first, "ms"),
        WatchingFigure("worker", "every worker after it", 1000 * statistics.median(others), "ms"),
    ]


def _secs_to_worker(pool: Pool, state: Path) -> float:
    """Seconds from asking for a worker until it says that it is there."""
    started = time.perf_counter()
    owner, process, connection = pool.spawn("cpu")
    while read_status(status_path(state, owner)) is None:
        if time.perf_counter() - started > _PATIENCE_SECS or not process.is_alive():
            raise JobsError("a worker that was started for the benchmark did not come up.")
        time.sleep(0.001)
    secs = time.perf_counter() - started
    connection.send("drain")
    process.join(_PATIENCE_SECS)
    connection.close()
    return secs


def _fill(store: JobStore, folder: Path, output: Path, files: list[Path], *, like: Path | None = None) -> None:
    """Queue a job for each file; with `like`, all have that file's times and sizes, and need not be there."""
    treatment = Treatment()
    for start in range(0, len(files), _AT_ONCE):
        stamps = [Stamp.of((like or file).stat()) for file in files[start : start + _AT_ONCE]]
        some = [
            Sighting(JobKind.VIDEO, str(folder), file, file.relative_to(folder), output, treatment, "bench", stamp)
            for file, stamp in zip(files[start : start + _AT_ONCE], stamps, strict=True)
        ]
        jobs = store.sight(some)
        store.queue_many([(job, f"{job.id:064x}", stamp) for job, stamp in zip(jobs, stamps, strict=True)])


@contextmanager
def _served(state: Path) -> Iterator[tuple[str, int]]:
    """The status page in a process of its own: its address and process number."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process, address = start_dashboard(state, f"127.0.0.1:{port}"), f"http://127.0.0.1:{port}/"
    try:
        _wait_for(address)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(_PATIENCE_SECS)


def _wait_for(address: str) -> None:
    until = time.monotonic() + _PATIENCE_SECS
    while True:
        try:
            urllib.request.urlopen(address, timeout=5.0).close()
            return
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > until:
                raise JobsError(
                    f"the status page that was started for the benchmark does not answer: {error}"
                ) from error
            time.sleep(0.05)


def _rss_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _secs_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
