"""The choice behind --mask."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from alignment.points import MESH, NUM_LANDMARKS, Points
from faceseg.bisenet import BiSeNet
from faceseg.errors import ParserUnavailableError, UnknownPartGroupError
from pipeline.masks import build_mask_maker

CROP = np.ascontiguousarray(astronaut()[:256, 100:356])


def landmarks(size: int = 256) -> Points:
    """A plain face in the middle: an oval outline, eyes and mouth where the head template has them."""
    points = np.full((NUM_LANDMARKS, 2), size / 2, np.float32)
    turn = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    points[MESH["outline"]] = size / 2 + size * np.stack([0.17 * np.sin(turn), -0.22 * np.cos(turn)], axis=1)
    points[MESH["right_eye"]] += (-0.1 * size, -0.02 * size)
    points[MESH["left_eye"]] += (0.1 * size, -0.02 * size)
    points[MESH["nose"]] += (0, 0.07 * size)
    points[MESH["lips_outer"]] += (0, 0.16 * size)
    return points


@pytest.fixture(autouse=True)
def without_a_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UGATIT_FACE_PARSER", raising=False)


@pytest.mark.parametrize("name", ["landmarks", "box"])
def test_a_mask_is_soft_covers_the_face_and_never_touches_the_crops_border(name: str) -> None:
    chosen, make = build_mask_maker(name)
    mask = make(CROP, landmarks())
    assert chosen == name
    assert mask.shape == (256, 256)
    assert mask[128, 128] == 1.0
    assert not mask[[0, -1]].any()
    assert not mask[:, [0, -1]].any()
    assert np.abs(np.diff(mask, axis=0)).max() < 0.2


def test_auto_draws_masks_from_the_landmarks_where_there_is_no_parser() -> None:
    assert build_mask_maker("auto")[0] == "landmarks"


def test_a_parser_that_was_asked_for_and_is_not_there_is_an_error_that_says_where_to_get_it() -> None:
    with pytest.raises(ParserUnavailableError, match=r"79999_iter\.pth"):
        build_mask_maker("parser")


def test_a_parser_that_is_there_is_used_with_the_parts_of_the_style(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(BiSeNet().state_dict(), tmp_path / "79999_iter.pth")
    chosen, make = build_mask_maker("auto", group="head", parser_weights=tmp_path / "79999_iter.pth")
    mask = make(CROP, landmarks())
    assert chosen == "parser"
    assert mask.shape == (256, 256)
    assert mask.min() >= 0
    assert 0 < mask.max() <= 1
    assert not mask[[0, -1]].any()
    with pytest.raises(UnknownPartGroupError):
        build_mask_maker("parser", group="wings", parser_weights=tmp_path / "79999_iter.pth")


def test_five_landmarks_have_no_outline_and_get_a_box() -> None:
    _, make = build_mask_maker("landmarks")
    _, make_box = build_mask_maker("box")
    five = np.float32([[100, 120], [150, 120], [128, 140], [105, 170], [145, 170]])
    assert (make(CROP, five) == make_box(CROP, five)).all()
