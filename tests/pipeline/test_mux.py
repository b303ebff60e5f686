"""Joining: the copy has every stamp, stream, chapter, tag and turn of its source, or the report names what not."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.containers import CONTAINERS
from pipeline.decode import iter_frames
from pipeline.encode import starts
from pipeline.errors import FfmpegError, OutOfSpaceError, UnsupportedInputError
from pipeline.ffmpeg import ffmpeg_version
from pipeline.mux import copy_streams, mux, stack_side_by_side
from pipeline.probe import probe

from .media import (
    convert,
    encode_chunks,
    ffmpeg,
    make_vfr,
    make_video,
    packets,
    picture_source,
    sound_source,
)

SUBTITLES = "1\n00:00:00,000 --> 00:00:00,150\nfirst\n\n2\n00:00:00,200 --> 00:00:00,350\nsecond\n"
CHAPTERS = (
    ";FFMETADATA1\ntitle=Holiday\nartist=Us\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=200\ntitle=Going\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=200\nEND=400\ntitle=Back\n"
)


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An mkv with two sounds, two subtitles, a font, a cover, chapters and tags."""
    folder = tmp_path_factory.mktemp("rich")
    (folder / "s.srt").write_text(SUBTITLES)
    (folder / "c.txt").write_text(CHAPTERS)
    (folder / "font.ttf").write_bytes(b"not really a font")
    cover = ffmpeg(folder / "cover.png", *picture_source("32x32", 1), "-frames:v", "1")
    inputs = [*picture_source(), *sound_source(tone=440), *sound_source(tone=880), "-i", str(folder / "s.srt")]
    maps = ["-i", str(folder / "c.txt"), *(f for i in (0, 1, 2, 3, 3) for f in ("-map", str(i)))]
    codecs = ["-c:a:0", "aac", "-c:a:1", "libopus", "-c:s:0", "subrip", "-c:s:1", "ass", "-map_metadata", "4"]
    tags = ["-metadata:s:a:0", "language=deu", "-metadata:s:a:1", "language=eng", "-metadata:s:a:1", "title=Comment",
            "-metadata:s:s:0", "language=fra", "-disposition:a:1", "0", "-disposition:s:1", "forced",
            "-metadata:s:v:0", "title=Main"]  # fmt: skip
    attached = ["-attach", str(folder / "font.ttf"), "-metadata:s:5", "mimetype=application/x-truetype-font",
                "-attach", str(cover), "-metadata:s:6", "mimetype=image/png",
                "-metadata:s:6", "filename=cover.png"]  # fmt: skip
    return ffmpeg(folder / "rich.mkv", *inputs, *maps, *codecs, *tags, *attached)


@pytest.mark.parametrize("out", ["a.mp4", "a.mov", "a.mkv", "a.ts"])
@pytest.mark.parametrize("late", [0, 1])
def test_uneven_stamps_are_kept_in_every_container(late: int, out: str, tmp_path: Path) -> None:
    made = convert(make_vfr(tmp_path / f"source{Path(out).suffix}", late=late), tmp_path / out, num_chunks=3)
    before, after = made.stamps()
    shift = Fraction(0) if out != "a.ts" else after[0] - before[0]
    assert [stamp - shift for stamp in after] == before
    assert made.verified.max_pts_error_secs == 0
    assert made.verified.num_frames == 12


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1"])
def test_pictures_coded_out_of_order_are_shown_in_order(codec: str, tmp_path: Path) -> None:
    source = make_vfr(tmp_path / "source.mp4", num_frames=24)
    made = convert(source, tmp_path / "a.mp4", codec=codec, num_chunks=2)
    before, after = made.stamps()
    assert before == after
    for ours, theirs in zip(made.frames, made.output_frames, strict=True):
        assert np.abs(ours.planes[0].astype(int) - theirs.planes[0]).mean() < 8


