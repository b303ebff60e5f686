"""The main job end to end, on a real face, with the real ffmpeg and a tiny generator."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from skimage.data import astronaut

import run
from pipeline.decode import iter_frames
from pipeline.probe import probe

from .clips import frame_hashes, stamps_secs, write_clip

ROOT = Path(__file__).parents[2]


def convert(*arguments: object) -> int:
    return run.main(["convert", *(str(a) for a in arguments)])


def report_of(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.with_name(path.stem + ".report.json").read_text()))


def audio_packets(path: Path) -> str:
    with av.open(str(path)) as container:
        return hashlib.sha256(b"".join(bytes(p) for p in container.demux(audio=0))).hexdigest()


def pixels(path: Path) -> Iterator[npt.NDArray[np.uint8]]:
    for frame in iter_frames(probe(path)):
        yield frame.to_rgb(0, 0, *frame.size_wh)


def test_a_video_is_restyled_with_its_sound_and_its_timing(clip: Path, style_file: Path, tmp_path: Path) -> None:
    assert convert(clip, "-o", tmp_path, "--style", style_file) == 0
    result = tmp_path / "astronaut.mp4"
    assert stamps_secs(result) == pytest.approx(stamps_secs(clip), abs=1e-4)
    assert audio_packets(result) == audio_packets(clip)
    report = report_of(result)
    assert report["verified"] is True
    assert report["frames"] == 30
    assert report["faces"] == 30
    assert report["tracks"] == 1
    assert report["fps"] > 0
    assert report["jitter_out_percent"] < report["jitter_in_percent"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["astronaut.mp4", "astronaut.report.json"]
    for before, after in zip(pixels(clip), pixels(result), strict=True):
        change = np.abs(before.astype(int) - after).mean(axis=-1)
        assert change.max() > 40
        assert np.median(change[:, :60]) < 4


def test_a_lossless_result_differs_from_its_source_under_the_mask_only(
    clip: Path, style_file: Path, tmp_path: Path
) -> None:
    assert convert(clip, "-o", tmp_path / "out.mkv", "--style", style_file, "--codec", "ffv1") == 0
    shares = []
    for before, after in zip(iter_frames(probe(clip)), iter_frames(probe(tmp_path / "out.mkv")), strict=True):
        changed = before.planes[0] != after.planes[0]
        shares.append(changed.mean())
        assert not changed[:, :40].any()
    assert min(shares) > 0.05
    assert max(shares) < 0.7


def test_strength_zero_in_lossless_changes_nothing(clip: Path, style_file: Path, tmp_path: Path) -> None:
    assert convert(clip, "-o", tmp_path / "out.mkv", "--style", style_file, "--codec", "ffv1", "--strength", 0) == 0
    assert frame_hashes(tmp_path / "out.mkv") == frame_hashes(clip)


def test_without_a_face_the_streams_are_copied(style_file: Path, tmp_path: Path) -> None:
    plain = write_clip(tmp_path / "plain.mp4", 20, has_face=False)
    assert convert(plain, "-o", tmp_path / "out", "--style", style_file) == 0
    assert frame_hashes(tmp_path / "out" / "plain.mp4") == frame_hashes(plain)
    report = report_of(tmp_path / "out" / "plain.mp4")
    assert report["faces"] == 0
    assert report["codec"] is None
    assert any("No face" in warning for warning in report["warnings"])


def test_a_killed_run_goes_on_and_gives_the_same_frames(clip: Path, style_file: Path, tmp_path: Path) -> None:
    options = ["--style", str(style_file), "--chunk-secs", "0.5"]
    assert convert(clip, "-o", tmp_path / "whole", *options) == 0
    command = [sys.executable, "run.py", "convert", str(clip), "-o", str(tmp_path / "killed"), *options]
    process = subprocess.Popen(command, cwd=ROOT)
    work = tmp_path / "killed" / ".ugatit" / "work"
    deadline = time.monotonic() + 120
    while not list(work.glob("*/chunk-*.json")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "astronaut.mp4").exists()
    assert convert(clip, "-o", tmp_path / "killed", "--resume", *options) == 0
    assert frame_hashes(tmp_path / "killed" / "astronaut.mp4") == frame_hashes(tmp_path / "whole" / "astronaut.mp4")
    assert report_of(tmp_path / "killed" / "astronaut.mp4")["chunks_resumed"] >= 1


def test_ctrl_c_stops_cleanly_and_leaves_only_what_can_be_resumed(clip: Path, style_file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "run.py", "convert", str(clip), "-o", str(tmp_path), "--style", str(style_file)]
    process = subprocess.Popen([*command, "--chunk-secs", "0.5"], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".ugatit/work/*/chunk-*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted" in told
    assert "Traceback" not in told
    assert [p.name for p in tmp_path.iterdir()] == [".ugatit"]
    assert not list(tmp_path.glob(".ugatit/work/*/*.part"))


def test_a_bad_input_among_good_ones_costs_only_itself(
    clip: Path, style_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "notes.mp4"
    bad.write_text("this is no video\n" * 100)
    assert convert(bad, clip, tmp_path / "missing.mp4", "-o", tmp_path / "out", "--style", style_file) in (3, 4)
    told = capsys.readouterr().err
    assert "notes.mp4" in told
    assert "missing.mp4" in told
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["astronaut.mp4", "astronaut.report.json"]


def test_an_output_that_is_there_is_kept_unless_told(clip: Path, style_file: Path, tmp_path: Path) -> None:
    (tmp_path / "astronaut.mp4").write_text("mine")
    assert convert(clip, "-o", tmp_path, "--style", style_file) == 5
    assert (tmp_path / "astronaut.mp4").read_text() == "mine"
    assert convert(clip, "-o", tmp_path, "--style", style_file, "--overwrite") == 0
    assert probe(tmp_path / "astronaut.mp4").video.width == 320


def test_compare_shows_the_source_beside_the_result(clip: Path, style_file: Path, tmp_path: Path) -> None:
    assert convert(clip, "-o", tmp_path / "out.mkv", "--style", style_file, "--codec", "ffv1", "--compare", "side") == 0
    both, source = next(iter_frames(probe(tmp_path / "out.mkv"))), next(iter_frames(probe(clip)))
    assert both.size_wh == (640, 240)
    assert (both.planes[0][:, :320] == source.planes[0]).all()
    assert (both.planes[0][:, 320:] != source.planes[0]).any()


def test_json_gives_one_object_with_everything(
    clip: Path, style_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run.main(
        [
            "--json",
            "convert",
            str(clip),
            str(tmp_path / "no.mp4"),
            "-o",
            str(tmp_path / "o"),
            "--style",
            str(style_file),
        ]
    )
    assert code == 3
    results = json.loads(capsys.readouterr().out)["results"]
    assert sorted(r["ok"] for r in results) == [False, True]
    [good] = [r for r in results if r["ok"]]
    assert {"frames", "faces", "tracks", "bridged", "guarded", "fps", "engine", "precision", "verified"} <= set(good)


def test_pictures_are_restyled_in_place_and_aligned_ones_as_a_whole(style_file: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    face = np.ascontiguousarray(astronaut()[:300, 60:400])
    cv2.imwrite(str(tmp_path / "in" / "sub" / "face.png"), face[..., ::-1])
    assert convert(tmp_path / "in", "-o", tmp_path / "out", "--style", style_file) == 0
    result = cv2.imread(str(tmp_path / "out" / "sub" / "face.png"))[..., ::-1]
    changed = (result != face).any(axis=-1)
    assert 0.05 < changed.mean() < 0.8
    assert not changed[:, :20].any()
    assert convert(tmp_path / "in", "-o", tmp_path / "gen", "--style", style_file, "--aligned") == 0
    assert cv2.imread(str(tmp_path / "gen" / "sub" / "face.png")).shape == (64, 64, 3)
