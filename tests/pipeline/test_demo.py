"""The demo needs nothing but the package, and the doctor knows whether it would work."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import run
from pipeline import demo, doctor, ffmpeg
from pipeline.errors import FfmpegError
from pipeline.probe import probe


def test_the_demo_makes_a_sounding_clip_and_shows_before_and_after(
    style_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "DURATION_SECS", 1)
    monkeypatch.setattr("pipeline.demo.write_before_after", _at_once(demo.write_before_after))
    assert run.main(["demo", "-o", str(tmp_path / "demo"), "--style", str(style_file)]) == 0
    told = capsys.readouterr().out
    assert "frames per second" in told
    written = {p.name for p in (tmp_path / "demo").iterdir()}
    assert {"astronaut.mp4", "astronaut-restyled.mp4", "astronaut-side-by-side.mp4", "before-after.png"} <= written
    source, result = (probe(tmp_path / "demo" / n) for n in ("astronaut.mp4", "astronaut-restyled.mp4"))
    assert len(source.of_kind("audio")) == len(result.of_kind("audio")) == 1
    assert probe(tmp_path / "demo" / "astronaut-side-by-side.mp4").video.width == 2 * demo.SIZE_WH[0]
    sheet = cv2.imread(str(tmp_path / "demo" / "before-after.png"))
    above, below = np.split(sheet, 2)
    assert np.abs(above.astype(int) - below).mean() > 1
    report = json.loads((tmp_path / "demo" / "astronaut-restyled.report.json").read_text())
    assert report["faces"] == report["frames"] == demo.FRAME_RATE


def _at_once(write):  # type: ignore[no-untyped-def]
    return lambda source, result, path: write(source, result, path, at_secs=(0.1, 0.5))


def test_the_demo_can_be_made_again(style_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "DURATION_SECS", 1)
    monkeypatch.setattr("pipeline.demo.write_before_after", _at_once(demo.write_before_after))
    for _ in range(2):
        assert run.main(["demo", "-o", str(tmp_path), "--style", str(style_file)]) == 0


def test_the_tune_is_as_long_as_the_clip_and_never_clips() -> None:
    tune = demo.tune()
    assert abs(len(tune) / 48_000 - demo.DURATION_SECS) < 0.01
    assert 0.05 < np.abs(tune).max() < 0.9


def test_the_doctor_finds_everything_that_the_demo_needs_here() -> None:
    checks = doctor.examine()
    assert doctor.is_ready(checks), [c for c in checks if c.is_needed and not c.is_found]
    assert {"ffmpeg", "style toon", "landmark network", "detector builtin"} <= {c.name for c in checks if c.is_needed}


def test_the_doctor_says_what_a_missing_thing_costs_without_failing_for_it() -> None:
    [yunet] = [check for check in doctor.examine() if check.name == "detector yunet"]
    assert not yunet.is_found
    assert not yunet.is_needed
    assert "profiles" in yunet.detail


def test_the_doctor_names_the_face_parser_in_use() -> None:
    [parser] = [check for check in doctor.examine() if check.name == "face parser"]
    assert parser.is_found
    assert parser.detail.startswith("built-in at ")


@pytest.mark.parametrize("starts", [True, False])
def test_beside_an_nvidia_gpu_the_doctor_tries_its_encoders(starts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_has_nvidia", lambda: True)
    monkeypatch.setattr(ffmpeg, "available_encoders", lambda: frozenset({"libx264", "h264_nvenc"}))
    monkeypatch.setattr("pipeline.encode.starts", lambda *arguments: starts)
    [check] = [check for check in doctor.examine() if check.name == "nvidia video"]
    assert (check.is_found, check.is_needed) == (starts, False)
    assert "h264_nvenc" in check.detail


def test_without_ffmpeg_the_doctor_is_not_content(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> str:
        raise FfmpegError("there is no ffmpeg program.")

    monkeypatch.setattr(ffmpeg, "ffmpeg_program", missing)
    monkeypatch.setattr(ffmpeg, "available_encoders", missing)
    assert run.main(["--json", "doctor"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ready"] is False
    assert [c["name"] for c in told["checks"] if c["is_needed"] and not c["is_found"]] == ["ffmpeg"]
