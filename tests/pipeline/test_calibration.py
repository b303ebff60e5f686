"""Faces for calibration: from pictures, videos and folders, spread over all; plain words where there are too few."""

import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from alignment.templates import HEAD
from model import quantise as quantise_module
from model.deviation import Deviation
from model.errors import QuantisationError
from model.quantise import Quantised
from pipeline import calibration
from pipeline.calibration import gather_crops, quantise_on
from pipeline.cli.styles import styles
from pipeline.errors import InputError
from pipeline.plan import CropSpec
from pipeline.progress import SilentProgress
from pipeline.settings import ConvertSettings
from pipeline.studio import Studio
from tests.pipeline.clips import face_picture

SPEC = CropSpec("tiny", HEAD, 64)
MADE = Quantised(Deviation(12.0, 46.5, 0.8), 44.0, 0.02, {"fp32": 2.0})


@pytest.fixture(scope="module")
def finder():
    return Studio(ConvertSettings(device="cpu")).finder


@pytest.fixture
def quantised_with(monkeypatch):
    """Stands in for the quantising itself; holds what it was given."""
    given = {}

    def stand_in(style, crops, held_out):
        given.update(style=style, crops=crops, held_out=held_out)
        return MADE

    monkeypatch.setattr(calibration, "quantise", stand_in)
    monkeypatch.setattr(calibration, "require_nncf", lambda: None)
    return given


def gather(inputs, count, finder):
    return gather_crops([str(path) for path in inputs], count, finder, SPEC, SilentProgress())


def write_picture(path, index=0):
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), face_picture(index)[..., ::-1])
    return path


def test_crops_are_those_that_convert_shows_to_a_style(tmp_path, finder):
    crops, notes = gather([write_picture(tmp_path / "a.png")], 5, finder)
    assert [crop.shape for crop in crops] == [(64, 64, 3)]
    assert crops[0].dtype == np.uint8
    assert notes == []


def test_every_input_gives_its_share(clip, tmp_path, finder):
    pictures = [write_picture(tmp_path / "pictures" / f"{i}.png", i) for i in range(3)]
    crops, _ = gather([clip, pictures[0].parent], 11, finder)
    assert len(crops) == 3 + 3, "what is short on faces leaves its share to the inputs after it"
    crops, _ = gather([pictures[0].parent, clip], 11, finder)
    assert len(crops) == 11


def test_samples_of_a_video_are_spread_over_its_time(clip, finder):
    crops, _ = gather([clip], 4, finder)
    assert len(crops) == 4
    assert len({crop.tobytes() for crop in crops}) == 4


def test_long_ways_between_samples_are_sought_not_read(clip, finder, monkeypatch):
    read_on, _ = gather([clip], 3, finder)
    monkeypatch.setattr(calibration, "_SEEK_FROM", 1)
    monkeypatch.setattr(calibration, "iter_frames", None)
    sought, _ = gather([clip], 3, finder)
    assert len(sought) == len(read_on) == 3


def test_a_bad_input_is_noted_and_does_not_harm_the_rest(tmp_path, finder):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    crops, notes = gather([bad, tmp_path / "gone.mp4", write_picture(tmp_path / "a.png")], 5, finder)
    assert len(crops) == 1
    assert len(notes) == 2
    assert "gone.mp4" in " ".join(notes)


def test_too_few_faces_are_told_with_what_to_do(tmp_path, style_file, quantised_with):
    picture = write_picture(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"1 faces were found .* at least 10 .* name more"):
        quantise_on(str(style_file), [str(picture)], 50, ConvertSettings(), SilentProgress())


def test_a_missing_nncf_is_told_before_any_work(style_file, monkeypatch):
    monkeypatch.setattr(quantise_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(QuantisationError, match="pip install"):
        quantise_on(str(style_file), ["no-such-file.mp4"], 50, ConvertSettings(), SilentProgress())


def test_every_fifth_crop_is_held_out(clip, style_file, quantised_with):
    report = quantise_on(str(style_file), [str(clip)], 12, ConvertSettings(), SilentProgress())
    assert (report.num_calibrated, report.num_held_out) == (10, 2)
    assert quantised_with["crops"].shape == (10, 3, 64, 64)
    assert quantised_with["held_out"].shape == (2, 3, 64, 64)
    assert -1 <= float(quantised_with["crops"].min()) < float(quantised_with["crops"].max()) <= 1


def test_the_command_prints_error_and_speed_and_how_to_use_it(clip, style_file, quantised_with):
    result = CliRunner().invoke(styles, ["quantise", str(style_file), str(clip), "--crops", "12"])
    assert result.exit_code == 0, result.output
    assert "46.5 dB (worst crop 44.0 dB), mean 0.80 and max 12 of 255 levels" in result.output
    assert "2.00x of fp32 here (20.0 ms a crop)" in result.output
    assert "--precision int8" in result.output


def test_slower_than_float_is_said(clip, style_file, quantised_with, monkeypatch):
    slow = Quantised(MADE.error, MADE.worst_psnr_db, 0.02, {"fp32": 1.5, "bf16": 0.9})
    monkeypatch.setattr(calibration, "quantise", lambda *_: slow)

    class Globals:
        json = True

    result = CliRunner().invoke(styles, ["quantise", str(style_file), str(clip), "--crops", "12"], obj=Globals())
    record = json.loads(result.stdout)
    assert record["times_bf16"] == 0.9
    assert record["notes"] == ["On this CPU int8 is slower than bf16: --precision auto serves better."]
