"""The recipe of the unpaired training: nobody on both sides, the same faces held out, one judgement for every style."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from model import GeneratorConfig, Style, StyleCard, build_generator, load_style
from trainer.errors import TrainingDataError
from trainer.recipes import unpaired
from trainer.recipes.drawn_data import CANVAS_PX, RUN_LENGTHS, Face

SIZE_PX = 256


def faces(split: str, count: int) -> list[Face]:
    return [Face(split, f"{i:04d}", np.zeros((152, 2), np.float32)) for i in range(count)]


def write_pairs(cache: Path, whom: list[Face]) -> None:
    """Every face a picture of its own; the drawing is its negative."""
    cache.mkdir()
    for index, face in enumerate(whom):
        rng = np.random.default_rng(index)
        small = rng.integers(0, 255, (20, 20, 3), np.uint8)
        picture = cv2.resize(small, (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC)
        plane = np.zeros((CANVAS_PX, CANVAS_PX), np.uint8)
        np.savez(
            cache / f"{face.key}.npz",
            picture=picture,
            drawing=255 - picture,
            landmarks=face.landmarks,
            backdrop=plane,
            outside=plane,
        )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("unpaired")
    whom = faces("portraits", 40)
    write_pairs(root / "cache", whom)
    patch = pytest.MonkeyPatch()
    patch.setattr(unpaired, "load_faces", lambda data: whom)
    try:
        unpaired.prepare(root, root / "cache", root / "set")
    finally:
        patch.undo()
    return root / "set"


def names(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.png")}


def test_runs_of_neighbours_stay_on_one_side() -> None:
    photographed, drawn = unpaired.halves(faces("faces", 100) + faces("portraits", 9))
    sides = [{face.key for face in half} for half in (photographed, drawn)]
    assert not sides[0] & sides[1]
    assert len(sides[0]) + len(sides[1]) == 109
    runs = [{int(key[6:]) // RUN_LENGTHS["faces"] for key in side if key.startswith("faces-")} for side in sides]
    assert not runs[0] & runs[1]
    assert len(runs[0]) == len(runs[1]) == 5


def test_nobody_is_on_both_sides_and_nobody_held_out_trains(prepared: Path) -> None:
    photographed, drawn, held, pairs = (names(prepared / name) for name in ("trainA", "trainB", "testA", "pairs/A"))
    assert min(len(photographed), len(drawn), len(held)) > 0
    assert not photographed & drawn
    assert pairs == photographed | drawn
    assert not held & pairs
    assert names(prepared / "testB") == held
    assert names(prepared / "pairs" / "B") == pairs


def test_sides_hold_what_they_are_named_for(prepared: Path) -> None:
    photo, drawing = (
        cv2.imread(str(prepared / side / f"{min(names(prepared / 'testA'))}.png")) for side in ("testA", "testB")
    )
    assert photo.shape == (SIZE_PX, SIZE_PX, 3)
    assert np.abs(photo.astype(int) + drawing - 255).max() <= 1


def test_a_style_is_judged_against_the_drawn_truth(prepared: Path, tmp_path: Path) -> None:
    config = GeneratorConfig(base_channels=4, num_blocks=1, image_size_px=SIZE_PX)
    Style("grey", StyleCard(), config, build_generator(config)).save(tmp_path / "grey.safetensors")
    arguments = ["judge", str(tmp_path / "grey.safetensors"), str(prepared), "--sheet", str(tmp_path / "sheet.png")]
    result = CliRunner().invoke(unpaired.main, arguments)
    assert result.exit_code == 0, result.output
    figures = json.loads(result.output.splitlines()[-1])
    held = unpaired.HeldOutPairs(prepared)
    gaps = [np.abs(np.subtract(*(p.astype(np.float32) for p in held.plain(i)))).mean() / 255 for i in range(len(held))]
    assert figures["portraits_count"] == len(held) == len(names(prepared / "testA"))
    assert figures["portraits_input_l1"] == pytest.approx(np.mean(gaps), abs=1e-4)
    assert -1 <= figures["portraits_ssim"] <= 1
    assert (tmp_path / "sheet.png").exists()


def test_a_folder_that_was_not_prepared_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="prepare"):
        unpaired.HeldOutPairs(tmp_path)


def test_a_mix_lies_between_two_styles(tmp_path: Path) -> None:
    config = GeneratorConfig(base_channels=4, num_blocks=1, image_size_px=64)
    for name in ("one", "two"):
        Style(name, StyleCard(), config, build_generator(config)).save(tmp_path / f"{name}.safetensors")
    paths = [str(tmp_path / f"{name}.safetensors") for name in ("one", "two", "mix")]
    result = CliRunner().invoke(unpaired.main, ["mix", *paths, "--share", "0.25"])
    assert result.exit_code == 0, result.output
    one, two, mixed = (load_style(path).generator.draw.weight for path in paths)
    np.testing.assert_allclose(mixed.detach(), (0.75 * one + 0.25 * two).detach(), atol=1e-4)


def test_unlike_networks_are_not_mixed() -> None:
    small, large = (GeneratorConfig(base_channels=c, num_blocks=1, image_size_px=64) for c in (4, 8))
    styles = [Style("s", StyleCard(crop_size_px=64), config, build_generator(config)) for config in (small, large)]
    with pytest.raises(TrainingDataError, match="different"):
        unpaired.mix(*styles, 0.5)
