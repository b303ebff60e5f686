"""Where predictors are told to look, and what the built-in one says about a real face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from safetensors.numpy import load_file, save_file

from alignment.errors import LandmarkerUnavailableError, LandmarkSetError, WeightsError
from alignment.landmarks import (
    BUILT_IN_WEIGHTS,
    PRESENCE_THRESHOLD,
    LandmarkPredictor,
    build_landmark_predictor,
    load_landmark_predictor,
    roi_from_box,
    roi_from_landmarks,
)
from alignment.points import MESH, Points, eye_distance, five_points
from alignment.warp import compose, invert, params, transform_points, warp_crop
from pipeline.compiling import CpuCompiler

ASTRONAUT_BOX = np.array([183.5, 53.1, 274.9, 181.8], np.float32)
ASTRONAUT_FIVE = np.array([[202, 101], [247, 103], [224, 128], [201, 139], [245, 141]], np.float32)


@pytest.fixture(scope="module")
def predictor() -> LandmarkPredictor:
    return load_landmark_predictor()


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def landmarks(predictor: LandmarkPredictor, astronaut: np.ndarray) -> Points:
    first = predictor.predict(astronaut, [roi_from_box(ASTRONAUT_BOX, predictor.roi_size_px)])[0]
    return predictor.predict(astronaut, [roi_from_landmarks(first.landmarks, predictor.roi_size_px)])[0].landmarks


def turned(points: Points, degrees: float, scale: float = 1.0) -> Points:
    angle = np.deg2rad(degrees)
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points @ rotation.T).astype(np.float32)


def percent_of_eyes(a: Points, b: Points) -> float:
    return 100 * float(np.linalg.norm(a - b, axis=1).mean()) / eye_distance(b)


# Regions of interest


def test_a_box_lies_in_the_middle_of_its_upright_region() -> None:
    roi = roi_from_box(np.array([100, 50, 200, 150], np.float32), 128)
    left, right = transform_points(roi, np.array([[100, 100], [200, 100]], np.float32))
    assert left[1] == pytest.approx(right[1])
    assert (left[0] + right[0]) / 2 == pytest.approx(63.5, abs=0.01)
    assert right[0] - left[0] == pytest.approx(128 / (1.5 * 1.04), rel=1e-4)


def test_an_empty_box_gives_a_region_that_can_be_undone() -> None:
    assert np.isfinite(invert(roi_from_box(np.zeros(4, np.float32), 128))).all()


@pytest.mark.parametrize("degrees", [-170, -40, 25, 90])
def test_the_region_turns_grows_and_moves_with_the_face(landmarks: Points, degrees: float) -> None:
    # Given where the landmarks lie in their own region
    expected = transform_points(roi_from_landmarks(landmarks, 128), landmarks)
    # When the face is turned, enlarged and moved
    moved = turned(landmarks, degrees, scale=1.7) + np.float32([300, -20])
    # Then they lie in the same places of the new region
    np.testing.assert_allclose(transform_points(roi_from_landmarks(moved, 128), moved), expected, atol=0.02)


def test_all_152_landmarks_fit_the_region_with_a_margin(landmarks: Points) -> None:
    inside = transform_points(roi_from_landmarks(landmarks, 128), landmarks)
    low, high = inside.min(0), inside.max(0)
    assert (high - low).max() == pytest.approx(128 / 1.5, rel=1e-3)
    np.testing.assert_allclose((low + high) / 2, 63.5, atol=0.05)


def test_five_points_give_about_the_region_of_the_whole_face(landmarks: Points) -> None:
    whole = roi_from_landmarks(landmarks, 128)
    few = roi_from_landmarks(five_points(landmarks), 128)
    centre = transform_points(few, transform_points(invert(whole), np.float32([[63.5, 63.5]])))[0]
    assert np.abs(centre - 63.5).max() < 10
    assert params(few).log_scale == pytest.approx(params(whole).log_scale, abs=0.15)
    assert params(few).angle == pytest.approx(params(whole).angle, abs=1e-3)


def test_landmarks_in_one_spot_still_give_a_finite_region() -> None:
    assert np.isfinite(roi_from_landmarks(np.full((152, 2), 7, np.float32), 128)).all()


def test_an_unknown_landmark_set_gives_no_region() -> None:
    with pytest.raises(LandmarkSetError, match=r"\(17, 2\)"):
        roi_from_landmarks(np.zeros((17, 2), np.float32), 128)


# The built-in predictor


def test_the_five_points_of_a_real_face_are_where_they_are_seen(landmarks: Points) -> None:
    misses = np.linalg.norm(five_points(landmarks) - ASTRONAUT_FIVE, axis=1)
    assert misses.max() < 3.0, misses


def test_irises_lie_inside_the_eyes(landmarks: Points) -> None:
    for side in ("right", "left"):
        eye, iris = landmarks[MESH[f"{side}_eye"]], landmarks[MESH[f"{side}_iris"]][0]
        assert (eye.min(0) < iris).all()
        assert (iris < eye.max(0)).all()


def test_a_third_look_says_what_the_second_said(
    predictor: LandmarkPredictor, astronaut: np.ndarray, landmarks: Points
) -> None:
    again = predictor.predict(astronaut, [roi_from_landmarks(landmarks, predictor.roi_size_px)])[0]
    assert percent_of_eyes(again.landmarks, landmarks) < 1.5


@pytest.mark.parametrize("degrees", [-40, 30])
def test_landmarks_turn_with_the_picture(
    predictor: LandmarkPredictor, astronaut: np.ndarray, landmarks: Points, degrees: float
) -> None:
    # Given the picture turned about the face
    middle = landmarks.mean(0)
    turn = np.concatenate([turned(np.eye(2, dtype=np.float32), degrees).T, np.zeros((2, 1))], axis=1)
    turn[:, 2] = middle - turn[:, :2] @ middle
    picture = warp_crop(astronaut, turn.astype(np.float32), 512)
    # When the face is found twice from the upright region
    first = predictor.predict(picture, [roi_from_box(ASTRONAUT_BOX, predictor.roi_size_px)])[0]
    result = predictor.predict(picture, [roi_from_landmarks(first.landmarks, predictor.roi_size_px)])[0]
    # Then its landmarks are those of the upright picture, turned
    assert percent_of_eyes(result.landmarks, transform_points(turn, landmarks)) < 3.5
    assert result.presence > PRESENCE_THRESHOLD


def test_presence_tells_a_face_from_what_is_none(predictor: LandmarkPredictor, astronaut: np.ndarray) -> None:
    size = predictor.roi_size_px
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    middle = roi_from_box(np.array([50, 40, 150, 150], np.float32), size)
    flag = roi_from_box(np.array([20, 100, 110, 220], np.float32), size)
    assert predictor.predict(astronaut, [roi_from_box(ASTRONAUT_BOX, size)])[0].presence > 0.9
    assert predictor.predict(astronaut, [flag])[0].presence < PRESENCE_THRESHOLD
    assert predictor.predict(noise, [middle])[0].presence < PRESENCE_THRESHOLD
    assert predictor.predict(skimage.data.rocket(), [middle])[0].presence < PRESENCE_THRESHOLD


def test_presence_falls_when_the_region_leaves_the_face(predictor: LandmarkPredictor, astronaut: np.ndarray) -> None:
    shift = np.array([[1, 0, 90], [0, 1, 60]], np.float32)
    roi = compose(shift, roi_from_box(ASTRONAUT_BOX, predictor.roi_size_px))
    assert predictor.predict(astronaut, [roi])[0].presence < PRESENCE_THRESHOLD


def test_a_region_is_judged_the_same_alone_and_among_others(
    predictor: LandmarkPredictor, astronaut: np.ndarray, landmarks: Points
) -> None:
    rois = [roi_from_landmarks(landmarks, 128), roi_from_box(np.array([20, 100, 110, 220], np.float32), 128)]
    together = predictor.predict(astronaut, rois)
    alone = [predictor.predict(astronaut, [roi])[0] for roi in rois]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a.landmarks, b.landmarks, atol=0.01)
        assert a.presence == pytest.approx(b.presence, abs=1e-4)


def test_the_same_call_gives_the_same_bits(
    predictor: LandmarkPredictor, astronaut: np.ndarray, landmarks: Points
) -> None:
    roi = roi_from_landmarks(landmarks, predictor.roi_size_px)
    first, second = (predictor.predict(astronaut, [roi])[0] for _ in range(2))
    assert first.presence == second.presence
    np.testing.assert_array_equal(first.landmarks, second.landmarks)
    assert first.landmarks.dtype == np.float32


def test_a_compiled_network_looks_in_the_place_of_its_own(astronaut: np.ndarray, landmarks: Points) -> None:
    # Given a compiler that notes its order and hands back something like the network
    asked = list[tuple[tuple[int, ...], str, bool]]()

    def compiler(
        network: torch.nn.Module, example: torch.Tensor, *, key: str, precision: str, dynamic_batch: bool
    ) -> object:
        asked.append((tuple(example.shape), precision, dynamic_batch))

        def votes(regions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            votes, presence_logits = network(regions)
            votes[:, 152:] += 16  # cells of 8 px, so all offsets by 128 px more
            return votes, presence_logits

        return votes

    own = load_landmark_predictor(compile_network=compiler)
    # When it looks at a face
    roi = roi_from_landmarks(landmarks, 128)
    [seen], [expected] = own.predict(astronaut, [roi]), load_landmark_predictor().predict(astronaut, [roi])
    # Then what was handed back has answered, for any number of regions
    assert asked == [((1, 3, 128, 128), "fast", True)]
    offset = transform_points(roi, seen.landmarks) - transform_points(roi, expected.landmarks)
    np.testing.assert_allclose(offset, 128, atol=0.1)


def test_fast_arithmetic_moves_no_landmark_by_a_tenth_of_a_pixel(astronaut: np.ndarray, landmarks: Points) -> None:
    # Given the network compiled in what this machine is fastest in: bfloat16, where it can
    fast = load_landmark_predictor(compile_network=CpuCompiler(threads=1))
    # When both look at a face from several places
    for turn in (0.9, 1.0, 1.1):
        roi = roi_from_landmarks(landmarks, 128) * np.array([[turn, turn, 1.0]], np.float32)
        [seen], [expected] = fast.predict(astronaut, [roi]), load_landmark_predictor().predict(astronaut, [roi])
        # Then they see it at the same place
        offset = transform_points(roi, seen.landmarks) - transform_points(roi, expected.landmarks)
        assert np.abs(offset).max() < 0.1
        assert abs(seen.presence - expected.presence) < 0.02


def test_no_regions_give_no_results(predictor: LandmarkPredictor, astronaut: np.ndarray) -> None:
    assert predictor.predict(astronaut, []) == []


def test_a_grey_frame_is_refused_with_its_shape(predictor: LandmarkPredictor) -> None:
    with pytest.raises(ValueError, match=r"frame is uint8 of shape \(8, 8\)"):
        predictor.predict(np.zeros((8, 8), np.uint8), [])


# Names and weights


def test_auto_is_the_built_in_network() -> None:
    predictor = build_landmark_predictor()
    assert isinstance(predictor, LandmarkPredictor)
    assert predictor.num_landmarks == 152


def test_an_unknown_predictor_is_named_with_the_choices() -> None:
    with pytest.raises(LandmarkerUnavailableError, match="predictor 'dlib68'; choose one of auto, mesh, fan"):
        build_landmark_predictor("dlib68")


def test_the_built_in_weights_are_small_and_float16() -> None:
    assert BUILT_IN_WEIGHTS.stat().st_size <= 3_000_000
    assert {str(tensor.dtype) for tensor in load_file(BUILT_IN_WEIGHTS).values()} == {"float16"}


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.safetensors' cannot be read"):
        load_landmark_predictor(tmp_path / "absent.safetensors")


def test_a_file_that_holds_no_weights_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.safetensors"
    path.write_text("not weights", encoding="utf-8")
    with pytest.raises(WeightsError, match=r"text\.safetensors' cannot be read"):
        load_landmark_predictor(path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"stem.weight": np.zeros((3, 3), np.float16)}, path)
    with pytest.raises(WeightsError, match=r"other\.safetensors' holds another network"):
        load_landmark_predictor(path)
