"""A rehearsal does everything but think: real files, real chunks, and trouble on demand."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from model import list_styles
from pipeline.convert import convert_item
from pipeline.decode import iter_frames
from pipeline.inputs import Item, collect
from pipeline.probe import probe
from pipeline.progress import SilentProgress
from pipeline.publisher import FilePublisher
from pipeline.report import Report
from pipeline.settings import ConvertSettings
from pipeline.studio import build_studio

from .clips import frame_hashes, write_stripes

ROOT = Path(__file__).parents[2]


class InterruptError(Exception):
    """What a progress display may raise."""


class Stages(SilentProgress):
    """Notes what it is told, and stops at a checkpoint if asked."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stages: dict[str, int] = {}
        self.checkpoints = 0
        self._stop_at = stop_at
        self._stage = ""

    def start(self, name: str, stage: str, total: int | None) -> None:
        self._stage = stage
        self.stages.setdefault(stage, 0)

    def advance(self, frames: int = 1, faces: int = 0) -> None:
        self.stages[self._stage] += frames

    def checkpoint(self) -> None:
        self.checkpoints += 1
        if self.checkpoints == self._stop_at:
            raise InterruptError


@pytest.fixture
def stripes(tmp_path: Path) -> Path:
    """A small clip of a second and a half."""
    return write_stripes(tmp_path / "stripes.mp4", 40)


def item_of(clip: Path, output: Path) -> Item:
    return collect([str(clip)], output).items[0]


def rehearse(clip: Path, output: Path, progress: SilentProgress | None = None, **choices: Any) -> Report:
    output.parent.mkdir(exist_ok=True)
    settings = ConvertSettings(**{"style": "rehearsal", "chunk_secs": 0.5, "codec": "ffv1", **choices})
    item = item_of(clip, output)
    publisher = FilePublisher(item.report, overwrite=False)
    return convert_item(item, build_studio(settings), progress or SilentProgress(), publisher)


def test_every_frame_has_a_face_in_its_middle_turned_round(stripes: Path, tmp_path: Path) -> None:
    report = rehearse(stripes, tmp_path / "out.mkv")
    assert (report.frames, report.faces, report.tracks, report.style) == (40, 40, 1, "rehearsal")
    assert report.verified
    for before, after in zip(iter_frames(probe(stripes)), iter_frames(probe(tmp_path / "out.mkv")), strict=True):
        old, new = before.planes[0].astype(int), after.planes[0].astype(int)
        assert np.abs(old - new)[24:40, 40:56].mean() > 40
        assert (old == new)[:, :8].all()


def test_a_picture_is_rehearsed_too(tmp_path: Path) -> None:
    Image.new("RGB", (96, 64), (250, 60, 0)).save(tmp_path / "red.png")
    rehearse(tmp_path / "red.png", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as made:
        assert made.getpixel((2, 2)) == (250, 60, 0)
        assert made.getpixel((48, 32)) != (250, 60, 0)


def test_no_list_of_styles_shows_it() -> None:
    assert "rehearsal" not in [info.name for info in list_styles()]


def test_stages_are_told_frame_by_frame_and_chunks_as_checkpoints(stripes: Path, tmp_path: Path) -> None:
    told = Stages()
    rehearse(stripes, tmp_path / "out.mkv", told)
    assert {stage: told.stages[stage] for stage in ("looking at", "restyling", "joining", "checking")} == dict.fromkeys(
        ("looking at", "restyling", "joining", "checking"), 40
    )
    assert told.checkpoints == 1 + 3  # the analysis and three chunks


def test_what_progress_raises_comes_through_and_costs_no_finished_chunk(stripes: Path, tmp_path: Path) -> None:
    rehearse(stripes, tmp_path / "whole.mkv")
    with pytest.raises(InterruptError):
        rehearse(stripes, tmp_path / "out.mkv", Stages(stop_at=3))
    assert len(list(tmp_path.glob(".ugatit/work/*/chunk-*.json"))) == 2
    assert not list(tmp_path.glob("out*"))
    assert not list(tmp_path.rglob("*.part"))
    again = Stages()
    assert rehearse(stripes, tmp_path / "out.mkv", again).chunks_resumed == 2
    assert again.checkpoints == 1
    assert "looking at" not in again.stages
    assert frame_hashes(tmp_path / "out.mkv") == frame_hashes(tmp_path / "whole.mkv")


def test_without_memory_for_a_batch_the_pixels_are_the_same(
    stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rehearse(stripes, tmp_path / "whole.mkv")
    monkeypatch.setenv("UGATIT_REHEARSAL", "oom:3")
    rehearse(stripes, tmp_path / "halved.mkv")
    assert "going on in halves" in caplog.text
    assert frame_hashes(tmp_path / "halved.mkv") == frame_hashes(tmp_path / "whole.mkv")


def test_without_memory_for_anything_the_error_is_pytorchs_own(
    stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UGATIT_REHEARSAL", "oom:always")
    with pytest.raises(torch.OutOfMemoryError):
        rehearse(stripes, tmp_path / "out.mkv")


def test_an_error_is_raised_by_its_name_and_other_files_are_spared(
    stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UGATIT_REHEARSAL", "raise:ZeroDivisionError")
    with pytest.raises(ZeroDivisionError, match="UGATIT_REHEARSAL"):
        rehearse(stripes, tmp_path / "out.mkv")
    monkeypatch.setenv("UGATIT_REHEARSAL", "exit:other.mp4,hang:other.mp4")
    assert rehearse(stripes, tmp_path / "out.mkv").frames == 40


def test_a_poisoned_name_ends_the_process_in_the_middle_of_its_work(stripes: Path, tmp_path: Path) -> None:
    command = [sys.executable, "run.py", "convert", str(stripes), "-o", str(tmp_path / "out"), "--style", "rehearsal"]
    environment = os.environ | {"UGATIT_REHEARSAL": "exit:stripes.mp4"}
    assert subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 70
    assert [p.name for p in (tmp_path / "out").iterdir()] == [".ugatit"]
    assert list((tmp_path / "out").glob(".ugatit/work/*/analysis.npz"))
