"""The recipe of the drawn styles on one free picture: data, pairs, training, command line."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from skimage.data import astronaut

from alignment.points import MESH_INDICES
from alignment.templates import HEAD, source_to_crop
from model import GeneratorConfig, GeneratorOutput, load_style
from trainer.errors import TrainingDataError
from trainer.recipes import drawn
from trainer.recipes import drawn_data as data
from trainer.recipes import drawn_pairs as pairs
from trainer.recipes import drawn_training as training
from trainer.recipes.drawn_styles import STYLES, drawn_style

from .drawn_sitter import fake_labels, fake_landmarks, fake_sitter


@pytest.fixture(scope="module")
def sitter() -> data.Sitter:
    return fake_sitter()


def write_dataset(root: Path, count: int = 3) -> None:
    """Lay the astronaut out as the recipe's data, as portraits only."""
    folder, parts = root / "portraits", fake_labels()
    for part in ("images", "parsing", "person"):
        (folder / part).mkdir(parents=True)
    mesh = np.zeros((478, 2), np.float32)
    mesh[list(MESH_INDICES)] = fake_landmarks() / 512
    for i in range(count):
        cv2.imwrite(str(folder / "images" / f"a{i}.jpg"), cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(folder / "parsing" / f"a{i}.png"), parts)
        cv2.imwrite(str(folder / "person" / f"a{i}.png"), (parts > 0).astype(np.uint8) * 255)
    (folder / "faces.json").write_text(str({f"a{i}": [{}] for i in range(count)}).replace("'", '"'))
    np.savez(folder / "landmarks478.npz", **{f"a{i}/landmarks": mesh for i in range(count)})
    (root / "faces").mkdir()
    (root / "faces" / "faces.json").write_text("{}")
    np.savez(root / "faces" / "landmarks478.npz")


def test_the_canvas_is_the_inference_crop_with_a_margin(sitter: data.Sitter) -> None:
    to_crop = source_to_crop(fake_landmarks(), HEAD, data.CROP_PX)
    crop = cv2.warpAffine(astronaut(), to_crop, (data.CROP_PX, data.CROP_PX))
    inner = sitter.picture[data.MARGIN_PX : -data.MARGIN_PX, data.MARGIN_PX : -data.MARGIN_PX]
    assert sitter.picture.shape == (data.CANVAS_PX, data.CANVAS_PX, 3)
    assert np.abs(inner[100:200, 80:180].astype(int) - crop[100:200, 80:180]).mean() < 3


def test_good_labels_are_kept_and_shifted_lips_are_refused(sitter: data.Sitter) -> None:
    lips = np.roll(sitter.details["lips"], 40, axis=0)
    assert data.has_good_labels(sitter)
    assert not data.has_good_labels(replace(sitter, details={**sitter.details, "lips": lips}))


def test_held_out_faces_come_in_runs_and_never_train() -> None:
    faces = [data.Face("faces", f"t{i:04d}", np.zeros((152, 2), np.float32)) for i in range(600)]
    train, held = data.split_faces(faces)
    names = [int(face.name[1:]) for face in held]
    assert len(held) >= data.HELD_OUT["faces"]
    assert not {face.key for face in train} & {face.key for face in held}
    assert sum(b - a > 1 for a, b in pairwise(names)) < len(names) / 9


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="portraits"):
        data.load_faces(tmp_path)


def pair_set(photo: np.ndarray, drawing: np.ndarray, outside: int = 0, is_grey: bool = False) -> pairs.PairSet:
    """One pair in memory, its background everywhere (255) or nowhere (0)."""
    one = pairs.PairSet.__new__(pairs.PairSet)
    one.keys, one.pictures, one.drawings, one.is_grey = ["x"], [photo], [drawing], is_grey
    one.backdrops = one.outsides = [np.full(photo.shape[:2], outside, np.uint8)]
    one.landmarks = [np.full((152, 2), 160, np.float32) + np.random.default_rng(1).normal(0, 20, (152, 2))]
    return one


