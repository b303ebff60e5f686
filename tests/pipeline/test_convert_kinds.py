"""The main job on the kinds of video that break such programs: rotated, uneven, deep, odd, rich, damaged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import run
from pipeline.decode import iter_frames
from pipeline.probe import probe

from .clips import stamps_secs, write_clip
from .media import ffmpeg


def convert(source: Path, out: Path, style: Path, *options: str) -> dict[str, Any]:
    assert run.main(["convert", str(source), "-o", str(out), "--style", str(style), *options]) == 0
    return dict(json.loads((out / f"{source.stem}.report.json").read_text()))


def changed_box(before: Path, after: Path) -> tuple[float, float]:
    """Middle (x, y) of what changed in the first frame as displayed, as fractions."""
    a, b = (next(iter_frames(probe(p))) for p in (before, after))
    change = np.abs(a.to_rgb(0, 0, *a.size_wh).astype(int) - b.to_rgb(0, 0, *b.size_wh)).mean(axis=-1) > 30
    rows, columns = np.nonzero(change)
    return float(columns.mean() / change.shape[1]), float(rows.mean() / change.shape[0])


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotated_clip_keeps_its_flag_and_its_face_is_found_upright(
    degrees: int, clip: Path, style_file: Path, tmp_path: Path
) -> None:
    # Stored turned against its flag, so that it is shown upright.
    turn = {90: "transpose=cclock", 180: "hflip,vflip", 270: "transpose=clock"}[degrees]
    turned = ffmpeg(tmp_path / "turned.mp4", "-i", str(clip), "-vf", turn, "-frames:v", "8", "-preset", "ultrafast")
    rotated = ffmpeg(tmp_path / "rotated.mp4", "-display_rotation", str(-degrees), "-i", str(turned), "-c", "copy")
    assert probe(rotated).video.rotation_degrees == degrees
    report = convert(rotated, tmp_path / "out", style_file)
    assert report["faces"] == 8
    result = probe(tmp_path / "out" / "rotated.mp4")
    assert result.video.rotation_degrees == degrees
    x, y = changed_box(rotated, tmp_path / "out" / "rotated.mp4")
    upright = changed_box(clip, convert_upright(clip, tmp_path, style_file))
    assert (x, y) == pytest.approx(upright, abs=0.05)


def convert_upright(clip: Path, folder: Path, style: Path) -> Path:
    convert(clip, folder / "upright", style)
    return folder / "upright" / clip.name


def test_uneven_and_late_stamps_are_kept(clip: Path, style_file: Path, tmp_path: Path) -> None:
    uneven = r"select='not(eq(mod(n\,5)\,2))',setpts='PTS+0.4/TB+0.01/TB*mod(N\,3)'"
    options = [
        "-vf",
        uneven,
        "-copyts",
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1:90000",
        "-preset",
        "ultrafast",
    ]
    vfr = ffmpeg(tmp_path / "vfr.mkv", "-i", str(clip), *options, "-c:a", "copy")
    report = convert(vfr, tmp_path / "out", style_file, "--chunk-secs", "0.5")
    assert report["verified"] is True
    assert report["faces"] == report["frames"] == len(stamps_secs(vfr))
    assert stamps_secs(tmp_path / "out" / "vfr.mkv") == pytest.approx(stamps_secs(vfr), abs=0.0011)
    assert stamps_secs(vfr)[0] > 0.3


def test_ten_bits_stay_ten_bits_and_hdr_stays_hdr(clip: Path, style_file: Path, tmp_path: Path) -> None:
    tags = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc", "-color_range", "tv"]
    setparams = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"
    hdr = ffmpeg(
        tmp_path / "hdr.mp4", "-i", str(clip), "-frames:v", "8", "-vf", f"format=yuv420p10le,{setparams}",
        "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", *tags,
    )  # fmt: skip
    report = convert(hdr, tmp_path / "out", style_file)
    video = probe(tmp_path / "out" / "hdr.mp4").video
    assert report["faces"] == 8
    assert video.bit_depth == 10
    assert (video.colour.transfer, video.colour.primaries) == ("smpte2084", "bt2020")


def test_an_odd_size_is_kept(clip: Path, style_file: Path, tmp_path: Path) -> None:
    odd = ffmpeg(tmp_path / "odd.mkv", "-i", str(clip), "-vf", "scale=319:239", "-frames:v", "8", "-c:v", "ffv1")
    convert(odd, tmp_path / "out", style_file)
    assert probe(tmp_path / "out" / "odd.mkv").video.display_wh == (319, 239)


def test_all_sound_subtitles_chapters_and_tags_are_kept(clip: Path, style_file: Path, tmp_path: Path) -> None:
    (tmp_path / "s.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nHello\n")
    (tmp_path / "meta.txt").write_text(
        ";FFMETADATA1\ntitle=Holiday\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1200\ntitle=Two\n"
    )
    inputs = [x for name in (clip, clip, tmp_path / "s.srt", tmp_path / "meta.txt") for x in ("-i", str(name))]
    maps = [x for which in ("0:v", "0:a", "1:a", "2") for x in ("-map", which)]
    maps += ["-map_metadata", "3", "-map_chapters", "3", "-c", "copy", "-metadata:s:a:1", "language=fra"]
    rich = ffmpeg(tmp_path / "rich.mkv", *inputs, *maps)
    report = convert(rich, tmp_path / "out", style_file)
    result = probe(tmp_path / "out" / "rich.mkv")
    assert [len(result.of_kind(kind)) for kind in ("audio", "subtitle")] == [2, 1]
    assert [s.language for s in result.of_kind("audio")] == [s.language for s in probe(rich).of_kind("audio")]
    assert result.of_kind("audio")[1].language == "fra"
    assert [chapter.title for chapter in result.chapters] == ["One", "Two"]
    assert dict(result.metadata)["title"] == "Holiday"
    assert report["dropped"] == []


def test_a_truncated_clip_is_refused_and_with_lenient_converted_as_far_as_it_goes(
    clip: Path, style_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = ffmpeg(tmp_path / "whole.mkv", "-i", str(clip), "-c", "copy")
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    assert run.main(["convert", str(cut), "-o", str(tmp_path / "out"), "--style", str(style_file)]) == 3
    assert "--lenient" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("cut*"))
    report = convert(cut, tmp_path / "out", style_file, "--lenient")
    assert 5 < report["frames"] < 30
    assert any("missing" in warning for warning in report["warnings"])


def test_one_frame_is_enough(clip: Path, style_file: Path, tmp_path: Path) -> None:
    one = ffmpeg(tmp_path / "one.mp4", "-i", str(clip), "-frames:v", "1", "-an")
    report = convert(one, tmp_path / "out", style_file)
    assert (report["frames"], report["faces"], report["verified"]) == (1, 1, True)


@pytest.mark.parametrize("codec", ["libx265", "libvpx-vp9", "libsvtav1", "ffv1"])
def test_every_codec_gives_a_verified_result(codec: str, clip: Path, style_file: Path, tmp_path: Path) -> None:
    short = ffmpeg(tmp_path / "short.mp4", "-i", str(clip), "-frames:v", "4", "-an", "-preset", "ultrafast")
    report = convert(short, tmp_path / "out", style_file, "--codec", codec)
    assert report["verified"] is True
    assert report["codec"] == codec
    assert report["output"].endswith(".mkv" if codec == "ffv1" else ".mp4")


def test_a_damaged_clip_without_a_face_is_converted_too_when_lenient(style_file: Path, tmp_path: Path) -> None:
    plain = write_clip(tmp_path / "plain.mkv", 20, has_face=False)
    data = np.frombuffer(plain.read_bytes(), np.uint8).copy()
    data[len(data) // 3 : len(data) * 3 // 4 : 997] ^= 0xFF
    (tmp_path / "bad.mkv").write_bytes(data.tobytes())
    report = convert(tmp_path / "bad.mkv", tmp_path / "out", style_file, "--lenient")
    assert report["verified"] is True
    assert report["codec"] == "libx264"
    assert "No face was found." in report["warnings"]


def test_results_of_one_stem_do_not_replace_each_other(clip: Path, style_file: Path, tmp_path: Path) -> None:
    inputs = [
        ffmpeg(tmp_path / f"a.{kind}", "-i", str(clip), "-frames:v", "3", "-an", "-c:v", "mpeg4")
        for kind in ("avi", "mkv")
    ]
    out = tmp_path / "out"
    options = ["-o", str(out), "--style", str(style_file), "--overwrite"]
    assert run.main(["convert", *map(str, inputs), *options]) == 0
    names = ["a.avi.mkv", "a.avi.report.json", "a.mkv", "a.mkv.report.json"]
    assert sorted(p.name for p in out.iterdir()) == names
