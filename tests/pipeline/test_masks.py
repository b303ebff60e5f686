"""Which pixels are restyled: the choices behind --mask and --parts, and what a parsed mask does."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from skimage.data import astronaut

from alignment.points import MESH, NUM_LANDMARKS, Points
from faceseg.bisenet import BiSeNet
from faceseg.errors import ParserUnavailableError, UnknownPartGroupError
from faceseg.parts import BUST, FacePart, PartGroup, change_parts
from pipeline.masks import build_mask_maker
from pipeline.parsed_masks import ParsedMasks
from pipeline.views import MaskMaker

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


def one_mask(maker: MaskMaker, points: Points, crop: npt.NDArray[np.uint8] = CROP) -> npt.NDArray[np.float32]:
    """The mask of one crop whose restyled picture is the crop itself."""
    views = maker.before([crop], [points])
    return maker.after(views, [crop], [crop])[0]


class ScriptedParser:
    """Says what the test wants: one label map for every picture it is shown."""

    name = "scripted"

    def __init__(self, *labels: npt.NDArray[np.uint8]) -> None:
        self.labels = list(labels)
        self.calls: list[int] = []

    def parse_groups(self, pictures: npt.NDArray[np.uint8], groups: Sequence[PartGroup]) -> torch.Tensor:
        self.calls.append(len(pictures))
        labels = self.labels.pop(0) if len(self.labels) > 1 else self.labels[0]
        one = np.stack([np.isin(labels, sorted(group)) for group in groups]).astype(np.float32)
        return torch.from_numpy(one).expand(len(pictures), -1, -1, -1)


def head_labels(hair_px: int = 84) -> npt.NDArray[np.uint8]:
    """A head in front of a wall: hair round the face, a neck and a shirt below it."""
    labels = np.zeros((256, 256), np.uint8)
    cv2.rectangle(labels, (0, 232), (255, 255), FacePart.CLOTH, -1)
    cv2.rectangle(labels, (104, 150), (152, 240), FacePart.NECK, -1)
    cv2.ellipse(labels, (128, 118), (hair_px, hair_px), 0, 180, 360, FacePart.HAIR, -1)
    cv2.ellipse(labels, (128, 128), (44, 57), 0, 0, 360, FacePart.SKIN, -1)
    return labels


def parsed(*labels: npt.NDArray[np.uint8], parts: PartGroup = BUST) -> npt.NDArray[np.float32]:
    grey = np.full((256, 256, 3), 128, np.uint8)  # no edges: the mask is the parser's
    maker = ParsedMasks(ScriptedParser(*labels), parts, lambda crop, points: np.zeros(crop.shape[:2], np.float32))
    return one_mask(maker, landmarks(), grey)


@pytest.mark.parametrize("name", ["landmarks", "box"])
def test_a_drawn_mask_is_soft_covers_the_face_and_never_touches_the_crops_border(name: str) -> None:
    maker = build_mask_maker(name)
    mask = one_mask(maker, landmarks())
    assert maker.name == name
    assert mask.shape == (256, 256)
    assert mask[128, 128] == 1.0
    assert not mask[[0, -1]].any()
    assert not mask[:, [0, -1]].any()
    assert np.abs(np.diff(mask, axis=0)).max() < 0.2


def test_a_parser_that_is_there_is_used(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(BiSeNet().state_dict(), tmp_path / "79999_iter.pth")
    maker = build_mask_maker("auto", group="head", parser_weights=tmp_path / "79999_iter.pth")
    mask = one_mask(maker, landmarks())
    assert maker.name == "parser"
    assert mask.shape == (256, 256)
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert not mask[[0, -1]].any()


def test_a_parser_that_was_named_and_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ParserUnavailableError):
        build_mask_maker("parser", parser_weights=tmp_path / "79999_iter.pth")


def test_unknown_groups_and_parts_are_errors(tmp_path: Path) -> None:
    torch.save(BiSeNet().state_dict(), tmp_path / "79999_iter.pth")
    with pytest.raises(UnknownPartGroupError, match="wings"):
        build_mask_maker("parser", group="wings", parser_weights=tmp_path / "79999_iter.pth")
    with pytest.raises(UnknownPartGroupError, match="no-tail"):
        build_mask_maker("parser", parts="no-hat,no-tail", parser_weights=tmp_path / "79999_iter.pth")


def test_five_landmarks_have_no_outline_and_get_a_box() -> None:
    five = np.float32([[100, 120], [150, 120], [128, 140], [105, 170], [145, 170]])
    assert (one_mask(build_mask_maker("landmarks"), five) == one_mask(build_mask_maker("box"), five)).all()


def test_all_crops_are_parsed_in_one_call_before_and_one_after_the_generator() -> None:
    parser = ScriptedParser(head_labels())
    maker = ParsedMasks(parser, BUST, lambda crop, points: np.zeros(crop.shape[:2], np.float32))
    views = maker.before([CROP] * 3, [landmarks()] * 3)
    assert len(maker.after(views, [CROP] * 3, [CROP] * 3)) == 3
    assert parser.calls == [3, 3]


def test_big_hair_is_inside_the_mask_and_the_wall_beside_it_is_not() -> None:
    mask = parsed(head_labels())
    assert mask[60, 128] > 0.95
    assert mask[100, 60] > 0.95
    assert mask[20, 128] < 0.05
    assert mask[160, 30] < 0.05


def test_the_neck_fades_downwards_and_the_shirt_stays_as_it_is() -> None:
    mask = parsed(head_labels())
    down = mask[190:245, 128]
    assert down[0] > 0.8
    assert (np.diff(down) <= 1e-4).all()
    assert np.abs(np.diff(down)).max() < 0.06
    assert mask[250, 30] < 0.01


def test_parts_are_taken_in_and_left_out() -> None:
    assert parsed(head_labels(), parts=change_parts(BUST, "no-hair"))[50, 128] < 0.05
    assert parsed(head_labels(), parts=change_parts(BUST, "no-neck"))[200, 128] < 0.05
    assert parsed(head_labels(), parts=change_parts(BUST, "cloth"))[238, 30] > 0.3


def test_the_head_of_somebody_else_in_the_corner_is_left_alone() -> None:
    labels = head_labels(60)
    cv2.circle(labels, (226, 40), 28, FacePart.HAIR, -1)
    cv2.circle(labels, (226, 48), 16, FacePart.SKIN, -1)
    assert parsed(labels)[48, 226] < 0.02


def test_where_two_heads_touch_the_mask_ends_between_them() -> None:
    labels = head_labels()
    cv2.circle(labels, (230, 118), 40, FacePart.HAIR, -1)
    cv2.circle(labels, (236, 118), 18, FacePart.SKIN, -1)
    mask = parsed(labels)
    assert mask[110, 180] > 0.9
    assert mask[118, 236] < 0.02
    assert mask[118, 224] < 0.05


def test_a_hand_before_the_face_stays_in_front() -> None:
    labels = head_labels()
    cv2.rectangle(labels, (110, 130), (140, 255), FacePart.BACKGROUND, -1)
    mask = parsed(labels, head_labels())  # the drawn face shows no hand
    assert mask[150, 125] < 0.05
    assert mask[150, 95] > 0.85


def test_a_drawn_head_that_is_a_little_larger_is_shown_to_its_outline_and_a_far_larger_one_is_not() -> None:
    small, large, huge = head_labels(70), head_labels(78), head_labels(110)
    assert parsed(small)[43, 128] < 0.15
    assert parsed(small, large)[43, 128] > 0.9
    assert parsed(small, huge)[14, 128] < 0.1


def test_a_drawn_head_that_is_smaller_leaves_no_rim_of_the_filmed_one() -> None:
    assert parsed(head_labels(84), head_labels(70))[40, 128] > 0.9


def test_where_the_parser_sees_no_face_the_landmarks_draw_the_mask() -> None:
    drawn = np.zeros((256, 256), np.float32)
    drawn[100:150, 100:150] = 1
    maker = ParsedMasks(ScriptedParser(np.zeros((256, 256), np.uint8)), BUST, lambda crop, points: drawn)
    mask = one_mask(maker, landmarks(), np.full((256, 256, 3), 128, np.uint8))
    assert mask[125, 125] > 0.95
    assert mask[60, 60] < 0.05


def test_a_small_change_of_what_the_parser_says_changes_the_mask_a_little() -> None:
    one, two = head_labels(80), head_labels(81)
    assert np.abs(parsed(one) - parsed(two)).mean() < 0.01


def test_what_the_drawing_shows_as_no_head_stands_in_front_whatever_the_source_seemed_to_show() -> None:
    # Given a hand before the mouth that the parser takes for skin in the source, but not once it is redrawn
    drawn = head_labels()
    cv2.circle(drawn, (128, 160), 18, FacePart.BACKGROUND, -1)
    mask = parsed(head_labels(), drawn)
    # Then the hand stays as filmed, and the face beside it is restyled
    assert mask[160, 128] < 0.05
    assert mask[110, 128] > 0.95
