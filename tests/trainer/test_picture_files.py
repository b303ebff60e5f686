"""Any picture is read as it is displayed; what cannot be read is told by name."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from trainer.errors import TrainingDataError
from trainer.picture_files import check_pictures, find_pictures, read_picture

FACE = np.ascontiguousarray(astronaut()[20:100, 180:280])
"""80x100x3 RGB."""
_ORIENTATION = 274


def mean_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


@pytest.mark.parametrize("name", ["x.png", "x.PNG", "x.bmp", "x.tif", "x.tga", "x.ppm", "x.pcx"])
def test_formats_without_loss_give_their_pixels(tmp_path: Path, name: str) -> None:
    Image.fromarray(FACE).save(tmp_path / name)
    assert find_pictures(tmp_path) == [tmp_path / name]
    assert np.array_equal(read_picture(tmp_path / name), FACE)


@pytest.mark.parametrize("name", ["x.jpg", "x.JPEG", "x.webp", "x.avif", "x.jp2"])
def test_formats_with_loss_give_nearly_their_pixels(tmp_path: Path, name: str) -> None:
    Image.fromarray(FACE).save(tmp_path / name, quality=95)
    assert mean_difference(read_picture(tmp_path / name), FACE) < 4


def test_a_format_that_only_opencv_knows_is_read(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "x.ras"), FACE[..., ::-1])
    assert np.array_equal(read_picture(tmp_path / "x.ras"), FACE)


def test_the_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    Image.fromarray(FACE).save(tmp_path / "x.jpg", format="PNG")
    assert np.array_equal(read_picture(tmp_path / "x.jpg"), FACE)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize(
    ("orientation", "upright"), [(3, FACE[::-1, ::-1]), (6, np.rot90(FACE, -1)), (2, FACE[:, ::-1])]
)
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int, upright: np.ndarray) -> None:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    Image.fromarray(FACE).save(tmp_path / f"x{suffix}", exif=exif, quality=95)
    assert mean_difference(read_picture(tmp_path / f"x{suffix}"), upright) < 4


def test_transparent_pixels_lie_on_white(tmp_path: Path) -> None:
    rgba = np.dstack([FACE, np.full(FACE.shape[:2], 255, np.uint8)])
    rgba[:10, :, 3] = 0
    rgba[10:20, :, 3] = 51
    Image.fromarray(rgba).save(tmp_path / "x.png")
    read = read_picture(tmp_path / "x.png")
    assert (read[:10] == 255).all()
    assert np.abs(read[10:20] - (0.2 * FACE[10:20] + 0.8 * 255)).max() <= 1
    assert np.array_equal(read[20:], FACE[20:])


def test_a_palette_with_a_transparent_colour_lies_on_white(tmp_path: Path) -> None:
    palette = Image.fromarray(np.repeat(np.arange(4, dtype=np.uint8)[:, None], 4, axis=1)).convert("P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    palette.save(tmp_path / "x.gif", transparency=1)
    assert read_picture(tmp_path / "x.gif")[:, 0].tolist() == [[255, 0, 0], [255, 255, 255], [0, 0, 255], [9, 9, 9]]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_become_8(tmp_path: Path, suffix: str, channels: int) -> None:
    deep = FACE[..., :channels].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / f"x{suffix}"), deep[..., ::-1])
    assert np.array_equal(read_picture(tmp_path / f"x{suffix}"), np.broadcast_to(FACE[..., :channels], FACE.shape))


def test_floating_point_grey_is_scaled(tmp_path: Path) -> None:
    Image.fromarray(FACE[..., 0] / np.float32(255)).save(tmp_path / "x.tif")
    assert np.array_equal(read_picture(tmp_path / "x.tif")[..., 2], FACE[..., 0])


def test_grey_two_level_and_cmyk_pictures_become_rgb(tmp_path: Path) -> None:
    Image.fromarray(FACE).convert("L").save(tmp_path / "grey.png")
    Image.fromarray(FACE).convert("1").save(tmp_path / "two.png")
    Image.fromarray(FACE).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    assert all(read_picture(path).shape == FACE.shape for path in find_pictures(tmp_path))
    assert set(np.unique(read_picture(tmp_path / "two.png"))) == {0, 255}
    assert mean_difference(read_picture(tmp_path / "print.jpg"), FACE) < 12


def test_pictures_are_found_in_subfolders_in_order_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("b/2.png", "a.jpg", "b/1.PNG", ".trash/3.png", "._a.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)] == [
        "a.jpg",
        "b/1.PNG",
        "b/2.png",
    ]


def write_damaged(folder: Path) -> dict[str, Path]:
    """Four files that are no pictures, by what is wrong with them."""
    paths = {kind: folder / f"{kind}.jpg" for kind in ("empty", "text", "cut", "gone")}
    Image.fromarray(FACE).save(folder / "whole.jpg")
    paths["empty"].touch()
    paths["text"].write_text("hello")
    paths["cut"].write_bytes((folder / "whole.jpg").read_bytes()[:1500])
    return paths


@pytest.mark.parametrize(
    ("kind", "text"),
    [("empty", "is empty"), ("text", "is no picture"), ("cut", "is damaged or cut off: "), ("gone", "No such file")],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, kind: str, text: str) -> None:
    path = write_damaged(tmp_path)[kind]
    with pytest.raises(TrainingDataError, match=text) as caught:
        read_picture(path)
    assert f"'{path}'" in str(caught.value)


def test_a_check_gives_the_good_ones_and_the_reasons_against_the_others(tmp_path: Path) -> None:
    damaged = write_damaged(tmp_path)
    told: list[tuple[int, int]] = []
    good, bad = check_pictures(
        [tmp_path / "whole.jpg", *damaged.values()], progress=lambda done, total: told.append((done, total))
    )
    assert [(picture.path.name, picture.width, picture.height) for picture in good] == [("whole.jpg", 100, 80)]
    assert set(bad) == set(damaged.values())
    assert told[-1] == (5, 5)


def test_an_index_saves_reading_what_did_not_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / name for name in ("a.png", "b.png")]
    for path in paths:
        Image.fromarray(FACE).save(path)
    index = tmp_path / "cache" / "pictures.json"
    first, _ = check_pictures(paths, index=index)
    Image.fromarray(FACE[:40]).save(paths[1])
    read: list[Path] = []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or original(path))

    second, _ = check_pictures(paths, index=index)

    assert read == [paths[1]]
    assert second[0] == first[0]
    assert (second[1].height, second[1].sha256 != first[1].sha256) == (40, True)


@pytest.mark.parametrize("content", ["", "[]", "{'a':"])
def test_a_damaged_index_is_replaced(tmp_path: Path, content: str) -> None:
    Image.fromarray(FACE).save(tmp_path / "a.png")
    index = tmp_path / "pictures.json"
    index.write_text(content)
    assert len(check_pictures([tmp_path / "a.png"], index=index)[0]) == 1
    assert "a.png" in index.read_text()


def test_pillows_own_complaints_stay_silent_and_its_log_keeps_its_level(tmp_path: Path) -> None:
    level = logging.getLogger("PIL").level
    path = write_damaged(tmp_path)["cut"]
    with pytest.raises(TrainingDataError):
        read_picture(path)
    assert logging.getLogger("PIL").level == level
