"""Rows 6, 9, 10, 44: an ffmpeg that fails, lies or chatters costs an attempt, never a frame; poison costs one job."""

import pytest

from tests.faults.watching import Watch


@pytest.mark.parametrize("mode", ["exit 1", "signal 9", "signal 25", "short 3"])
def test_row_09_a_failure_of_ffmpeg_is_retried_and_a_short_result_is_none(shared: Watch, mode: str) -> None:
    shared.ensure_running()
    name = f"ffmpeg-{mode.replace(' ', '-')}.mp4"
    shared.shim(mode)
    shared.drop(name, num_frames=40)
    shared.until_state(name, "done")
    assert shared.job(name)["attempt"] == 2


def test_row_09_a_join_that_loses_frames_is_no_result(shared: Watch) -> None:
    shared.ensure_running()
    shared.shim("pass", "short 3")
    shared.drop("short-join.mp4", num_frames=10)
    shared.until_state("short-join.mp4", "done")
    assert shared.job("short-join.mp4")["attempt"] == 2


def test_row_09_a_join_that_always_loses_frames_fails_the_job_after_its_budget(shared: Watch) -> None:
    shared.ensure_running()
    shared.shim(*["pass", "short 3"] * 3)
    shared.drop("always-short.mp4", num_frames=10, expect="failed")
    shared.until_state("always-short.mp4", "failed")
    assert shared.job("always-short.mp4")["exceptions"] == 3


def test_row_09_an_ffmpeg_that_always_fails_fails_the_job_after_its_budget(shared: Watch) -> None:
    shared.ensure_running()
    shared.shim("exit 1", "exit 1", "exit 1")
    shared.drop("hopeless.mp4", expect="failed")
    shared.until_state("hopeless.mp4", "failed")
    assert shared.job("hopeless.mp4")["exceptions"] == 3


def test_row_10_ten_megabytes_of_stderr_block_nothing(shared: Watch) -> None:
    shared.ensure_running()
    shared.shim("stderr 10000000")
    shared.drop("chatter.mp4")
    shared.until_state("chatter.mp4", "done", secs=30)
    assert shared.job("chatter.mp4")["attempt"] == 1


def test_row_44_a_job_that_kills_its_worker_fails_and_the_others_go_on(shared: Watch) -> None:
    shared.ensure_running()
    shared.drop("poison.mp4", expect="failed")
    for number in range(5):
        shared.drop(f"beside-the-poison-{number}.mp4")
    shared.until_state("poison.mp4", "failed")
    assert shared.job("poison.mp4")["deaths"] == 3
    shared.until(lambda: all(shared.state(f"beside-the-poison-{n}.mp4") == "done" for n in range(5)), "the others")
