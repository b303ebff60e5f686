"""Encoding: chunks keep stamps, bits, colour tags and size, or the plan says what is lost; a dead encoder is told."""

import os
import signal
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import ffmpeg as program
from pipeline.codecs import CODECS, best_layout
from pipeline.colour import ColourTags
from pipeline.encode import EncodeSettings, VideoEncoder, choose_codec, choose_suffix, plan_encoding, starts
from pipeline.errors import FfmpegError, OutOfSpaceError, UnsupportedInputError
from pipeline.frames import Frame, planar_layouts
from pipeline.hdr import HdrMetadata, MasteringDisplay
from pipeline.mediainfo import MediaInfo
from pipeline.probe import probe

from .media import blank_frame, encode_chunks, make_video, smooth_picture

SOFTWARE = ["libx264", "libx265", "libvpx-vp9", "libsvtav1", "ffv1"]
FAST = {"libx264": "ultrafast", "libx265": "ultrafast", "libvpx-vp9": "8", "libsvtav1": "12", "ffv1": None}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> MediaInfo:
    return probe(make_video(tmp_path_factory.mktemp("encode") / "a.mp4", num_frames=2))


def like(info: MediaInfo, pix_fmt: str, width: int, height: int, **more: object) -> MediaInfo:
    """The source as if it had another format."""
    layout = planar_layouts()[pix_fmt]
    video = replace(info.video, pix_fmt=pix_fmt, layout=layout, width=width, height=height, **more)  # type: ignore[arg-type]
    return replace(info, video=video)


def skip_old_svt(codec: str) -> None:
    if codec == "libsvtav1" and not starts(codec, "yuv420p", 65, 65):
        pytest.skip("this SVT-AV1 takes no odd sizes, and the plan says so")


def film(info: MediaInfo, num_frames: int, pts: list[int] | None = None) -> list[Frame]:
    video = info.video
    frames = []
    for index in range(num_frames):
        frame = blank_frame(video.layout.pix_fmt, video.width, video.height, tags=video.colour, pts=index * 512)
        picture = np.roll(smooth_picture(video.width, video.height), 3 * index, axis=1)
        frame.paste_rgb(0, 0, picture, np.ones(picture.shape[:2], np.float32))
        frame.pts = pts[index] if pts else frame.pts
        frames.append(frame)
    return frames


def decode_chunk(path: Path) -> tuple[av.VideoStream, list[av.VideoFrame]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream, list(container.decode(stream))


@pytest.mark.parametrize("codec", SOFTWARE)
def test_every_codec_keeps_uneven_stamps_exactly(codec: str, source: MediaInfo, tmp_path: Path) -> None:
    pts = [12800 + 700 * i + 37 * (i * i % 11) for i in range(8)]
    frames = film(source, 8, pts)
    [chunk] = encode_chunks(source, frames, tmp_path, codec=codec, num_chunks=1, preset=FAST[codec])
    _, made = decode_chunk(chunk)
    assert [f.pts * f.time_base for f in made] == [Fraction(p, 12800) for p in pts]


@pytest.mark.parametrize("first", [-3000, 0, 10**9])
@pytest.mark.parametrize("time_base", [Fraction(1001, 30000), Fraction(1, 90000), Fraction(1, 1000)])
def test_any_time_base_and_start_keep_their_spacing(
    first: int, time_base: Fraction, source: MediaInfo, tmp_path: Path
) -> None:
    info = like(source, "yuv420p", 96, 64, time_base=time_base)
    pts = [first + step for step in (0, 1, 5, 6, 20)]
    [chunk] = encode_chunks(info, film(info, 5, pts), tmp_path, num_chunks=1, preset="ultrafast")
    stamps = [f.pts * f.time_base for f in decode_chunk(chunk)[1]]
    assert [stamp - stamps[0] for stamp in stamps] == [step * time_base for step in (0, 1, 5, 6, 20)]
    if first >= 0:
        assert stamps[0] == first * time_base


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "encoded"),
    [
        ("libx264", "yuv420p", "yuv420p"),
        ("libx264", "yuv422p10le", "yuv422p10le"),
        ("libx264", "gray", "gray"),
        ("libx265", "yuv420p10le", "yuv420p10le"),
        ("libx265", "yuv444p12le", "yuv444p12le"),
        ("libx265", "gbrp", "gbrp"),
        ("libvpx-vp9", "yuva420p", "yuva420p"),
        ("libvpx-vp9", "yuv420p10le", "yuv420p10le"),
        ("libsvtav1", "yuv420p10le", "yuv420p10le"),
        ("libsvtav1", "yuv422p", "yuv420p"),
        ("libx264", "yuv420p12le", "yuv420p10le"),
        ("libx264", "gbrp", "yuv444p"),
        ("libsvtav1", "yuv411p", "yuv420p"),
        ("ffv1", "yuva444p10le", "yuva444p10le"),
        ("ffv1", "gbrap", "bgra"),
        ("ffv1", "yuv410p", "yuv410p"),
    ],
)
def test_bits_chroma_and_alpha_are_kept_where_the_codec_can_and_named_where_not(
    codec: str, pix_fmt: str, encoded: str, source: MediaInfo, tmp_path: Path
) -> None:
    info = like(source, pix_fmt, 96, 64, colour=ColourTags(None, "smpte170m" if "yuv" in pix_fmt else None))
    plan = plan_encoding(info, EncodeSettings(codec))
    assert plan.codec.pix_fmts[plan.layout.pix_fmt] == encoded
    is_kept = plan.layout == planar_layouts()[pix_fmt]
    assert bool(plan.warnings) != is_kept
    frames = film(info, 2)
    [chunk] = encode_chunks(info, frames, tmp_path, codec=codec, num_chunks=1, preset=FAST[codec])
    stream, made = decode_chunk(chunk)
    if (codec, pix_fmt) not in [
        ("libvpx-vp9", "yuva420p"),
        ("libx264", "gray"),
    ]:  # what FFmpeg's own decoders make of it
        assert stream.pix_fmt == encoded
    shown = made[0].to_ndarray(format="rgb24").astype(int)
    assert np.abs(shown - frames[0].to_rgb(0, 0, 96, 64)).mean() < (4 if pix_fmt in ("yuv411p", "yuv410p") else 2.5)


