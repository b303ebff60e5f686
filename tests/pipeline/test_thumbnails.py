"""Thumbnails show the same good moment before and after."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InputError
from pipeline.thumbnails import WIDTH_PX, good_moment_secs, write_thumbnails

from .clips import write_stripes


def track(first: float, last: float, style: str | None = "toon") -> dict[str, object]:
    return {"number": 1, "first_secs": first, "last_secs": last, "style": style}


def test_the_good_moment_is_the_middle_of_the_longest_face_that_was_restyled() -> None:
    assert good_moment_secs({"track_list": [track(0, 1), track(4, 8), track(0, 60, None)]}) == 6.0
    assert good_moment_secs({}) == 0.0


def test_two_jpegs_of_one_size_show_the_moment(tmp_path: Path) -> None:
    clip = write_stripes(tmp_path / "clip.mp4", 20)
    report = {"track_list": [track(0.0, 0.64)]}  # frame 8: stripes are 8 wide, so black and white have changed places
    before, after, start = (tmp_path / f"{name}.jpg" for name in ("before", "after", "start"))
    write_thumbnails(clip, clip, report, before, after)
    write_thumbnails(clip, clip, {}, start, tmp_path / "x.jpg")
    pictures = []
    for path in (before, after, start):
        with Image.open(path) as picture:
            assert (picture.format, picture.size) == ("JPEG", (WIDTH_PX, round(64 * WIDTH_PX / 96)))
            pictures.append(np.asarray(picture, int))
    assert np.abs(pictures[0] - pictures[1]).max() == 0
    assert np.abs(pictures[0] - pictures[2]).mean() > 80


def test_a_folder_is_shown_by_its_first_picture(tmp_path: Path) -> None:
    for name, colour in (("in", (255, 0, 0)), ("out", (0, 0, 255))):
        (tmp_path / name).mkdir()
        Image.new("RGB", (400, 200), colour).save(tmp_path / name / "b.png")
    (tmp_path / "in" / "a.png").write_text("left out")
    write_thumbnails(tmp_path / "in", tmp_path / "out", {}, tmp_path / "before.jpg", tmp_path / "after.jpg")
    with Image.open(tmp_path / "before.jpg") as before, Image.open(tmp_path / "after.jpg") as after:
        assert before.getpixel((5, 5))[0] > 240
        assert after.getpixel((5, 5))[2] > 240


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("no video")
    with pytest.raises(InputError):
        write_thumbnails(tmp_path / "clip.mp4", tmp_path / "clip.mp4", {}, tmp_path / "b.jpg", tmp_path / "a.jpg")
    assert not (tmp_path / "b.jpg").exists()
