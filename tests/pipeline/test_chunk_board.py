"""Chunks are taken, lost, taken again elsewhere, and counted once."""

from pathlib import Path

import pytest

from pipeline.chunks import Chunk
from pipeline.cluster.chunk_board import MAX_LOSSES, Board
from pipeline.errors import RendererLostError


def chunks(count: int) -> list[Chunk]:
    return [Chunk(i, 10 * i, 10 * i + 10, Path(f"chunk-{i}.nut")) for i in range(count)]


def test_chunks_are_taken_in_their_order() -> None:
    board = Board(chunks(3))
    assert [board.take("a").index for _ in range(3)] == [0, 1, 2]  # type: ignore[union-attr]
    assert board.take("a") is None
    assert board.num_open == 3


def test_a_lost_chunk_is_taken_first_by_another_node() -> None:
    board = Board(chunks(3))
    lost = board.take("a")
    assert lost is not None
    board.lose(lost, "a", "killed")
    assert board.take("b") == lost


def test_where_a_chunk_killed_its_renderer_another_one_is_taken() -> None:
    board = Board(chunks(2))
    lost = board.take("a")
    assert lost is not None
    board.lose(lost, "a", "killed")
    assert [board.take("a"), board.take("a")] == [chunks(2)[1], None]


def test_the_only_node_takes_it_again() -> None:
    board = Board(chunks(1))
    lost = board.take("a")
    assert lost is not None
    board.lose(lost, "a", "killed")
    assert board.take("a", is_only_one=True) == lost


def test_a_chunk_that_kills_whoever_takes_it_ends_the_run() -> None:
    board = Board(chunks(1))
    for node in "abc":
        taken = board.take(node)
        assert taken is not None
        board.lose(taken, node, "killed")
    last = board.take("d")
    assert last is not None
    with pytest.raises(RendererLostError, match=r"chunk 0 \(frames 0 to 9\) ended 4 renderers, on a, b, c, d; .* full"):
        board.lose(last, "d", "its memory was full")
    assert MAX_LOSSES == 3


def test_frames_that_are_rendered_again_are_told_once() -> None:
    board = Board(chunks(1))
    chunk = board.take("a")
    assert chunk is not None
    told = [board.advance(chunk, 4, 4)]
    board.lose(chunk, "a", "killed")
    assert board.take("b") == chunk
    told += [board.advance(chunk, 2, 2), board.advance(chunk, 6, 5), board.finish(chunk, 8)]
    assert told == [(4, 4), (0, 0), (2, 1), (4, 3)]
    assert board.num_open == 0
