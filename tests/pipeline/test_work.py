"""Work that nobody takes up again is cleared away; work that somebody is at, or may come back to, stays."""

import logging
import os
import time
from pathlib import Path

import pytest

from pipeline.work import ABANDONED_SECS, remove_abandoned, work_folder, work_root


def leave(root: Path, job: str, age_secs: float) -> Path:
    """A work folder as a killed run leaves it."""
    folder = root / job
    folder.mkdir(parents=True)
    (folder / "chunk-00000.nut").write_bytes(b"x")
    lock = root / f"{job}.lock"
    lock.touch()
    then = time.time() - age_secs
    for path in (folder / "chunk-00000.nut", folder, lock):
        os.utime(path, (then, then))
    return folder


def test_abandoned_work_is_removed_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pipeline")
    folder = leave(work_root(tmp_path), "old", ABANDONED_SECS + 60)
    assert remove_abandoned(work_root(tmp_path)) == [folder]
    assert str(folder) in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_work_of_the_last_week_stays(tmp_path: Path) -> None:
    folder = leave(work_root(tmp_path), "young", ABANDONED_SECS - 3600)
    assert remove_abandoned(work_root(tmp_path)) == []
    assert (folder / "chunk-00000.nut").exists()


def test_old_work_in_which_a_chunk_is_new_stays(tmp_path: Path) -> None:
    folder = leave(work_root(tmp_path), "slow", ABANDONED_SECS + 60)
    os.utime(folder / "chunk-00000.nut")
    assert remove_abandoned(work_root(tmp_path)) == []


def test_old_work_that_somebody_is_at_stays(tmp_path: Path) -> None:
    folder = leave(work_root(tmp_path), "held", 0)
    with work_folder(work_root(tmp_path), "held", resume=True):
        assert remove_abandoned(work_root(tmp_path), older_than_secs=-60) == []
        assert folder.exists()


def test_a_folder_of_ones_own_for_work_goes_with_the_work_and_its_parent_stays(tmp_path: Path) -> None:
    own = tmp_path / ".ugatit" / "jobs" / "7"
    with work_folder(own, "job", resume=True) as folder:
        assert folder.parent == own
    assert not own.exists()
    assert own.parent.exists()
