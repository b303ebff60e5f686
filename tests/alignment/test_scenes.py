"""Scenes: where pasted faces come to lie, and how much of them is still to be seen."""

import numpy as np
import pytest

from alignment.scenes import CutOut, Scene, cut_out, place_box, placement


def marked(size: int = 200, opacity: int = 255) -> CutOut:
    """A grey picture with a face box from (60, 40) to (140, 160) and a white dot at the second point."""
    picture = np.full((size, size, 3), 90, np.uint8)
    points = np.array([[80, 80], [121, 80], [100, 100], [85, 130], [115, 130]], np.float32)
    picture[76:85, 117:126] = 255
    box = np.array([60, 40, 140, 160], np.float32)
    return cut_out(picture, np.full((size, size), opacity, np.uint8), box, points, name="marked")


def centre_of_light(picture: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    light = np.clip(picture[..., 0].astype(np.float64) - 130, 0, None)
    ys, xs = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return np.array([(light * xs).sum(), (light * ys).sum()]) / light.sum()


@pytest.mark.parametrize("size_px", [30.0, 55.0, 98.0, 210.0])
@pytest.mark.parametrize("roll_deg", [0.0, -40.0])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_truth_lies_on_the_pixels_whatever_the_size_and_turn(
    size_px: float, roll_deg: float, is_mirrored: bool
) -> None:
    source, scene = marked(), Scene(np.zeros((400, 400, 3), np.uint8))
    affine = placement(source, (190.0, 205.0), size_px, roll_deg=roll_deg, is_mirrored=is_mirrored, shear=0.1)
    face = scene.paste(source, affine)
    dot = face.points[0 if is_mirrored else 1]  # the eye right in the picture becomes the left one
    np.testing.assert_allclose(centre_of_light(scene.picture), dot, atol=0.35)
    middle = (face.box_xyxy[:2] + face.box_xyxy[2:]) / 2
    np.testing.assert_allclose(middle, [190, 205], atol=0.1)
    if roll_deg == 0:
        assert face.points[0, 0] < face.points[1, 0]


def test_an_upright_face_keeps_its_box_and_size() -> None:
    source = marked()
    affine = placement(source, (100.0, 100.0), source.face_size_px / 2)
    box = place_box(source.box_xyxy, affine)
    np.testing.assert_allclose(box[2:] - box[:2], [40, 60], atol=0.01)


def test_a_face_turned_by_90_degrees_has_its_box_turned_too() -> None:
    source = marked()
    affine = placement(source, (0.0, 0.0), source.face_size_px, roll_deg=90)
    np.testing.assert_allclose(place_box(source.box_xyxy, affine), [-60, -40, 60, 40], atol=0.01)


def test_what_lies_outside_or_under_another_is_not_seen() -> None:
    source, scene = marked(), Scene(np.zeros((300, 300, 3), np.uint8))
    # Given a face half outside, one free, and a third whose picture covers a part of the second
    half = scene.paste(source, placement(source, (0.0, 150.0), 60))
    free = scene.paste(source, placement(source, (200.0, 150.0), 60))
    assert half.visible == pytest.approx(0.5, abs=0.03)
    assert free.visible == pytest.approx(1.0, abs=0.03)
    patch = np.full((60, 20, 3), 7, np.uint8)
    scene.cover(patch, np.full((60, 20), 255, np.uint8), np.array([[1, 0, 176.0], [0, 1, 100.0]]))
    # Then its share is what is left (its box is 49 x 73 px around (200, 150))
    covered = (196 - free.box_xyxy[0]) * (160 - free.box_xyxy[1]) / (49 * 73.5)
    assert free.visible == pytest.approx(1 - covered, abs=0.03)
    assert half.visible == pytest.approx(0.5, abs=0.03)


def test_where_nothing_is_opaque_the_background_stays() -> None:
    background = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    scene = Scene(background)
    scene.paste(marked(opacity=0), placement(marked(), (80.0, 60.0), 50))
    np.testing.assert_array_equal(scene.picture, background)


def test_pasting_outside_changes_nothing_and_fails_not() -> None:
    scene = Scene(np.zeros((100, 100, 3), np.uint8))
    face = scene.paste(marked(), placement(marked(), (1000.0, -500.0), 40))
    assert not scene.picture.any()
    assert face.visible == 0
