"""Which crops are the same, on which side of a split they go, and which show on the sheet."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from alignment.templates import HEAD, TIGHT
from pipeline.face_set.likeness import SeenFaces, describe
from pipeline.face_set.quality import Measures, Pose
from pipeline.face_set.sheet import CELL_PX, COLUMNS, MAX_LEFT_OUT, LeftOutFaces, draw_sheet, evenly, thumbnail
from pipeline.face_set.split import Neighbourhood, Splitter, picture_run, video_blocks

CROP = np.ascontiguousarray(astronaut()[20:276, 96:352])
OTHER = np.ascontiguousarray(astronaut()[200:456, 200:456])
MEASURES = Measures(100, 1, 0.4, Pose(0, 0, 0), 0)


def seen(max_likeness: float = 0.95) -> SeenFaces:
    faces = SeenFaces(max_likeness)
    faces.add(describe(CROP, HEAD))
    return faces


def test_another_exposure_size_or_noise_is_the_same_picture() -> None:
    rng = np.random.default_rng(0)
    noisy = np.uint8(np.clip(CROP + rng.normal(0, 8, CROP.shape), 0, 255))
    for like in (np.uint8(CROP * 0.6), np.uint8(cv2.resize(CROP, (128, 128), None, 0, 0, cv2.INTER_AREA)), noisy):
        assert seen().is_known(describe(like, HEAD))


def test_another_picture_is_not_the_same() -> None:
    assert not seen().is_known(describe(OTHER, HEAD))
    assert not seen().is_known(describe(np.ascontiguousarray(CROP[:, ::-1]), HEAD))


def test_a_crop_by_either_template_is_compared_by_the_same_part_of_the_face() -> None:
    # Given the same face in a head crop and, 1 / 0.72 times as large about the middle, in a tight one
    side = round(256 * 0.72)
    start = (256 - side) // 2
    tight = cv2.resize(CROP[start : start + side, start : start + side], (256, 256))
    assert float(describe(CROP, HEAD) @ describe(np.uint8(tight), TIGHT)) > 0.99


def test_a_likeness_of_0_lets_everything_through_and_flat_crops_are_like_nothing() -> None:
    assert not seen(0).is_known(describe(CROP, HEAD))
    assert not seen().is_known(describe(np.full_like(CROP, 7), HEAD))


def test_what_was_forgotten_is_new_again_and_memory_grows() -> None:
    faces = seen()
    for row in np.random.default_rng(0).normal(size=(3000, 256)).astype(np.float32):
        faces.add(row / np.linalg.norm(row))
    assert len(faces) == 3001
    assert faces.is_known(describe(CROP, HEAD))
    faces.forget_after(0)
    assert not faces.is_known(describe(CROP, HEAD))


@pytest.mark.parametrize(("num_pictures", "expected"), [(2, 1), (12, 2), (300, 30), (1000, 100)])
def test_a_split_keeps_its_share_and_always_has_two_sides(num_pictures: int, expected: int) -> None:
    splitter = Splitter(0.1)
    sides = [splitter.choose(picture_run(i, num_pictures, 0.1), None) for i in range(num_pictures)]
    assert sum(side == 1 for side in sides) == pytest.approx(expected, abs=8 if num_pictures > 100 else 0)


def test_neighbouring_pictures_stay_together() -> None:
    splitter = Splitter(0.1)
    sides = [splitter.choose(picture_run(i, 400, 0.1), None) for i in range(400)]
    assert all(len(set(sides[start : start + 10])) == 1 for start in range(0, 400, 10))


def test_a_split_goes_on_from_what_is_there() -> None:
    assert Splitter(0.1, 9, 1).choose(Neighbourhood("a"), None) == 0
    assert Splitter(0.1, 100, 1).choose(Neighbourhood("a"), None) == 1


def test_crops_of_a_video_on_different_sides_are_apart_in_time() -> None:
    splitter, place = Splitter(0.2), video_blocks("film", 60, 0.2, 1)
    times = np.arange(0, 60, 0.5)
    placed = [(t, side) for t in times if (side := splitter.choose(place, float(t))) is not None]
    across = [b[0] - a[0] for a, b in pairwise(placed) if a[1] != b[1]]
    assert min(across) >= place.gap_secs == 2.0
    assert len(placed) > 100
    assert 0.1 < np.mean([side for _, side in placed]) < 0.35


def test_a_short_video_is_divided_too() -> None:
    assert video_blocks("clip", 10, 0.1, 1).block_secs == 2
    assert video_blocks("film", None, 0.1, 1).block_secs == 30
    assert video_blocks("film", 7200, 0.1, 60).block_secs == 120


def test_places_are_chosen_evenly() -> None:
    assert evenly(3, 5) == [0, 1, 2]
    assert evenly(101, 5) == [0, 25, 50, 75, 100]


def test_the_sheet_shows_what_was_kept_and_examples_of_what_was_not() -> None:
    left_out = LeftOutFaces()
    for level in range(100):
        left_out.offer("small", np.full((64, 64, 3), level, np.uint8), MEASURES)
    sheet = draw_sheet([thumbnail(CROP, "")] * (COLUMNS + 1), "kept", {"small": left_out.examples["small"]})
    shown = {int(item.picture[0, 0, 0]) for item in left_out.examples["small"]}
    assert left_out.counts == {"small": 100}
    assert len(shown) == MAX_LEFT_OUT
    assert max(shown) > 60
    assert sheet.shape[1] == COLUMNS * CELL_PX
    assert sheet.shape[0] > 3 * CELL_PX
