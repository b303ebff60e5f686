"""Results come in through the fence of the run that asked for them, and through no other."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.chunks import Chunk
from pipeline.cluster.chunk_fence import Fence, hand_in, open_fence


@pytest.fixture
def chunk(tmp_path: Path) -> Chunk:
    folder = tmp_path / "shared"
    folder.mkdir()
    return Chunk(3, 30, 40, folder / "chunk-00003.nut")


@pytest.fixture
def rendered(chunk: Chunk, tmp_path: Path) -> Chunk:
    local = tmp_path / "local"
    local.mkdir()
    made = replace(chunk, path=local / chunk.path.name)
    made.path.write_bytes(b"pictures")
    made.stats.write_text("{}")
    return made


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_handed_in_is_a_finished_chunk(chunk: Chunk, rendered: Chunk) -> None:
    fence = open_fence(chunk.path.parent)
    assert hand_in(fence, rendered, chunk, "a")
    fence.close()
    assert chunk.is_finished
    assert chunk.path.read_bytes() == b"pictures"
    assert names_in(chunk.path.parent) == {chunk.path.name, chunk.stats.name}


def test_a_second_rendering_of_a_chunk_leaves_the_first_as_it_is(chunk: Chunk, rendered: Chunk) -> None:
    fence = open_fence(chunk.path.parent)
    assert hand_in(fence, rendered, chunk, "a")
    before = chunk.path.stat().st_ino, chunk.stats.stat().st_ino
    assert not hand_in(fence, rendered, chunk, "b")
    assert (chunk.path.stat().st_ino, chunk.stats.stat().st_ino) == before


def test_pictures_without_their_mark_are_replaced(chunk: Chunk, rendered: Chunk) -> None:
    chunk.path.write_bytes(b"of a renderer that was killed before it set the mark")
    assert hand_in(open_fence(chunk.path.parent), rendered, chunk, "a")
    assert chunk.path.read_bytes() == b"pictures"


def test_nobody_gets_in_when_the_run_is_over(chunk: Chunk, rendered: Chunk) -> None:
    fence = open_fence(chunk.path.parent)
    fence.close()
    assert not hand_in(fence, rendered, chunk, "late")
    assert names_in(chunk.path.parent) == set()


def test_who_is_on_the_way_when_the_run_ends_is_stopped(
    chunk: Chunk, rendered: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence = open_fence(chunk.path.parent)

    def close_meanwhile(path: Path) -> None:
        if path.parent == fence.path:
            fence.close()

    monkeypatch.setattr("pipeline.cluster.chunk_fence.sync", close_meanwhile)
    assert not hand_in(fence, rendered, chunk, "late")
    assert not chunk.path.exists()


def test_the_next_run_closes_what_a_killed_one_left_open(chunk: Chunk, rendered: Chunk) -> None:
    left = open_fence(chunk.path.parent)
    half_closed = open_fence(chunk.path.parent)
    half_closed.path.rename(chunk.path.parent / f"closed-{half_closed.name}")
    fence = open_fence(chunk.path.parent)
    assert names_in(chunk.path.parent) == {fence.path.name}
    assert not hand_in(left, rendered, chunk, "late")
    assert hand_in(fence, rendered, chunk, "a")


def test_a_folder_that_cannot_be_written_to_is_an_error(
    chunk: Chunk, rendered: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence = open_fence(chunk.path.parent)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pipeline.cluster.chunk_fence.sync", refuse)
    with pytest.raises(PermissionError):
        hand_in(fence, rendered, chunk, "a")
    assert names_in(fence.path) == {"token"}
    assert isinstance(fence, Fence)
