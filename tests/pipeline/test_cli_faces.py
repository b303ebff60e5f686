"""Faces by their numbers, from the list to the restyled picture and video."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

import run
from pipeline.samples import SAMPLE_PX
from pipeline.settings import ConvertSettings

from .clips import write_style
from .test_search import BRIGHT, DARK, convert, write

BOTH = np.concatenate([BRIGHT, DARK], axis=1)
MIDDLE = BRIGHT.shape[1]


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    return write(tmp_path / "pair.png", BOTH)


def list_faces(source: Path, capsys: pytest.CaptureFixture[str], *options: object) -> dict[str, Any]:
    assert run.main(["--json", "faces", str(source), "--device", "cpu", *(str(o) for o in options)]) == 0
    return dict(json.loads(capsys.readouterr().out))


def changed(result: Path) -> npt.NDArray[np.bool_]:
    return np.asarray((cv2.imread(str(result))[..., ::-1] != BOTH).any(-1))


def test_the_faces_of_a_picture_are_numbered_from_left_to_right_and_drawn(
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = list_faces(pair, capsys, "-o", tmp_path / "new" / "sheet.png")
    assert [face["number"] for face in found["faces"]] == [1, 2]
    assert found["faces"][0]["box_xyxy"][2] < MIDDLE < found["faces"][1]["box_xyxy"][0]
    sheet = cv2.imread(str(tmp_path / "new" / "sheet.png"))
    assert sheet.shape[1] == 2 * SAMPLE_PX
    assert sheet[:SAMPLE_PX, :SAMPLE_PX].mean() > 1.4 * sheet[:SAMPLE_PX, SAMPLE_PX:].mean()


def test_the_list_is_a_table_for_people(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["faces", str(pair), "--device", "cpu"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["number", "seconds", "frames", "size"]
    assert [row.split()[0] for row in rows] == ["1", "2"]


def test_a_sheet_that_is_there_is_kept_unless_told(pair: Path, tmp_path: Path) -> None:
    (tmp_path / "sheet.png").write_text("mine")
    assert run.main(["faces", str(pair), "-o", str(tmp_path / "sheet.png")]) == 5
    assert (tmp_path / "sheet.png").read_text() == "mine"


def test_the_numbers_of_a_video_are_those_of_its_report(
    clip: Path, style_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [listed] = list_faces(clip, capsys)["faces"]
    code, report = convert(clip, tmp_path / "astronaut.mp4", "--style", style_file, "--mask", "box")
    [reported] = report["track_list"]
    assert code == 0
    assert listed == {key: reported[key] for key in listed}
    assert (reported["number"], reported["frames"], reported["style"]) == (1, 30, str(style_file))


def test_a_picked_face_is_restyled_and_the_other_is_not(pair: Path, style_file: Path, tmp_path: Path) -> None:
    code, report = convert(pair, tmp_path / "o" / "pair.png", "--style", style_file, "--mask", "box", "--faces", "#2")
    assert code == 0
    assert report["tracks"] == 1
    assert report["settings"]["faces"] == "only:2"
    is_changed = changed(tmp_path / "o" / "pair.png")
    assert not is_changed[:, : MIDDLE - 60].any()
    assert is_changed[:, MIDDLE:].any()


def test_each_face_has_its_own_style_and_the_report_says_which(pair: Path, style_file: Path, tmp_path: Path) -> None:
    other = write_style(tmp_path / "other.safetensors")
    options = "--style", style_file, "--mask", "box", "--style-for", f"2={other}"
    code, report = convert(pair, tmp_path / "o" / "pair.png", *options)
    assert code == 0
    assert [face["style"] for face in report["track_list"]] == [str(style_file), str(other)]
    assert sorted(report["styles"]) == sorted([str(style_file), str(other)])
    assert changed(tmp_path / "o" / "pair.png")[:, MIDDLE:].any()


def test_a_face_is_left_alone_by_the_style_none(pair: Path, style_file: Path, tmp_path: Path) -> None:
    options = "--style", style_file, "--mask", "box", "--style-for", "1=none"
    code, report = convert(pair, tmp_path / "o" / "pair.png", *options)
    assert code == 0
    assert [face["style"] for face in report["track_list"]] == [None, str(style_file)]
    assert not changed(tmp_path / "o" / "pair.png")[:, : MIDDLE - 60].any()


def test_a_number_that_no_face_has_is_told(pair: Path, style_file: Path, tmp_path: Path) -> None:
    options = "--style", style_file, "--mask", "box", "--faces", "1,7", "--style-for", "2=none"
    code, report = convert(pair, tmp_path / "o" / "pair.png", *options)
    assert code == 0
    assert "There is no face 7: 2 faces were found." in report["warnings"]
    assert "Face 2 has a style but is not among the chosen." in report["warnings"]


@pytest.mark.parametrize(
    ("option", "told"), [(("--faces", "some"), "only:1,3"), (("--style-for", "toon"), 'like "1=toon"')]
)
def test_a_misspelt_choice_is_a_usage_error(
    option: tuple[str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(["convert", "x.mp4", *option]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_another_choice_of_faces_is_another_job() -> None:
    assert ConvertSettings(faces="only:1,3").fingerprint() != ConvertSettings().fingerprint()
    assert ConvertSettings(face_like=("a.jpg",)).fingerprint() != ConvertSettings().fingerprint()
