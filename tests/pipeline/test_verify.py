"""Verification: whatever differs from the source is found and named."""

from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.decode import DecodeReport, iter_frames, iter_stamps
from pipeline.errors import VerificationError
from pipeline.mediainfo import MediaInfo
from pipeline.probe import probe
from pipeline.verify import verify

from .media import ffmpeg, make_vfr, make_video


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[MediaInfo, list[int]]:
    info = probe(make_vfr(tmp_path_factory.mktemp("verify") / "good.mp4", late=1))
    return info, [frame.pts for frame in iter_frames(info)]


def test_a_video_matches_itself(good: tuple[MediaInfo, list[int]]) -> None:
    info, pts = good
    report = verify(info.path, info, pts)
    assert (report.num_frames, report.max_pts_error_secs, report.start_shift_secs) == (12, 0, 0)
    assert asdict(report)["streams"] == {}


def test_a_missing_picture_is_found(good: tuple[MediaInfo, list[int]]) -> None:
    info, pts = good
    with pytest.raises(VerificationError, match=r'"good\.mp4" does not match.*12 pictures, not 13'):
        verify(info.path, info, [*pts, pts[-1] + 3000])


def test_one_misplaced_picture_is_found_although_the_duration_is_right(good: tuple[MediaInfo, list[int]]) -> None:
    info, pts = good
    wrong = [*pts[:5], pts[5] + 2, *pts[6:]]
    with pytest.raises(VerificationError, match="picture 5 is shown at"):
        verify(info.path, info, wrong)


def test_a_late_start_that_got_lost_is_found(good: tuple[MediaInfo, list[int]]) -> None:
    info, pts = good
    with pytest.raises(VerificationError, match=r"picture 0 is shown at 0\.5\d* s, not 0\.0"):
        verify(info.path, info, [stamp - 45000 for stamp in pts])


@pytest.mark.parametrize("num_ticks", [1, 2])
def test_stamps_may_be_off_by_one_tick_of_the_coarser_clock_only(
    num_ticks: int, good: tuple[MediaInfo, list[int]]
) -> None:
    info, pts = good
    coarse = replace(info, video=replace(info.video, time_base=Fraction(1, 1000)))
    stamps = [stamp // 90 + num_ticks for stamp in pts]
    if num_ticks == 1:
        assert verify(info.path, coarse, stamps).max_pts_error_secs <= 0.001
    else:
        with pytest.raises(VerificationError):
            verify(info.path, coarse, stamps)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 98}, r"size is \(96, 64\), not \(98, 64\)"),
        ({"sample_aspect_ratio": Fraction(16, 11)}, "pixel shape is 1, not 16/11"),
    ],
)
def test_another_geometry_is_found(changes: dict[str, object], message: str, good: tuple[MediaInfo, list[int]]) -> None:
    info, pts = good
    expected = replace(info, video=replace(info.video, **changes))  # type: ignore[arg-type]
    with pytest.raises(VerificationError, match=message):
        verify(info.path, expected, pts)


def test_a_size_that_was_meant_is_no_fault(good: tuple[MediaInfo, list[int]]) -> None:
    info, pts = good
    smaller = replace(info, video=replace(info.video, width=48))
    assert verify(info.path, smaller, pts, size_wh=(96, 64)).num_frames == 12


def test_lost_rotation_colour_and_sound_are_all_named_at_once(tmp_path: Path) -> None:
    tags = ("-vf", "setparams=range=pc:colorspace=bt709:color_primaries=bt709:color_trc=bt709")
    plain = make_video(tmp_path / "p.mp4", *tags, has_sound=True)
    source = probe(ffmpeg(tmp_path / "s.mp4", "-display_rotation", "90", "-i", str(plain), "-c", "copy"))
    pts = [frame.pts for frame in iter_frames(source)]
    with pytest.raises(VerificationError) as caught:
        verify(make_video(tmp_path / "a.mp4"), source, pts)
    for part in ("orientation", "colour matrix is None, not bt709", "colour range", "has 0 sound streams, not 1"):
        assert part in str(caught.value)


def test_sound_that_slipped_is_found(tmp_path: Path) -> None:
    source = probe(make_video(tmp_path / "s.mkv", has_sound=True, num_frames=25))
    slipped = ffmpeg(tmp_path / "a.mkv", "-i", str(source.path), "-itsoffset", "0.2", "-i", str(source.path),
                     "-map", "0:v", "-map", "1:a", "-c", "copy")  # fmt: skip
    with pytest.raises(VerificationError, match=r"sound 1 lasts 0\.\d+-1\.2"):
        verify(slipped, source, [frame.pts for frame in iter_frames(source)])


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_a_half_written_result_is_found(share: float, tmp_path: Path) -> None:
    source = probe(make_video(tmp_path / "s.mkv", num_frames=30))
    pts = [frame.pts for frame in iter_frames(source)]
    part = tmp_path / "a.mkv"
    part.write_bytes(source.path.read_bytes()[: int(source.size_bytes * share)])
    with pytest.raises(VerificationError, match=r"damaged|cannot be read"):
        verify(part, source, pts)


def test_damage_is_no_fault_of_a_copy(tmp_path: Path) -> None:
    source = make_video(tmp_path / "s.mkv", num_frames=30)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    info = probe(source)
    pts = [frame.pts for frame in iter_frames(info)]
    with pytest.raises(VerificationError, match="damaged"):
        verify(source, info, pts)
    assert verify(source, info, pts, is_copy=True).num_frames == len(pts)


def test_no_file_at_all_is_found(good: tuple[MediaInfo, list[int]], tmp_path: Path) -> None:
    info, pts = good
    with pytest.raises(VerificationError, match="cannot be read"):
        verify(tmp_path / "a.mp4", info, pts)


def test_damage_is_seen_whether_pictures_are_shown_or_only_counted(tmp_path: Path) -> None:
    # Given a result with a few bits turned round in its pictures
    video = make_video(tmp_path / "v.mp4", "-c:v", "libx264", "-g", "30", size="320x240", num_frames=60)
    content = bytearray(video.read_bytes())
    for at in range(len(content) // 3, len(content) // 2, 977):
        content[at] ^= 0x10
    video.write_bytes(content)
    # When it is read for its stamps only, for which filters are left out, and for its pictures
    info, counted, shown = probe(video), DecodeReport(), DecodeReport()
    stamps = list(iter_stamps(info, counted))
    frames = list(iter_frames(info, report=shown))
    # Then both see it; how many pictures it reaches is not counted to the last one without filters
    assert (len(stamps), counted.num_bad_packets) == (len(frames), shown.num_bad_packets)
    assert counted.num_bad_frames > 0
    assert shown.num_bad_frames > 0
