"""The parts of the sfd and blazeface back ends that need no trained weights."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

from alignment import face_alignment_backend
from alignment.errors import DetectorUnavailableError
from alignment.face_alignment_backend import BlazefaceDetector, SfdDetector, _anchors, _squares


class FakeSfd:
    """Stands in for the package's detector: one face with a duplicate, at known places of the working picture."""

    def __init__(self, device: str, path_to_detector: str) -> None:
        import torch

        self.seen_hw = (0, 0)
        torch.backends.cudnn.benchmark = True  # as the package does on CUDA

    def detect_from_image(self, picture: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float64]]:
        import torch

        torch.backends.cudnn.benchmark = True
        self.seen_hw = picture.shape[:2]
        return [np.array([99.5, 49.5, 149.5, 109.5, 0.97]), np.array([101.0, 50.0, 150.0, 108.0, 0.6])]


@pytest.fixture
def sfd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SfdDetector:
    monkeypatch.setattr(face_alignment_backend, "_import_detection", lambda name: SimpleNamespace(SFDDetector=FakeSfd))
    (tmp_path / "s3fd.pth").write_bytes(b"")
    return SfdDetector(tmp_path / "s3fd.pth")


def test_sfd_boxes_come_back_from_the_working_scale(sfd: SfdDetector) -> None:
    [face] = sfd.detect(np.zeros((640, 960, 3), np.uint8))
    np.testing.assert_allclose(face.box_xyxy, [199.5, 99.5, 299.5, 219.5], atol=1e-3)
    assert (face.score, face.landmarks) == (pytest.approx(0.97), None)


def test_sfd_leaves_cudnn_as_the_program_set_it(sfd: SfdDetector) -> None:
    import torch

    before = torch.backends.cudnn.benchmark
    try:
        torch.backends.cudnn.benchmark = False
        sfd.detect(np.zeros((640, 960, 3), np.uint8))
        assert torch.backends.cudnn.benchmark is False
    finally:
        torch.backends.cudnn.benchmark = before


def test_without_the_package_the_message_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.startswith("face_alignment")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    for build in (SfdDetector, BlazefaceDetector):
        with pytest.raises(DetectorUnavailableError, match="pip install face-alignment"):
            build(tmp_path / "any.pth")


def test_the_anchors_are_those_that_come_with_the_weights(shared: Path) -> None:
    path = shared / "weights" / "blazeface_anchors.npy"
    if not path.is_file():
        pytest.skip("no anchors in ../shared/weights")
    np.testing.assert_array_equal(_anchors(), np.load(path))


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (480, 908), (300, 1000), (500, 500)])
def test_the_squares_see_every_place_of_a_frame_whole(width: int, height: int) -> None:
    squares = _squares(width, height)
    assert squares[0][2] == max(width, height)
    shorter = min(width, height)
    starts = sorted(max(x0, y0) for x0, y0, side in squares[1:])
    if width != height:
        assert all(side == shorter for *_, side in squares[1:])
        assert (starts[0], starts[-1]) == (0.0, max(width, height) - shorter)
        assert max(np.diff(starts)) <= 0.7 * shorter


def test_blazeface_finds_a_face_at_the_end_of_a_wide_frame(shared: Path) -> None:
    import skimage.data

    weights = shared / "weights" / "blazeface.pth"
    if not weights.is_file():
        pytest.skip("no BlazeFace in ../shared/weights")
    frame = np.full((512, 1500, 3), 90, np.uint8)
    frame[:, -400:] = skimage.data.astronaut()[:, :400]
    [face] = BlazefaceDetector(weights).detect(frame)
    np.testing.assert_allclose(face.box_xyxy, [1280, 58, 1371, 178], atol=12)
