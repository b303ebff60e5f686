"""What every face detector must do, and which one `auto` means."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import skimage.data

from alignment import detectors, yunet
from alignment.detectors import DETECTOR_NAMES, FaceDetector, build_detector
from alignment.errors import DetectorUnavailableError, WeightsError
from alignment.faces import iou
from alignment.hog import HogDetector

Frame = npt.NDArray[np.uint8]

ASTRONAUT_BOX = np.array([180, 58, 271, 178], np.float32)
"""Hairline to chin, by eye."""

BACK_ENDS = {
    "builtin": None,
    "hog": None,
    "yunet": "yunet_n_dynamic.onnx",
    "blazeface": "blazeface.pth",
    "blazeface-back": "blazefaceback.pth",
    "sfd": "s3fd-619a316812.pth",
}
"""Test id (the name up to the dash) and its weights in ../shared/weights; none needed for builtin and hog."""


@pytest.fixture(scope="module")
def astronaut() -> Frame:
    return skimage.data.astronaut()


@pytest.fixture(scope="module", params=BACK_ENDS)
def detector(request: pytest.FixtureRequest) -> FaceDetector:
    name = request.param.partition("-")[0]
    file_name = BACK_ENDS[request.param]
    if file_name is None:
        return build_detector(name)
    path = Path(__file__).parents[2].parent / "shared" / "weights" / file_name
    if not path.is_file():
        pytest.skip(f"no {file_name} in ../shared/weights")
    return build_detector(name, weights=path, allow_download=False)


@pytest.fixture
def yunet_file(shared: Path) -> Path:
    path = shared / "weights" / "yunet_n_dynamic.onnx"
    if not path.is_file():
        pytest.skip("no YuNet in ../shared/weights")
    return path


def test_a_detector_knows_its_name(detector: FaceDetector) -> None:
    assert detector.name in DETECTOR_NAMES


def test_the_one_face_is_found_where_it_is(detector: FaceDetector, astronaut: Frame) -> None:
    faces = detector.detect(astronaut)
    assert len(faces) == 1
    box = faces[0].box_xyxy
    assert (box.dtype, box.shape) == (np.float32, (4,))
    assert iou(box[None], ASTRONAUT_BOX[None])[0, 0] > 0.75
    assert (box >= 0).all()
    assert (box <= 511).all()
    assert 0.5 < faces[0].score <= 1.0


def test_landmarks_are_five_in_our_order_or_none(detector: FaceDetector, astronaut: Frame) -> None:
    [face] = detector.detect(astronaut)
    if face.landmarks is None:
        return
    by_eye = np.array([[204, 104], [247, 104], [224, 128], [205, 144], [243, 144]], np.float32)
    assert face.landmarks.dtype == np.float32
    np.testing.assert_allclose(face.landmarks, by_eye, atol=6)


@pytest.mark.parametrize("scale", [0.7, 1.6])
def test_boxes_are_in_pixels_of_the_frame_whatever_its_size(
    detector: FaceDetector, astronaut: Frame, scale: float
) -> None:
    resized = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    [face] = detector.detect(np.asarray(resized, np.uint8))
    assert iou(face.box_xyxy[None], scale * ASTRONAUT_BOX[None])[0, 0] > 0.7


def test_two_people_are_two_faces(detector: FaceDetector, astronaut: Frame) -> None:
    person = astronaut[:400, 60:400]
    faces = detector.detect(np.concatenate([person, person], axis=1))
    assert len(faces) == 2
    lefts = sorted(float(face.box_xyxy[0]) for face in faces)
    np.testing.assert_allclose(lefts, [120, 120 + 340], atol=15)
    assert faces[0].score >= faces[1].score


def test_a_grey_frame_shows_its_face_too(detector: FaceDetector, astronaut: Frame) -> None:
    grey = cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)
    [face] = detector.detect(np.repeat(grey[..., None], 3, axis=2))
    assert iou(face.box_xyxy[None], ASTRONAUT_BOX[None])[0, 0] > 0.7


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.zeros((240, 320, 3), np.uint8),
        lambda: np.full((240, 320, 3), 255, np.uint8),
        lambda: np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8),
        lambda: np.asarray(np.tile(np.arange(320) % 256, (240, 1))[..., None].repeat(3, 2), np.uint8),
    ],
    ids=["black", "white", "noise", "ramp"],
)
def test_where_nobody_is_nobody_is_found(detector: FaceDetector, make: Callable[[], Frame]) -> None:
    assert detector.detect(make()) == []


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 3), (7, 500), (333, 17), (101, 77)])
def test_tiny_and_odd_frames_are_taken(detector: FaceDetector, size_hw: tuple[int, int]) -> None:
    assert detector.detect(np.full((*size_hw, 3), 128, np.uint8)) == []


def test_the_same_frame_gives_the_same_faces_and_stays_as_it_was(detector: FaceDetector, astronaut: Frame) -> None:
    frame = astronaut.copy()
    first, other, second = detector.detect(frame), detector.detect(frame[:200]), detector.detect(frame)
    assert [f.score for f in first] == [f.score for f in second]
    np.testing.assert_array_equal([f.box_xyxy for f in first], [f.box_xyxy for f in second])
    assert len(other) <= 1
    np.testing.assert_array_equal(frame, astronaut)


def test_a_frame_that_is_a_view_is_taken(detector: FaceDetector, astronaut: Frame) -> None:
    wide = np.concatenate([astronaut, astronaut[:, :100]], axis=1)
    [face] = detector.detect(wide[:, :512])
    assert iou(face.box_xyxy[None], ASTRONAUT_BOX[None])[0, 0] > 0.75


def test_several_frames_give_what_each_gives(detector: FaceDetector, astronaut: Frame) -> None:
    frames = [astronaut, np.full((240, 320, 3), 128, np.uint8), astronaut[:400, 60:400]]
    together = detector.detect_batch(frames)
    assert detector.batch_size >= 1
    for faces, frame in zip(together, frames, strict=True):
        alone = detector.detect(frame)
        assert [face.score for face in faces] == [face.score for face in alone]
        np.testing.assert_array_equal([f.box_xyxy for f in faces], [f.box_xyxy for f in alone])
    assert detector.detect_batch([]) == []


@pytest.mark.parametrize("name", ["coffee", "rocket", "chelsea", "coins"])
def test_hog_takes_no_cup_rocket_cat_or_coin_for_a_face(name: str) -> None:
    picture = getattr(skimage.data, name)()
    frame = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture
    assert HogDetector().detect(frame) == []


def test_hog_looks_twice_before_it_says_there_is_nobody(astronaut: Frame) -> None:
    # Given a large frame with a face too small for the working scale
    frame = np.full((1080, 1080, 3), 110, np.uint8)
    frame[300:812, 300:812] = astronaut
    # Then one look finds nothing, two find the face
    assert HogDetector(retry_short_side_px=0).detect(frame) == []
    boxes = np.stack([face.box_xyxy for face in HogDetector().detect(frame)])
    assert iou(boxes, ASTRONAUT_BOX[None] + 300).max() > 0.7


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(DetectorUnavailableError, match="'mtcnn'; choose one of auto, builtin, hog, yunet, sfd"):
        build_detector("mtcnn")


def test_auto_is_builtin_where_nothing_else_is_there(caplog: pytest.LogCaptureFixture, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("UGATIT_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **kwargs: pytest.fail("auto went to the network"))
    with caplog.at_level(logging.INFO):
        assert build_detector().name == "builtin"
    assert "The face detector is 'builtin'." in caplog.text


def test_auto_is_yunet_where_its_weights_are(yunet_file: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("UGATIT_CACHE", str(tmp_path))
    known = replace(yunet.WEIGHTS, sha256=hashlib.sha256(yunet_file.read_bytes()).hexdigest())
    monkeypatch.setattr(yunet, "WEIGHTS", known)
    shutil.copy(yunet_file, tmp_path / known.file_name)
    assert build_detector().name == "yunet"
    assert build_detector("auto", weights=yunet_file).name == "yunet"


def test_auto_passes_over_broken_weights_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("UGATIT_CACHE", str(tmp_path))
    (tmp_path / yunet.WEIGHTS.file_name).write_bytes(b"half a download")
    assert detectors.build_detector().name == "builtin"
    assert "Not using the face detector 'yunet'" in caplog.text


@pytest.mark.parametrize("name", ["yunet", "sfd", "blazeface"])
def test_without_weights_and_downloads_one_sentence_says_what_to_do(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("UGATIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(DetectorUnavailableError) as caught:
        build_detector(name, allow_download=False)
    message = str(caught.value)
    assert message.startswith(f"the weights of '{name}' are not on this machine")
    assert "downloads are switched off" in message
    assert "https://" in message
    assert str(tmp_path / "cache") in message
    assert "use 'builtin', which needs none" in message


@pytest.mark.parametrize("name", ["yunet", "sfd", "blazeface"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x80\x04\x95pickled"])
def test_a_file_of_something_else_is_refused_by_name(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.bin"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"other\.bin"):
        build_detector(name, weights=path)


def test_blazeface_does_not_take_another_networks_weights(tmp_path: Path) -> None:
    import torch

    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="does not hold the weights of BlazeFace"):
        build_detector("blazeface", weights=tmp_path / "other.pth")


def test_weights_never_run_code(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"classifier_8.weight": Evil()}))
    for name in ("blazeface", "sfd"):
        with pytest.raises(WeightsError):
            build_detector(name, weights=tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
