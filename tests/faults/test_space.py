"""Rows 12, 47: a full disk blocks and loses nothing; the work goes on by itself when there is room."""

import os
from collections.abc import Callable
from pathlib import Path

from tests.faults.conftest import StartWatch


def test_row_12_a_full_disk_of_results_blocks_and_goes_on_by_itself(
    watch: StartWatch, tmpfs: Callable[[str], Path]
) -> None:
    disk = tmpfs("2m")
    one = watch("--min-free", "0")
    one.daemon.use(out=disk / "out", state=disk.parent / "state")
    filler = disk / "filler"
    filler.write_bytes(bytes(disk_free(disk) - 16384))

    one.daemon.start()
    one.drop("clip.mp4", num_frames=60)
    one.until_state("clip.mp4", "blocked")
    assert (one.job("clip.mp4")["block"], one.job("clip.mp4")["exceptions"]) == ("disk", 0)
    assert not list(one.out.glob("*.mp4"))
    filler.unlink()

    one.until_state("clip.mp4", "done")
    one.end()


def disk_free(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize
