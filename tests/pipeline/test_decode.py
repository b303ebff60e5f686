"""Decoding: every frame once, with its own stamp, alone or in chunks; what is damaged is counted, never passed over."""

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pipeline.decode import DecodeReport, iter_chunk, iter_frames
from pipeline.deinterlace import Deinterlacer
from pipeline.errors import UnreadableInputError
from pipeline.frames import Frame
from pipeline.mediainfo import MediaInfo
from pipeline.probe import probe
from pipeline.truncation import missing_bytes

from .media import ffmpeg, make_vfr, make_video, packets, picture_source


def decode(path: Path, **options: bool) -> tuple[MediaInfo, list[Frame], DecodeReport]:
    info, report = probe(path), DecodeReport()
    return info, list(iter_frames(info, report=report, **options)), report


def hashes(frames: Sequence[Frame]) -> list[tuple[int, str]]:
    return [(frame.pts, frame.md5()) for frame in frames]


FULL = {
    "moov at end": ("a.mp4", ()),
    "faststart": ("a.mp4", ("-movflags", "+faststart")),
    "fragments": ("a.mp4", ("-movflags", "+frag_keyframe+empty_moov", "-g", "5")),
    "mkv": ("a.mkv", ()),
    "webm": ("a.webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")),
    "avi": ("a.avi", ("-bf", "0")),
    "hevc": ("a.mp4", ("-c:v", "libx265", "-x265-params", "log-level=error", "-movflags", "+faststart")),
    "ts": ("a.ts", ()),
}


@pytest.mark.parametrize("kind", FULL)
def test_a_sound_file_gives_every_frame_and_no_complaint(kind: str, tmp_path: Path) -> None:
    name, options = FULL[kind]
    _, frames, report = decode(make_video(tmp_path / name, *options, num_frames=30, has_sound=True), strict=True)
    assert len(frames) == report.num_frames == 30
    assert not report.is_damaged
    assert report.warnings() == []


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("kind", ["faststart", "fragments", "mkv", "webm", "avi", "hevc"])
def test_a_file_without_its_end_is_never_taken_for_whole(kind: str, share: float, tmp_path: Path) -> None:
    name, options = FULL[kind]
    source = make_video(tmp_path / name, *options, num_frames=30, has_sound=True)
    source.write_bytes(source.read_bytes()[: int(source.stat().st_size * share)])
    info, frames, report = decode(source)
    assert report.is_truncated
    assert 0 < len(frames) < 30
    assert "The end of the file is missing" in report.warnings()[0]
    with pytest.raises(UnreadableInputError, match=rf"a\.\w+.*missing.* {len(frames)} frames .*--lenient"):
        list(iter_frames(info, strict=True))


