"""The command `crop`, from pictures and videos to a folder that training can read."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from skimage.data import astronaut

import run
from alignment.templates import HEAD
from pipeline.canvas import PictureCanvas
from pipeline.casting import plan_faces
from pipeline.face_set.settings import QualityLimits
from pipeline.face_set.table import Row, read_table
from pipeline.face_spans import CropShape, SpanConfig, iter_candidates
from pipeline.finder import FaceFinder
from pipeline.pictures import find_faces
from pipeline.publish import STATE_FOLDER
from pipeline.report import Report
from pipeline.settings import ConvertSettings
from pipeline.stills import read_picture
from pipeline.studio import Studio

from .clips import faceless_picture, write_clip
from .faces import BrightDetector, BrightLandmarker, ScriptedPicture
from .test_search import BRIGHT, write

MIRRORED = np.ascontiguousarray(BRIGHT[:, ::-1])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two pictures that are not alike, in a folder."""
    folder = tmp_path / "photos"
    folder.mkdir()
    write(folder / "anna.png", BRIGHT)
    write(folder / "berta.png", MIRRORED)
    return folder


def crop(*arguments: object, device: str = "cpu") -> int:
    return run.main(["crop", *(str(a) for a in arguments), "--device", device])


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png") if "sheet" not in path.name)


def rows(folder: Path, domain: str = "") -> list[Row]:
    return read_table(folder / f"crops{domain}.csv")


def write_video(path: Path, pictures: list[npt.NDArray[np.uint8]], rate: int = 10) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "12"})
        (stream.height, stream.width), stream.pix_fmt = pictures[0].shape[:2], "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_a_crop_is_what_convert_shows_its_generator(photos: Path, style_file: Path, tmp_path: Path) -> None:
    # Given what convert cuts out of a picture for a style of 64 px
    studio = Studio(ConvertSettings(style=str(style_file), mask="box", device="cpu"))
    canvas = PictureCanvas(read_picture(photos / "anna.png").rgb)
    plan = plan_faces(find_faces(canvas, studio), studio, Report(input="", input_sha256="", style="", style_sha256=""))
    [[styled]] = studio.cast.stylise([(canvas, plan.faces_in(0))])
    # When the same picture is cropped
    assert crop(photos / "anna.png", "-o", tmp_path / "out", "--size", 64) == 0
    # Then the pixels are equal
    made = cv2.imread(str(tmp_path / "out" / "crops" / "anna-1.png"))[..., ::-1]
    assert np.array_equal(made, styled.source)


def test_the_table_tells_what_was_measured(photos: Path, tmp_path: Path) -> None:
    assert crop(photos, "-o", tmp_path / "out") == 0
    anna, berta = rows(tmp_path / "out")
    assert (anna.file, anna.crop, anna.source) == ("crops/anna-1.png", "head 256", str(photos / "anna.png"))
    assert (anna.time_secs, anna.frame, anna.face, anna.decision) == ("", "0", "1", "kept")
    assert float(anna.yaw) == pytest.approx(-float(berta.yaw), abs=8)
    x0, y0, x1, y1 = (int(edge) for edge in anna.box_xyxy.split())
    assert x0 < 165 < x1  # the astronaut's nose
    assert y0 < 120 < y1
    assert max(x1 - x0, y1 - y0) == pytest.approx(float(anna.size_px), abs=1.5)
    assert cv2.imread(str(tmp_path / "out" / "sheet.png")) is not None
    assert not (tmp_path / "out" / STATE_FOLDER).exists()


def test_what_is_not_good_enough_is_left_out_with_its_reason(photos: Path, tmp_path: Path) -> None:
    write(photos / "c.png", np.uint8(cv2.GaussianBlur(BRIGHT, (0, 0), 3)))
    write(photos / "d.png", np.uint8(cv2.resize(BRIGHT, (170, 150), None, 0, 0, cv2.INTER_AREA)))
    write(photos / "e.png", np.uint8(BRIGHT * 0.8))
    write(photos / "f.png", faceless_picture(0))
    assert crop(photos, "-o", tmp_path / "out", "--min-face", 75) == 0
    decisions = {Path(row.source).stem: row.decision for row in rows(tmp_path / "out")}
    assert decisions == {
        "anna": "kept",
        "berta": "kept",
        "c": "blurred",
        "d": "small",
        "e": "duplicate",
        "f": "no face",
    }
    assert files(tmp_path / "out") == ["crops/anna-1.png", "crops/berta-1.png"]


