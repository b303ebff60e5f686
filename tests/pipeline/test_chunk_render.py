"""The stages of a chunk at the same time: the same frames, and an orderly end whichever of them fails."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import chunk_render
from pipeline.budget import decide_budget
from pipeline.convert import convert_item
from pipeline.encode import VideoEncoder
from pipeline.inputs import collect
from pipeline.meter import WarpErrorMeter
from pipeline.progress import SilentProgress
from pipeline.publisher import FilePublisher
from pipeline.report import Report
from pipeline.settings import ConvertSettings
from pipeline.studio import build_studio
from pipeline.stylist import Stylist

from .clips import frame_hashes, write_stripes


@pytest.fixture
def stripes(tmp_path: Path) -> Path:
    """A small clip of a second and a half."""
    return write_stripes(tmp_path / "stripes.mp4", 40)


def convert(clip: Path, out: Path, *, is_overlapped: bool = True, progress: SilentProgress | None = None) -> Report:
    budget = replace(decide_budget(cores=1), is_overlapped=is_overlapped)
    studio = build_studio(ConvertSettings(style="rehearsal", chunk_secs=0.5), budget)
    [item] = collect([str(clip)], out).items
    out.mkdir(exist_ok=True)
    return convert_item(item, studio, progress or SilentProgress(), FilePublisher(item.report, overwrite=False))


def stages() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name in ("decode", "stylise", "finish")]


def test_overlapping_stages_give_the_same_frames(stripes: Path, tmp_path: Path) -> None:
    reports = [convert(stripes, tmp_path / str(n), is_overlapped=bool(n)) for n in (0, 1)]
    assert frame_hashes(tmp_path / "0" / "stripes.mp4") == frame_hashes(tmp_path / "1" / "stripes.mp4")
    assert {"decode", "generate", "blend", "paste", "encode", "render"} <= reports[1].stage_secs.keys()
    assert reports[1].first_frame_secs is not None
    assert reports[1].first_frame_secs > 0


def after(calls: int, error: BaseException, real: Callable[..., Any]) -> Callable[..., Any]:
    """A function that fails at its Nth call."""
    counter = iter(range(1000))

    def fail(*arguments: Any, **named: Any) -> Any:
        if next(counter) == calls:
            raise error
        return real(*arguments, **named)

    return fail


def decoding_badly(*arguments: Any, **named: Any) -> Iterator[Any]:
    for index, frame in enumerate(ITER_CHUNK(*arguments, **named)):
        if index == 7:
            raise LookupError("stage")
        yield frame


ITER_CHUNK = chunk_render.iter_chunk_on


@pytest.mark.parametrize("kind", [LookupError, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize(("owner", "name"), [(Stylist, "stylise"), (WarpErrorMeter, "update"), (VideoEncoder, "write")])
def test_an_error_in_any_stage_ends_all_of_them(
    kind: type[BaseException], owner: type, name: str, stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, after(2, kind("stage"), getattr(owner, name)))
    with pytest.raises(kind, match="stage"):
        convert(stripes, tmp_path / "out")
    assert not stages()


def test_an_error_of_the_decoder_ends_all_stages(
    stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_render, "iter_chunk_on", decoding_badly)
    with pytest.raises(LookupError, match="stage"):
        convert(stripes, tmp_path / "out")
    assert not stages()


def test_ctrl_c_between_two_frames_ends_all_stages_and_keeps_finished_chunks(stripes: Path, tmp_path: Path) -> None:
    class Interrupting(SilentProgress):
        def __init__(self) -> None:
            self.checkpoints = 0

        def checkpoint(self) -> None:
            self.checkpoints += 1

        def advance(self, frames: int = 1, faces: int = 0) -> None:
            if self.checkpoints == 2:  # after the first pass and the first chunk
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(stripes, tmp_path / "out", progress=Interrupting())
    assert not stages()
    assert convert(stripes, tmp_path / "out").chunks_resumed == 1
