"""The head mask covers the head, has no edge a viewer could see, and moves smoothly with the landmarks."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from alignment.points import MESH_INDICES, Points, five_points, outline
from alignment.templates import HEAD, source_to_crop
from faceseg.head_mask import Mask, box_mask, landmark_face_mask, landmark_head_mask

SIZE_PX = 256
SHARED_FACES = Path(__file__).resolve().parents[3] / "shared" / "data" / "faces"


def frontal_face(turn: float = 0.0) -> tuple[Points, Points]:
    """Outline and five points in the crop; `turn` 0 is frontal, 1 a profile that looks left."""
    angle = np.linspace(0, 2 * math.pi, 36, endpoint=False)
    face = np.stack([0.16 * np.sin(angle), -0.235 * np.cos(angle)], 1) * SIZE_PX
    face = face * (1 - 0.4 * turn, 1) + (0.5 * SIZE_PX, 0.56 * SIZE_PX)
    five = HEAD.at_size(SIZE_PX)
    five[:, 0] = SIZE_PX / 2 + (five[:, 0] - SIZE_PX / 2) * (1 - 0.9 * turn) - 12 * turn
    five[2, 0] -= 25 * turn
    return face.astype(np.float32), five.astype(np.float32)


def rotation(degrees: float) -> Points:
    middle = (SIZE_PX - 1) / 2
    return cv2.getRotationMatrix2D((middle, middle), degrees, 1).astype(np.float32)


def moved(points: Points, transform: Points) -> Points:
    return points @ transform[:, :2].T + transform[:, 2]


def values_at(mask: Mask, points: Points) -> list[float]:
    return [float(mask[round(float(y)), round(float(x))]) for x, y in points]


def test_face_forehead_ears_and_hair_are_inside_and_the_neck_is_not() -> None:
    face, five = frontal_face()

    mask = landmark_head_mask(face, five, SIZE_PX)

    assert mask.shape == (SIZE_PX, SIZE_PX)
    assert mask.dtype == np.float32
    assert min(values_at(mask, five)) > 0.999
    assert min(values_at(mask, face)) > 0.5
    crown, hair, ear, neck, sky = (128, 75), (128, 48), (84, 130), (128, 228), (128, 12)
    assert values_at(mask, np.array([crown, hair, ear])) == pytest.approx([1, 1, 0.8], abs=0.2)
    assert max(values_at(mask, np.array([neck, sky]))) < 0.01


@pytest.mark.parametrize("scale", [0.3, 1.0, 1.6, 4.0])
def test_a_head_of_any_size_leaves_the_crops_border_free(scale: float) -> None:
    face, five = ((points - 128) * scale + 128 for points in frontal_face())

    mask = landmark_head_mask(face, five, SIZE_PX)

    border = round(0.02 * SIZE_PX)
    inner = mask[border:-border, border:-border]
    assert mask.sum() == pytest.approx(inner.sum())
    assert mask.min() >= 0
    assert mask.max() == pytest.approx(1)
    assert np.abs(np.diff(mask, axis=0)).max() < 0.08 / min(scale, 1)  # no visible edge


@pytest.mark.parametrize("degrees", [-120, -30, 17, 45, 90])
@pytest.mark.parametrize("turn", [0.0, 1.0])
def test_the_mask_turns_with_the_face(degrees: float, turn: float) -> None:
    face, five = ((points - 128) * 0.7 + 128 for points in frontal_face(turn))
    transform = rotation(degrees)

    turned = landmark_head_mask(moved(face, transform), moved(five, transform), SIZE_PX)

    expected = cv2.warpAffine(landmark_head_mask(face, five, SIZE_PX), transform, (SIZE_PX, SIZE_PX))
    assert np.abs(turned - expected).max() < 0.06


def test_small_motion_changes_the_mask_little_from_frontal_to_profile() -> None:
    # Given a head that turns in 200 steps, its landmarks moving by at most 0.2 px each
    masks = [landmark_head_mask(*frontal_face(turn), SIZE_PX) for turn in np.linspace(0, 1, 201)]

    changes = [float(np.abs(b - a).max()) for a, b in pairwise(masks)]

    assert np.abs(masks[0] - masks[-1]).max() > 0.5
    assert max(changes) < 0.04
    assert max(changes) < 8 * float(np.median(changes))  # no jump anywhere


def test_a_shift_below_a_pixel_moves_the_mask_by_as_much() -> None:
    face, five = frontal_face()
    shift = np.array([0.3, 0.0], np.float32)

    still, shifted = landmark_head_mask(face, five, SIZE_PX), landmark_head_mask(face + shift, five + shift, SIZE_PX)

    columns = np.arange(SIZE_PX)
    band = slice(100, 160)
    assert (shifted[band] @ columns).sum() / shifted[band].sum() == pytest.approx(
        (still[band] @ columns).sum() / still[band].sum() + 0.3, abs=0.02
    )


def test_the_edge_is_as_wide_as_asked_in_proportion_to_the_face() -> None:
    def edge_px(scale: float, feather: float) -> int:
        face, five = ((points - 128) * scale + 128 for points in frontal_face())
        row = landmark_head_mask(face, five, SIZE_PX, feather)[round(128 - 10 * scale)]
        return int(((row > 0.02) & (row < 0.98)).sum())

    assert edge_px(0.8, 0.25) == pytest.approx(2 * edge_px(0.4, 0.25), abs=3)
    assert edge_px(0.8, 0.4) == pytest.approx(2 * edge_px(0.8, 0.2), abs=3)
    assert edge_px(0.8, 0.0) <= 4


def test_an_outline_without_forehead_gives_nearly_the_same_mask() -> None:
    face, five = frontal_face()
    without_forehead = face[face[:, 1] > five[0, 1] - 12]

    difference = landmark_head_mask(face, five, SIZE_PX) - landmark_head_mask(without_forehead, five, SIZE_PX)

    assert np.abs(difference).max() < 0.2


@pytest.mark.parametrize("size_px", [32, 100, 256, 512])
def test_the_mask_does_not_depend_on_the_crops_resolution(size_px: int) -> None:
    scale = size_px / SIZE_PX
    face, five = ((points + 0.5) * scale - 0.5 for points in frontal_face())

    mask = landmark_head_mask(face, five, size_px)

    reference = landmark_head_mask(*frontal_face(), SIZE_PX)
    assert mask.mean() == pytest.approx(reference.mean(), abs=0.004)
    if size_px > 100:
        smaller = cv2.resize(mask, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
        assert np.abs(smaller - reference).max() < 0.03


def test_wrong_shapes_are_refused_by_name() -> None:
    face, five = frontal_face()

    with pytest.raises(ValueError, match=r"outline must be Nx2 \(x, y\), got shape \(2, 36\)"):
        landmark_head_mask(face.T, five, SIZE_PX)
    with pytest.raises(ValueError, match=r"five_points must be 5x2 \(x, y\), got shape \(4, 2\)"):
        landmark_head_mask(face, five[:4], SIZE_PX)


@pytest.mark.parametrize("feather", [0.0, 0.1, 0.3])
def test_the_box_is_symmetric_rounded_and_free_of_the_border(feather: float) -> None:
    mask = box_mask(128, feather)

    assert mask[64, 64] == 1
    assert max(mask[0].max(), mask[1].max()) == 0
    np.testing.assert_allclose(mask, mask[::-1], atol=1e-6)
    np.testing.assert_allclose(mask, mask.T, atol=1e-6)
    assert mask[12, 12] < 0.01 < 0.1 < mask[64, 12]  # the corner is cut, the side is not
    assert not mask.flags.writeable


@pytest.mark.skipif(not SHARED_FACES.exists(), reason="the shared faces are not here")
def test_real_heads_in_all_poses_are_covered() -> None:
    landmarks = np.load(SHARED_FACES / "landmarks478.npz")
    scores = np.array([coverage(name.split("/")[0], landmarks[name]) for name in landmarks.files[::25]])

    recall, precision = scores.mean(axis=0)
    assert len(scores) > 50
    assert recall > 0.88
    assert precision > 0.87


def coverage(name: str, mesh: Points) -> tuple[float, float]:
    """Share of the labelled head that the mask covers, and share of the mask that lies on it; long hair left out."""
    labels = cv2.imread(str(SHARED_FACES / "parsing" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
    points = (mesh * labels.shape[::-1] - 0.5).astype(np.float32)[list(MESH_INDICES)]
    transform = source_to_crop(points, HEAD, 128)
    labels = cv2.warpAffine(labels, transform, (128, 128), flags=cv2.INTER_NEAREST, borderValue=255)
    points = moved(points, transform)
    mask = landmark_head_mask(outline(points), five_points(points), 128) > 0.5
    below_mouth = np.arange(128)[:, None] > five_points(points)[3:, 1].mean()
    is_known = (labels != 255) & ~((labels == 17) & below_mouth)
    head = np.isin(labels, [*range(1, 14), 17, 18]) & is_known
    both = float((head & mask).sum())
    return both / head.sum(), both / (mask & is_known).sum()


def test_the_face_lies_inside_the_head_and_ends_at_its_outline() -> None:
    face, five = frontal_face()
    inner, head = landmark_face_mask(face, five, SIZE_PX), landmark_head_mask(face, five, SIZE_PX)
    assert (inner <= head + 1e-3).all()
    assert 0.2 < (inner > 0.5).sum() / (head > 0.5).sum() < 0.9
    low, high = face.min(0), face.max(0)
    rows, columns = np.nonzero(inner > 0.01)
    assert low[0] - 1 <= columns.min() < columns.max() <= high[0] + 1
    assert low[1] - 1 <= rows.min() < rows.max() <= high[1] + 1
    middle = five.mean(axis=0)
    assert inner[round(middle[1]), round(middle[0])] > 0.99
