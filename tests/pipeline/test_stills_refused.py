"""Pictures that cannot be read, or not without being spoilt, are refused with the file's name and the reason."""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InputError, UnreadableInputError, UnsupportedInputError
from pipeline.stills import read_picture
from tests.pipeline.still_pictures import exif_with, noise, save


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "F", "I"])
def test_kinds_of_pixels_that_would_be_spoilt_are_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (8, 8)).save(tmp_path / "a.tif")

    with pytest.raises(UnsupportedInputError, match=r'a\.tif" cannot be converted without loss: .*RGB first'):
        read_picture(tmp_path / "a.tif")


def test_a_cmyk_jpeg_is_refused(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8)).save(tmp_path / "print.jpg")

    with pytest.raises(UnsupportedInputError, match="CMYK picture for print"):
        read_picture(tmp_path / "print.jpg")


@pytest.mark.parametrize(
    ("name", "what"), [("a.webp", "frames of an animation"), ("a.png", "frames of an animation"), ("a.tif", "pages")]
)
def test_animations_and_many_pages_are_refused(tmp_path: Path, name: str, what: str) -> None:
    frames = [Image.fromarray(noise(8, 8, 3)), Image.new("RGB", (8, 8))]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])

    with pytest.raises(UnsupportedInputError, match=f"holds 2 {what}; only single pictures"):
        read_picture(tmp_path / name)


def test_a_gif_and_a_text_are_no_pictures_we_read(tmp_path: Path) -> None:
    Image.new("P", (8, 8)).save(tmp_path / "a.gif")
    (tmp_path / "notes.jpg").write_text("This is no picture.")

    for name in ("a.gif", "notes.jpg"):
        with pytest.raises(UnsupportedInputError, match=f'{name}" is no JPEG, PNG, WebP, TIFF or BMP picture'):
            read_picture(tmp_path / name)


def test_the_preview_behind_a_phones_jpeg_is_left_out_and_said(tmp_path: Path) -> None:
    pictures = [Image.fromarray(noise(16, 16, 3)), Image.new("RGB", (8, 8))]
    pictures[0].save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=pictures[1:])

    picture = read_picture(tmp_path / "phone.jpg")

    assert picture.coding.format == "JPEG"
    assert picture.rgb.shape == (16, 16, 3)
    assert "further pictures behind the first one" in picture.warnings[0]


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    def bomb(side: int) -> Path:
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        path = tmp_path / f"{side}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
        return path

    with pytest.raises(UnsupportedInputError, match="9000 x 9000 pixels, more than the 67108864"):
        read_picture(bomb(9000))
    for side in (10_000, 20_000):  # Pillow's own warning and error
        with pytest.raises(UnsupportedInputError, match=f'{side}.png" unfolds to too many pixels'):
            read_picture(bomb(side))
    with pytest.raises(UnsupportedInputError, match="8 x 8 pixels, more than the 63"):
        read_picture(save(tmp_path / "small.png", noise(8, 8, 3)), max_pixels=63)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_file_that_was_cut_off_is_named_with_the_reason(tmp_path: Path, suffix: str, share: float) -> None:
    whole = save(tmp_path / f"a.{suffix}", noise(64, 64, 3)).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole[: max(12, int(len(whole) * share))])

    with pytest.raises(UnreadableInputError, match=f'cut.{suffix}" is damaged or cut off: .+'):
        read_picture(path)


def test_a_sixteen_bit_file_that_was_cut_off_is_named_too(tmp_path: Path) -> None:
    for suffix in ("png", "tif"):
        whole = cv2.imencode(f".{suffix}", noise(64, 64, 3, dtype=np.uint16))[1].tobytes()
        (tmp_path / f"cut.{suffix}").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UnreadableInputError, match=f'cut.{suffix}" is damaged or cut off'):
            read_picture(tmp_path / f"cut.{suffix}")


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_a_png_whose_pixels_fail_their_checksum_is_damaged(tmp_path: Path, bit_depth: int) -> None:
    pixels = noise(64, 64, 3, dtype=np.uint16 if bit_depth == 16 else np.uint8)
    png = bytearray(cv2.imencode(".png", pixels)[1].tobytes())
    png[len(png) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(png)

    with pytest.raises(UnreadableInputError, match=r'a\.png" is damaged or cut off: a block of its pixels fails'):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp"])
def test_damaged_bytes_give_a_picture_or_our_own_error(tmp_path: Path, suffix: str) -> None:
    options = {} if suffix in ("bmp", "tif") else {"exif": exif_with(6)}
    whole = save(tmp_path / f"a.{suffix}", noise(24, 24, 3), **options).read_bytes()
    generator, path = np.random.default_rng(9), tmp_path / f"b.{suffix}"

    for _ in range(60):
        damaged = bytearray(whole)
        for at in generator.integers(0, min(len(whole), 400), 4):
            damaged[at] = generator.integers(0, 256)
        path.write_bytes(damaged)
        with suppress(InputError):
            read_picture(path)


def test_missing_empty_and_irregular_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()

    for name, reason in (
        ("no.png", "does not exist"),
        ("empty.png", "is empty"),
        ("pipe.png", "is not a regular file"),
        ("folder.png", "is not a regular file"),
    ):
        with pytest.raises(UnreadableInputError, match=f'{name}" {reason}'):
            read_picture(tmp_path / name)
