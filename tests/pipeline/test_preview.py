"""One sheet with every style on the user's picture: what is shown, of which frame, and what is said where it cannot."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner, Result
from skimage.data import astronaut, coffee

from model import GeneratorConfig, Style, StyleCard, build_generator, library
from pipeline.cli.styles import styles
from pipeline.decode import frame_near
from pipeline.errors import InputError, OutputExistsError, PipelineError, UnreadableInputError
from pipeline.preview import Tile, draw_sheet
from pipeline.probe import probe


@dataclass
class Globals:
    json: bool = False


def run(*arguments: object, as_json: bool = False) -> Result:
    result = CliRunner().invoke(styles, ["preview", *(str(a) for a in arguments)], obj=Globals(as_json))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def installed(tmp_path: Path, style_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two installed styles: `one`, and `two` of the user's own folder."""
    built_in, own = tmp_path / "built_in", tmp_path / "own"
    for folder, name in ((built_in, "one"), (own, "two")):
        folder.mkdir()
        (folder / f"{name}.safetensors").write_bytes(style_file.read_bytes())
    monkeypatch.setattr(library, "_BUILT_IN_FOLDER", built_in)
    monkeypatch.setenv("UGATIT_STYLE_DIR", str(own))
    return own


def write(path: Path, picture: npt.NDArray[np.uint8]) -> Path:
    cv2.imwrite(str(path), picture[..., ::-1])
    return path


def tiles_of(sheet: Path, count: int, columns: int) -> list[npt.NDArray[np.uint8]]:
    """The pictures of a sheet, with their captions."""
    picture = cv2.imread(str(sheet))
    assert picture is not None
    rows = -(-count // columns)
    step_x, step_y = (picture.shape[1] - 12) // columns, (picture.shape[0] - 12) // rows
    return [
        np.asarray(
            picture[12 + i // columns * step_y : 8 + (i // columns + 1) * step_y, 12 + i % columns * step_x :][
                :, : step_x - 12
            ],
            np.uint8,
        )
        for i in range(count)
    ]


def test_the_sheet_shows_the_original_then_every_installed_style_and_the_files_named(
    installed: Path, style_file: Path, tmp_path: Path
) -> None:
    source, sheet = write(tmp_path / "me.png", astronaut()), tmp_path / "sheet.png"
    told = json.loads(run(source, "-o", sheet, "--style", style_file, as_json=True).stdout)
    assert told["styles"] == ["one", "two", "tiny"]
    assert (told["faces"], told["scope"], told["failed"], told["at_secs"]) == (1, "head", {}, None)
    original, *restyled = tiles_of(sheet, 4, 2)
    expected = cv2.resize(astronaut()[..., ::-1], (original.shape[1], original.shape[1]), interpolation=cv2.INTER_AREA)
    side = min(200, *original.shape[:2])
    for tile in restyled:
        assert tile.shape == original.shape
        assert (tile[:side] != original[:side]).any()
    np.testing.assert_array_equal(restyled[0][:side], restyled[1][:side])
    assert np.ptp(original[-30:], axis=(0, 1)).min() > 200  # a caption, dark on white
    assert expected is not None


def test_of_a_video_the_frame_asked_for_is_shown(installed: Path, clip: Path, tmp_path: Path) -> None:
    told = json.loads(run(clip, "-o", tmp_path / "s.jpg", "--at", 0.6, as_json=True).stdout)
    assert told["at_secs"] == pytest.approx(0.6)
    assert told["faces"] == 1
    with pytest.raises(InputError, match=r"is 1\.2 s long: there is no frame at --at 99"):
        run(clip, "-o", tmp_path / "t.jpg", "--at", 99)


def test_without_a_face_the_whole_picture_is_restyled_and_the_user_is_told(installed: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    result = run(write(tmp_path / "cup.png", coffee()), "-o", sheet)
    assert result.exit_code == 0
    assert "No face was found: the styles are shown on the whole picture" in result.stderr
    original, styled, _ = tiles_of(sheet, 3, 3 if cv2.imread(str(sheet)).shape[1] > 1000 else 2)
    assert (np.abs(original[:150].astype(int) - styled[:150]).max(axis=2) > 8).mean() > 0.5


def test_a_small_face_is_shown_enlarged(installed: Path, tmp_path: Path) -> None:
    wide = np.full((800, 1000, 3), 90, np.uint8)
    wide[200:712, 100:612] = astronaut()
    told = json.loads(run(write(tmp_path / "far.png", wide), "-o", tmp_path / "s.png", as_json=True).stdout)
    original = tiles_of(tmp_path / "s.png", 3, 2)[0]
    assert told["faces"] == 1
    assert (np.abs(original[:250].astype(int) - 90).max(axis=2) < 6).mean() < 0.6


def test_a_style_that_cannot_be_shown_is_left_out_with_its_reason(installed: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = GeneratorConfig(base_channels=8, num_blocks=1, image_size_px=64, head_size=None)
    full = tmp_path / "full.safetensors"
    Style("full", StyleCard(crop_size_px=64), config, build_generator(config).eval()).save(full)
    source = write(tmp_path / "me.png", astronaut())
    result = run(source, "-o", tmp_path / "s.png", "--scope", "frame", "--style", full)
    assert "full head" in result.stderr
    assert "one, two" in result.stdout
    with pytest.raises(PipelineError, match="choose another --style, or --scope head"):
        run(source, "-o", tmp_path / "t.png", "--scope", "frame", "--only", "--style", full)


@pytest.mark.parametrize("only", [("--only",), ()])
def test_what_is_missing_is_named(installed: Path, tmp_path: Path, only: tuple[str, ...]) -> None:
    if only:
        result = run(tmp_path / "no.png", *only)
        assert result.exit_code == 2
        assert "name at least one" in result.stderr
    else:
        with pytest.raises(UnreadableInputError, match="does not exist"):
            run(tmp_path / "no.png", "-o", tmp_path / "s.png")


def test_a_sheet_replaces_nothing_unasked_and_never_the_input(installed: Path, tmp_path: Path) -> None:
    source, sheet = write(tmp_path / "me.png", astronaut()), tmp_path / "sheet.png"
    sheet.write_text("mine")
    with pytest.raises(OutputExistsError, match="is there already"):
        run(source, "-o", sheet)
    with pytest.raises(OutputExistsError, match="is the input itself"):
        run(source, "-o", source, "--overwrite")
    with pytest.raises(InputError, match=r"ends in none of \.png"):
        run(source, "-o", tmp_path / "sheet.gif")
    assert sheet.read_text() == "mine"
    assert run(source, "-o", sheet, "--overwrite").exit_code == 0
    assert not list(tmp_path.glob(".*.part"))


def test_a_long_caption_is_cut_to_its_tile() -> None:
    tile = np.full((300, 200, 3), 128, np.uint8)
    sheet = draw_sheet([Tile("a" * 200, tile), Tile("b", tile, note="n" * 300)])
    assert (sheet[:, -12:] == 255).all()


@pytest.mark.parametrize(("at_secs", "is_exact"), [(0.0, True), (0.52, True), (0.52, False), (50.0, True)])
def test_a_frame_near_a_time_is_found(clip: Path, at_secs: float, is_exact: bool) -> None:
    info = probe(clip)
    frame = frame_near(info, at_secs, is_exact=is_exact)
    assert frame is not None
    got = float(frame.pts * info.video.time_base)
    expected = min(at_secs, 29 / 25) if is_exact else 0.4  # a key frame every ten frames
    assert got == pytest.approx(expected, abs=0.04)
