"""Chunks cover a video exactly once, and remember what happened in them."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from pipeline.chunks import MIN_CHUNK_FRAMES, plan_chunks, save_stats, total_stats
from pipeline.meter import WarpErrorSums
from pipeline.render_stats import RenderStats

FOLDER = Path("work")


@pytest.mark.parametrize("num_frames", [1, 2, 30, 249, 250, 251, 1000])
def test_every_frame_is_in_one_chunk(num_frames: int) -> None:
    chunks = plan_chunks(np.arange(num_frames) / 25, 2.0, FOLDER, ".nut")
    assert chunks[0].start == 0
    assert chunks[-1].stop == num_frames
    assert all(a.stop == b.start for a, b in itertools.pairwise(chunks))
    assert all(chunk.num_frames >= min(MIN_CHUNK_FRAMES, num_frames) for chunk in chunks)


def test_chunks_go_by_time_not_by_frames() -> None:
    times = np.concatenate([np.arange(50) / 50, 1 + np.arange(50) / 10])
    assert [c.start for c in plan_chunks(times, 1.0, FOLDER, ".nut")] == [0, 50, 60, 70, 80, 90]


def test_a_long_pause_makes_no_empty_chunk() -> None:
    times = np.concatenate([np.arange(20) / 10, 60 + np.arange(20) / 10])
    assert [(c.start, c.stop) for c in plan_chunks(times, 2.0, FOLDER, ".nut")] == [(0, 20), (20, 40)]


def test_a_chunk_is_finished_when_its_statistics_are_there_and_they_add_up(tmp_path: Path) -> None:
    chunks = plan_chunks(np.arange(100) / 25, 2.0, tmp_path, ".nut")
    for chunk in chunks:
        chunk.path.touch()
        assert not chunk.is_finished
        save_stats(chunk, RenderStats(1, 10, 9, stage_secs={"paste": 0.5}), WarpErrorSums(10.0, 20.0, 30.0))
        assert chunk.is_finished
    stats, sums = total_stats(chunks)
    assert stats == RenderStats(2, 20, 18, stage_secs={"paste": 1.0})
    assert sums.means() == (2.0, 3.0)


def test_stamps_that_lie_ages_apart_need_no_more_memory_than_others(tmp_path: Path) -> None:
    times = np.concatenate([np.arange(10) / 25, 1e15 + np.arange(10)])
    chunks = plan_chunks(times, 100.0, tmp_path, ".nut")
    assert [(c.start, c.stop) for c in chunks] == [(0, 10), (10, 20)]
