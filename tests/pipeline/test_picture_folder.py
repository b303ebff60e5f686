"""A folder of pictures comes out as one folder: whole, once, and without what cannot be used."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.errors import InputError, SourceChangedError, UnreadableInputError
from pipeline.inputs import Item
from pipeline.picture_folder import convert_folder
from pipeline.progress import SilentProgress
from pipeline.report import Report
from pipeline.settings import ConvertSettings
from pipeline.studio import build_studio


class Mover:
    """Publishes a folder by a rename."""

    rehash = True

    def __init__(self) -> None:
        self.names: list[str] = []

    def check(self, final: Path) -> None:
        assert not final.exists()

    def publish(self, finished: Path, final: Path, report: Report) -> Path:
        assert not final.exists()
        self.names.append(final.name)
        return finished.rename(final)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures, one of them deeper, and a text."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "b.png", "deep/c.png"):
        Image.new("RGB", (96, 64), (200, 20 + len(name), 0)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


def item_of(folder: Path, out: Path) -> Item:
    out.mkdir(exist_ok=True)
    return Item(folder, out / folder.name, out / "photos.report.json", folder.name, out / ".ugatit" / "work", False)


def convert(folder: Path, out: Path, progress: Any = None, mover: Mover | None = None, **more: bool) -> Report:
    studio = build_studio(ConvertSettings(style="rehearsal"))
    return convert_folder(item_of(folder, out), studio, progress or SilentProgress(), mover or Mover(), **more)


def test_all_pictures_appear_together_each_with_its_report(photos: Path, tmp_path: Path) -> None:
    mover = Mover()
    report = convert(photos, tmp_path / "out", mover=mover)
    assert mover.names == ["photos"]
    made = tmp_path / "out" / "photos"
    assert sorted(str(p.relative_to(made)) for p in made.rglob("*") if p.is_file()) == [
        "a.png",
        "a.report.json",
        "b.png",
        "b.report.json",
        "deep/c.png",
        "deep/c.report.json",
    ]
    assert (report.frames, report.faces, report.verified, report.warnings) == (3, 3, True, [])
    assert json.loads((made / "deep" / "c.report.json").read_text())["output"] == "deep/c.png"
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["photos"]


def test_a_bad_picture_is_left_out_and_named(photos: Path, tmp_path: Path) -> None:
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:60])
    report = convert(photos, tmp_path / "out")
    assert report.frames == 2
    assert not (tmp_path / "out" / "photos" / "b.png").exists()
    assert len(report.warnings) == 1
    assert report.warnings[0].startswith("b.png is left out: ")


def test_while_a_folder_may_still_grow_an_unreadable_picture_is_waited_for(photos: Path, tmp_path: Path) -> None:
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:60])
    with pytest.raises(UnreadableInputError, match=r"b\.png"):
        convert(photos, tmp_path / "out", strict=True)
    assert not (tmp_path / "out" / "photos").exists()


def test_a_folder_without_any_good_picture_is_an_error_and_not_published(photos: Path, tmp_path: Path) -> None:
    for path in photos.rglob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(InputError, match="none of the 3 pictures"):
        convert(photos, tmp_path / "out")
    assert not (tmp_path / "out" / "photos").exists()


def test_what_was_finished_before_an_interruption_is_kept(photos: Path, tmp_path: Path) -> None:
    class StopAfterTwo(SilentProgress):
        count = 0

        def checkpoint(self) -> None:
            self.count += 1
            if self.count == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(photos, tmp_path / "out", StopAfterTwo())
    [kept] = (tmp_path / "out").rglob("a.png")
    inode = kept.stat().st_ino
    report = convert(photos, tmp_path / "out")
    assert (report.frames, report.faces, report.chunks_resumed) == (3, 3, 2)
    assert (tmp_path / "out" / "photos" / "a.png").stat().st_ino == inode


def test_a_link_among_the_pictures_is_not_followed(photos: Path, tmp_path: Path) -> None:
    Image.new("RGB", (96, 64)).save(tmp_path / "private.png")
    (photos / "d.png").symlink_to(tmp_path / "private.png")
    assert convert(photos, tmp_path / "out").frames == 3
    assert not (tmp_path / "out" / "photos" / "d.png").exists()


@pytest.mark.parametrize("change", ["new", "other", "gone"])
def test_a_folder_that_changes_meanwhile_is_dropped(photos: Path, tmp_path: Path, change: str) -> None:
    class ChangeAtEnd(SilentProgress):
        count = 0

        def checkpoint(self) -> None:
            self.count += 1
            if self.count == 3:
                self.change()

        def change(self) -> None:
            if change == "gone":
                (photos / "a.png").unlink()
            elif change == "new":
                Image.new("RGB", (96, 64)).save(photos / "e.png")
            else:
                status = (photos / "a.png").stat()
                data = bytearray((photos / "a.png").read_bytes())
                data[-20] ^= 1
                (photos / "a.png").write_bytes(data)
                os.utime(photos / "a.png", ns=(status.st_atime_ns, status.st_mtime_ns))

    with pytest.raises(SourceChangedError):
        convert(photos, tmp_path / "out", ChangeAtEnd())
    assert not (tmp_path / "out" / "photos").exists()
