"""The built-in detector: what it finds and what not, alone and in batches, and what it says to bad weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
import torch
from safetensors.torch import save_file

from alignment.detectors import build_detector
from alignment.errors import WeightsError
from alignment.faces import iou
from alignment.scenes import place_box
from alignment.spotter import BuiltInDetector, _equal_sized, load_builtin_detector
from alignment.spotter_net import SpotterNet

Frame = npt.NDArray[np.uint8]

ASTRONAUT_BOX = np.array([180, 58, 271, 178], np.float32)
ASTRONAUT_POINTS = np.array([[204, 104], [247, 104], [224, 128], [205, 144], [243, 144]], np.float32)
"""By eye."""

FACELESS = ("coffee", "rocket", "grass", "moon", "text", "chelsea", "brick", "gravel", "page", "clock", "cell")
"""(The coins show heads.)"""


@pytest.fixture(scope="module")
def detector() -> BuiltInDetector:
    return load_builtin_detector()


@pytest.fixture(scope="module")
def astronaut() -> Frame:
    return skimage.data.astronaut()


def picture_of(name: str) -> Frame:
    picture = getattr(skimage.data, name)()
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)


def moved(astronaut: Frame, turn_deg: float, scale: float) -> tuple[Frame, npt.NDArray[np.float64]]:
    """The astronaut's face in the middle of a 640x360 frame, and the affine that brought it there."""
    affine = cv2.getRotationMatrix2D((225, 118), turn_deg, scale)
    affine[:, 2] += (320 - 225, 180 - 118)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = astronaut
    if scale < 0.5:
        small = np.asarray(cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=method), np.uint8)
        placed = affine.copy()
        placed[:, :2] /= scale
        placed[:, 2] += placed[:, :2] @ np.array([0.5 * scale - 0.5] * 2)
        return cv2.warpAffine(small, placed, (640, 360), borderMode=cv2.BORDER_REPLICATE), affine  # type: ignore[return-value]
    return cv2.warpAffine(small, affine, (640, 360), borderMode=cv2.BORDER_REPLICATE), affine  # type: ignore[return-value]


@pytest.mark.parametrize("scale", [0.2, 0.3, 0.5, 1.0, 2.0])
def test_a_face_is_found_at_every_size(detector: BuiltInDetector, astronaut: Frame, scale: float) -> None:
    frame, affine = moved(astronaut, 0, scale)
    faces = detector.detect(frame)
    overlaps = iou(place_box(ASTRONAUT_BOX, affine)[None], np.stack([face.box_xyxy for face in faces]))[0]
    assert overlaps.max() > 0.6
    assert len(faces) == 1


@pytest.mark.parametrize("turn_deg", [-60, -45, -30, -15, 15, 30, 45, 60])
def test_a_turned_face_is_found_and_its_points_turn_with_it(
    detector: BuiltInDetector, astronaut: Frame, turn_deg: float
) -> None:
    frame, affine = moved(astronaut, turn_deg, 1.0)
    [face] = detector.detect(frame)
    expected = ASTRONAUT_POINTS @ affine[:, :2].T + affine[:, 2]
    assert face.landmarks is not None
    assert (
        np.linalg.norm(face.landmarks - expected, axis=1).mean() < 0.16 * 43
    )  # enough to begin from: landmarks are the next network's work


@pytest.mark.parametrize("name", FACELESS)
def test_nothing_is_found_where_no_face_is(detector: BuiltInDetector, name: str) -> None:
    assert detector.detect(picture_of(name)) == []


def test_frames_searched_together_give_what_each_gives_alone(detector: BuiltInDetector, astronaut: Frame) -> None:
    # Given frames of several sizes, one without a face
    frames = [astronaut, picture_of("coffee"), moved(astronaut, 20, 0.5)[0], moved(astronaut, 0, 1.5)[0], astronaut]
    together = detector.detect_batch(frames)
    # Then batches change no bit
    for faces, frame in zip(together, frames, strict=True):
        alone = detector.detect(frame)
        assert [face.score for face in faces] == [face.score for face in alone]
        assert all((a.box_xyxy == b.box_xyxy).all() for a, b in zip(faces, alone, strict=True))
        assert all((a.landmarks == b.landmarks).all() for a, b in zip(faces, alone, strict=True))
    assert [bool(faces) for faces in together] == [True, False, True, True, True]


