"""Rows 22 to 25: more files than events, watches used up, a folder that goes away and comes back. All slow."""

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from jobs.selftest.victims import Victim
from tests.faults.conftest import StartWatch
from tests.faults.watching import Watch

pytestmark = pytest.mark.slow

NUM_FILES = int(os.environ.get("UGATIT_FAULTS_FILES", "10000"))
"""Row 22 is about 10,000; fewer for a quick look."""


def test_row_22_ten_thousand_files_at_once_are_all_done_once(watch: StartWatch) -> None:
    one = watch("--settle-secs", "0.5")
    one.daemon.start()
    one.until(lambda: bool(one.pids(Victim.WORKER)), "a worker")
    began = time.monotonic()
    for number in range(NUM_FILES):
        Image.new("RGB", (8, 8), (number & 255, number >> 8, 77)).save(one.inbox / f"{number:05}.bmp")
    dropped = time.monotonic() - began
    peak_kb = 0

    def are_through() -> bool:
        nonlocal peak_kb
        peak_kb = max(peak_kb, resident_kb(one.daemon.pid))
        states = one.daemon.counts()
        return sum(states.get(state, 0) for state in ("done", "failed")) == NUM_FILES

    one.until(are_through, "all files", 3600)
    print(
        f"{NUM_FILES} files: dropped in {dropped:.1f} s, through after {time.monotonic() - began:.0f} s, "
        f"the daemon's peak RSS {peak_kb // 1024} MiB; {one.daemon.counts()}"
    )
    assert peak_kb < 1_000_000
    assert one.daemon.stop() == 0
    assert len(list(one.out.glob("*.bmp"))) + one.daemon.counts().get("failed", 0) == NUM_FILES
    ends = [move for move in one.daemon.rows("moves") if move["after"] == "done"]
    assert len(ends) == len({move["job_id"] for move in ends}) == one.daemon.counts()["done"]


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def test_row_23_without_a_free_inotify_instance_it_polls_and_says_so(watch: StartWatch) -> None:
    libc, held = ctypes.CDLL(None), []
    try:
        while (handle := libc.inotify_init()) >= 0:
            held.append(handle)
        one = watch()
        one.daemon.start()
        one.drop()
        one.until_through()
        one.end()
        assert "looked through now and then: the limit of inotify instances" in one.daemon.log.read_text()
    finally:
        for handle in held:
            os.close(handle)


def test_row_24_a_folder_that_is_renamed_away_and_back_is_watched_again(watch: StartWatch) -> None:
    one = watch()
    one.daemon.start()
    one.drop("before.mp4")
    one.until_state("before.mp4", "done")
    away = one.inbox.with_name("away")
    one.inbox.rename(away)
    time.sleep(2.0)
    away.rename(one.inbox)
    one.drop("after.mp4")
    one.until_state("after.mp4", "done")
    assert one.state("before.mp4") == "done"
    one.end()


def test_row_25_a_mount_that_vanishes_and_comes_back_cancels_nothing(
    watch: StartWatch, tmpfs: Callable[[str], Path]
) -> None:
    one = watch("--workers", "1", UGATIT_REHEARSAL="slow:0.02")
    disk = tmpfs("16m")
    bind(disk, one.inbox)
    try:
        one.daemon.start()
        names = [f"clip{number}.mp4" for number in range(3)]
        for name in names:
            one.drop(name, arrival="cp", num_frames=60)
        one.until_state(names[0], "running")
        one.until(lambda: len(one.daemon.jobs()) == 3, "all are known")
        subprocess.run(["umount", "-l", str(one.inbox)], check=True)
        time.sleep(4.0)
        assert "cancelled" not in one.daemon.states().values()
        bind(disk, one.inbox)
        one.until_through()
        assert set(one.daemon.states().values()) == {"done"}
        one.end()
    finally:
        subprocess.run(["umount", "-l", str(one.inbox)], check=False)


def bind(disk: Path, inbox: Path) -> None:
    subprocess.run(["mount", "--bind", str(disk), str(inbox)], check=True)


def test_row_25_a_folder_that_comes_back_empty_and_then_full_does_nothing_twice(watch: StartWatch) -> None:
    one: Watch = watch()
    one.daemon.start()
    one.drop("clip.mp4")
    one.until_state("clip.mp4", "done")
    saved = one.daemon.folder / "saved"
    shutil.copytree(one.inbox, saved)
    shutil.rmtree(one.inbox)
    time.sleep(1.5)
    one.inbox.mkdir()
    time.sleep(2.0)
    for path in saved.iterdir():
        shutil.copy2(path, one.inbox)
    time.sleep(3.0)
    assert [job["state"] for job in one.daemon.jobs()] == ["done"]
    assert len(list(one.out.glob("*.mp4"))) == 1
    one.end()
