"""Rows 14, 15, 16: any system call may fail, and the power may go at any moment. All slow; they need strace."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import one_job
from tests.faults.power import Disk, record

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")]


def run_with(folder: Path, injection: str) -> int:
    """Do the job in a process whose system calls fail as told."""
    command = ["strace", "-f", "-o", "/dev/null", "-e", f"inject={injection}"]
    command += [sys.executable, "-B", "-m", "tests.faults.one_job", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False).returncode


CALLS = ["pwrite64", "write", "fsync", "fdatasync", "link,linkat", "rename,renameat2", "unlink", "mkdir", "ftruncate"]


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("calls", CALLS)
def test_rows_14_15_whichever_call_fails_the_end_is_legal(calls: str, error: str, tmp_path: Path) -> None:
    codes: list[int] = []
    for number in range(1, 200):
        folder = tmp_path / str(number)
        one_job.prepare(folder)
        codes.append(run_with(folder, f"{calls}:error={error}:when={number}"))
        one_job.assert_legal(folder)
        if len(codes) > 3 and codes[-3:] == [0, 0, 0]:
            break
    print(f"{calls} {error}: {len(codes)} places, exit codes {sorted(set(codes))}")
    assert codes[-1] == 0


def test_row_14_a_result_whose_sync_fails_is_not_done(tmp_path: Path) -> None:
    one_job.prepare(tmp_path / "a")
    codes = [run_with(tmp_path / "a", "fsync,fdatasync:error=EIO:when=1+")]
    assert codes != [0]
    assert not one_job.visible(tmp_path / "a")


@pytest.mark.parametrize("has_names", [False, True], ids=["only what was synced", "names without their content"])
def test_row_16_after_a_power_cut_at_any_sync_the_job_is_done_once_and_whole(has_names: bool, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    one_job.prepare(folder)
    disk = Disk(folder)
    calls = record(["-m", "tests.faults.one_job", str(folder)], ROOT, tmp_path / "trace")
    cuts = 0
    for call in calls:
        before_sync = call.name in ("fsync", "fdatasync", "link", "linkat", "rename", "renameat2", "unlink")
        if before_sync and any(path.startswith(str(folder)) for path in call.paths):
            disk.rebuild(has_names=has_names)
            check_cut(folder)
            cuts += 1
        disk.apply(call)
    disk.rebuild(has_names=has_names)
    assert one_job.visible(folder), "what was done is not on the disk"
    check_cut(folder)
    print(f"{cuts + 1} power cuts")
    assert cuts > 20


def check_cut(folder: Path) -> None:
    if not (folder / "out").exists():  # made by the test; a real one was there for ages
        (folder / "out").mkdir()
    if not (folder / "inbox" / "clip.mp4").exists():
        (folder / "inbox").mkdir(exist_ok=True)
        (folder / "inbox" / "clip.mp4").write_bytes(b"source")
    one_job.assert_legal(folder)
