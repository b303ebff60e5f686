"""Frames: regions come out as RGB and go back in, and nothing but what is under the mask changes."""

import numpy as np
import pytest

from alignment.warp import SimilarityParams, from_params
from pipeline.colour import ColourTags
from pipeline.crops import crop_of_region
from pipeline.errors import UnsupportedInputError
from pipeline.frames import Frame
from pipeline.orientation import Orientation
from pipeline.planes import layout_for

from .media import blank_frame, smooth_picture

PQ = ColourTags("tv", "bt2020nc", "bt2020", "smpte2084")
HLG = ColourTags("tv", "bt2020nc", "bt2020", "arib-std-b67")
FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuva420p", "yuv420p10le", "yuv422p12le", "gbrp", "gbrp10le"]


def painted(pix_fmt: str, width: int, height: int, tags: ColourTags | None = None) -> tuple[Frame, np.ndarray]:
    frame, picture = blank_frame(pix_fmt, width, height, tags=tags), smooth_picture(width, height)
    frame.paste_rgb(0, 0, picture, np.ones((height, width), np.float32))
    return frame, picture


@pytest.mark.parametrize("size_wh", [(96, 64), (97, 65)])
@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_a_smooth_picture_comes_back_as_it_went_in(pix_fmt: str, size_wh: tuple[int, int]) -> None:
    frame, picture = painted(pix_fmt, *size_wh)
    difference = np.abs(frame.to_rgb(0, 0, *size_wh) - picture)
    assert difference.mean() < 0.7
    assert difference.max() <= 4  # at the very edge, where chroma has one neighbour only


