"""Faces like the one in a picture: who is kept, and what a user is told."""

import json
from pathlib import Path
from typing import Any
from urllib.error import URLError

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from skimage.data import astronaut

import run
from alignment.points import Points
from pipeline.canvas import PictureCanvas
from pipeline.samples import take_sample
from pipeline.search import FaceSearch

from .test_samples import face

BRIGHT, DARK = astronaut()[:300, 60:400], (astronaut()[:300, 60:400][:, ::-1] * 0.5).astype(np.uint8)


class LightEmbedder:
    """Tells people apart by how light they are."""

    name = "light"

    def __init__(self, *_: object) -> None:
        pass

    def embed(self, picture: npt.NDArray[np.uint8], landmarks: Points) -> npt.NDArray[np.float32]:
        low, high = landmarks.min(0).astype(int), landmarks.max(0).astype(int)
        angle = picture[low[1] : high[1], low[0] : high[0]].mean() / 255 * np.pi
        return np.float32([np.cos(angle), np.sin(angle)])


def sample(level: int) -> Any:
    return take_sample(PictureCanvas(np.full((200, 300, 3), level, np.uint8)), face(150))


def write(path: Path, rgb: npt.NDArray[np.uint8]) -> Path:
    cv2.imwrite(str(path), rgb[..., ::-1])
    return path


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.studio.SFaceEmbedder", LightEmbedder)


def convert(source: Path, output: Path, *options: object) -> tuple[int, dict[str, Any]]:
    code = run.main(["convert", str(source), "-o", str(output), "--device", "cpu", *(str(o) for o in options)])
    report = output.with_name(output.stem + ".report.json")
    return code, json.loads(report.read_text()) if report.exists() else {}


def test_every_track_of_a_person_is_kept_and_a_bad_sample_does_no_harm() -> None:
    # Given one person in two tracks, one of them with a bad sample, another person, and a track without any
    search = FaceSearch(LightEmbedder(), [sample(200)], min_likeness=0.9)
    scores = search.compare({0: [sample(205), sample(20), sample(190)], 1: [sample(60)], 2: [sample(195)], 3: []})
    # Then
    assert sorted(scores) == [0, 1, 2]
    assert [track for track, score in scores.items() if search.is_alike(score)] == [0, 2]


def test_of_two_faces_the_one_like_the_reference_is_restyled(light: None, style_file: Path, tmp_path: Path) -> None:
    both = np.concatenate([BRIGHT, DARK], axis=1)
    source, reference = write(tmp_path / "both.png", both), write(tmp_path / "ref.png", DARK)
    options = "--style", style_file, "--mask", "box", "--face-like", reference, "--face-like-score", 0.99
    code, report = convert(source, tmp_path / "out" / "both.png", *options)
    assert code == 0
    assert [face["style"] is not None for face in report["track_list"]] == [False, True]
    assert report["track_list"][1]["likeness"] > 0.99 > report["track_list"][0]["likeness"]
    changed = (cv2.imread(str(tmp_path / "out" / "both.png"))[..., ::-1] != both).any(-1)
    assert not changed[:, : BRIGHT.shape[1] - 60].any()
    assert changed[:, BRIGHT.shape[1] :].mean() > 0.05


def test_where_nobody_is_like_the_reference_the_best_score_is_told(
    light: None, style_file: Path, tmp_path: Path
) -> None:
    source, reference = write(tmp_path / "dark.png", DARK), write(tmp_path / "ref.png", BRIGHT)
    options = "--style", style_file, "--face-like", reference, "--face-like-score", 0.9999
    code, report = convert(source, tmp_path / "out" / "dark.png", *options)
    assert code == 0
    assert report["tracks"] == 0
    assert any("the most similar scores 0." in w and "--face-like-score is 1.00" in w for w in report["warnings"])


def test_a_reference_without_a_face_is_an_error_that_names_the_flag(
    light: None, style_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, reference = write(tmp_path / "dark.png", DARK), write(tmp_path / "wall.png", np.full_like(DARK, 90))
    code, _ = convert(source, tmp_path / "out" / "dark.png", "--style", style_file, "--face-like", reference)
    assert code == 3
    assert 'wall.png" of --face-like; give a picture with the face large' in capsys.readouterr().err


def test_without_weights_and_network_the_next_step_is_told(
    style_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("offline")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    source = write(tmp_path / "dark.png", DARK)
    code, _ = convert(source, tmp_path / "out" / "dark.png", "--style", style_file, "--face-like", source)
    told = capsys.readouterr().err
    assert code == 10
    assert "face_recognition_sface_2021dec.onnx" in told
    assert "or choose faces by their numbers with --faces" in told
