"""Pictures come back as they were: depth, transparency, profile, metadata; what cannot be kept is refused by name."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageOps
from skimage import data

from pipeline.errors import UnsupportedInputError
from pipeline.orientation import Orientation
from pipeline.still_metadata import Metadata, with_metadata
from pipeline.stills import read_picture, to_depth, write_picture
from tests.pipeline.still_pictures import exif_with, noise, opened, rewritten, save

LOSSLESS = ("png", "webp", "tif", "bmp")
ICC = b"\0\0\0\x90test" + b"\2\0\0\0mntr" + b"RGB " + b"XYZ " + bytes(range(120))
"""Not a usable profile, but one that says it is for RGB."""


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("channels", [3, 4])
def test_lossless_formats_give_every_pixel_and_the_transparency_back(
    tmp_path: Path, suffix: str, channels: int
) -> None:
    pixels = noise(13, 17, channels)
    source = tmp_path / f"a.{suffix}"
    if suffix == "bmp" and channels == 4:
        source.write_bytes(cv2.imencode(".bmp", pixels[..., [2, 1, 0, 3]])[1].tobytes())
    else:
        save(source, pixels)

    again = read_picture(rewritten(source, tmp_path / "out"))

    np.testing.assert_array_equal(again.rgb, pixels[..., :3])
    assert again.bit_depth == 8
    if channels == 4:
        np.testing.assert_array_equal(again.alpha, pixels[..., 3])
    else:
        assert again.alpha is None


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path, suffix: str, channels: int) -> None:
    pixels = noise(13, 17, channels, dtype=np.uint16)
    source = tmp_path / f"a.{suffix}"
    source.write_bytes(cv2.imencode(f".{suffix}", pixels[..., [2, 1, 0, 3][:channels]])[1].tobytes())

    written = rewritten(source, tmp_path / "out")

    stored = cv2.imdecode(np.fromfile(written, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stored[..., [2, 1, 0, 3][:channels]], pixels)
    assert read_picture(written).bit_depth == 16


def test_grey_palette_and_two_level_pictures_become_rgb_without_loss(tmp_path: Path) -> None:
    grey, grey_16 = noise(9, 11), noise(9, 11, dtype=np.uint16)
    palette = Image.fromarray(noise(9, 11, 3)).quantize(16)
    palette.save(tmp_path / "p.png")
    save(tmp_path / "l.png", grey)
    save(tmp_path / "i.png", grey_16)
    Image.fromarray(grey > 127).save(tmp_path / "1.png")

    np.testing.assert_array_equal(read_picture(tmp_path / "p.png").rgb, np.asarray(palette.convert("RGB")))
    np.testing.assert_array_equal(read_picture(tmp_path / "l.png").rgb, np.dstack([grey] * 3))
    np.testing.assert_array_equal(read_picture(tmp_path / "i.png").rgb, np.dstack([grey_16] * 3))
    np.testing.assert_array_equal(read_picture(tmp_path / "1.png").rgb[..., 1], 255 * (grey > 127))


def test_a_transparent_palette_colour_becomes_alpha(tmp_path: Path) -> None:
    picture = Image.fromarray(noise(9, 11, 3)).quantize(16)
    picture.save(tmp_path / "p.png", transparency=3)

    alpha = read_picture(tmp_path / "p.png").alpha

    np.testing.assert_array_equal(alpha, np.where(np.asarray(picture) == 3, 0, 255))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright_and_the_orientation_is_reset(tmp_path: Path, suffix: str, orientation: int) -> None:
    # Given a picture whose quarters tell where each corner went
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :24], stored[:16, 24:], stored[16:, :24] = 200, (200, 0, 0), (0, 0, 200)
    source = save(tmp_path / f"a.{suffix}", stored, exif=exif_with(orientation))
    upright = opened(source)
    upright.load()
    expected = np.asarray(ImageOps.exif_transpose(upright).convert("RGB"))

    picture = read_picture(source)
    written = rewritten(source, tmp_path / "out")

    np.testing.assert_array_equal(picture.rgb, expected)
    assert picture.was_turned == (orientation != 1)
    exif = opened(written).getexif()
    assert exif[0x0112] == 1
    assert exif[0x010F] == "Kamera GmbH"
    assert exif.get_ifd(0x8769)[0x927C] == b"\x01private\xff"
    assert exif.get_ifd(0x8825)[1] == "N"
    assert read_picture(written).rgb.shape == expected.shape


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_turned_tiff_stands_upright_too(tmp_path: Path, orientation: int, dtype: Any) -> None:
    pixels = noise(10, 16, 3, dtype=dtype)
    extra = [(274, "H", 1, orientation, True), (271, "s", 0, "Kamera GmbH", True)]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extratags=extra)
    turns = {3: Orientation(180), 6: Orientation(90), 8: Orientation(270), 2: Orientation(0, True)}

    again = read_picture(rewritten(tmp_path / "a.tif", tmp_path / "out"))

    assert again.rgb.shape == ((16, 10, 3) if orientation >= 5 else (10, 16, 3))
    if orientation in turns:
        np.testing.assert_array_equal(again.rgb, turns[orientation].to_display(pixels))
    tags = opened(tmp_path / "out" / "a.tif").getexif()
    assert (tags.get(274, 1), tags[271]) == (1, "Kamera GmbH")


def test_the_thumbnail_of_the_old_picture_is_not_carried(tmp_path: Path) -> None:
    exif = bytearray(exif_with(6).removeprefix(b"Exif\0\0"))
    num_entries = struct.unpack_from(">H", exif, 8)[0]
    struct.pack_into(">I", exif, 10 + 12 * num_entries, len(exif))
    exif += struct.pack(">HHHII", 1, 0x0201, 4, 1, 0) + bytes(4)  # a directory that announces a thumbnail
    source = save(tmp_path / "a.jpg", noise(16, 16, 3), exif=b"Exif\0\0" + bytes(exif))
    assert opened(source).getexif().get_ifd(ExifTags.IFD.IFD1)

    written = rewritten(source, tmp_path / "out")

    assert not opened(written).getexif().get_ifd(ExifTags.IFD.IFD1)


def test_orientation_written_in_xmp_alone_counts_and_is_reset(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:title="Ada"/></x:xmpmeta>'
    source = save(tmp_path / "a.jpg", noise(16, 24, 3), xmp=xmp)

    written = rewritten(source, tmp_path / "out")

    assert read_picture(source).rgb.shape == (24, 16, 3)
    assert opened(written).info["xmp"] == xmp.replace(b'"6"', b'"1"')
    assert read_picture(written).rgb.shape == (24, 16, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_the_colour_profile_and_resolution_are_kept(tmp_path: Path, suffix: str) -> None:
    source = save(tmp_path / f"a.{suffix}", noise(16, 16, 3), icc_profile=ICC, dpi=(300, 300))

    info = opened(rewritten(source, tmp_path / "out")).info

    assert info["icc_profile"] == ICC
    if suffix != "webp":
        assert tuple(map(round, info["dpi"])) == (300, 300)


def test_a_sixteen_bit_png_keeps_profile_exif_and_text(tmp_path: Path) -> None:
    plain = cv2.imencode(".png", noise(8, 8, 3, dtype=np.uint16))[1].tobytes()
    chunks = ((b"gAMA", struct.pack(">I", 45455)), (b"tEXt", b"Author\0Ada"))
    png = with_metadata(plain, Metadata(exif=exif_with(1).removeprefix(b"Exif\0\0"), icc=ICC, png_chunks=chunks))
    (tmp_path / "a.png").write_bytes(png)

    image = opened(rewritten(tmp_path / "a.png", tmp_path / "out"))

    assert image.info["icc_profile"] == ICC
    assert image.info["gamma"] == pytest.approx(0.45455)
    assert image.info["Author"] == "Ada"
    assert image.getexif()[0x010F] == "Kamera GmbH"


def test_a_grey_profile_is_left_out_and_said(tmp_path: Path) -> None:
    source = save(tmp_path / "a.png", noise(8, 8), icc_profile=ICC.replace(b"RGB ", b"GRAY"))

    picture = read_picture(source)

    assert picture.metadata.icc is None
    assert picture.warnings == ("The colour profile is none for RGB and is not carried.",)


def test_a_jpeg_is_coded_at_95_with_full_colour_resolution_or_as_finely_as_its_source(tmp_path: Path) -> None:
    pixels = data.astronaut()[:64, 180:260]
    coarse = rewritten(save(tmp_path / "coarse.jpg", pixels, quality=60), tmp_path / "out")
    fine = rewritten(save(tmp_path / "fine.jpg", pixels, quality=99, subsampling=0), tmp_path / "out")

    assert sum(opened(coarse).quantization[0]) == 369  # libjpeg's table at quality 95
    assert opened(fine).quantization == opened(tmp_path / "fine.jpg").quantization
    for path in (coarse, fine):
        assert [component[1:3] for component in opened(path).layer] == [(1, 1)] * 3
    source, result = read_picture(tmp_path / "fine.jpg").rgb, read_picture(fine).rgb
    assert np.abs(source.astype(int) - result).max() <= 3


def test_a_lossy_webp_stays_lossy_and_its_transparency_exact(tmp_path: Path) -> None:
    pixels = np.dstack([data.astronaut()[:64, 200:264], noise(64, 64)])
    source = save(tmp_path / "a.webp", pixels, lossless=False, quality=80)

    picture = read_picture(source)
    written = rewritten(source, tmp_path / "out")

    assert not picture.coding.is_lossless
    np.testing.assert_array_equal(read_picture(written).alpha, pixels[..., 3])
    assert not read_picture(written).coding.is_lossless


def test_new_pixels_are_written_and_the_rest_of_the_picture_stays(tmp_path: Path) -> None:
    pixels = noise(20, 20, 4)
    picture = read_picture(save(tmp_path / "a.png", pixels))
    changed = picture.rgb.copy()
    changed[5:9, 5:9] = 7

    write_picture(tmp_path / "b.png", picture, changed)

    again = read_picture(tmp_path / "b.png")
    np.testing.assert_array_equal(again.rgb, changed)
    np.testing.assert_array_equal(again.alpha, pixels[..., 3])


def test_side_by_side_repeats_the_transparency_and_another_size_resizes_it(tmp_path: Path) -> None:
    picture = read_picture(save(tmp_path / "a.png", noise(20, 30, 4)))
    assert picture.alpha is not None

    write_picture(tmp_path / "side.png", picture, np.hstack([picture.rgb] * 2))
    write_picture(tmp_path / "small.png", picture, picture.rgb[:16, :16])

    np.testing.assert_array_equal(read_picture(tmp_path / "side.png").alpha, np.hstack([picture.alpha] * 2))
    small = read_picture(tmp_path / "small.png").alpha
    assert small is not None
    assert small.shape == (16, 16)
    assert small.mean() == pytest.approx(picture.alpha.mean(), abs=8)


def test_the_suffix_chooses_the_format_unless_it_is_the_sources_own(tmp_path: Path) -> None:
    source = save(tmp_path / "a.png", noise(8, 8, 3)).rename(tmp_path / "really_a_png.jpg")
    picture = read_picture(source)

    write_picture(tmp_path / "kept.jpg", picture, picture.rgb)
    write_picture(tmp_path / "b.tiff", picture, picture.rgb)

    assert opened(tmp_path / "kept.jpg").format == "PNG"
    assert opened(tmp_path / "b.tiff").format == "TIFF"
    with pytest.raises(UnsupportedInputError, match=r'clip\.mp4" is no name for a picture'):
        write_picture(tmp_path / "clip.mp4", picture, picture.rgb)


def test_a_format_that_cannot_hold_the_picture_says_so(tmp_path: Path) -> None:
    see_through = read_picture(save(tmp_path / "a.png", noise(8, 8, 4)))
    (tmp_path / "deep.png").write_bytes(cv2.imencode(".png", noise(8, 8, 3, dtype=np.uint16))[1].tobytes())
    deep = read_picture(tmp_path / "deep.png")

    with pytest.raises(UnsupportedInputError, match=r'b\.jpg" cannot hold the transparency of its source'):
        write_picture(tmp_path / "b.jpg", see_through, see_through.rgb)
    notes = write_picture(tmp_path / "c.bmp", deep, deep.rgb)

    assert notes == ("BMP holds 8 bits per sample; the source has 16.",)
    np.testing.assert_array_equal(read_picture(tmp_path / "c.bmp").rgb, to_depth(deep.rgb, 8))


def test_sixteen_bits_and_back_is_exact() -> None:
    samples = np.arange(256, dtype=np.uint8)

    np.testing.assert_array_equal(to_depth(to_depth(samples, 16), 8), samples)
    assert to_depth(np.array([0, 128, 129, 65535], np.uint16), 8).tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize(
    "name",
    [
        "-x.png",
        "a b%03d.png",
        "http:x.png",
        "für 日本.PNG",
        "quote\"'.png",
        "n" * 251 + ".png",
        os.fsdecode(b"latin\xe9.png"),
    ],
)
def test_odd_names_are_names_like_any_other(tmp_path: Path, name: str) -> None:
    source = tmp_path / "in" / name
    source.parent.mkdir()
    buffer = io.BytesIO()
    Image.fromarray(noise(8, 8, 3)).save(buffer, "PNG")
    source.write_bytes(buffer.getvalue())

    written = rewritten(source, tmp_path / "out")

    assert written.name == name
    np.testing.assert_array_equal(read_picture(written).rgb, noise(8, 8, 3))


def test_nothing_half_written_is_left_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = read_picture(save(tmp_path / "a.png", noise(8, 8, 3)))
    target = tmp_path / "out" / "a.png"
    target.parent.mkdir()
    target.write_bytes(b"the old one")

    def fail(part: Path, final: Path, *, overwrite: bool) -> None:
        raise OSError("unplugged")

    monkeypatch.setattr("pipeline.stills.publish", fail)
    with pytest.raises(OSError, match="unplugged"):
        write_picture(target, picture, picture.rgb)

    assert [path.name for path in target.parent.iterdir()] == ["a.png"]
    assert target.read_bytes() == b"the old one"
