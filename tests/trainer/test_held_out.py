"""Held-out pictures are read when asked for; without them a run goes on, and says what it cannot do."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.trainer.training_folders import write_data, write_pictures
from trainer import held_out
from trainer.errors import TrainingDataError
from trainer.held_out import HeldOut


def test_test_pictures_have_the_size_that_was_asked_for_and_their_names(tmp_path: Path) -> None:
    write_pictures(tmp_path / "testA", 3)
    write_pictures(tmp_path / "testB", 2, start=10)
    pictures = HeldOut(tmp_path, 24)
    assert pictures.has_tests
    assert pictures.pictures_a[:, 0, 0, 0].tolist() == [0, 10, 20]
    assert pictures.pictures_b.shape == (2, 24, 24, 3)
    assert (pictures.names_a, pictures.names_b) == (["00.png", "01.png", "02.png"], ["00.png", "01.png"])


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "testA", 3) + write_pictures(tmp_path / "testB", 3)
    pictures = HeldOut(tmp_path, 24)
    for path in paths[3:]:
        path.unlink()
    assert len(pictures.pictures_a) == 3
    paths[0].unlink()
    assert len(pictures.pictures_a) == 3  # and then only once


@pytest.mark.parametrize("sides", ["", "A", "B"])
def test_without_tests_of_both_domains_training_pictures_are_shown(
    tmp_path: Path, sides: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_data(tmp_path, 20, 3)
    for side in sides:
        write_pictures(tmp_path / f"test{side}", 2)
    with caplog.at_level(logging.WARNING):
        pictures = HeldOut(tmp_path, 24)
    assert not pictures.has_tests
    assert (len(pictures.pictures_a), len(pictures.pictures_b)) == (16, 3)
    (record,) = caplog.records
    assert "crop --split" in record.getMessage()
    assert f"'{tmp_path / 'testA'}' has {2 if 'A' in sides else 0}" in record.getMessage()


def test_where_they_are_needed_their_absence_is_an_error(tmp_path: Path) -> None:
    write_data(tmp_path)
    with pytest.raises(TrainingDataError, match="crop --split"):
        HeldOut(tmp_path, 24, is_required=True)


def test_of_many_so_many_are_taken_at_even_distances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in "AB":
        write_pictures(tmp_path / f"test{side}", 9)
    assert HeldOut(tmp_path, 24, limit=3).names_a == ["00.png", "03.png", "06.png"]
    monkeypatch.setattr(held_out, "MAX_BYTES", 3 * 24 * 24 * 4)
    assert len(HeldOut(tmp_path, 24).pictures_b) == 4


def test_what_cannot_be_read_is_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for side in "AB":
        write_pictures(tmp_path / f"test{side}", 2)
        (tmp_path / f"test{side}" / "00.png").write_text("hello")
    pictures = HeldOut(tmp_path, 24)
    with caplog.at_level(logging.WARNING):
        assert (pictures.names_a, len(pictures.pictures_a)) == (["01.png"], 1)
    assert "1 held-out picture is left out" in caplog.text
    assert f"'{tmp_path / 'testA' / '00.png'}'" in caplog.text

    (tmp_path / "testB" / "01.png").unlink()
    with pytest.raises(TrainingDataError, match="can be read"):
        _ = pictures.pictures_b