def test_a_transport_stream_promises_no_end_and_is_taken_as_it_is(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.ts", num_frames=30)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 376 * 188])
    _, frames, report = decode(source)
    assert 0 < len(frames) < 30
    assert not report.is_truncated


@pytest.mark.parametrize(("name", "options"), [FULL["faststart"], FULL["mkv"], FULL["avi"]])
def test_missing_bytes_are_counted_from_the_structure(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    source = make_video(tmp_path / name, *options)
    assert missing_bytes(source) == 0
    source.write_bytes(source.read_bytes()[:-11])
    assert missing_bytes(source) == 11


@pytest.mark.parametrize("appendix", [b"\xff\xff\xff\xffwhatever a camera writes", b"\0" * 40, b"\x7f\0\0\0SEFH"])
def test_what_a_camera_appends_to_an_mp4_is_no_missing_end(appendix: bytes, tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4")
    source.write_bytes(source.read_bytes() + appendix)
    assert len(decode(source, strict=True)[1]) == 10


def test_an_unfinished_avi_and_a_live_mkv_say_nothing_about_their_length(tmp_path: Path) -> None:
    avi = make_video(tmp_path / "a.avi")
    data = bytearray(avi.read_bytes())
    data[4:8] = bytes(4)
    avi.write_bytes(data)
    live = make_video(tmp_path / "a.mkv", "-live", "1")
    assert missing_bytes(avi) is missing_bytes(live) is None
    assert len(decode(live, strict=True)[1]) == 10


@pytest.mark.parametrize("kind", ["faststart", "mkv", "ts", "hevc"])
def test_flipped_bytes_are_noticed_and_the_rest_is_decoded(kind: str, tmp_path: Path) -> None:
    name, options = FULL[kind]
    source = make_video(tmp_path / name, *options, num_frames=30, size="160x96")
    data, rng = bytearray(source.read_bytes()), random.Random(5)
    for _ in range(30):
        data[rng.randrange(len(data) // 4, len(data) * 9 // 10)] ^= rng.randrange(1, 256)
    source.write_bytes(data)
    info, frames, report = decode(source)
    assert report.is_damaged
    assert 0 < len(frames) <= 30
    assert (np.diff([frame.pts for frame in frames]) > 0).all()
    with pytest.raises(UnreadableInputError, match="damaged"):
        list(iter_frames(info, strict=True))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_uneven_stamps_and_a_late_start_are_exact(suffix: str, tmp_path: Path) -> None:
    source = make_vfr(tmp_path / f"a{suffix}", late=1)
    info, frames, _ = decode(source, strict=True)
    stamps = [frame.pts * info.video.time_base for frame in frames]
    assert stamps == sorted(stamp for stamp, _ in packets(source, "video"))
    assert len({b - a for a, b in pairwise(stamps)}) > 3


def test_frames_hidden_by_an_edit_list_are_not_there(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mp4", "-g", "100", num_frames=30, has_sound=True)
    cut = ffmpeg(tmp_path / "cut.mp4", "-ss", "0.4", "-i", str(whole), "-c", "copy")
    info, frames, report = decode(cut, strict=True)
    assert len(packets(cut, "video")) == 30
    assert len(frames) == 20
    assert frames[0].pts * info.video.time_base == pytest.approx(0, abs=0.04)
    assert not report.is_damaged


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", ("-g", "7", "-bf", "3")),
        ("a.mkv", ("-g", "7", "-bf", "3")),
        ("a.ts", ("-g", "7", "-bf", "3")),
        ("a.mp4", ("-c:v", "libx265", "-x265-params", "log-level=error:keyint=8:open-gop=1:bframes=4")),
        ("a.webm", ("-c:v", "libvpx-vp9", "-g", "6", "-deadline", "realtime", "-cpu-used", "8")),
        ("a.avi", ("-c:v", "mpeg4", "-g", "8")),
        ("a.ts", ("-c:v", "mpeg4", "-g", "12")),
        ("a.ts", ("-c:v", "mpeg2video", "-g", "12", "-bf", "2")),
        ("a.mp4", ("-vf", "interlace,setfield=tff", "-flags", "+ildct+ilme", "-g", "7")),
    ],
)
def test_a_chunk_has_the_very_frames_of_the_whole(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    info, frames, _ = decode(make_video(tmp_path / name, *options, num_frames=30, size="96x96"), strict=True)
    pts, whole = [frame.pts for frame in frames], hashes(frames)
    for start, stop in [(0, 4), (1, 3), (6, 9), (7, 8), (13, 20), (22, len(pts))]:
        assert hashes(list(iter_chunk(info, pts, start, stop))) == whole[start:stop]


def test_a_chunk_is_found_without_decoding_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info, frames, _ = decode(make_video(tmp_path / "a.mp4", "-g", "5", num_frames=30))
    monkeypatch.setattr("pipeline.decode._from_the_start", None)
    chunk = list(iter_chunk(info, [frame.pts for frame in frames], 20, 25))
    assert hashes(chunk) == hashes(frames[20:25])


def test_a_chunk_of_repaired_stamps_is_counted_from_the_start(tmp_path: Path) -> None:
    info, frames, _ = decode(make_video(tmp_path / "a.mp4", "-g", "5", num_frames=20))
    invented = [1000 + i for i in range(20)]
    chunk = list(iter_chunk(info, invented, 12, 15, is_repaired=True))
    assert [frame.pts for frame in chunk] == [1012, 1013, 1014]
    assert [frame.md5() for frame in chunk] == [frame.md5() for frame in frames[12:15]]


def test_a_source_that_was_changed_meanwhile_is_told(tmp_path: Path) -> None:
    info, frames, _ = decode(make_video(tmp_path / "a.mp4", num_frames=20))
    pts = [frame.pts for frame in frames]
    make_video(tmp_path / "a.mp4", num_frames=8)
    with pytest.raises(UnreadableInputError, match=r"a\.mp4.*was it changed meanwhile"):
        list(iter_chunk(info, pts, 5, 15))


def test_repeated_and_missing_stamps_are_repaired_and_said(tmp_path: Path) -> None:
    from pipeline.decode import _Clock

    class Picture:
        def __init__(self, pts: int | None) -> None:
            self.pts, self.dts = pts, None

    clock = _Clock(probe(make_video(tmp_path / "a.mp4")))  # 512 ticks per frame
    given = [0, 512, 512, None, 1536, -90000, -89488]
    assert [clock.stamp(Picture(pts)) for pts in given] == [0, 512, 513, 1025, 1536, 2048, 2560]
    assert clock.num_repaired == 4


def test_a_picture_size_that_changes_is_scaled_to_the_first(tmp_path: Path) -> None:
    sizes = [make_video(tmp_path / f"{size}.ts", size=size, num_frames=5) for size in ("96x64", "160x96")]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(path.read_bytes() for path in sizes))
    _, frames, report = decode(joined)
    assert {frame.size_wh for frame in frames} == {(96, 64)}
    assert report.num_converted == 5
    assert "scaled" in " ".join(report.warnings())
    assert (np.diff([frame.pts for frame in frames]) > 0).all()


def test_transparency_is_decoded(tmp_path: Path) -> None:
    filters = "format=yuva420p,geq=lum='p(X,Y)':a=127"
    source = make_video(tmp_path / "a.webm", "-vf", filters, "-c:v", "libvpx-vp9", "-auto-alt-ref", "0", num_frames=3)
    _, frames, _ = decode(source, strict=True)
    assert np.abs(frames[1].planes[3].astype(int) - 127).max() <= 2


def test_packed_pixel_formats_come_out_planar_and_exact(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mkv", "-c:v", "ffv1", "-pix_fmt", "bgr0", num_frames=2)
    info, frames, report = decode(source, strict=True)
    assert (info.video.pix_fmt, frames[0].layout.pix_fmt) == ("bgr0", "gbrp")
    assert report.num_converted == 0
    raw = ffmpeg(tmp_path / "a.rgb", "-i", str(source), "-pix_fmt", "rgb24", "-f", "rawvideo")
    assert np.array_equal(frames[0].to_rgb(0, 0, 96, 64).ravel(), np.fromfile(raw, np.uint8)[: 96 * 64 * 3])


def test_fields_are_woven_into_whole_pictures(tmp_path: Path) -> None:
    # Given a scene that moves from field to field, so that a woven frame shows combs
    moving = ("-vf", "scroll=horizontal=0.05,interlace=lowpass=off,setfield=tff", "-flags", "+ildct+ilme")
    source = make_video(tmp_path / "a.mp4", *moving, "-crf", "5", size="96x96", num_frames=20, rate=50)
    info, frames, _ = decode(source, strict=True)
    assert info.video.is_interlaced
    progressive = probe(source)
    object.__setattr__(progressive.video, "is_interlaced", False)
    raw = list(iter_frames(progressive))
    # Then there are as many frames with the same stamps, and the combs are gone
    assert [frame.pts for frame in frames] == [frame.pts for frame in raw]
    assert combing(frames[5]) < 0.5 * combing(raw[5])


def combing(frame: Frame) -> float:
    luma = frame.planes[0].astype(float)
    return float(np.abs(luma[1:-1] - (luma[:-2] + luma[2:]) / 2).mean())


def test_progressive_pictures_pass_the_deinterlacer_untouched(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", num_frames=6)
    _, frames, _ = decode(source)
    mixed = probe(source)
    object.__setattr__(mixed.video, "is_interlaced", True)
    assert isinstance(Deinterlacer(mixed), Deinterlacer)
    assert hashes(list(iter_frames(mixed))) == hashes(frames)


def test_frames_of_a_still_picture_source_are_independent(tmp_path: Path) -> None:
    still = ffmpeg(tmp_path / "a.mp4", *picture_source("64x64", 1), "-vf", "loop=4:1", "-c:v", "libx264")
    _, frames, _ = decode(still)
    frames[0].planes[0][:] = 0
    assert frames[1].planes[0].any()