def test_milliseconds_become_the_nearest_ones_in_matroska(tmp_path: Path) -> None:
    made = convert(make_vfr(tmp_path / "source.mp4", late=1), tmp_path / "a.mkv")
    before, after = made.stamps()
    assert before != after
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) <= Fraction(1, 1000)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_late_pictures_stay_in_step_with_the_sound(suffix: str, tmp_path: Path) -> None:
    inputs = ["-itsoffset", "0.5", *picture_source(num_frames=12), *sound_source(1.0)]
    source = ffmpeg(tmp_path / f"source{suffix}", *inputs)
    made = convert(source, tmp_path / f"a{suffix}")
    sound_before, sound_after = (packets(p, "audio") for p in (source, tmp_path / f"a{suffix}"))
    assert [data for _, data in sound_after] == [data for _, data in sound_before]
    before, after = made.stamps()
    assert before[0] - sound_before[0][0] == pytest.approx(0.5, abs=0.05)
    assert abs((after[0] - sound_after[0][0]) - (before[0] - sound_before[0][0])) <= Fraction(1, 1000)


def test_sound_that_begins_before_zero_does_not_move_the_picture(tmp_path: Path) -> None:
    silent = make_video(tmp_path / "v.mp4", num_frames=20)
    sound = make_video(tmp_path / "a.mkv", num_frames=20, has_sound=True)
    inputs = ["-itsoffset", "0.5", "-i", str(silent), "-i", str(sound), "-map", "0:v", "-map", "1:a", "-c", "copy"]
    made = convert(ffmpeg(tmp_path / "s.mp4", *inputs), tmp_path / "o.mkv")
    before, after = made.stamps()
    assert before == after


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_an_edit_list_is_followed_by_picture_and_sound(suffix: str, tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mp4", "-g", "100", num_frames=30, has_sound=True)
    cut = ffmpeg(tmp_path / "cut.mp4", "-ss", "0.4", "-i", str(whole), "-c", "copy")
    made = convert(cut, tmp_path / f"a{suffix}")
    before, after = made.stamps()
    assert before == after
    assert len(after) == 20
    assert made.verified.max_sound_shift_secs < 0.05


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("turn", [("90",), ("180",), ("270",), ("90", "-display_hflip"), ("0", "-display_hflip")])
def test_a_turned_picture_is_shown_the_same_way(turn: tuple[str, ...], suffix: str, tmp_path: Path) -> None:
    if ffmpeg_version() < (6, 0) and ("-display_hflip" in turn or suffix == ".mkv"):
        pytest.skip("this ffmpeg cannot write it, and says so")
    plain = make_video(tmp_path / f"plain{suffix}", num_frames=2)
    source = ffmpeg(tmp_path / f"s{suffix}", "-display_rotation", *turn, "-i", str(plain), "-c", "copy")
    made = convert(source, tmp_path / f"a{suffix}", num_chunks=1, crf=5)
    assert made.output.video.orientation == made.source.video.orientation
    assert made.output.video.display_wh == made.source.video.display_wh
    shown = [m[0].to_rgb(0, 0, *m[0].size_wh).astype(int) for m in (made.frames, made.output_frames)]
    assert np.abs(shown[0] - shown[1]).mean() < 3


def test_an_old_program_that_cannot_turn_a_picture_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = make_video(tmp_path / "plain.mkv", num_frames=2)
    turned = ffmpeg(tmp_path / "s.mkv", "-display_rotation", "90", "-i", str(plain), "-c", "copy")
    monkeypatch.setattr("pipeline.muxplan.ffmpeg_version", lambda: (5, 1))
    with pytest.raises(FfmpegError, match=r"too old .* into mkv; install ffmpeg 6 or newer"):
        convert(turned, tmp_path / "a.mkv")


def test_everything_beside_the_picture_is_copied(rich: Path, tmp_path: Path) -> None:
    made = convert(rich, tmp_path / "a.mkv")
    assert made.muxed.dropped == made.muxed.converted == made.muxed.warnings == []
    kinds = [[(s.kind, s.codec, s.language) for s in info.others] for info in (made.output, made.source)]
    assert kinds[0] == kinds[1]
    assert made.output.chapters == made.source.chapters
    assert [chapter.title for chapter in made.output.chapters] == ["Going", "Back"]
    tags = dict(made.output.metadata)
    assert {key.lower(): value for key, value in tags.items()}.items() >= {"title": "Holiday", "artist": "Us"}.items()
    assert ("title", "Main") in made.output.video.metadata
    assert ("title", "Comment") in made.output.of_kind("audio")[1].metadata
    for kind in ("audio", "subtitle"):
        for ours, theirs in zip(packets(tmp_path / "a.mkv", kind), packets(rich, kind), strict=True):
            assert ours[1] == theirs[1]
            assert abs(ours[0] - theirs[0]) <= Fraction(7, 1000)  # ffmpeg 5 stamps Opus anew
    assert dispositions(tmp_path / "a.mkv") == dispositions(rich)


def dispositions(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [int(getattr(stream.disposition, "value", stream.disposition)) for stream in container.streams]


def test_mp4_gets_its_own_subtitles_and_what_it_cannot_hold_is_listed(rich: Path, tmp_path: Path) -> None:
    made = convert(rich, tmp_path / "a.mp4")
    assert [s.codec for s in made.output.of_kind("audio")] == ["aac", "opus"]
    assert [s.codec for s in made.output.of_kind("subtitle")] == ["mov_text", "mov_text"]
    assert [s.kind for s in made.output.of_kind("picture")] == ["picture"]
    assert len(made.output.chapters) == 2
    assert made.muxed.converted == [
        "subtitle stream 3 (subrip, fra): converted to mov_text",
        "subtitle stream 4 (ass): converted to mov_text",
    ]
    [dropped] = made.muxed.dropped
    assert dropped.startswith("attachment stream 5")
    assert dropped.endswith("mp4 cannot hold it")
    texts = [data[2:] for _, data in packets(tmp_path / "a.mp4", "subtitle") if len(data) > 2]
    assert b"first" in texts


def test_webm_gets_sound_and_subtitles_of_its_own(rich: Path, tmp_path: Path) -> None:
    made = convert(rich, tmp_path / "a.webm", codec="libvpx-vp9")
    assert [s.codec for s in made.output.of_kind("audio")] == ["opus", "opus"]
    assert [s.codec for s in made.output.of_kind("subtitle")] == ["webvtt", "webvtt"]
    assert "audio stream 1 (aac, deu): converted to opus for webm" in made.muxed.converted
    assert len(made.muxed.dropped) == 2


def test_a_transport_stream_loses_text_subtitles_and_says_so(rich: Path, tmp_path: Path) -> None:
    made = convert(rich, tmp_path / "a.ts")
    assert len(made.output.of_kind("audio")) == 2
    assert sum("cannot hold it" in what for what in made.muxed.dropped) == 4


@pytest.mark.parametrize(("suffix", "codec"), [(".mov", "pcm_s16le"), (".mkv", "pcm_s16le"), (".mp4", "flac")])
def test_uncompressed_sound_loses_nothing(suffix: str, codec: str, tmp_path: Path) -> None:
    source = make_video(tmp_path / "source.mov", "-c:a", "pcm_s16le", has_sound=True)
    made = convert(source, tmp_path / f"a{suffix}")
    assert made.output.of_kind("audio")[0].codec == codec
    samples = [ffmpeg(tmp_path / f"{n}.raw", "-i", str(p), "-f", "s16le")
               for n, p in enumerate((source, tmp_path / f"a{suffix}"))]  # fmt: skip
    assert samples[0].read_bytes() == samples[1].read_bytes()


def test_sound_before_the_picture_keeps_its_place(tmp_path: Path) -> None:
    source = ffmpeg(tmp_path / "s.mp4", *picture_source(), *sound_source(), "-map", "1", "-map", "0")
    made = convert(source, tmp_path / "a.mp4")
    assert made.source.video.index == made.output.video.index == 1
    assert made.output.chapters == ()
    assert made.verified.max_sound_shift_secs < 0.03


def test_chapters_are_copied_where_there_is_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text(CHAPTERS)
    source = ffmpeg(tmp_path / "s.mkv", *picture_source(), "-i", str(tmp_path / "c.txt"), "-map_metadata", "1")
    assert [c.title for c in convert(source, tmp_path / "a.mkv").output.chapters] == ["Going", "Back"]


def test_tags_that_only_some_players_know_survive_in_mp4(tmp_path: Path) -> None:
    tags = ["-metadata", "title=A", "-metadata", "com.example.place=+52.5/", "-movflags", "use_metadata_tags",
            "-metadata", "creation_time=2020-02-03T04:05:06Z", "-metadata", "comment=a=b\nc"]  # fmt: skip
    made = convert(make_video(tmp_path / "s.mp4", *tags), tmp_path / "a.mp4")
    kept = dict(made.output.metadata)
    assert kept["title"] == "A"
    assert kept["com.example.place"] == "+52.5/"
    assert kept["comment"] == "a=b\nc"
    assert kept["creation_time"].startswith("2020-02-03T04:05:06")


def test_what_a_container_refuses_is_left_out_and_named(
    rich: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying = replace(CONTAINERS[".mp4"], has_attachments=True, pictures=frozenset())
    monkeypatch.setitem(CONTAINERS, ".mp4", lying)
    made = convert(rich, tmp_path / "a.mp4")
    assert len(made.output.of_kind("audio")) == 2
    assert "attachment stream 5: mp4 refused it" in made.muxed.dropped


def test_a_broadcast_clock_that_starts_late_fits_into_matroska(tmp_path: Path) -> None:
    source = make_video(tmp_path / "s.ts", "-output_ts_offset", "100", num_frames=30, has_sound=True)
    before, after = convert(source, tmp_path / "a.mkv").stamps()
    assert before[0] > 100
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) <= Fraction(1, 1000)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_what_is_left_of_a_cut_off_source_can_be_converted(suffix: str, tmp_path: Path) -> None:
    source = make_video(tmp_path / f"s{suffix}", "-movflags", "+faststart", num_frames=60, has_sound=True)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    made = convert(source, tmp_path / f"a{suffix}")
    assert made.decoded.is_truncated
    assert 10 < made.verified.num_frames < 50
    assert made.verified.max_sound_shift_secs < 0.05


def test_statistics_of_the_old_encoding_are_not_carried_over(tmp_path: Path) -> None:
    tags = ["-metadata:s:v", "BPS=12345", "-metadata:s:v", "NUMBER_OF_FRAMES=99", "-metadata:s:v", "title=x"]
    made = convert(make_video(tmp_path / "s.mkv", *tags), tmp_path / "a.mkv")
    keys = {key for key, _ in made.output.video.metadata}
    assert "title" in keys
    assert not keys & {"BPS", "NUMBER_OF_FRAMES"}


def test_a_timecode_track_is_written_anew(tmp_path: Path) -> None:
    source = make_video(tmp_path / "s.mov", "-timecode", "01:02:03:04", has_sound=True)
    made = convert(source, tmp_path / "a.mov")
    assert [s.kind for s in made.source.others] == ["audio", "data"]
    codes = [value for s in made.output.of_kind("data") for key, value in s.metadata if key == "timecode"]
    assert codes == ["01:02:03:04"]


@pytest.mark.parametrize(
    ("codec", "out"),
    [("libx265", "a.mp4"), ("libx265", "a.mkv"), ("libsvtav1", "a.mp4"), ("libvpx-vp9", "a.webm"), ("ffv1", "a.mkv")],
)
def test_hdr_stays_hdr(codec: str, out: str, tmp_path: Path) -> None:
    tags = "setparams=range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084"
    params = "log-level=error:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    options = ("-vf", tags, "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", params + ":max-cll=1000,400")
    made = convert(make_video(tmp_path / "s.mp4", *options), tmp_path / out, codec=codec)
    assert made.output.video.colour == made.source.video.colour
    assert made.output.video.bit_depth == 10
    if codec == "libx265":
        assert made.output.video.hdr == made.source.video.hdr
    elif codec == "libsvtav1":  # which stores fractions of powers of two
        assert made.output.video.hdr is not None
        assert made.output.video.hdr.mastering is not None
        assert made.output.video.hdr.mastering.max_nits == 1000


def test_transparency_goes_through(tmp_path: Path) -> None:
    filters = "format=yuva420p,geq=lum='p(X,Y)':a='X*2'"
    options = ("-vf", filters, "-c:v", "libvpx-vp9", "-auto-alt-ref", "0")
    source = make_video(tmp_path / "s.webm", *options, num_frames=4)
    made = convert(source, tmp_path / "a.webm", codec="libvpx-vp9")
    assert made.output.video.has_alpha
    assert np.abs(made.output_frames[3].planes[3].astype(int) - made.frames[3].planes[3]).max() < 20


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1"])
def test_odd_sizes_are_shown_as_they_were(codec: str, tmp_path: Path) -> None:
    if codec == "libsvtav1" and not starts(codec, "yuv420p", 65, 65):
        pytest.skip("this SVT-AV1 takes no odd sizes, and the plan says so")
    source = make_video(tmp_path / "s.webm", "-vf", "scale=97:65", "-c:v", "libvpx-vp9", num_frames=3)
    made = convert(source, tmp_path / "a.mp4", codec=codec)
    assert (made.output.video.width, made.output.video.height) == (97, 65)


def test_pixels_that_are_no_squares_stay_so(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv"):
        source = make_video(tmp_path / f"s{suffix}", "-vf", "setsar=16/11")
        assert convert(source, tmp_path / f"a{suffix}").output.video.sample_aspect_ratio == Fraction(16, 11)


def test_hevc_in_mp4_has_the_name_that_every_player_takes(tmp_path: Path) -> None:
    convert(make_video(tmp_path / "s.mp4"), tmp_path / "a.mp4", codec="libx265")
    assert b"hvc1" in (tmp_path / "a.mp4").read_bytes()


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_index_of_an_mp4_comes_first(suffix: str, tmp_path: Path) -> None:
    convert(make_video(tmp_path / "s.mp4"), tmp_path / f"a{suffix}")
    data = (tmp_path / f"a{suffix}").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_single_frame_is_a_film(suffix: str, tmp_path: Path) -> None:
    made = convert(make_video(tmp_path / f"s{suffix}", num_frames=1), tmp_path / f"a{suffix}", num_chunks=1)
    assert made.verified.num_frames == 1


@pytest.mark.skipif(ffmpeg_version() < (6, 0), reason="this ffmpeg guesses the last duration")
def test_the_last_picture_is_shown_as_long_as_before(tmp_path: Path) -> None:
    slides = make_video(tmp_path / "s.mp4", "-vf", "settb=1/90000,setpts=N*90000", "-fps_mode", "passthrough",
                        "-enc_time_base", "1:90000", "-bsf:v", "setts=pts=PTS:dts=DTS:duration=270000",
                        num_frames=3)  # fmt: skip
    made = convert(slides, tmp_path / "a.mp4", num_chunks=1)
    assert made.source.duration_secs == 5
    assert made.output.duration_secs == made.source.duration_secs


def test_a_cover_picture_stays_a_cover(tmp_path: Path) -> None:
    cover = ffmpeg(tmp_path / "cover.png", *picture_source("32x32", 1), "-frames:v", "1")
    plain = make_video(tmp_path / "p.mp4", has_sound=True)
    maps = ["-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic"]
    source = ffmpeg(tmp_path / "s.mp4", "-i", str(plain), "-i", str(cover), *maps)
    made = convert(source, tmp_path / "a.mp4")
    assert [s.kind for s in made.output.others] == [s.kind for s in made.source.others] == ["audio", "picture"]


def test_only_the_changed_region_differs(tmp_path: Path) -> None:
    def paint(frame: object) -> None:
        frame.paste_rgb(32, 16, np.zeros((24, 24, 3), np.float32), np.ones((24, 24), np.float32))  # type: ignore[attr-defined]

    source = make_video(tmp_path / "s.mkv", "-c:v", "ffv1")
    made = convert(source, tmp_path / "a.mkv", codec="ffv1", change=paint)
    original = list(iter_frames(made.source))
    for old, new in zip(original, made.output_frames, strict=True):
        is_changed = old.planes[0] != new.planes[0]
        assert is_changed[16:40, 32:56].mean() > 0.9
        is_changed[16:40, 32:56] = False
        assert not is_changed.any()


def test_chunks_must_hold_as_many_pictures_as_there_are_stamps(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "s.mp4"))
    frames = list(iter_frames(info))
    chunks = encode_chunks(info, frames, tmp_path, preset="ultrafast")
    with pytest.raises(FfmpegError, match="hold 10 pictures, 11 are expected"):
        mux(chunks, info, tmp_path / "a.mp4", pts=range(11))


def test_a_damaged_chunk_is_named(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "s.mp4"))
    (tmp_path / "chunk0.nut").write_bytes(b"nothing")
    with pytest.raises(FfmpegError, match=r"chunk0\.nut.* cannot be read .*; remove it and run again"):
        mux([tmp_path / "chunk0.nut"], info, tmp_path / "a.mp4", pts=[0])


def test_chunks_of_different_encoders_are_not_joined(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "s.mp4"))
    frames = list(iter_frames(info))
    (tmp_path / "other").mkdir()
    first = encode_chunks(info, frames, tmp_path, num_chunks=1, preset="ultrafast")
    second = encode_chunks(info, frames, tmp_path / "other", num_chunks=1, preset="slow")
    with pytest.raises(FfmpegError, match="of different encoders"):
        mux([*first, *second], info, tmp_path / "a.mp4", pts=range(20))


