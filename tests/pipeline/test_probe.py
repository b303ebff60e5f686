"""Probing: what a file says about itself and what its first picture proves."""

from dataclasses import FrozenInstanceError
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.colour import ColourTags
from pipeline.errors import UnreadableInputError, UnsupportedInputError
from pipeline.orientation import Orientation
from pipeline.probe import probe

from .media import ffmpeg, make_vfr, make_video, picture_source, sound_source


def test_a_plain_video_is_described(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "a.mp4", "-metadata", "title=Holiday", has_sound=True))
    video = info.video
    assert (video.codec, video.width, video.height, video.pix_fmt) == ("h264", 96, 64, "yuv420p")
    assert (video.avg_frame_rate, video.bit_depth, video.has_alpha) == (Fraction(25), 8, False)
    assert not video.is_interlaced
    assert video.start_pts == 0
    assert info.duration_secs == pytest.approx(0.4, abs=0.05)
    assert ("title", "Holiday") in info.metadata
    assert [(s.kind, s.codec, s.index) for s in info.others] == [("audio", "aac", 1)]
    with pytest.raises(FrozenInstanceError):
        info.path = Path()  # type: ignore[misc]


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".avi", ".mov", ".flv"])
def test_other_containers_are_read(tmp_path: Path, suffix: str) -> None:
    assert probe(make_video(tmp_path / f"a{suffix}", "-c:v", "libx264")).video.codec == "h264"


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_clockwise_to_display_and_the_size_is_the_coded_one(tmp_path: Path, degrees: int) -> None:
    plain = make_video(tmp_path / "plain.mp4")
    turned = ffmpeg(tmp_path / "t.mp4", "-display_rotation", str(-degrees), "-i", str(plain), "-c", "copy")
    video = probe(turned).video
    assert video.rotation_degrees == degrees
    assert (video.width, video.height) == (96, 64)
    assert video.display_wh == ((96, 64) if degrees == 180 else (64, 96))


def test_a_mirrored_display_matrix_is_seen(tmp_path: Path) -> None:
    plain = make_video(tmp_path / "plain.mp4")
    flipped = ffmpeg(tmp_path / "f.mp4", "-display_hflip", "-i", str(plain), "-c", "copy")
    assert probe(flipped).video.orientation == Orientation(0, is_mirrored=True)


def test_colours_bits_and_pixel_shape_are_read(tmp_path: Path) -> None:
    tags = "setparams=range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084,setsar=16/11"
    mastering = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    params = f"log-level=error:master-display={mastering}:max-cll=1000,400"
    source = make_video(
        tmp_path / "a.mp4", "-vf", tags, "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", params
    )
    video = probe(source).video
    assert video.colour == ColourTags("tv", "bt2020nc", "bt2020", "smpte2084")
    assert video.colour.is_hdr
    assert (video.bit_depth, video.sample_aspect_ratio) == (10, Fraction(16, 11))
    assert video.hdr is not None
    assert video.hdr.mastering is not None
    assert video.hdr.mastering.x265_words() == mastering
    assert (video.hdr.max_cll_nits, video.hdr.max_fall_nits) == (1000, 400)


def test_colours_that_would_be_spoilt_are_refused_before_any_work(tmp_path: Path) -> None:
    tags = ("-vf", "setparams=colorspace=ycgco", "-colorspace", "ycgco", "-c:v", "libx264")
    with pytest.raises(UnsupportedInputError, match=r"a\.mp4.*'ycgco' is not supported"):
        probe(make_video(tmp_path / "a.mp4", *tags))


def test_full_range_jpeg_formats_are_named_as_range(tmp_path: Path) -> None:
    video = probe(make_video(tmp_path / "a.avi", "-c:v", "mjpeg", "-pix_fmt", "yuvj422p")).video
    assert (video.layout.pix_fmt, video.colour.range) == ("yuv422p", "pc")


def test_transparency_chooses_the_decoder_that_keeps_it(tmp_path: Path) -> None:
    filters = "format=yuva420p,geq=lum='p(X,Y)':a=127"
    source = make_video(tmp_path / "a.webm", "-vf", filters, "-c:v", "libvpx-vp9", "-auto-alt-ref", "0", num_frames=3)
    video = probe(source).video
    assert (video.decoder, video.has_alpha) == ("libvpx-vp9", True)