def test_a_lossless_codec_gives_the_very_samples_back(source: MediaInfo, tmp_path: Path) -> None:
    info = like(source, "yuv422p10le", 97, 65)
    frames = film(info, 3)
    [chunk] = encode_chunks(info, frames, tmp_path, codec="ffv1", num_chunks=1)
    for ours, theirs in zip(frames, decode_chunk(chunk)[1], strict=True):
        for plane, samples in zip(ours.planes, theirs.planes, strict=True):
            rows = np.frombuffer(samples, np.uint16).reshape(samples.height, -1)
            assert np.array_equal(rows[:, : samples.width], plane)


@pytest.mark.parametrize(
    "tags",
    [
        ColourTags("tv", "bt709", "bt709", "bt709"),
        ColourTags("pc", "smpte170m", "smpte170m", "smpte170m"),
        ColourTags("tv", "bt2020nc", "bt2020", "arib-std-b67"),
        ColourTags("tv", "bt470bg", "bt470bg", "gamma28"),
        ColourTags("pc", "bt709", "smpte432", "iec61966-2-1"),
    ],
)
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_colour_tags_are_written_and_no_sample_is_converted(
    codec: str, tags: ColourTags, source: MediaInfo, tmp_path: Path
) -> None:
    info = like(source, "yuv420p", 96, 64, colour=tags)
    frames = film(info, 2)
    [chunk] = encode_chunks(info, frames, tmp_path, codec=codec, num_chunks=1, preset=FAST[codec], crf=4)
    made = probe_chunk(chunk)
    assert made.video.colour == tags
    _, decoded = decode_chunk(chunk)
    luma = decoded[0].planes[0]
    rows = np.frombuffer(luma, np.uint8).reshape(luma.height, -1)[:, : luma.width]
    assert np.abs(rows.astype(int) - frames[0].planes[0]).mean() < 1


def probe_chunk(chunk: Path) -> MediaInfo:
    """Chunks are NUT, which no user's file may be: remux to probe them."""
    program.run_ffmpeg(["-i", str(chunk), "-c", "copy", str(chunk.with_suffix(".mp4"))])
    return probe(chunk.with_suffix(".mp4"))


@pytest.mark.parametrize("size_wh", [(97, 65), (96, 65), (97, 64)])
@pytest.mark.parametrize("codec", SOFTWARE)
def test_odd_sizes_stay_what_they_are(codec: str, size_wh: tuple[int, int], source: MediaInfo, tmp_path: Path) -> None:
    skip_old_svt(codec)
    info = like(source, "yuv420p", *size_wh)
    frames = film(info, 2)
    plan = plan_encoding(info, EncodeSettings(codec))
    assert bool(plan.warnings) == (codec in ("libx264", "libx265"))
    [chunk] = encode_chunks(info, frames, tmp_path, codec=codec, num_chunks=1, preset=FAST[codec], crf=8)
    [first, _] = decode_chunk(chunk)[1]
    assert (first.width, first.height) == size_wh
    shown = first.to_ndarray(format="rgb24").astype(int)
    assert np.abs(shown - frames[0].to_rgb(0, 0, *size_wh)).mean() < 2.5