def test_geometry_moves_photograph_and_drawing_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "weather", lambda rng, photo: photo)
    monkeypatch.setattr(
        pairs.PairSet, "_recoloured", lambda self, rng, index, to_crop, photo, drawing: (photo, drawing)
    )
    canvas = np.random.default_rng(0).integers(0, 255, (data.CANVAS_PX, data.CANVAS_PX, 3)).astype(np.uint8)
    both = pair_set(canvas, canvas)
    batch = both.batch(np.random.default_rng(2), 2, 64)
    assert np.array_equal(batch.photos, batch.drawings)
    assert not np.array_equal(batch.photos[0], both.plain(0, 64)[0])


def test_a_tinted_backdrop_leaves_the_sitter_alone() -> None:
    wall = np.full((8, 8, 3), 150, np.uint8)
    backdrop = np.zeros((8, 8), np.float32)
    backdrop[:, 4:] = 1
    photo, drawing = pairs.tint_backdrop(np.random.default_rng(1), wall, wall, backdrop)
    for picture in (photo, drawing):
        assert np.abs(picture[:, :4].astype(int) - 150).max() <= 1
        assert np.ptp(picture[0, 7].astype(int)) > 20
    assert np.abs(photo.astype(int) - drawing).max() < 25


def test_ink_takes_no_tint() -> None:
    black = np.full((8, 8, 3), 5, np.uint8)
    photo, _ = pairs.tint_backdrop(np.random.default_rng(1), black, black, np.ones((8, 8), np.float32))
    assert np.abs(photo.astype(int) - 5).max() <= 3


def test_a_calm_backdrop_is_grey_and_the_head_keeps_its_colour() -> None:
    red = np.full((32, 32, 3), (200, 40, 40), np.uint8)
    outside = np.zeros((32, 32), np.float32)
    outside[:, 16:] = 1
    calm = pairs.calm(red, outside)
    assert np.ptp(calm[16, 31].astype(int)) < 20
    assert np.array_equal(calm[:, :6], red[:, :6])


def test_a_drawing_follows_a_dim_light_half_way() -> None:
    grey = np.full((4, 4, 3), 200, np.uint8)
    photo, drawing = pairs.relight(np.random.default_rng(3), grey, grey)
    assert (drawing.mean() / 200) ** 2 == pytest.approx(photo.mean() / 200, abs=0.02)
    assert photo.mean() != pytest.approx(200, abs=2)


def test_light_on_a_grey_style_is_never_so_dim_that_skin_could_be_taken_for_another() -> None:
    grey, gains = np.full((4, 4, 3), 200, np.uint8), []
    for seed in range(60):
        photo, _ = pairs.relight(np.random.default_rng(seed), grey, grey, 0.8)
        gains.append(photo.mean() / 200)
    assert min(gains) > 0.65


@pytest.mark.parametrize("is_grey", [True, False])
def test_only_a_coloured_style_follows_the_colour_of_the_backdrop(is_grey: bool) -> None:
    grey = np.full((data.CANVAS_PX, data.CANVAS_PX, 3), 150, np.uint8)
    one, rng = pair_set(grey, grey, outside=255, is_grey=is_grey), np.random.default_rng(0)
    drawings = np.concatenate([one.batch(rng, 1, 32).drawings for _ in range(12)])
    assert (np.ptp(drawings.astype(int), axis=-1).max() < 3) == is_grey


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[data.Face]]:
    root = tmp_path_factory.mktemp("toon")
    write_dataset(root / "data")
    faces = data.load_faces(root / "data")
    draw = drawn_style("toon").draw
    assert pairs.draw_pairs(root / "data", root / "pairs", faces, draw) == 3
    return root / "pairs", faces


def tiny_config() -> training.TrainingConfig:
    return training.TrainingConfig(
        generator=GeneratorConfig(base_channels=4, num_blocks=1, image_size_px=64, head_size=1),
        stages=(training.Stage(2, 32, 2), training.Stage(4, 64, 1)),
        adversarial_from=2,
    )