@pytest.mark.parametrize(
    ("pix_fmt", "tags"),
    [
        ("yuv420p", ColourTags()),
        ("yuv420p", ColourTags("pc", "bt709")),
        ("yuv420p10le", ColourTags("tv", "bt2020nc")),
        ("yuv420p10le", PQ),
        ("yuv420p10le", HLG),
    ],
)
def test_reading_a_region_and_pasting_it_back_changes_next_to_nothing(pix_fmt: str, tags: ColourTags) -> None:
    frame, _ = painted(pix_fmt, 97, 65, tags)
    before, region = frame.copy(), frame.to_rgb(11, 7, 80, 60)
    frame.paste_rgb(11, 7, region.astype(np.float32), np.ones(region.shape[:2], np.float32))
    assert np.abs(frame.to_rgb(0, 0, 97, 65).astype(int) - before.to_rgb(0, 0, 97, 65)).max() <= 3
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(frame.planes, before.planes, strict=True)) <= 3


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_samples_without_mask_stay_bit_equal_and_chroma_goes_by_its_mean(pix_fmt: str) -> None:
    frame, _ = painted(pix_fmt, 65, 49)
    before = frame.copy()
    mask = np.zeros((20, 30), np.float32)
    mask[5:12, 6:15] = np.linspace(0.1, 1, 63).reshape(7, 9)
    x0, y0 = 13, 9
    frame.paste_rgb(x0, y0, np.full((20, 30, 3), (0, 255, 0), np.float32), mask)
    whole = np.zeros((49, 65), np.float32)
    whole[y0 : y0 + 20, x0 : x0 + 30] = mask
    for index, (new, old) in enumerate(zip(frame.planes, before.planes, strict=True)):
        touched = np.zeros(new.shape, bool)
        if index < 3:
            steps = [-(-a // b) for a, b in zip(whole.shape, new.shape, strict=True)]
            for y, x in np.argwhere(whole > 0):
                touched[y // steps[0], x // steps[1]] = True
        assert np.array_equal(new[~touched], old[~touched])
        if index < 3:
            assert (new[touched] != old[touched]).mean() > 0.8


def test_a_half_mask_mixes_half_and_half() -> None:
    frame = blank_frame("yuv444p", 8, 8, tags=ColourTags("pc", "bt709"))
    frame.paste_rgb(0, 0, np.full((8, 8, 3), 228, np.float32), np.full((8, 8), 0.5, np.float32))
    assert frame.planes[0][4, 4] == 178
    assert frame.planes[1][4, 4] == 128


def test_what_lies_outside_the_mask_does_not_bleed_into_its_colours() -> None:
    frame = blank_frame("yuv420p", 32, 32, tags=ColourTags("pc", "bt709"))
    picture = np.zeros((16, 16, 3), np.float32)
    mask = np.zeros((16, 16), np.float32)
    picture[4:11, 4:11], mask[4:11, 4:11] = (128, 128, 128), 1
    picture[mask == 0] = (255, 0, 255)
    frame.paste_rgb(8, 8, picture, mask)
    assert all((plane == 128).all() for plane in frame.planes[1:])


def test_the_opacity_plane_is_never_touched() -> None:
    frame = blank_frame("yuva420p", 16, 16)
    frame.planes[3][:] = np.arange(256).reshape(16, 16)
    frame.paste_rgb(0, 0, np.zeros((16, 16, 3), np.float32), np.ones((16, 16), np.float32))
    assert np.array_equal(frame.planes[3].ravel(), np.arange(256))


@pytest.mark.parametrize(
    ("tags", "height", "sample"),
    [
        (ColourTags("tv", "bt709"), 16, (63, 102, 240)),
        (ColourTags("tv", "smpte170m"), 16, (81, 90, 240)),
        (ColourTags("pc", "bt709"), 16, (54, 99, 255)),
        (ColourTags("tv", "bt2020nc"), 16, (74, 97, 240)),
        (ColourTags(), 480, (81, 90, 240)),
        (ColourTags(), 720, (63, 102, 240)),
    ],
)
def test_red_has_the_samples_that_the_standards_give_it(
    tags: ColourTags, height: int, sample: tuple[int, int, int]
) -> None:
    frame = blank_frame("yuv444p", 4, height, tags=tags)
    red = np.zeros((height, 4, 3), np.float32)
    red[..., 0] = 255
    frame.paste_rgb(0, 0, red, np.ones((height, 4), np.float32))
    assert [int(plane[2, 2]) for plane in frame.planes] == pytest.approx(sample, abs=1)


def test_ten_bit_samples_are_four_times_the_eight_bit_ones() -> None:
    eight, ten = (painted(name, 64, 48, ColourTags("tv", "bt709"))[0] for name in ("yuv444p", "yuv444p10le"))
    for a, b in zip(eight.planes, ten.planes, strict=True):
        assert np.abs(a.astype(float) - b / 4).max() <= 0.75


def test_colour_matrices_that_are_no_matrices_are_refused() -> None:
    with pytest.raises(UnsupportedInputError, match="'ictcp'"):
        blank_frame("yuv420p10le", 8, 8, tags=ColourTags("tv", "ictcp")).to_rgb(0, 0, 4, 4)


@pytest.mark.parametrize("orientation", [Orientation(d, m) for d in (0, 90, 180, 270) for m in (False, True)])
def test_positions_are_those_of_the_displayed_picture(orientation: Orientation) -> None:
    frame = blank_frame("yuv444p", 24, 16, tags=ColourTags("pc", "bt709"), orientation=orientation)
    frame.planes[0][:] = np.arange(16 * 24).reshape(16, 24) % 251
    width, height = frame.size_wh
    whole = frame.to_rgb(0, 0, width, height)
    assert np.array_equal(whole[..., 1], orientation.to_display(frame.planes[0]))
    assert np.array_equal(frame.to_rgb(3, 2, 13, 9), whole[2:9, 3:13])
    mask = np.zeros((height, width), np.float32)
    mask[2, 3] = 1
    frame.paste_rgb(1, 1, np.full((height, width, 3), 255, np.float32), mask)
    after = frame.to_rgb(0, 0, width, height)
    assert np.argwhere((after != whole).any(axis=2)).tolist() == [[3, 4]]


def test_a_region_beyond_the_frame_repeats_its_edge() -> None:
    frame, _ = painted("yuv420p", 33, 21)
    inside = frame.to_rgb(0, 0, 33, 21)
    around = frame.to_rgb(-4, -3, 40, 25)
    assert np.array_equal(around, np.pad(inside, ((3, 4), (4, 7), (0, 0)), mode="edge"))
    assert frame.to_rgb(100, 100, 104, 102).shape == (2, 4, 3)


def test_pasting_outside_the_frame_does_nothing() -> None:
    frame, _ = painted("yuv420p", 32, 32)
    before = frame.md5()
    frame.paste_rgb(40, 5, np.zeros((8, 8, 3), np.float32), np.ones((8, 8), np.float32))
    frame.paste_rgb(-9, 5, np.zeros((8, 8, 3), np.float32), np.ones((8, 8), np.float32))
    assert frame.md5() == before


def test_a_thumbnail_is_the_picture_made_small_and_never_larger() -> None:
    frame, picture = painted("yuv420p", 160, 96)
    small = frame.thumbnail(24)
    assert small.shape == (24, 40, 3)
    assert np.abs(small - picture.reshape(24, 4, 40, 4, 3).mean(axis=(1, 3))).max() < 4
    assert frame.thumbnail(1000).shape == (96, 160, 3)


def test_the_opacity_plane_does_not_colour_a_thumbnail() -> None:
    frame, _ = painted("yuva420p", 64, 48)
    plain, _ = painted("yuv420p", 64, 48)
    assert np.array_equal(frame.thumbnail(24), plain.thumbnail(24))


@pytest.mark.parametrize("tags", [ColourTags("tv", "bt709"), ColourTags("pc")])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gray", "gbrp", "yuv420p10le"])
def test_a_grey_thumbnail_shows_how_light_the_picture_is(pix_fmt: str, tags: ColourTags) -> None:
    frame, _ = painted(pix_fmt, 160, 96, tags)
    grey, small = frame.grey_thumbnail(24), frame.thumbnail(24)
    assert (grey.shape, grey.dtype) == ((24, 40), np.uint8)
    weights = [1 / 3, 1 / 3, 1 / 3] if pix_fmt == "gbrp" else [0.25, 0.65, 0.1]
    assert np.abs(grey - small @ np.array(weights)).max() < 16


@pytest.mark.parametrize("orientation", [Orientation(d, m) for d in (0, 90, 180, 270) for m in (False, True)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv411p", "yuv420p10le", "gbrp", "gray", "yuva420p"])
def test_a_crop_shows_what_its_region_shows(pix_fmt: str, orientation: Orientation) -> None:
    frame = blank_frame(pix_fmt, 200, 130, orientation=orientation)
    frame.paste_rgb(0, 0, smooth_picture(*frame.size_wh), np.ones(frame.size_wh[::-1], np.float32))
    for scale, turn in ((0.15, 0.3), (0.4, -0.5), (0.9, 0.2), (2.5, 3.0)):
        middle = SimilarityParams(np.log(scale), turn, 0, 0)
        transform = from_params(middle)
        transform[:, 2] = 24 - transform[:, :2] @ (np.array(frame.size_wh) / 2 + (17, -9))
        difference = np.abs(frame.crop(transform, 48).astype(int) - crop_of_region(frame, transform, 48))
        assert np.median(difference) <= 1, scale
        assert np.percentile(difference, 99) <= 8, scale  # where the edge repeats: at the scale that is sampled


def test_a_crop_beyond_the_frame_repeats_its_edge() -> None:
    frame, _ = painted("yuv420p", 64, 48)
    away = np.array([[0.2, 0, 60], [0, 0.2, 60]], np.float32)
    assert np.ptp(frame.crop(away, 16).astype(int), axis=(0, 1)).max() <= 1


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 2), (2, 5)])
def test_crops_and_thumbnails_of_the_smallest_frames_can_be_had(size_wh: tuple[int, int]) -> None:
    frame = blank_frame("yuv420p", *size_wh)
    assert frame.crop(np.array([[0.01, 0, 2], [0, 0.01, 2]], np.float32), 8).shape == (8, 8, 3)
    assert frame.thumbnail(1).shape[:2] == frame.grey_thumbnail(1).shape


def test_a_copy_is_independent_and_has_the_same_hash() -> None:
    frame, _ = painted("yuv420p", 32, 32)
    twin = frame.copy()
    assert twin.md5() == frame.md5()
    twin.planes[1][0, 0] ^= 1
    assert twin.md5() != frame.md5()


def test_hdr_white_is_light_grey_to_the_networks_and_keeps_its_brightness() -> None:
    # PQ code 593 of 1023 (full scale) is 203 cd/m2, the reference white of BT.2408.
    frame = blank_frame("gbrp10le", 8, 8, tags=ColourTags("pc", "gbr", "bt709", "smpte2084"))
    for plane in frame.planes:
        plane[:] = 593
    seen = frame.to_rgb(0, 0, 8, 8)
    assert np.abs(seen.astype(int) - 230).max() <= 1
    frame.paste_rgb(0, 0, seen.astype(np.float32), np.ones((8, 8), np.float32))
    assert all(np.abs(plane.astype(int) - 593).max() <= 2 for plane in frame.planes)


@pytest.mark.parametrize("tags", [PQ, HLG])
def test_hdr_pictures_get_brighter_with_their_signal_and_never_wrap(tags: ColourTags) -> None:
    frame = blank_frame("yuv444p10le", 1024, 1, tags=tags)
    frame.planes[0][0] = np.arange(1024)
    shown = frame.to_rgb(0, 0, 1024, 1)[0, :, 1].astype(int)
    assert (np.diff(shown) >= 0).all()
    assert (shown[0], shown[-1]) == (0, 255)


@pytest.mark.parametrize(
    ("pix_fmt", "kept_as"),
    [
        ("yuvj420p", "yuv420p"),
        ("nv12", "yuv420p"),
        ("nv16", "yuv422p"),
        ("p010le", "yuv420p10le"),
        ("yuyv422", "yuv422p"),
        ("yuv420p10be", "yuv420p10le"),
        ("rgb24", "gbrp"),
        ("bgr0", "gbrp"),
        ("rgba", "gbrap"),
        ("rgb48le", "gbrp16le"),
        ("pal8", "gbrp"),
        ("gray16be", "gray16le"),
        ("ya8", "gbrap"),
        ("monow", "gray"),
    ],
)
def test_formats_that_are_not_planar_are_kept_as_the_nearest_planar_one(pix_fmt: str, kept_as: str) -> None:
    assert layout_for(pix_fmt).pix_fmt == kept_as