def test_a_network_that_sees_several_pictures_at_once_finds_in_each_what_is_there(
    detector: BuiltInDetector, astronaut: Frame
) -> None:
    # Given what an accelerator is given: pictures of one size in one batch
    pictures = np.stack([moved(astronaut, turn, 1.0)[0] for turn in (0, 10, 40)])
    # Then each has its faces, up to float rounding
    for faces, picture in zip(detector._run(pictures), pictures, strict=True):
        [alone] = detector._run(picture[None])
        assert [face.score for face in faces] == pytest.approx([face.score for face in alone], abs=1e-4)
        np.testing.assert_allclose(faces[0].box_xyxy, alone[0].box_xyxy, atol=0.01)


def test_only_pictures_of_one_size_go_into_a_batch_and_not_too_many() -> None:
    small, large = np.zeros((360, 640, 3), np.uint8), np.zeros((1800, 1000, 3), np.uint8)
    pictures = [small, large, small, large, large]
    assert _equal_sized(pictures, is_single=False) == [[0, 2], [1, 3], [4]]
    assert _equal_sized(pictures, is_single=True) == [[0], [1], [2], [3], [4]]


def test_it_looks_twice_before_it_says_there_is_nobody(detector: BuiltInDetector, astronaut: Frame) -> None:
    # Given a large frame with a face of 11 px at the working size
    small = np.asarray(cv2.resize(astronaut, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA), np.uint8)
    frame = np.full((1080, 1080, 3), 110, np.uint8)
    frame[600 : 600 + len(small), 500 : 500 + len(small)] = small
    once = BuiltInDetector(detector._network, retry_short_side_px=0)
    # Then a second look finds it
    assert once.detect(frame) == []
    [face] = detector.detect(frame)
    expected = ASTRONAUT_BOX * 0.3 + np.array([500, 600, 500, 600])
    assert iou(face.box_xyxy[None], expected[None].astype(np.float32))[0, 0] > 0.5


def test_the_name_takes_weights_of_ones_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = SpotterNet().fold_norms()
    save_file(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()}, tmp_path / "own.safetensors"
    )
    assert build_detector("builtin", weights=tmp_path / "own.safetensors").detect(np.zeros((64, 64, 3), np.uint8)) == []


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x80\x04\x95pickled"])
def test_a_file_of_something_else_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"other\.safetensors' cannot be read"):
        build_detector("builtin", weights=tmp_path / "other.safetensors")


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors' holds another network"):
        build_detector("builtin", weights=tmp_path / "other.safetensors")


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.safetensors' cannot be read"):
        build_detector("builtin", weights=tmp_path / "gone.safetensors")


class Compiler:
    """Notes what it is asked for, and hands the network back, its scores lowered so that it is known."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[int, ...], str]] = []

    def __call__(self, network: SpotterNet, example: torch.Tensor, *, key: str, dynamic_batch: bool = False) -> object:
        self.asked.append((tuple(example.shape), key))
        return lambda pictures: tuple(network(pictures)._replace(score_logits=network(pictures).score_logits - 0.1))


class Picture:
    """The astronaut as a frame of a video."""

    def __init__(self, picture: Frame) -> None:
        self.picture, self.asked = picture, list[int]()
        self.size_wh = picture.shape[1], picture.shape[0]

    def thumbnail(self, short_side: int) -> Frame:
        self.asked.append(short_side)
        scale = min(1.0, short_side / min(self.size_wh))
        size = round(self.size_wh[0] * scale), round(self.size_wh[1] * scale)
        return np.asarray(cv2.resize(self.picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def test_a_compiled_network_searches_what_comes_in_series_and_nothing_else(astronaut: Frame) -> None:
    compiler = Compiler()
    detector = load_builtin_detector(compile_network=compiler)
    [alone], [first], [second] = (detector.detect_in([Picture(astronaut)], is_series=i > 0)[0] for i in range(3))
    # Then it was compiled once, for that size, and only the series was searched by it
    assert [shape for shape, _ in compiler.asked] == [(1, 3, 384, 384)]
    assert len(compiler.asked[0][1]) == 64
    assert first.score == second.score < alone.score
    np.testing.assert_allclose(first.box_xyxy, alone.box_xyxy, atol=0.01)


def test_where_nothing_can_be_compiled_the_network_runs_as_it_is(astronaut: Frame, detector: BuiltInDetector) -> None:
    own = load_builtin_detector(compile_network=lambda *_, **__: None)
    [[face]], [expected] = own.detect_in([Picture(astronaut)], is_series=True), detector.detect(astronaut)
    assert face.score == pytest.approx(expected.score, abs=1e-5)


def test_a_picture_is_asked_for_no_more_pixels_than_are_searched(detector: BuiltInDetector, astronaut: Frame) -> None:
    shown, empty = Picture(astronaut), Picture(np.zeros((1080, 1920, 3), np.uint8))
    detector.detect_in([shown, empty])
    assert (shown.asked, empty.asked) == ([360], [360, 720])