def test_the_shape_of_pixels_is_written(source: MediaInfo, tmp_path: Path) -> None:
    info = like(source, "yuv420p", 96, 64, sample_aspect_ratio=Fraction(16, 11))
    [chunk] = encode_chunks(info, film(info, 2), tmp_path, num_chunks=1, preset="ultrafast")
    assert decode_chunk(chunk)[0].sample_aspect_ratio == Fraction(16, 11)


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1"])
def test_mastering_metadata_is_written_where_the_codec_can(codec: str, source: MediaInfo, tmp_path: Path) -> None:
    point = Fraction(1, 4), Fraction(1, 2)
    mastering = MasteringDisplay(point, point, point, point, Fraction(1, 100), Fraction(1000))
    hdr = HdrMetadata(mastering, 900, 300, has_dynamic=True)
    tags = ColourTags("tv", "bt2020nc", "bt2020", "smpte2084")
    info = like(source, "yuv420p10le", 96, 64, hdr=hdr, colour=tags)
    assert "Per-scene HDR metadata" in plan_encoding(info, EncodeSettings(codec)).warnings[0]
    [chunk] = encode_chunks(info, film(info, 2), tmp_path, codec=codec, num_chunks=1, preset=FAST[codec])
    made = probe_chunk(chunk).video.hdr
    assert made is not None
    assert made.mastering is not None
    assert made.mastering.max_nits == 1000
    assert float(made.mastering.red[0]) == pytest.approx(0.25, abs=1e-4)
    assert (made.max_cll_nits, made.max_fall_nits) == (900, 300)


def test_what_a_codec_cannot_keep_is_said(source: MediaInfo) -> None:
    info = like(source, "yuva420p", 96, 64)
    assert "holds no transparency" in plan_encoding(info, EncodeSettings("libx264")).warnings[0]
    assert plan_encoding(info, EncodeSettings("ffv1")).warnings == ()


@pytest.mark.parametrize("codec", SOFTWARE)
def test_the_same_frames_give_the_same_bytes(codec: str, source: MediaInfo, tmp_path: Path) -> None:
    frames = film(source, 6)
    twice = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        [chunk] = encode_chunks(source, frames, tmp_path / name, codec=codec, num_chunks=1, preset=FAST[codec])
        twice.append([bytes(packet) for packet in av.open(str(chunk)).demux(video=0)])
    assert twice[0] == twice[1]


@pytest.mark.parametrize("codec", SOFTWARE)
def test_one_frame_is_a_chunk(codec: str, source: MediaInfo, tmp_path: Path) -> None:
    [chunk] = encode_chunks(source, film(source, 1), tmp_path, codec=codec, num_chunks=1, preset=FAST[codec])
    assert len(decode_chunk(chunk)[1]) == 1


