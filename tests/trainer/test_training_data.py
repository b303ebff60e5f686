"""Batches: every epoch shows every picture, whatever the step, the process or the worker that asks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from tests.trainer.training_folders import SIZE_PX, numbers, write_data, write_pictures
from trainer.batch import Batch
from trainer.config import TrainConfig
from trainer.data import TrainingData
from trainer.edge_blur import edge_blur
from trainer.errors import TrainingDataError

FACE = np.ascontiguousarray(astronaut()[:240, 110:350])


def config(**sections: dict[str, Any]) -> TrainConfig:
    """32 px, no workers, no chances, 8 steps, but for what is given."""
    base: dict[str, dict[str, Any]] = {
        "data": {"workers": 0, "flip": 0.0, "crop_chance": 0.0},
        "networks": {"image_size_px": SIZE_PX},
        "run": {"steps": 8},
    }
    return TrainConfig.from_dict(
        {name: base.get(name, {}) | sections.get(name, {}) for name in base | sections}, source="test"
    )


def open_data(root: Path, wanted: TrainConfig, **process: int) -> TrainingData:
    return TrainingData(root, wanted, cache_dir=root.parent / "cache", **process)


def write_faces(root: Path) -> Path:
    for name, pictures in {"trainA": (FACE, FACE[:, 20:]), "trainB": (FACE[:, ::-1], 255 - FACE)}.items():
        (root / name).mkdir(parents=True)
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(root / name / f"{number}.png")
    return root


def all_tensors(batches: list[tuple[Batch, ...]]) -> list[torch.Tensor]:
    fields = ("real", "blurred", "face", "core")
    return [getattr(d, name) for step in batches for batch in step for d in (batch.a, batch.b) for name in fields]


def assert_equal_batches(got: list[tuple[Batch, ...]], want: list[tuple[Batch, ...]]) -> None:
    assert [len(step) for step in got] == [len(step) for step in want]
    for x, y in zip(all_tensors(got), all_tensors(want), strict=True):
        assert (x is None and y is None) or torch.equal(x, y)


EVERYTHING = config(
    data={"flip": 0.5, "crop_chance": 0.5, "match": "hsv", "match_ratio": 0.7, "random_background": 0.5},
    objective={"blur_negatives": True, "mask_disc_loss": True},
    optimizer={"batch_size": 2, "accumulate": 2},
    run={"steps": 6, "seed": 5},
)
"""Every chance that there is."""


def test_a_batch_holds_pictures_of_both_domains_as_tensors(tmp_path: Path) -> None:
    data = open_data(write_data(tmp_path / "data"), config(optimizer={"batch_size": 3}))
    assert (data.num_a, data.num_b, data.num_pairs, data.unreadable) == (5, 7, 0, {})
    (batch,) = next(iter(data.batches()))
    for domain, allowed in ((batch.a, range(5)), (batch.b, range(10, 17))):
        assert domain.real.shape == (3, 3, SIZE_PX, SIZE_PX)
        assert domain.real.dtype == torch.float32
        assert set(numbers(domain.real)) <= set(allowed)
        assert (domain.blurred, domain.face, domain.core) == (None, None, None)
    assert not batch.is_paired


def test_every_epoch_shows_every_picture_once_and_the_steps_end(tmp_path: Path) -> None:
    data = open_data(write_data(tmp_path / "data"), config(run={"steps": 35}))
    shown = [numbers(batch.a.real) + numbers(batch.b.real) for (batch,) in data.batches()]
    assert len(shown) == 35
    a, b = ([pair[side] for pair in shown] for side in (0, 1))
    assert all(sorted(a[first : first + 5]) == list(range(5)) for first in range(0, 35, 5))
    assert all(sorted(b[first : first + 7]) == list(range(10, 17)) for first in range(0, 35, 7))


def test_a_step_has_as_many_batches_as_are_accumulated(tmp_path: Path) -> None:
    data = open_data(write_data(tmp_path / "data", 6, 6), config(optimizer={"accumulate": 3}, run={"steps": 4}))
    steps = list(data.batches())
    assert [len(step) for step in steps] == [3, 3, 3, 3]
    first_epoch = [n for step in steps[:2] for batch in step for n in numbers(batch.a.real)]
    assert sorted(first_epoch) == list(range(6))


@pytest.mark.parametrize("step", [1, 4, 6])
def test_a_resumed_run_sees_what_the_uninterrupted_one_saw(tmp_path: Path, step: int) -> None:
    root = write_faces(tmp_path / "data")
    whole = list(open_data(root, EVERYTHING).batches())
    assert_equal_batches(list(open_data(root, EVERYTHING).batches(step)), whole[step:])


def test_two_processes_see_together_what_one_sees_with_the_double_batch(tmp_path: Path) -> None:
    root = write_faces(tmp_path / "data")
    values = EVERYTHING.to_dict()
    values["optimizer"]["batch_size"] = 1
    half = TrainConfig.from_dict(values, source="test")
    whole = list(open_data(root, EVERYTHING).batches())
    ranks = [list(open_data(root, half, rank=rank, world_size=2).batches()) for rank in (0, 1)]
    for both, first, second in zip(*(all_tensors(batches) for batches in (whole, *ranks)), strict=True):
        assert torch.equal(both, torch.cat([first, second]))


def test_another_seed_gives_other_batches_and_the_training_generator_is_not_touched(tmp_path: Path) -> None:
    root = write_data(tmp_path / "data")
    before = torch.get_rng_state()
    first, other = (
        [numbers(batch.a.real) for (batch,) in open_data(root, config(run={"seed": seed})).batches()] for seed in (0, 1)
    )
    assert first != other
    assert torch.equal(torch.get_rng_state(), before)


def test_reading_processes_change_nothing(tmp_path: Path) -> None:
    root = write_faces(tmp_path / "data")
    here = list(open_data(root, EVERYTHING).batches())
    assert all(tensor is not None for tensor in all_tensors(here))
    values = EVERYTHING.to_dict()
    values["data"]["workers"] = 2
    ahead = TrainConfig.from_dict(values, source="test")
    assert_equal_batches(list(open_data(root, ahead).batches(2)), here[2:])


def test_pictures_that_cannot_be_read_are_left_out_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_data(tmp_path / "data")
    broken = [root / "trainA" / "00.png", root / "trainB" / "06.png"]
    for path in broken:
        path.write_bytes(path.read_bytes()[:60])
    with caplog.at_level(logging.WARNING):
        data = open_data(root, config())
    (record,) = caplog.records
    assert record.getMessage().startswith("2 pictures are left out: ")
    assert all(f"'{path}' is damaged or cut off" in record.getMessage() for path in broken)
    assert (data.num_a, data.num_b, set(data.unreadable)) == (4, 6, set(broken))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_vanishes_during_the_run_is_one_clear_error(tmp_path: Path, workers: int) -> None:
    root = write_data(tmp_path / "data", 2, 2)
    data = open_data(root, config(data={"workers": workers}))
    (root / "trainA" / "01.png").unlink()
    with pytest.raises(TrainingDataError) as caught:
        list(data.batches())
    assert str(caught.value) == f"'{root / 'trainA' / '01.png'}' cannot be read: No such file or directory."


def test_pictures_of_every_shape_are_cut_to_squares(tmp_path: Path) -> None:
    root = write_data(tmp_path / "data", 2, 2)
    Image.fromarray(np.full((20, 300), 0, np.uint8)).save(root / "trainA" / "00.png")
    Image.fromarray(np.full((500, 90, 4), 10, np.uint8)).save(root / "trainA" / "01.png")
    data = open_data(root, config(data={"crop_chance": 1.0, "flip": 1.0}, optimizer={"batch_size": 2}))
    assert all(batch.a.real.shape == (2, 3, SIZE_PX, SIZE_PX) for (batch,) in data.batches())


def test_blurred_pictures_are_those_of_the_batch_blurred(tmp_path: Path) -> None:
    data = open_data(write_faces(tmp_path / "data"), config(objective={"blur_negatives": True}))
    (batch,) = next(iter(data.batches()))
    assert batch.a.blurred is not None
    real, blurred = (
        x[0].add(1).mul(127.5).round().to(torch.uint8).permute(1, 2, 0).numpy() for x in (batch.a.real, batch.a.blurred)
    )
    assert np.array_equal(blurred, edge_blur(np.ascontiguousarray(real)))
    assert (blurred != real).any()


def test_masks_move_with_their_pictures(tmp_path: Path) -> None:
    root = write_faces(tmp_path / "data")
    masked = {"mask_disc_loss": True}
    (plain,) = next(iter(open_data(root, config(objective=masked, optimizer={"batch_size": 2})).batches()))
    wanted = config(data={"flip": 1.0}, objective=masked, optimizer={"batch_size": 2})
    (mirrored,) = next(iter(open_data(root, wanted).batches()))
    for name in ("real", "face", "core"):
        assert torch.equal(getattr(mirrored.a, name), getattr(plain.a, name).flip(3)), name
    assert plain.a.face is not None
    assert 0.1 < plain.a.face.mean() < 0.9


def test_the_background_becomes_one_colour_and_the_face_stays(tmp_path: Path) -> None:
    root = write_faces(tmp_path / "data")
    (plain,) = next(iter(open_data(root, config(optimizer={"batch_size": 2})).batches()))
    wanted = config(data={"random_background": 1.0}, optimizer={"batch_size": 2})
    (replaced,) = next(iter(open_data(root, wanted).batches()))
    assert replaced.a.face is not None
    for picture, before, face in zip(replaced.a.real, plain.a.real, replaced.a.face[:, 0], strict=True):
        assert torch.equal(picture[:, face == 1], before[:, face == 1])
        outside = picture[:, face == 0]
        assert torch.equal(outside, outside[:, :1].expand_as(outside))
    assert not torch.equal(replaced.a.real[0, :, 0, 0], replaced.a.real[1, :, 0, 0])


@pytest.mark.parametrize(("direction", "changes_a", "changes_b"), [("a2b", True, False), ("b2a", False, True)])
def test_histograms_are_matched_in_the_direction_that_was_asked_for(
    tmp_path: Path, direction: str, changes_a: bool, changes_b: bool
) -> None:
    root = write_data(tmp_path / "data")
    (plain,) = next(iter(open_data(root, config()).batches()))
    matched = {"match": "rgb", "match_chance": 1.0, "match_direction": direction}
    (batch,) = next(iter(open_data(root, config(data=matched)).batches()))
    for changes, got, own, other in ((changes_a, "a", "a", "b"), (changes_b, "b", "b", "a")):
        want = getattr(plain, other if changes else own).real
        assert torch.equal(getattr(batch, got).real, want)


def test_either_picture_is_matched_where_both_directions_are_allowed(tmp_path: Path) -> None:
    data = {"match": "rgb", "match_chance": 0.8}
    batches = open_data(write_data(tmp_path / "data"), config(data=data, run={"steps": 200})).batches()
    kinds = [(numbers(batch.a.real)[0] >= 10, numbers(batch.b.real)[0] < 10) for (batch,) in batches]
    assert 60 < kinds.count((True, False)) < 100
    assert 60 < kinds.count((False, True)) < 100
    assert 20 < kinds.count((False, False)) < 65
    assert (True, True) not in kinds


def test_the_first_steps_show_pairs_moved_alike_and_the_others_strangers(tmp_path: Path) -> None:
    root = write_data(tmp_path / "data")
    for side, picture in (("A", FACE), ("B", 255 - FACE)):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        for number, height in enumerate((240, 200, 160)):
            Image.fromarray(picture[:height]).save(tmp_path / "pairs" / side / f"{number}.png")
    wanted = config(
        data={"pairs": str(tmp_path / "pairs"), "flip": 0.5, "crop_chance": 1.0},
        optimizer={"batch_size": 2, "accumulate": 2},
        run={"steps": 5, "pair_steps": 3},
    )
    data = open_data(root, wanted)
    steps = list(data.batches())
    assert data.num_pairs == 3
    assert [[batch.is_paired for batch in step] for step in steps] == [[True] * 2] * 3 + [[False] * 2] * 2
    for step in steps[:3]:
        for batch in step:
            assert (batch.a.real + batch.b.real).abs().max() < 2.1 / 127.5  # B is A's negative, bicubic rounding aside
    assert_equal_batches(list(data.batches(2)), steps[2:])


def test_pairs_are_masked_too(tmp_path: Path) -> None:
    root = write_faces(tmp_path / "data")
    for side in "AB":
        write_pictures(tmp_path / "pairs" / side, 2)
    wanted = config(
        data={"pairs": str(tmp_path / "pairs"), "random_background": 1.0},
        optimizer={"batch_size": 2},
        run={"pair_steps": 1},
    )
    data = open_data(root, wanted)
    assert data.prepare() == 6  # equal pictures of A/ and B/ are one
    (batch,) = next(iter(data.batches()))
    assert batch.is_paired
    assert torch.equal(batch.a.real, batch.b.real)


def test_processes_share_the_parsing_and_each_finds_all_done(tmp_path: Path) -> None:
    root = write_faces(tmp_path / "data")
    data = [open_data(root, EVERYTHING, rank=rank, world_size=2) for rank in (0, 1)]
    assert [one.prepare() for one in data] == [4, 0]
