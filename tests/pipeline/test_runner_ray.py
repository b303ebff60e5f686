"""The side of a clustered run that knows no Ray: orders, answers, and links that break."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.chunk_render import VideoWork
from pipeline.chunks import Chunk
from pipeline.cluster import runner as runner_ray
from pipeline.cluster.link import Accepted, AllDone, ChunkDone, Order, check_address
from pipeline.cluster.runner import RayRunner
from pipeline.errors import ClusterError, UnreadableInputError
from pipeline.failures import Course, sort_failure
from pipeline.render_process import Advance, Failed
from pipeline.settings import ConvertSettings
from pipeline.studio import build_studio

WORK = cast(VideoWork, None)


class FakeLink:
    """Answers an order at once: chunk by chunk, or as it is told."""

    script: Callable[[Order], Iterator[Any]]
    made: list["FakeLink"]

    def __init__(self, start: Any, address: str) -> None:
        self.is_ended = False
        self.answers: Iterator[Any] = iter(())
        self.made.append(self)

    def send(self, order: Order) -> None:
        self.answers = type(self).script(order)

    def hear(self, on_frames: Callable[[int, int], None]) -> Any:
        for answer in self.answers:
            if isinstance(answer, Failed):
                raise answer.error
            if not isinstance(answer, Advance):
                return answer
            on_frames(answer.frames, answer.faces)
        raise runner_ray._LinkLostError("lost")

    def end(self) -> None:
        self.is_ended = True


def render(order: Order) -> Iterator[Any]:
    yield Accepted()
    for chunk in order.chunks:
        yield Advance(chunk.num_frames, 1)
        chunk.path.write_bytes(b"")
        chunk.stats.write_text("{}")
        yield ChunkDone(chunk, 5.0)
    yield AllDone()


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> RayRunner:
    pytest.importorskip("ray")
    FakeLink.script, FakeLink.made = staticmethod(render), []
    monkeypatch.setattr(runner_ray, "_Link", FakeLink)
    return RayRunner(build_studio(ConvertSettings(style="rehearsal", cluster="auto")))


@pytest.fixture
def chunks(tmp_path: Path) -> list[Chunk]:
    return [Chunk(i, 10 * i, 10 * i + 10, tmp_path / f"chunk-{i}.nut") for i in range(3)]


def nobody(*_: Any) -> None:
    """Is told, and does nothing."""


def test_chunks_and_frames_are_told_and_the_link_is_kept_for_the_next_video(
    runner: RayRunner, chunks: list[Chunk], tmp_path: Path
) -> None:
    frames: list[int] = []
    done: list[Chunk] = []
    runner.run(WORK, chunks[:2], lambda count, faces: frames.append(count), done.append)
    runner.run(WORK, chunks[2:], lambda count, faces: frames.append(count), done.append)
    assert (frames, done) == ([10, 10, 10], chunks)
    assert len(FakeLink.made) == 1
    assert not [path for path in tmp_path.iterdir() if "-" not in path.name or path.is_dir()]
    runner.close()
    runner.close()
    assert FakeLink.made[0].is_ended


def test_an_error_of_a_chunk_comes_as_it_is_and_ends_all(runner: RayRunner, chunks: list[Chunk]) -> None:
    FakeLink.script = staticmethod(lambda order: iter([Accepted(), Failed(UnreadableInputError("broken"))]))
    with pytest.raises(UnreadableInputError, match="broken"):
        runner.run(WORK, chunks, nobody, nobody)
    assert FakeLink.made[0].is_ended
    assert not list(chunks[0].path.parent.iterdir())


def test_a_link_that_ended_while_it_had_nothing_to_do_is_made_anew(runner: RayRunner, chunks: list[Chunk]) -> None:
    runner.run(WORK, chunks[:1], nobody, nobody)
    answers = iter([iter(()), render])

    def lost_once(order: Order) -> Iterator[Any]:
        script = next(answers)
        return script(order) if callable(script) else script

    FakeLink.script = staticmethod(lost_once)
    runner.run(WORK, chunks[1:], nobody, nobody)
    assert len(FakeLink.made) == 2
    assert all(chunk.is_finished for chunk in chunks)


def test_a_link_that_is_lost_in_the_middle_means_that_the_cluster_is_gone(
    runner: RayRunner, chunks: list[Chunk]
) -> None:
    FakeLink.script = staticmethod(lambda order: iter([Accepted(), Advance(1, 0)]))
    with pytest.raises(ClusterError, match="start it again and give the same command again") as raised:
        runner.run(WORK, chunks, nobody, nobody)
    assert type(raised.value) is ClusterError


def test_who_stops_the_run_after_a_chunk_ends_what_runs_elsewhere(runner: RayRunner, chunks: list[Chunk]) -> None:
    def stop(chunk: Chunk) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(WORK, chunks, nobody, stop)
    assert FakeLink.made[0].is_ended
    assert chunks[0].is_finished


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ClusterError, match=r"pip install 'ugatit-pipeline\[cluster\]'"):
        RayRunner(build_studio(ConvertSettings(style="rehearsal", cluster="auto")))


@pytest.mark.parametrize("address", ["127.0.0.9:1", "ray://127.0.0.9:1", "somewhere", "host:port", "h:99999999"])
def test_an_address_where_nobody_is_is_refused(address: str) -> None:
    with pytest.raises(ClusterError, match=address):
        check_address(address)


def test_a_job_waits_for_a_cluster_instead_of_failing() -> None:
    found = sort_failure(ClusterError("gone"))
    assert (found.course, found.block) == (Course.BLOCK, "cluster")