def test_an_encoder_that_is_killed_is_an_error_and_leaves_nothing(source: MediaInfo, tmp_path: Path) -> None:
    plan, chunk = plan_encoding(source, EncodeSettings()), tmp_path / "chunk.nut"
    frames = film(source, 1)
    with pytest.raises(FfmpegError, match="killed by SIGKILL"), VideoEncoder(chunk, source, plan) as encoder:  # noqa: PT012
        encoder.write(frames[0])
        os.kill(encoder.pid, signal.SIGKILL)
        for pts in range(1, 1000):
            frames[0].pts = 512 * pts
            encoder.write(frames[0])
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_killed_after_the_last_frame_is_an_error_too(source: MediaInfo, tmp_path: Path) -> None:
    plan = plan_encoding(source, EncodeSettings())
    with pytest.raises(FfmpegError, match="SIGKILL"), VideoEncoder(tmp_path / "c.nut", source, plan) as encoder:  # noqa: PT012
        encoder.write(film(source, 1)[0])
        os.kill(encoder.pid, signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_ours_ends_the_encoder_and_leaves_no_short_chunk(source: MediaInfo, tmp_path: Path) -> None:
    plan = plan_encoding(source, EncodeSettings())
    with pytest.raises(KeyError), VideoEncoder(tmp_path / "c.nut", source, plan) as encoder:  # noqa: PT012
        encoder.write(film(source, 1)[0])
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_stops_reading_is_killed(
    source: MediaInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_encoding(source, EncodeSettings())
    frame = film(source, 1)[0]
    with (  # noqa: PT012
        pytest.raises(FfmpegError, match=r"took nothing for 0\.5 s"),
        VideoEncoder(tmp_path / "c.nut", source, plan, stall_secs=0.5) as encoder,
    ):
        encoder.write(frame)
        os.kill(encoder.pid, signal.SIGSTOP)
        for pts in range(1, 10000):
            frame.pts = 512 * pts
            encoder.write(frame)


def test_a_full_disk_is_told_as_such(source: MediaInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_encoding(source, EncodeSettings())
    shim = tmp_path / "ffmpeg"
    shim.write_text("#!/bin/sh\nhead -c 100000 >/dev/null\necho 'c.nut: No space left on device' >&2\nexit 1\n")
    shim.chmod(0o755)
    monkeypatch.setattr("pipeline.ffmpeg.ffmpeg_program", lambda: str(shim))
    frame = film(source, 1)[0]
    with pytest.raises(OutOfSpaceError), VideoEncoder(tmp_path / "c.nut", source, plan) as encoder:  # noqa: PT012
        for pts in range(1000):
            frame.pts = 512 * pts
            encoder.write(frame)


def test_a_frame_of_another_kind_is_a_mistake_of_the_caller(source: MediaInfo, tmp_path: Path) -> None:
    plan = plan_encoding(source, EncodeSettings())
    with pytest.raises(ValueError, match="frame is yuv444p"), VideoEncoder(tmp_path / "c.nut", source, plan) as encoder:
        encoder.write(blank_frame("yuv444p", 96, 64))


def test_unknown_and_missing_encoders_are_told(source: MediaInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedInputError, match="'divx' is not known; choose one of libx264"):
        plan_encoding(source, EncodeSettings("divx"))
    monkeypatch.setattr("pipeline.encode.available_encoders", lambda: frozenset({"libx264"}))
    with pytest.raises(FfmpegError, match="no encoder 'libx265'"):
        plan_encoding(source, EncodeSettings("libx265"))


def test_an_encoder_that_does_not_start_here_is_told_before_any_work(
    source: MediaInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.encode.available_encoders", lambda: frozenset({"h264_nvenc", "libsvtav1"}))
    monkeypatch.setattr("pipeline.encode.starts", lambda *_: False)
    with pytest.raises(FfmpegError, match="h264_nvenc does not start on this machine"):
        plan_encoding(source, EncodeSettings("h264_nvenc"))
    with pytest.raises(UnsupportedInputError, match="too old for pictures of 97 x 65"):
        plan_encoding(like(source, "yuv420p", 97, 65), EncodeSettings("libsvtav1"))


def test_whether_an_encoder_starts_is_found_by_trying() -> None:
    assert starts("libx264", "yuv420p", 64, 64)
    assert not starts("libx264", "yuv420p", 65, 65)


def test_quality_and_preset_reach_the_encoder_in_its_own_words(source: MediaInfo) -> None:
    options = dict(plan_encoding(source, EncodeSettings("libvpx-vp9", crf=40, preset="6", threads=3)).options)
    assert (options["crf"], options["cpu-used"], options["threads"]) == ("40", "6", "3")


def test_the_codec_suits_the_container_and_the_bits(source: MediaInfo) -> None:
    ten_bits = like(source, "yuv420p10le", 96, 64)
    assert choose_codec(source, ".mp4") == "libx264"
    assert choose_codec(ten_bits, ".mp4") == "libx265"
    assert choose_codec(source, ".webm") == "libvpx-vp9"
    assert choose_codec(like(source, "yuva420p", 96, 64), ".mkv") == "libvpx-vp9"


@pytest.mark.parametrize(
    ("name", "codec", "suffix"),
    [
        ("a.mp4", "auto", ".mp4"),
        ("a.MOV", "auto", ".mov"),
        ("a.mkv", "libvpx-vp9", ".mkv"),
        ("a.webm", "libx264", ".mp4"),
        ("a.avi", "auto", ".mkv"),
        ("a.mp4", "ffv1", ".mkv"),
        ("a.m2ts", "auto", ".ts"),
        ("a", "libx264", ".mp4"),
    ],
)
def test_the_container_is_kept_where_it_can_be(name: str, codec: str, suffix: str, source: MediaInfo) -> None:
    chosen, why = choose_suffix(replace(source, path=Path(name)), codec)
    assert chosen == suffix
    assert (why is None) == (Path(name).suffix.lower() in (suffix, ".m2ts"))


def test_gpu_encoders_are_given_the_formats_they_take() -> None:
    layouts = planar_layouts()
    hevc = CODECS["hevc_nvenc"]
    assert hevc.pix_fmts[best_layout(hevc, layouts["yuv420p10le"], (96, 64), ()).pix_fmt] == "p010le"
    assert best_layout(CODECS["h264_nvenc"], layouts["yuv420p"], (97, 64), ()).pix_fmt == "yuv444p"
    with pytest.raises(UnsupportedInputError, match="97 x 64"):
        best_layout(CODECS["av1_nvenc"], layouts["yuv420p"], (97, 64), ())
