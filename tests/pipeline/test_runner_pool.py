"""Chunks in several processes: the same frames, the same errors, and nobody is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.process_tree import descendants
from pipeline.convert import Outcome, convert_all
from pipeline.errors import RendererLostError
from pipeline.progress import SilentProgress
from pipeline.runner_pool import MAX_LOSSES, ProcessRunner, _Renderer, devices_of
from pipeline.settings import ConvertSettings

from .clips import frame_hashes, write_stripes

ROOT = Path(__file__).parents[2]
NUM_FRAMES = 50


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds, four chunks of half a second."""
    return write_stripes(tmp_path_factory.mktemp("stripes") / "stripes.mp4", NUM_FRAMES)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[_Renderer]]:
    """Every process that is started, in order; all have ended when the test has."""
    made: list[_Renderer] = []
    begin = _Renderer.__init__

    def note(self: _Renderer, *arguments: object) -> None:
        begin(self, *arguments)  # type: ignore[arg-type]
        made.append(self)

    monkeypatch.setattr(_Renderer, "__init__", note)
    yield made
    assert not any(Path(f"/proc/{renderer.pid}").exists() for renderer in made)


class Counting(SilentProgress):
    """Counts frames of the stage that renders; may do something after each."""

    def __init__(self) -> None:
        self.frames = 0
        self.is_rendering = False

    def start(self, name: str, stage: str, total: int | None) -> None:
        self.is_rendering = stage == "restyling"

    def advance(self, frames: int = 1, faces: int = 0) -> None:
        self.frames += frames * self.is_rendering
        if frames and self.is_rendering:
            self.rendered()

    def rendered(self) -> None:
        """A frame came through."""


def convert(clip: Path, out: Path, parallel: int, progress: SilentProgress | None = None) -> Outcome:
    settings = ConvertSettings(style="rehearsal", parallel=parallel, chunk_secs=0.5)
    [outcome] = convert_all([str(clip)], out, settings, progress or SilentProgress())
    return outcome


def test_processes_give_the_frames_that_one_process_gives_and_tell_of_each(
    stripes: Path, tmp_path: Path, started: list[_Renderer]
) -> None:
    progress = Counting()
    alone, together = (convert(stripes, tmp_path / str(n), n, progress) for n in (1, 2))
    assert alone.error is together.error is None
    assert frame_hashes(tmp_path / "1" / "stripes.mp4") == frame_hashes(tmp_path / "2" / "stripes.mp4")
    assert progress.frames == 2 * NUM_FRAMES
    assert len(started) == 2
    assert together.report is not None
    assert together.report.parallel == 2
    assert together.report.faces == NUM_FRAMES


def test_an_error_comes_back_as_what_it_is_with_the_place_where_it_happened(
    stripes: Path, tmp_path: Path, started: list[_Renderer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UGATIT_REHEARSAL", "raise:LookupError")
    error = convert(stripes, tmp_path, 2).error
    assert type(error) is LookupError
    assert "rehearsal.py" in "".join(error.__notes__)


def test_the_chunk_of_a_process_that_is_killed_is_taken_again_and_told_of_once(
    stripes: Path, tmp_path: Path, started: list[_Renderer], caplog: pytest.LogCaptureFixture
) -> None:
    class Killing(Counting):
        def rendered(self) -> None:
            if self.frames == 5:
                os.kill(started[0].pid, signal.SIGKILL)

    progress = Killing()
    outcome = convert(stripes, tmp_path / "killed", 1 + 1, progress)
    assert outcome.error is None
    assert len(started) == 3
    assert "killed by signal 9" in caplog.text
    assert progress.frames == NUM_FRAMES
    convert(stripes, tmp_path / "calm", 1)
    assert frame_hashes(tmp_path / "killed" / "stripes.mp4") == frame_hashes(tmp_path / "calm" / "stripes.mp4")


def test_a_chunk_that_no_process_survives_is_given_up(
    stripes: Path, tmp_path: Path, started: list[_Renderer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UGATIT_REHEARSAL", "exit:stripes.mp4")
    error = convert(stripes, tmp_path, 2).error
    assert type(error) is RendererLostError
    assert "exit code 70" in str(error)
    assert len(started) >= 1 + MAX_LOSSES


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_processes_and_encoders_end_with_the_program(number: signal.Signals, stripes: Path, tmp_path: Path) -> None:
    command = [sys.executable, "run.py", "convert", str(stripes), "-o", str(tmp_path), "--style", "rehearsal"]
    environment = {**os.environ, "UGATIT_REHEARSAL": "slow:0.2"}
    with subprocess.Popen(
        [*command, "--parallel", "2", "--chunk-secs", "0.5"], cwd=ROOT, env=environment, stderr=subprocess.PIPE
    ) as program:
        below = until_encoding(program)
        program.send_signal(number)
        program.communicate(timeout=60)
    assert program.returncode == {signal.SIGINT: 130}.get(number, -number)
    until_gone(below)


def until_encoding(program: "subprocess.Popen[bytes]") -> list[int]:
    """Wait until two encoders run below a program, each below a process of its own; return all that do."""
    for _ in range(600):
        below = descendants(program.pid)
        names = [name_of(pid) for pid in below]
        if sum("ffmpeg" in name for name in names) == 2:
            return below
        assert program.poll() is None
        time.sleep(0.1)
    raise AssertionError("no encoders")


def name_of(pid: int) -> str:
    """What a process is called; empty where there is none any more."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def until_gone(pids: list[int]) -> None:
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return
        time.sleep(0.1)
    raise AssertionError("somebody is left")


def test_every_gpu_has_a_process_and_a_named_device_is_kept() -> None:
    from pipeline.budget import decide_budget

    three = decide_budget(num_gpus=3, cores=12)
    assert devices_of(ConvertSettings(), three, 3) == ["cuda:0", "cuda:1", "cuda:2"]
    two = decide_budget(parallel=2, num_gpus=1, cores=12)
    assert devices_of(ConvertSettings(device="cuda:1"), two, 1) == ["cuda:1", "cuda:1"]


def test_closing_a_runner_ends_processes_that_wait(started: list[_Renderer]) -> None:
    from pipeline.budget import decide_budget

    settings = ConvertSettings(style="rehearsal")
    runner = ProcessRunner(settings, decide_budget(parallel=2, cores=2), ["cpu", "cpu"])
    for seat in range(2):
        runner.renderer(seat)
    runner.close()
    runner.close()