@pytest.mark.parametrize("complaint", ["no such muxer", "No space left on device"])
def test_a_join_that_fails_leaves_nothing_behind(
    complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = probe(make_video(tmp_path / "s.mp4", has_sound=True))
    frames = list(iter_frames(info))
    chunks = encode_chunks(info, frames, tmp_path, preset="ultrafast")
    shim = tmp_path / "ffmpeg"
    shim.write_text(f"#!/bin/sh\necho half > {tmp_path}/a.mp4\necho '{complaint}' >&2\nexit 1\n")
    shim.chmod(0o755)
    monkeypatch.setattr("pipeline.ffmpeg.ffmpeg_program", lambda: str(shim))
    expected = OutOfSpaceError if "space" in complaint else FfmpegError
    with pytest.raises(expected, match=complaint):
        mux(chunks, info, tmp_path / "a.mp4", pts=[frame.pts for frame in frames])
    assert not (tmp_path / "a.mp4").exists()


def test_a_suffix_that_is_no_video_is_refused(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "s.mp4"))
    with pytest.raises(UnsupportedInputError, match=r"no video is written as '\.gif'; choose one of \.mp4"):
        copy_streams(info, tmp_path / "a.gif")


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_video_without_changes_is_copied_packet_by_packet(rich: Path, suffix: str, tmp_path: Path) -> None:
    report = copy_streams(probe(rich), tmp_path / f"a{suffix}")
    assert packets(tmp_path / f"a{suffix}", "audio")[3][1] == packets(rich, "audio")[3][1]
    assert len(packets(tmp_path / f"a{suffix}", "video")) >= 10
    assert len(report.dropped) == (1 if suffix == ".mp4" else 0)
    assert len(probe(tmp_path / f"a{suffix}").chapters) == 2


def test_a_copied_video_is_still_turned(tmp_path: Path) -> None:
    plain = make_video(tmp_path / "plain.mp4", num_frames=3)
    source = ffmpeg(tmp_path / "s.mp4", "-display_rotation", "90", "-i", str(plain), "-c", "copy")
    copy_streams(probe(source), tmp_path / "a.mp4")
    assert probe(tmp_path / "a.mp4").video.rotation_degrees == 270


def test_two_videos_stand_side_by_side(tmp_path: Path) -> None:
    source = make_video(tmp_path / "s.mp4", has_sound=True)
    stack_side_by_side(source, source, tmp_path / "a.mp4")
    info = probe(tmp_path / "a.mp4")
    assert (info.video.width, info.video.height) == (192, 64)
    assert len(info.of_kind("audio")) == 1
