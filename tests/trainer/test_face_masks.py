"""Face masks: the reference's two, computed once per picture and found again."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from faceseg import ParserUnavailableError
from tests.oracle import Fixture, fixture_names
from trainer.config import ObjectiveConfig, TrainConfig
from trainer.errors import TrainingDataError
from trainer.face_masks import MaskStore, build_store, compute_missing, face_and_core
from trainer.picture_files import CheckedPicture, check_pictures

FACE = np.ascontiguousarray(astronaut()[:240, 110:350])
CONFIG = TrainConfig.from_dict(
    {"networks": {"image_size_px": 64}, "objective": {"mask_disc_loss": True}}, source="test"
)


def objective(**changes: object) -> TrainConfig:
    return dataclasses.replace(CONFIG, objective=ObjectiveConfig(**changes))  # type: ignore[arg-type]


@pytest.fixture
def pictures(tmp_path: Path) -> list[CheckedPicture]:
    for number, picture in enumerate((FACE, FACE[:, ::-1], FACE[:, :180], np.full_like(FACE, 128))):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    return check_pictures([tmp_path / f"{number}.png" for number in range(4)])[0]


@pytest.mark.parametrize("name", fixture_names("face_mask"))
def test_the_masks_are_the_references(name: str) -> None:
    fixture = Fixture(name)
    probabilities = fixture.tensors["in.prob"]
    face, core = face_and_core(probabilities)
    fixture.check("out.normal_soft", face, 1e-6)
    fixture.check("out.erode_soft", core, 1e-6)
    _, kept = face_and_core(probabilities, keep_eyewear_mouth=True)
    fixture.check("out.train_erode_glass_mouth_soft", kept, 1e-6)
    hard_face, hard_core = face_and_core(probabilities, is_hard=True)
    fixture.check("out.normal_hard", hard_face, 0)
    fixture.check("out.erode_hard", hard_core, 0)


@pytest.mark.parametrize("name", fixture_names("face_mask"))
def test_every_picture_of_a_batch_has_its_own_mask(name: str) -> None:
    one = Fixture(name).tensors["in.prob"]
    two = torch.cat([one, one.flip(3)])
    for single, both in zip(face_and_core(one), face_and_core(two), strict=True):
        assert torch.equal(both[0], single[0])
        assert torch.allclose(both[1], single[0].flip(2), atol=1e-6)


def test_a_face_is_found_and_a_grey_wall_has_none(pictures: list[CheckedPicture], tmp_path: Path) -> None:
    store = build_store(CONFIG, tmp_path)
    assert compute_missing(store, pictures, CONFIG) == 4
    maps = [store.load(picture) for picture in pictures]
    assert [m.shape for m in maps] == [(64, 64, 2), (64, 64, 2), (85, 64, 2), (64, 64, 2)]
    face, core = maps[0][..., 0], maps[0][..., 1]
    assert (face[30, 28], face[2, 2]) == (255, 0)
    assert (core <= face).mean() > 0.99
    assert core.sum() < face.sum()
    assert np.abs(maps[1][:, ::-1].astype(int) - maps[0]).mean() < 12
    assert maps[3].mean() < 128


def test_a_picture_is_parsed_once_wherever_it_lies(
    pictures: list[CheckedPicture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    store = build_store(CONFIG, tmp_path)
    compute_missing(store, pictures, CONFIG, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (4, 4)

    monkeypatch.setattr("trainer.face_masks.load_face_parser", None)  # must not be needed
    moved = shutil.copy(pictures[0].path, tmp_path / "moved.png")
    assert compute_missing(store, check_pictures([Path(moved)])[0], CONFIG) == 0


def test_damaged_and_missing_maps_are_computed_again(pictures: list[CheckedPicture], tmp_path: Path) -> None:
    store = build_store(CONFIG, tmp_path)
    compute_missing(store, pictures[:2], CONFIG)
    store.path_of(pictures[1]).unlink()
    with pytest.raises(TrainingDataError, match="missing or damaged: resume the run"):
        store.load(pictures[1])
    store.path_of(pictures[0]).write_bytes(b"no picture")
    assert compute_missing(store, pictures[:2], CONFIG) == 2
    assert store.has(pictures[0])
    assert store.has(pictures[1])


def test_other_choices_have_other_maps(tmp_path: Path) -> None:
    choices = [CONFIG, objective(hard_mask=True), objective(keep_eyewear_mouth=True)]
    choices.append(TrainConfig.from_dict({"networks": {"image_size_px": 128}}, source="test"))
    assert len({build_store(config, tmp_path).folder for config in choices}) == 4


def test_other_weights_have_other_maps(tmp_path: Path) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).write_text(name)
    stores = [build_store(objective(parser_weights=str(tmp_path / f"{n}.safetensors")), tmp_path) for n in "ab"]
    assert stores[0].folder != stores[1].folder


def test_hard_masks_hold_two_values(pictures: list[CheckedPicture], tmp_path: Path) -> None:
    config = objective(hard_mask=True)
    store = build_store(config, tmp_path)
    compute_missing(store, pictures[:1], config)
    assert set(np.unique(store.load(pictures[0]))) == {0, 255}


def test_a_parser_that_is_not_there_is_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ParserUnavailableError, match="gone"):
        build_store(objective(parser_weights=str(tmp_path / "gone.pth")), tmp_path)


def test_a_folder_that_cannot_be_written_to_is_told(pictures: list[CheckedPicture], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = MaskStore(tmp_path / "file" / "masks", 64)
    blank = np.zeros((64, 64), np.uint8)
    with pytest.raises(TrainingDataError, match="cannot be written"):
        store.save(pictures[0], blank, blank)
