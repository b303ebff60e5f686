"""What a face is worth as a picture to learn from: blur, pose, and what of its crop is there."""

import math
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from skimage.data import astronaut

from alignment.errors import LandmarkSetError
from alignment.points import MESH_INDICES, NUM_LANDMARKS
from pipeline.face_set.quality import (
    LOOK_PX,
    RIGID_68,
    RIGID_MESH,
    RIGID_SHAPE,
    Measures,
    Pose,
    blur_of,
    complaint,
    pose_of,
    share_outside,
)
from pipeline.face_set.settings import QualityLimits

FACE = cv2.resize(
    cv2.cvtColor(astronaut()[60:220, 150:310], cv2.COLOR_RGB2GRAY), (128, 128), None, 0, 0, cv2.INTER_AREA
)
GOOD = Measures(200, 1.0, 0.4, Pose(0, 0, 0), 0.0)


def turned(yaw: float, pitch: float, roll: float, num_landmarks: int = NUM_LANDMARKS) -> npt.NDArray[np.float32]:
    """A face that looks where the angles (degrees) say, as landmarks; those that no pose needs lie at 0."""
    y, p, r = (math.radians(angle) for angle in (yaw, pitch, roll))
    around_neck = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    nod = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    lean = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    seen = (RIGID_SHAPE @ (lean @ nod @ around_neck).T)[:, :2] * 70 + (300, 200)
    points = np.zeros((num_landmarks, 2), np.float32)
    points[[MESH_INDICES.index(n) for n in RIGID_MESH] if num_landmarks == NUM_LANDMARKS else list(RIGID_68)] = seen
    return points


def test_more_blur_measures_as_more_blur() -> None:
    soft = [blur_of(FACE)] + [blur_of(np.uint8(cv2.GaussianBlur(FACE, (0, 0), sigma))) for sigma in (1, 2, 4)]
    assert soft == sorted(soft)
    assert soft[0] < 0.45 < 0.6 < soft[3]


def test_blur_in_one_direction_counts() -> None:
    moved = np.uint8(cv2.blur(FACE, (15, 1)))
    assert blur_of(moved) > blur_of(FACE) + 0.15
    assert blur_of(np.ascontiguousarray(moved.T)) == pytest.approx(blur_of(moved))


def test_neither_contrast_nor_brightness_is_blur() -> None:
    pale = np.uint8(FACE.astype(np.float32) * 0.5 + 100)
    assert blur_of(pale) == pytest.approx(blur_of(FACE), abs=0.03)


def test_what_has_no_edge_is_all_blur() -> None:
    assert blur_of(np.full((64, 64), 90, np.uint8)) == 1.0


@pytest.mark.parametrize("num_landmarks", [68, NUM_LANDMARKS])
@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (40, 0, 0), (-65, 0, 0), (0, 25, 0), (30, -20, 50)])
def test_a_pose_is_read_off_the_landmarks(yaw: float, pitch: float, roll: float, num_landmarks: int) -> None:
    pose = pose_of(turned(yaw, pitch, roll, num_landmarks))
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((yaw, pitch, roll), abs=0.15)


def test_five_points_tell_no_pose() -> None:
    with pytest.raises(LandmarkSetError, match="not 5"):
        pose_of(np.zeros((5, 2), np.float32))


def test_the_made_up_part_of_a_crop_is_measured() -> None:
    shifted = np.float32([[1, 0, LOOK_PX / 2], [0, 1, 0]])
    assert share_outside(np.float32([[1, 0, 0], [0, 1, 0]]), (LOOK_PX, LOOK_PX)) == 0
    assert share_outside(shifted, (LOOK_PX, LOOK_PX)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"score": 0.5}, "unsure"),
        ({"size_px": 79}, "small"),
        ({"outside": 0.31}, "cut off"),
        ({"pose": Pose(-56, 0, 0)}, "turned"),
        ({"pose": Pose(0, 36, 0)}, "turned"),
        ({"blur": 0.56}, "blurred"),
        ({"pose": Pose(0, 0, 170)}, None),  # aligning takes a lean out
    ],
)
def test_each_limit_has_its_word(bad: dict[str, object], word: str | None) -> None:
    assert complaint(GOOD, QualityLimits()) is None
    assert complaint(replace(GOOD, **bad), QualityLimits()) == word