def test_a_resumed_training_ends_with_the_same_weights(cache: tuple[Path, list[data.Face]], tmp_path: Path) -> None:
    both, config = pairs.PairSet(*cache), tiny_config()
    straight = training.train(config, both, _folder(tmp_path / "straight"), lambda *_: None)
    broken = training.Training(config)
    for _ in range(3):
        broken.advance(both)
    broken.save(_folder(tmp_path / "resumed") / "snapshot.pt")
    resumed = training.train(config, both, tmp_path / "resumed", lambda *_: None)
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_training_lowers_the_reconstruction_loss(cache: tuple[Path, list[data.Face]]) -> None:
    config = replace(tiny_config(), stages=(training.Stage(60, 32, 2),), adversarial_from=99)
    run, both = training.Training(config), pairs.PairSet(*cache)
    losses = [run.advance(both)["reconstruction"] for _ in range(60)]
    assert np.mean(losses[-5:]) < 0.85 * np.mean(losses[:5])


class Untouched(torch.nn.Module):
    """Gives its input back, as a generator would."""

    def forward(self, image: torch.Tensor) -> GeneratorOutput:
        return GeneratorOutput(image, image.new_zeros(1, 2), image[:, :1], None)


def test_a_generator_that_changes_nothing_scores_like_its_input(cache: tuple[Path, list[data.Face]]) -> None:
    metrics = drawn.score(Untouched(), pairs.PairSet(*cache))
    assert metrics["portraits_count"] == 3
    assert metrics["portraits_ssim"] == pytest.approx(metrics["portraits_input_ssim"], abs=0.01)
    assert 0 < metrics["portraits_l1"] == pytest.approx(metrics["portraits_input_l1"], abs=0.01)


def test_a_run_that_starts_from_another_style_begins_with_its_generator(
    cache: tuple[Path, list[data.Face]], tmp_path: Path
) -> None:
    config = tiny_config()
    other = training.Training(replace(config, seed=1)).generator.state_dict()
    still = replace(config, learning_rate=0.0)
    trained = training.train(still, pairs.PairSet(*cache), _folder(tmp_path / "run"), lambda *_: None, other)
    assert all(torch.allclose(trained.state_dict()[name], value, atol=1e-6) for name, value in other.items())


def test_start_weights_come_from_snapshots_and_styles(tmp_path: Path) -> None:
    run = training.Training(tiny_config())
    run.save(tmp_path / "snapshot.pt")
    weights = drawn._start_weights(str(tmp_path / "snapshot.pt"))
    assert drawn._start_weights(None) is None
    assert weights is not None
    assert all(torch.equal(weights[name], value) for name, value in run.average.state_dict().items())
    assert drawn._start_weights("toon") is not None


def test_the_exported_style_says_how_to_use_it(tmp_path: Path) -> None:
    training.Training(STYLES["sketch"].config).save(tmp_path / "snapshot.pt")
    (tmp_path / "metrics.json").write_text('{"portraits_l1": 0.05}')
    done = CliRunner().invoke(drawn.main, ["sketch", "export", "-o", str(tmp_path), str(tmp_path / "x.safetensors")])
    style = load_style(tmp_path / "x.safetensors")
    assert done.exit_code == 0, done.output
    assert (style.name, style.card.mask_group) == ("sketch", STYLES["sketch"].mask_group)
    assert (style.card.template, style.card.crop_size_px, style.card.licence) == ("head", 256, "MIT")
    assert style.card.metrics == {"portraits_l1": 0.05}
    assert (tmp_path / "x.safetensors").stat().st_size < 6e6


def test_an_export_without_a_training_says_what_to_run(tmp_path: Path) -> None:
    done = CliRunner().invoke(drawn.main, ["paint", "export", "-o", str(tmp_path), str(tmp_path / "x.safetensors")])
    assert "'train'" in str(done.exception)


def test_an_unknown_style_is_named_with_those_there_are() -> None:
    with pytest.raises(TrainingDataError, match=r"'clay' is no drawn style; choose one of toon, sketch, paint"):
        drawn_style("clay")
    assert "clay" in CliRunner().invoke(drawn.main, ["clay", "draw"]).output