def test_duplicates_are_kept_on_demand(photos: Path, tmp_path: Path) -> None:
    write(photos / "e.png", np.uint8(BRIGHT * 0.8))
    assert crop(photos, "-o", tmp_path / "out", "--dedupe", 0) == 0
    assert len(files(tmp_path / "out")) == 3


def test_a_split_makes_the_folders_that_training_reads(photos: Path, tmp_path: Path) -> None:
    for domain in "AB":
        assert crop(photos, "-o", tmp_path / "data", "--split", 0.1, "--domain", domain) == 0
    assert files(tmp_path / "data") == [
        "testA/berta-1.png",
        "testB/berta-1.png",
        "trainA/anna-1.png",
        "trainB/anna-1.png",
    ]
    assert len(rows(tmp_path / "data", "A")) == len(rows(tmp_path / "data", "B")) == 2


def test_more_inputs_are_added_and_known_ones_passed_over(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a folder with one crop
    out = tmp_path / "out"
    assert crop(photos / "anna.png", "-o", out) == 0
    before = (out / "crops" / "anna-1.png").stat()
    # When that picture comes again with others: a copy of it, and another person's under the same name
    others = tmp_path / "others"
    others.mkdir()
    write(others / "copy.png", BRIGHT)
    write(others / "anna.png", MIRRORED)
    capsys.readouterr()
    assert crop(photos / "anna.png", others, "-o", out) == 0
    # Then only what is new is added, and nothing is replaced
    assert files(out) == ["crops/anna-1.png", "crops/anna~2-1.png"]
    assert (out / "crops" / "anna-1.png").stat() == before
    assert [row.decision for row in rows(out)] == ["kept", "kept", "duplicate"]
    assert "1 inputs are in the folder already" in capsys.readouterr().out


def test_overwrite_cuts_anew_and_removes_what_is_no_longer_kept(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert crop(photos, "-o", out) == 0
    assert crop(photos / "anna.png", "-o", out, "--overwrite", "--min-face", 1000) == 0
    assert files(out) == ["crops/berta-1.png"]
    assert [(Path(row.source).stem, row.decision) for row in rows(out)] == [("berta", "kept"), ("anna", "small")]
    assert crop(photos / "anna.png", "-o", out, "--overwrite") == 0
    assert files(out) == ["crops/anna-1.png", "crops/berta-1.png"]


def test_a_file_of_somebody_else_is_never_replaced(photos: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "out" / "crops" / "anna-1.png"
    stranger.parent.mkdir(parents=True)
    stranger.write_text("mine")
    assert crop(photos, "-o", tmp_path / "out") == 5
    assert stranger.read_text() == "mine"
    assert [row.file for row in rows(tmp_path / "out")] == ["crops/berta-1.png"]


@pytest.mark.parametrize("name", ["crops.csv", "sheet.png"])
def test_a_folder_with_another_table_or_sheet_is_refused(photos: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("a,b\n1,2\n")
    assert crop(photos, "-o", tmp_path / "out") == 5
    assert files(tmp_path / "out") == []


def test_crops_of_two_kinds_do_not_mix(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crop(photos / "anna.png", "-o", tmp_path / "out") == 0
    assert crop(photos / "berta.png", "-o", tmp_path / "out", "--size", 128) == 5
    assert '"head 256", not "head 128"' in capsys.readouterr().err


def test_a_line_that_a_crash_cut_off_does_no_harm(photos: Path, tmp_path: Path) -> None:
    assert crop(photos / "anna.png", "-o", tmp_path / "out") == 0
    with (tmp_path / "out" / "crops.csv").open("a") as table:
        table.write("crops/half")
    assert crop(photos / "berta.png", "-o", tmp_path / "out") == 0
    assert [row.file for row in rows(tmp_path / "out")] == ["crops/anna-1.png", "crops/berta-1.png"]


def test_what_a_killed_run_left_behind_is_cleared_away(photos: Path, tmp_path: Path) -> None:
    left = tmp_path / "out" / STATE_FOLDER / "work" / "crop" / "0.png"
    left.parent.mkdir(parents=True)
    left.write_text("half a picture")
    assert crop(photos, "-o", tmp_path / "out") == 0
    assert len(files(tmp_path / "out")) == 2
    assert not (tmp_path / "out" / STATE_FOLDER).exists()


def test_a_bad_input_does_not_harm_the_others(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "b.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (photos / "c.mp4").write_text("no video")
    code = run.main(["--json", "crop", str(photos), str(tmp_path / "gone"), "-o", str(tmp_path / "out")])
    told = json.loads(capsys.readouterr().out)
    failed = {Path(result["input"]).name for result in told["results"] if not result["ok"]}
    assert code == 3
    assert failed == {"b.jpg", "c.mp4", "gone"}
    assert told["kept"] == len(files(tmp_path / "out")) == 2


def test_a_set_without_a_single_face_is_an_error_that_says_why(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert crop(photos, "-o", tmp_path / "out", "--min-face", 1000) == 3
    assert "no face was kept (2 small)" in capsys.readouterr().err


def test_a_limit_is_spread_evenly(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(5):
        write(photos / f"{number}.png", BRIGHT)
    assert crop(photos, "-o", tmp_path / "out", "--dedupe", 0, "--limit", 3) == 0
    assert files(tmp_path / "out") == ["crops/0-1.png", "crops/2-1.png", "crops/4-1.png"]
    assert [row.decision for row in rows(tmp_path / "out")] == ["kept", "limit", "kept", "limit", "kept"]


def test_of_each_span_of_a_video_the_sharpest_frame_is_taken(tmp_path: Path) -> None:
    # Given two seconds in which one frame of each is sharp
    face = np.ascontiguousarray(astronaut()[:300, 60:380])
    soft = np.uint8(cv2.GaussianBlur(face, (0, 0), 2.5))
    video = write_video(tmp_path / "clip.mp4", [face if i in (4, 17) else soft for i in range(20)])
    assert crop(video, "-o", tmp_path / "out", "--dedupe", 0, "--detect-every", 1) == 0
    assert [(row.time_secs, row.frame, row.file) for row in rows(tmp_path / "out")] == [
        ("0.400", "4", "crops/clip-00000.400s-1.png"),
        ("1.700", "17", "crops/clip-00001.700s-1.png"),
    ]


def test_a_person_after_a_cut_is_another_one(tmp_path: Path) -> None:
    face = np.ascontiguousarray(astronaut()[:300, 60:380])
    other = np.ascontiguousarray(np.roll(face[:, ::-1], 40, axis=1))
    video = write_video(tmp_path / "clip.mp4", [face] * 8 + [other] * 8)
    assert crop(video, "-o", tmp_path / "out") == 0
    assert [(row.face, row.decision) for row in rows(tmp_path / "out")] == [("1", "kept"), ("2", "kept")]


class LitPicture(ScriptedPicture):
    """Faces before a background with some light in it, so that a face more is no new scene."""

    def to_rgb(self, x0: int, y0: int, x1: int, y1: int) -> npt.NDArray[np.uint8]:
        light = np.linspace(0, 120, self.size_wh[0], dtype=np.uint8)[None, x0:x1, None]
        return np.maximum(super().to_rgb(x0, y0, x1, y1), light)


def test_a_face_that_flashes_up_is_brief_and_one_that_the_video_ends_on_is_not() -> None:
    # Given a face that stays, one that is there for two frames, and one that comes in with the last frame
    stays, flashes, comes = (60, 60), (150, 180), (260, 60)
    others = [[flashes] if i in (5, 6) else [comes] if i == 19 else [] for i in range(20)]
    frames: Any = [LitPicture(stays, *more, pts=i) for i, more in enumerate(others)]
    finder = FaceFinder(BrightDetector(), BrightLandmarker())
    found = iter_candidates(
        frames, Fraction(1, 10), finder, CropShape(HEAD, 64), QualityLimits(min_face=1), SpanConfig(1.0, 1, 0.3)
    )
    told = [(candidate.number, candidate.is_brief) for candidate in found]
    assert told == [(2, True), (1, False), (1, False), (3, False)]


def test_moments_that_another_video_showed_are_duplicates(clip: Path, tmp_path: Path) -> None:
    assert crop(clip, "-o", tmp_path / "out", "--min-face", 40) == 0
    kept = [row for row in rows(tmp_path / "out") if row.decision == "kept"]
    again = write_clip(tmp_path / "again.mp4", 10)
    assert crop(again, "-o", tmp_path / "out", "--min-face", 40) == 0
    assert {row.decision for row in rows(tmp_path / "out")[len(kept) :]} <= {"duplicate"}
    assert len(kept) >= 1


def test_a_damaged_video_leaves_nothing_behind_unless_it_is_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_clip(tmp_path / "whole.mkv", 40)
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    assert crop(tmp_path / "cut.mkv", "-o", tmp_path / "out", "--min-face", 40) == 3
    assert files(tmp_path) == []
    assert crop(tmp_path / "cut.mkv", "-o", tmp_path / "out", "--min-face", 40, "--lenient") == 0
    assert len(files(tmp_path / "out")) >= 1
    assert "note:" in capsys.readouterr().err
