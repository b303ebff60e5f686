"""Box arithmetic and the suppression of duplicates."""

from __future__ import annotations

import numpy as np
import pytest

from alignment.faces import Face, box_from_square, iou, suppress_duplicates


def face(left: float, top: float, right: float, bottom: float, score: float = 0.9) -> Face:
    return Face(np.array([left, top, right, bottom], np.float32), None, score)


def test_iou_is_the_shared_area_over_the_joint_area() -> None:
    a = np.array([[0, 0, 10, 10], [100, 100, 110, 120]], np.float32)
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [50, 50, 60, 60]], np.float32)
    np.testing.assert_allclose(iou(a, b), [[1.0, 50 / 150, 0.0], [0.0, 0.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [9, 9, 2, 2]])
def test_an_empty_or_turned_box_overlaps_nothing(box: list[float]) -> None:
    boxes = np.array([box], np.float32)
    assert iou(boxes, boxes)[0, 0] == 0.0
    assert iou(boxes, np.array([[0, 0, 10, 10]], np.float32))[0, 0] == 0.0


def test_iou_of_no_boxes_has_no_entries() -> None:
    assert iou(np.empty((0, 4), np.float32), np.array([[0, 0, 1, 1]], np.float32)).shape == (0, 1)


def test_of_two_boxes_on_one_face_the_better_stays() -> None:
    worse, better = face(0, 0, 100, 120, 0.6), face(5, 4, 104, 118, 0.8)
    assert suppress_duplicates([worse, better]) == [better]


def test_a_box_inside_another_on_the_same_face_goes() -> None:
    head, features = face(0, 0, 100, 140, 0.9), face(25, 50, 75, 110, 0.8)
    assert iou(head.box_xyxy[None], features.box_xyxy[None])[0, 0] < 0.4  # the plain rule would keep both
    assert suppress_duplicates([head, features]) == [head]


def test_a_small_face_behind_a_large_one_stays() -> None:
    near, far = face(0, 0, 200, 260, 0.9), face(10, 10, 50, 60, 0.7)
    assert suppress_duplicates([far, near]) == [near, far]


def test_neighbours_that_touch_are_two_faces() -> None:
    left, right = face(0, 0, 100, 130, 0.8), face(85, 10, 185, 140, 0.9)
    assert suppress_duplicates([left, right]) == [right, left]


def test_a_square_from_brow_to_chin_becomes_a_higher_and_narrower_box() -> None:
    box = box_from_square([100, 100, 200, 200])
    np.testing.assert_allclose(box, [106, 79, 194, 203], atol=0.01)