def test_a_late_start_and_uneven_stamps_are_kept_as_the_container_has_them(tmp_path: Path) -> None:
    video = probe(make_vfr(tmp_path / "a.ts", late=1)).video
    assert video.start_pts is not None
    assert video.time_base == Fraction(1, 90000)


def test_interlaced_video_is_recognised(tmp_path: Path) -> None:
    filters = ("-vf", "interlace,setfield=tff", "-flags", "+ildct+ilme", "-c:v", "mpeg2video")
    assert probe(make_video(tmp_path / "a.ts", *filters, size="96x96", rate=50)).video.is_interlaced


def test_languages_subtitles_chapters_and_pictures_are_listed(tmp_path: Path) -> None:
    (tmp_path / "s.srt").write_text("1\n00:00:00,000 --> 00:00:00,300\nhello\n")
    (tmp_path / "c.txt").write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=200\ntitle=First\n")
    ffmpeg(tmp_path / "cover.png", *picture_source("32x32", 1), "-frames:v", "1")
    inputs = [*picture_source(), *sound_source(), "-i", str(tmp_path / "s.srt"), "-i", str(tmp_path / "c.txt")]
    maps = ["-map", "0:v", "-map", "1:a", "-map", "2:s", "-map_chapters", "3"]
    tags = ["-metadata:s:a:0", "language=deu", "-metadata:s:s:0", "language=fra"]
    info = probe(ffmpeg(tmp_path / "a.mkv", *inputs, *maps, *tags, "-attach", str(tmp_path / "cover.png"),
                        "-metadata:s:t", "mimetype=image/png"))  # fmt: skip
    assert [(s.kind, s.language) for s in info.others[:2]] == [("audio", "deu"), ("subtitle", "fra")]
    assert info.others[2].kind in ("picture", "attachment")
    assert [(c.start_secs, c.end_secs, c.title) for c in info.chapters] == [(0, Fraction(1, 5), "First")]


def test_a_cover_picture_is_not_the_video(tmp_path: Path) -> None:
    cover = ffmpeg(tmp_path / "cover.png", *picture_source("32x32", 1), "-frames:v", "1")
    plain = make_video(tmp_path / "p.mp4")
    maps = ["-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic"]
    info = probe(ffmpeg(tmp_path / "a.mp4", "-i", str(plain), "-i", str(cover), *maps))
    assert (info.video.codec, info.video.width) == ("h264", 96)
    assert [s.kind for s in info.others] == ["picture"]


def test_sound_with_a_cover_picture_has_no_video(tmp_path: Path) -> None:
    cover = ffmpeg(tmp_path / "cover.png", *picture_source("32x32", 1), "-frames:v", "1")
    song = ffmpeg(tmp_path / "song.m4a", *sound_source(), "-i", str(cover), "-map", "0", "-map", "1",
                  "-c:v", "copy", "-disposition:v:0", "attached_pic")  # fmt: skip
    with pytest.raises(UnsupportedInputError, match="no video: there is only sound"):
        probe(song)


def test_sound_alone_has_no_video(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInputError, match=r"a\.mp4.*no video: there is only sound"):
        probe(ffmpeg(tmp_path / "a.mp4", *sound_source(), "-vn"))


def test_a_video_without_any_frame_has_no_video(tmp_path: Path) -> None:
    empty = ffmpeg(tmp_path / "a.mp4", *picture_source(), "-frames:v", "0", "-c:v", "libx264")
    with pytest.raises(UnsupportedInputError, match="no video"):
        probe(empty)


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    assert probe(make_video(tmp_path / "a.mp4", num_frames=1)).video.width == 96


@pytest.mark.parametrize(("suffix", "options"), [(".mp4", ()), (".mp4", ("-movflags", "+faststart")), (".mkv", ())])
def test_a_file_cut_within_its_header_is_unreadable(tmp_path: Path, suffix: str, options: tuple[str, ...]) -> None:
    source = make_video(tmp_path / f"a{suffix}", *options, has_sound=True)
    source.write_bytes(source.read_bytes()[:300])
    with pytest.raises(UnreadableInputError, match=r"a\.m.*is cut off: at least .* bytes are missing"):
        probe(source)
