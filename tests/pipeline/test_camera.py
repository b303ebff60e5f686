"""Live pictures: the newest frame wins, a lost source comes back, and whatever ends a session leaves a whole video."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import run
from pipeline.camera.live import Camera, CameraChoices, CameraReport
from pipeline.camera.reader import NewestFrame
from pipeline.camera.source import FileSource, choose_source, frame_of_rgb, mirrored
from pipeline.decode import iter_frames
from pipeline.errors import InputError, UnreadableInputError
from pipeline.ffmpeg import ffmpeg_program
from pipeline.frames import Frame
from pipeline.probe import probe
from pipeline.settings import ConvertSettings
from pipeline.studio import build_studio
from tests.pipeline.clips import stamps_secs, write_stripes

REHEARSAL = ConvertSettings(style="rehearsal", smoothing=0.0)
GREY = np.full((48, 64, 3), 90, np.uint8)


class FakeSource:
    """Gives some frames, is lost, and gives more when it is opened again."""

    name, is_endless = "fake", True

    def __init__(self, *runs: int | None, pause_secs: float = 0.0) -> None:
        """Args: runs: frames of each time it is opened, None where it cannot be; the last one goes on for ever."""
        self._runs, self._pause_secs, self.num_opened = list(runs), pause_secs, 0

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        number = min(self.num_opened, len(self._runs) - 1)
        self.num_opened += 1
        if self._runs[number] is None:
            raise UnreadableInputError("nobody there.")
        for i in range(self._runs[number] or 0):
            if stop.wait(self._pause_secs):
                return
            yield frame_of_rgb(GREY, i)


class FakeWindow:
    """Presses a key at each of the first frames."""

    def __init__(self, *keys: str | None) -> None:
        self._keys, self.shown, self.texts = list(keys), list[Frame](), list[str]()

    def show(self, frame: Frame, text: str) -> str | None:
        self.shown.append(frame)
        self.texts.append(text)
        return self._keys.pop(0) if self._keys else None

    def close(self) -> None: ...


def session(source: object, window: FakeWindow | None = None, **choices: object) -> CameraReport:
    """Run a session that needs no networks."""
    stop = threading.Event()
    camera = Camera(source, build_studio(REHEARSAL), CameraChoices(**choices), window=window, stop=stop)  # type: ignore[arg-type]
    return camera.run()


@pytest.fixture
def stripes(tmp_path: Path) -> Path:
    return write_stripes(tmp_path / "stripes.mp4", 25, (128, 96))


def test_who_is_slow_gets_the_newest_frame_and_the_others_are_counted() -> None:
    with NewestFrame(FakeSource(20, 0, pause_secs=0.005), reconnect_secs=0) as reader:
        while reader.num_captured < 20:
            time.sleep(0.01)
        live = reader.take(1)
    assert live is not None
    assert live.frame.pts == 19
    assert reader.num_missed == 19


def test_a_lost_source_is_opened_again(caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource(3, None, 4, 0)
    taken = 0
    with (
        caplog.at_level(logging.WARNING, logger="pipeline.camera.reader"),
        NewestFrame(source, reconnect_secs=60) as reader,
    ):
        while reader.num_captured < 7:
            taken += reader.take(0.05) is not None
    assert (reader.num_captured, reader.num_reconnects) == (7, 1)
    assert taken >= 1
    assert "was lost; opening it again" in caplog.text


def test_a_source_that_stays_away_ends_the_session_and_the_recording_is_whole(tmp_path: Path) -> None:
    record = tmp_path / "live.mkv"
    with pytest.raises(UnreadableInputError, match=r"did not come back within 0\.3 s \(--reconnect\)"):
        session(FakeSource(5, 0, pause_secs=0.02), record=record, reconnect_secs=0.3, report=tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["stopped_by"] == "lost"
    assert 1 <= len(list(iter_frames(probe(record)))) == report["recorded"] <= 5


def test_a_source_that_never_was_there_is_not_waited_for() -> None:
    started = time.monotonic()
    with pytest.raises(UnreadableInputError, match="nobody there"):
        session(FakeSource(None), window=FakeWindow(), reconnect_secs=60)
    assert time.monotonic() - started < 30


def test_a_file_is_played_at_its_own_rate_and_every_frame_keeps_its_time(stripes: Path, tmp_path: Path) -> None:
    record = tmp_path / "live.mp4"
    report = session(FileSource(stripes), record=record)
    assert report.stopped_by == "end"
    assert (report.captured, report.shown + report.missed, report.recorded) == (25, 25, report.shown)
    assert report.faces == report.shown > 0
    assert 0.9 <= report.secs < 30
    assert set(report.latency_ms) == {"p50", "p95", "p99", "max"}
    stamps = stamps_secs(record)
    assert len(stamps) == report.recorded
    assert stamps[-1] - stamps[0] == pytest.approx(report.secs, abs=report.latency_ms["max"] / 1000 + 0.05)


def test_keys_mirror_switch_the_style_off_and_end() -> None:
    window = FakeWindow("mirror", "style", "quit")
    half = GREY.copy()
    half[:, :32] = 200

    class Half(FakeSource):
        def frames(self, stop: threading.Event) -> Iterator[Frame]:
            for i in range(1000):
                if stop.wait(0.01):
                    return
                yield frame_of_rgb(half, i)

    report = session(Half(1), window=window)
    assert report.stopped_by == "key"
    first, second, third = (frame.to_rgb(0, 0, 64, 48).astype(int) for frame in window.shown)
    assert first[2, 2, 0] == 200
    assert second[2, 2, 0] == 90  # turned round
    assert np.abs(second[20:28, 28:36] - half[20:28, 28:36][:, ::-1]).max() > 30  # a restyled face in the middle
    assert np.array_equal(third, half[:, ::-1])
    assert "fps" in window.texts[0]
    assert "ms behind" in window.texts[0]


def test_a_mirrored_frame_mirrored_again_is_itself(stripes: Path) -> None:
    frame = next(iter(iter_frames(probe(stripes))))
    assert mirrored(mirrored(frame)).md5() == frame.md5() != mirrored(frame).md5()


def test_a_session_ends_after_its_duration() -> None:
    report = session(FakeSource(10_000, pause_secs=0.01), window=FakeWindow(), duration_secs=0.3)
    assert report.stopped_by == "duration"


@pytest.mark.parametrize(
    ("text", "kind"),
    [("0", "DeviceSource"), ("/dev/video2", "DeviceSource"), ("rtsp://host/door", "StreamSource")],
)
def test_the_source_is_told_by_its_form(text: str, kind: str) -> None:
    assert type(choose_source(text)).__name__ == kind


@pytest.mark.parametrize("text", ["ftp://host/clip", "no-such-file.mp4"])
def test_a_source_that_cannot_be_is_refused_at_once(text: str) -> None:
    with pytest.raises(InputError):
        choose_source(text)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--source", "{clip}"], "--show"),
        (["--source", "{clip}", "--record", "a.webm"], ".mkv"),
        (["--source", "{clip}", "--record", "a.mkv", "--faces", "only:2"], "--faces"),
        (["--source", "{clip}", "--record", "a.mkv", "--scope", "frame"], "--scope"),
        (["--source", "{clip}", "--record", "a.mkv", "--size", "large"], "--size"),
        (["--source", "{clip}", "--record", "{clip}"], "--overwrite"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_opened(arguments: list[str], told: str, stripes: Path) -> None:
    result = CliRunner().invoke(run.cli, ["camera", *(a.format(clip=stripes) for a in arguments)])
    assert result.exit_code != 0
    assert told in result.output + str(result.exception)


def start_camera(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "run.py", "--json", "camera", "--style", "rehearsal", *arguments]
    return subprocess.Popen(command, cwd=Path(run.__file__).parent, stdout=subprocess.PIPE, text=True)


def wait_for_size(path: Path, size_bytes: int) -> None:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.stat().st_size > size_bytes):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def long_stripes(tmp_path: Path) -> Path:
    return write_stripes(tmp_path / "long.mp4", 2500, (128, 96))


def test_sigterm_ends_a_session_in_order(long_stripes: Path, tmp_path: Path) -> None:
    record = tmp_path / "live.mp4"
    process = start_camera("--source", str(long_stripes), "--record", str(record))
    wait_for_size(record, 2000)
    process.send_signal(signal.SIGTERM)
    told = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 0
    assert told["stopped_by"] == "signal"
    assert len(list(iter_frames(probe(record)))) == told["recorded"] > 0
    assert json.loads(record.with_suffix(".report.json").read_text())["recorded"] == told["recorded"]


def test_what_was_recorded_plays_even_after_sigkill(long_stripes: Path, tmp_path: Path) -> None:
    record = tmp_path / "live.mkv"
    process = start_camera("--source", str(long_stripes), "--record", str(record))
    wait_for_size(record, 6_000)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert len(list(iter_frames(probe(record)))) > 10


def test_a_stream_that_breaks_off_and_comes_back_goes_on(long_stripes: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, record = f"tcp://127.0.0.1:{port}", tmp_path / "live.mkv"

    def serve() -> subprocess.Popen[bytes]:
        arguments = ["-loglevel", "error", "-re", "-i", str(long_stripes), "-c", "copy", "-f", "mpegts"]
        return subprocess.Popen([ffmpeg_program(), *arguments, f"{url}?listen=1"], stdin=subprocess.DEVNULL)

    server = serve()
    time.sleep(0.5)
    process = start_camera("--source", url, "--record", str(record))
    try:
        wait_for_size(record, 5000)
        server.kill()
        server.wait(10)
        size_bytes = record.stat().st_size
        server = serve()
        wait_for_size(record, size_bytes + 8_000)
        process.send_signal(signal.SIGTERM)
        told = json.loads(process.communicate(timeout=60)[0])
    finally:
        process.kill()
        server.kill()
        server.wait(10)
        process.wait(10)
    assert (told["reconnects"], told["stopped_by"]) == (1, "signal")
    assert len(list(iter_frames(probe(record)))) == told["recorded"]
