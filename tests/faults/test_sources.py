"""Rows 17, 18, 19, 20, 26: sources that come slowly, stall, grow, are replaced or vanish. All slow."""

import os
import time
from pathlib import Path

import pytest

from jobs.selftest.checker import sha256_of
from jobs.selftest.media import write_clip
from jobs.selftest.read_frames import read
from jobs.selftest.victims import Victim
from tests.faults.conftest import StartWatch
from tests.faults.watching import Watch

pytestmark = pytest.mark.slow


@pytest.fixture
def slow_watch(watch: StartWatch) -> Watch:
    """Every frame takes 20 ms, so that there is time to meddle."""
    one = watch(UGATIT_REHEARSAL="slow:0.02")
    one.daemon.start()
    return one


def content_of(one: Watch, clip: int, num_frames: int = 50) -> bytes:
    return write_clip(one.daemon.folder / "staging" / "whole.mp4", clip, num_frames).read_bytes()


def test_row_17_a_slow_copy_is_not_begun_before_its_end(slow_watch: Watch) -> None:
    content = content_of(slow_watch, 1)
    with (slow_watch.inbox / "slow.mp4").open("wb") as file:
        for start in range(0, len(content), len(content) // 12):
            file.write(content[start : start + len(content) // 12])
            file.flush()
            time.sleep(0.25)  # longer than settle_secs: only the writer's open file says that it is not over
            assert slow_watch.state("slow.mp4") in (None, "settling")
    slow_watch.until_state("slow.mp4", "done")
    assert slow_watch.job("slow.mp4")["attempt"] == 1
    slow_watch.end()


def test_row_18_a_copy_that_goes_on_within_the_settle_time_is_begun_once(watch: StartWatch) -> None:
    one = watch("--settle-secs", "1")
    one.daemon.start()
    one.until(lambda: bool(one.pids(Victim.WORKER)), "a worker")
    content = content_of(one, 1)
    for start in range(0, len(content), len(content) // 5):
        with (one.inbox / "parts.mp4").open("ab") as file:
            file.write(content[start : start + len(content) // 5])
        time.sleep(0.4)
    one.until_state("parts.mp4", "done")
    assert one.job("parts.mp4")["attempt"] == 1
    one.end()


def test_row_18_a_copy_that_stalled_and_went_on_is_done_whole(slow_watch: Watch) -> None:
    content = content_of(slow_watch, 1)
    path = slow_watch.inbox / "stalled.mp4"
    path.write_bytes(content[: len(content) // 2])
    slow_watch.until(lambda: (slow_watch.daemon.jobs() or [{"attempt": 0}])[0]["attempt"] > 0, "a first attempt")
    time.sleep(0.6)
    with path.open("ab") as file:
        file.write(content[len(content) // 2 :])
    slow_watch.until_state("stalled.mp4", "done")
    assert read(str(slow_watch.out / "stalled.mp4"))["frames"] == list(range(50))
    assert slow_watch.job("stalled.mp4")["exceptions"] == 0
    slow_watch.end()


def test_row_19_what_is_appended_while_it_is_worked_on_makes_the_result_void(slow_watch: Watch) -> None:
    name = "grows.mp4"
    slow_watch.drop(name, num_frames=60)
    slow_watch.until_state(name, "running")
    with (slow_watch.inbox / name).open("ab") as file:
        file.write(b"\0\0\0\x08free")
    slow_watch.dropper.dropped[0]["sha256"] = sha256_of(str(slow_watch.inbox / name))
    slow_watch.dropper.save()
    slow_watch.until_state(name, "done")
    job = slow_watch.job(name)
    assert job["fingerprint"] == sha256_of(str(slow_watch.inbox / name))
    assert (job["deaths"], job["exceptions"]) == (0, 0)
    slow_watch.end()


def test_row_20_a_source_replaced_by_another_gives_the_result_of_the_other(slow_watch: Watch) -> None:
    slow_watch.drop("clip.mp4", num_frames=60)
    slow_watch.until_state("clip.mp4", "running")
    other = slow_watch.daemon.folder / "staging" / "other.mp4"
    write_clip(other, 99, 20)
    slow_watch.dropper.dropped[0] |= {"sha256": sha256_of(str(other)), "clip": 99}
    slow_watch.dropper.save()
    os.replace(other, slow_watch.inbox / "clip.mp4")
    slow_watch.until_state("clip.mp4", "done")
    assert read(str(slow_watch.out / "clip.mp4"))["clip"] == 99
    assert len(list(slow_watch.out.glob("*.mp4"))) == 1
    slow_watch.end()


@pytest.mark.parametrize("moment", ["queued", "running"])
def test_row_26_a_source_that_is_deleted_cancels_its_job(watch: StartWatch, moment: str) -> None:
    one = watch("--workers", "1", UGATIT_REHEARSAL="slow:0.02")
    one.daemon.start()
    one.drop("first.mp4", num_frames=100)
    one.until_state("first.mp4", "running")
    one.drop("second.mp4")
    one.until_state("second.mp4", "queued")
    name = "first.mp4" if moment == "running" else "second.mp4"
    (one.inbox / name).unlink()
    next(drop for drop in one.dropper.dropped if drop["path"].endswith(name))["expect"] = "any"
    one.dropper.save()
    one.until_state(name, "cancelled")
    assert "gone" in one.job(name)["reason"]
    one.until_through()
    one.end()


def test_a_queued_source_that_is_renamed_is_done_under_its_new_name(watch: StartWatch) -> None:
    one = watch("--workers", "1", UGATIT_REHEARSAL="slow:0.02")
    one.daemon.start()
    one.drop("first.mp4", num_frames=80)
    one.drop("second.mp4")
    one.until_state("second.mp4", "queued")
    Path(one.inbox / "second.mp4").rename(one.inbox / "renamed.mp4")
    one.dropper.dropped[1]["path"] = str(one.inbox / "renamed.mp4")
    one.dropper.save()
    one.until(lambda: (one.out / "renamed.mp4").exists(), "the result under the new name")
    one.until_through(1)
    one.end()
