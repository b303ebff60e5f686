"""The toon recipe on one free picture: scikit-image's astronaut with labels made up from ellipses."""

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

from alignment.points import MESH, MESH_INDICES
from alignment.templates import HEAD, source_to_crop
from model import GeneratorConfig, GeneratorOutput, load_style
from trainer.errors import TrainingDataError
from trainer.recipes import toon
from trainer.recipes import drawn_brush as brush
from trainer.recipes import drawn_data as data
from trainer.recipes import drawn_pairs as pairs
from trainer.recipes import drawn_training as training
from trainer.recipes.toon_drawing import draw
from trainer.recipes.drawn_tones import tones

EYES = {"right": (207.0, 111.0), "left": (247.0, 111.0)}  # the astronaut's, in her picture


def ring(centre: tuple[float, float], width: float, height: float, count: int, start_deg: float = 180) -> np.ndarray:
    """Points around an ellipse, upper half first when it starts at the left."""
    angle = np.deg2rad(start_deg + np.linspace(0, 360, count, endpoint=False))
    return np.stack([centre[0] + width * np.cos(angle), centre[1] + height * np.sin(angle)], axis=1)


def fake_landmarks(openness: float = 1.0) -> np.ndarray:
    """152 landmarks that fit the astronaut roughly; `openness` scales the height of her eyes."""
    points = np.zeros((len(MESH_INDICES), 2), np.float32)
    points[MESH["outline"]] = ring((227, 120), 50, 72, 36, start_deg=-90)
    for side, centre in EYES.items():
        eye = ring(centre, 10, 4.5 * openness, 16)
        points[MESH[f"{side}_eye"]] = eye if side == "right" else eye * [-1, 1] + [2 * centre[0], 0]
        points[MESH[f"{side}_iris"]] = np.concatenate([[centre], ring(centre, 4, 4, 4)])
        brow = np.linspace(-14, 14, 5) * (1 if side == "right" else -1)
        upper = np.stack([centre[0] + brow, np.full(5, centre[1] - 15)], axis=1)
        points[MESH[f"{side}_brow"]] = np.concatenate([upper, upper[::-1] + np.array([0, 4])])
    ridge = np.stack([np.full(7, 227), np.linspace(108, 140, 7)], axis=1)
    base = np.stack([np.linspace(219, 235, 5), np.full(5, 146)], axis=1)
    points[MESH["nose"]] = np.concatenate([ridge, [[217, 142]], base, [[237, 142]]])
    points[MESH["lips_outer"]] = ring((227, 163), 20, 8, 20)
    points[MESH["lips_inner"]] = ring((227, 163), 17, 4, 20)
    return points


def fake_labels() -> np.ndarray:
    """Part labels: clothes, hair, neck, face, lips as ellipses one over the other."""
    parts = np.zeros((512, 512), np.uint8)
    for centre, axes, part in (
        ((240, 460), (200, 220), 16),
        ((227, 100), (75, 90), 17),
        ((227, 200), (34, 60), 14),
        ((227, 125), (50, 70), 1),
        ((227, 163), (20, 8), 12),
    ):
        cv2.ellipse(parts, centre, axes, 0, 0, 360, (part,), -1)
    return parts


@pytest.fixture(scope="module")
def sitter() -> data.Sitter:
    parts = fake_labels()
    return data.align_sitter(astronaut(), parts, (parts > 0).astype(np.float32), fake_landmarks())


@pytest.fixture(scope="module")
def drawing(sitter: data.Sitter) -> np.ndarray:
    return draw(sitter)


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


def test_skin_is_drawn_in_few_tones(sitter: data.Sitter, drawing: np.ndarray) -> None:
    cheek = sitter.landmarks[MESH["nose"]][6].astype(int)
    window = (slice(cheek[1] - 12, cheek[1] + 4), slice(cheek[0] - 34, cheek[0] - 22))
    photo, drawn = sitter.picture[window], drawing[window]
    assert np.abs(np.diff(drawn.astype(int), axis=1)).mean() < np.abs(np.diff(photo.astype(int), axis=1)).mean()


