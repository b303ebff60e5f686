"""A data set that is missing or one-sided is told: what was looked for where, how many there are, what to do."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainer.training_folders import write_data, write_pictures
from trainer.config import TrainConfig
from trainer.errors import TrainingDataError
from trainer.picture_files import CheckedPicture, check_pictures
from trainer.picture_sets import find_domains, find_pairs


def check(paths: list[Path]) -> list[CheckedPicture]:
    return check_pictures(paths)[0]


def paired(folder: Path | None, steps: int = 5) -> TrainConfig:
    values = {"data": {"pairs": folder and str(folder)}, "run": {"pair_steps": steps}}
    return TrainConfig.from_dict(values, source="test")


def error_of(root: Path) -> str:
    with pytest.raises(TrainingDataError) as caught:
        find_domains(root, check)
    return str(caught.value)


def test_both_domains_are_found_whatever_their_suffixes_and_depth(tmp_path: Path) -> None:
    write_data(tmp_path, 2, 2)
    write_pictures(tmp_path / "trainA" / "more", 3)
    (tmp_path / "trainA" / "00.png").rename(tmp_path / "trainA" / "00.JPG")
    a, b = find_domains(tmp_path, check)
    assert (len(a), len(b)) == (5, 2)


def test_a_missing_root_is_told_with_what_should_be_in_it(tmp_path: Path) -> None:
    message = error_of(tmp_path / "gone")
    assert f"There is no folder '{tmp_path / 'gone'}'" in message
    assert "trainA/" in message
    assert "run.py crop" in message


def test_a_folder_without_pictures_is_told_with_both_counts_and_what_is_there(tmp_path: Path) -> None:
    write_pictures(tmp_path / "trainA", 3)
    write_pictures(tmp_path / "cartoons", 3)
    message = error_of(tmp_path)
    assert f"'{tmp_path / 'trainA'}' holds 3 pictures" in message
    assert f"'{tmp_path / 'trainB'}' does not exist" in message
    assert "There are the folders cartoons/, trainA/" in message


def test_an_empty_data_set_is_told(tmp_path: Path) -> None:
    for name in ("trainA", "trainB"):
        (tmp_path / name).mkdir()
    (tmp_path / "trainA" / "notes.txt").touch()
    assert error_of(tmp_path).count("holds 0 pictures") == 2


@pytest.mark.parametrize(("num_a", "num_b"), [(1, 5), (5, 1), (1, 1)])
def test_one_picture_is_no_domain(tmp_path: Path, num_a: int, num_b: int) -> None:
    message = error_of(write_data(tmp_path, num_a, num_b))
    assert f"holds {num_a} picture" in message
    assert "at least 2 different pictures" in message


def test_two_pictures_of_a_side_are_enough_to_begin(tmp_path: Path) -> None:
    a, b = find_domains(write_data(tmp_path, 2, 2), check)
    assert (len(a), len(b)) == (2, 2)


def test_pictures_that_cannot_be_read_do_not_count(tmp_path: Path) -> None:
    write_data(tmp_path, 2, 2)
    (tmp_path / "trainB" / "00.png").write_text("hello")
    assert "holds 1 picture that can be read" in error_of(tmp_path)


def test_pairs_are_pictures_of_one_name_suffixes_aside(tmp_path: Path) -> None:
    a, b = write_pictures(tmp_path / "A", 3), write_pictures(tmp_path / "B", 3)
    b[1].rename(b[1].with_suffix(".JPG"))
    pairs = find_pairs(paired(tmp_path), check)
    assert [(x.path.stem, y.path.name) for x, y in pairs] == [("00", "00.png"), ("01", "01.JPG"), ("02", "02.png")]
    assert [x.path for x, _ in pairs] == a


def test_pictures_without_a_partner_of_their_name_and_shape_are_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_pictures(tmp_path / "A", 3)
    write_pictures(tmp_path / "B", 2)
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(tmp_path / "B" / "01.png")
    with caplog.at_level(logging.WARNING):
        assert len(find_pairs(paired(tmp_path), check)) == 1
    (record,) = caplog.records
    assert record.getMessage().startswith("3 pictures are in no pair")
    assert all(f"{name}.png'" in record.getMessage() for name in ("A/01", "A/02", "B/01"))


def test_partners_of_another_size_but_one_shape_are_a_pair(tmp_path: Path) -> None:
    write_pictures(tmp_path / "A", 2, size_px=32)
    write_pictures(tmp_path / "B", 2, size_px=64)
    assert len(find_pairs(paired(tmp_path), check)) == 2


def test_no_pairs_at_all_are_an_error_with_both_counts(tmp_path: Path) -> None:
    write_pictures(tmp_path / "A", 3)
    with pytest.raises(TrainingDataError, match="A/ has 3 pictures and its B/ 0"):
        find_pairs(paired(tmp_path), check)


def test_supervised_steps_without_a_folder_of_pairs_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="add --pairs, or set --pair-steps 0"):
        find_pairs(paired(None), check)


def test_no_supervised_steps_read_no_pairs(tmp_path: Path) -> None:
    assert find_pairs(paired(tmp_path / "gone", steps=0), check) == []