def test_open_eyes_get_white_and_ink_where_closed_ones_get_a_line(drawing: np.ndarray) -> None:
    parts = fake_labels()
    closed = draw(data.align_sitter(astronaut(), parts, (parts > 0).astype(np.float32), fake_landmarks(0.1)))
    sitter = data.align_sitter(astronaut(), parts, (parts > 0).astype(np.float32), fake_landmarks())
    x, y = sitter.landmarks[MESH["right_eye"]].mean(0).astype(int)
    eye = (slice(y - 9, y + 10), slice(x - 16, x + 17))
    assert (drawing[eye].min(-1) > 200).sum() > 20
    assert (drawing[eye].max(-1) < 60).sum() > 20
    assert (closed[eye].min(-1) > 200).sum() == 0
    assert (closed[eye].max(-1) < 60).sum() > 5


def test_the_same_sitter_gives_the_same_drawing_and_a_little_noise_changes_little(
    sitter: data.Sitter, drawing: np.ndarray
) -> None:
    noise = np.random.default_rng(0).normal(0, 2, sitter.picture.shape)
    noisy = replace(sitter, picture=np.clip(sitter.picture + noise, 0, 255).astype(np.uint8))
    assert np.array_equal(draw(sitter), drawing)
    assert np.abs(draw(noisy).astype(int) - drawing).mean() < 2.0


def test_tones_step_softly_between_their_values() -> None:
    field = np.array([[0.0, 10.0, 20.0]], np.float32)
    values = np.array([[1, 1, 1], [5, 5, 5]], np.float32)
    stepped = tones(field, np.array([10.0]), values, 0.5)
    assert stepped[0, :, 0] == pytest.approx([1.0, 3.0, 5.0], abs=1e-3)


def test_a_stroke_is_as_wide_as_it_says() -> None:
    canvas = brush.Canvas(np.zeros((40, 40, 3), np.float32))
    canvas.stroke(
        np.array([[5.0, 20.0], [20.0, 20.0], [35.0, 20.0]], np.float32),
        np.full(30, 6.0, np.float32),
        np.ones(3, np.float32),
    )
    assert canvas.rgb[:, 20, 0].sum() == pytest.approx(7.0, abs=0.5)  # cv2 adds half a pixel to each edge


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


def test_geometry_moves_photograph_and_drawing_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "weather", lambda rng, photo: photo)
    monkeypatch.setattr(pairs, "TINTED_SHARE", 0.0)
    canvas = np.random.default_rng(0).integers(0, 255, (data.CANVAS_PX, data.CANVAS_PX, 3)).astype(np.uint8)
    both = pairs.PairSet.__new__(pairs.PairSet)
    both.keys, both.pictures, both.drawings, both.backdrops = ["x"], [canvas], [canvas], [canvas[..., 0]]
    both.landmarks = [np.full((152, 2), 160, np.float32) + np.random.default_rng(1).normal(0, 20, (152, 2))]
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


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[data.Face]]:
    root = tmp_path_factory.mktemp("toon")
    write_dataset(root / "data")
    faces = data.load_faces(root / "data")
    assert pairs.draw_pairs(root / "data", root / "pairs", faces) == 3
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
    metrics = toon.score(Untouched(), pairs.PairSet(*cache))
    assert metrics["portraits_count"] == 3
    assert metrics["portraits_ssim"] == pytest.approx(metrics["portraits_input_ssim"], abs=0.01)
    assert 0 < metrics["portraits_l1"] == pytest.approx(metrics["portraits_input_l1"], abs=0.01)


def test_the_exported_style_says_how_to_use_it(tmp_path: Path) -> None:
    training.Training(training.TrainingConfig()).save(tmp_path / "snapshot.pt")
    (tmp_path / "metrics.json").write_text('{"portraits_l1": 0.05}')
    done = CliRunner().invoke(toon.main, ["export", "-o", str(tmp_path), str(tmp_path / "toon.safetensors")])
    style = load_style(tmp_path / "toon.safetensors")
    assert done.exit_code == 0, done.output
    assert (style.card.template, style.card.crop_size_px, style.card.licence) == ("head", 256, "MIT")
    assert style.card.metrics == {"portraits_l1": 0.05}
    assert (tmp_path / "toon.safetensors").stat().st_size < 6e6


def test_an_export_without_a_training_says_what_to_run(tmp_path: Path) -> None:
    done = CliRunner().invoke(toon.main, ["export", "-o", str(tmp_path), str(tmp_path / "x.safetensors")])
    assert "'train'" in str(done.exception)
