"""FAN landmarks: where it is told to look, how its heat maps are read, and what is said without its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from alignment import fan
from alignment.errors import LandmarkerUnavailableError, WeightsError
from alignment.fan import FanPredictor
from alignment.landmarks import build_landmark_predictor, roi_from_box, roi_from_landmarks
from alignment.points import Points
from alignment.warp import compose, transform_points

SPOTS = 68


def spotted_frame() -> tuple[npt.NDArray[np.uint8], Points]:
    """A frame with 68 spots of different brightness, and their centres."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.linspace(230, 370, 10), np.linspace(130, 270, 7)), -1).reshape(-1, 2)[:SPOTS]
    points = grid + rng.uniform(-4, 4, grid.shape)
    ys, xs = np.mgrid[:400, :600]
    frame = np.zeros((400, 600), np.float64)
    for i, (x, y) in enumerate(points):
        frame += (60 + 2.5 * i) * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 2.0**2))
    return np.repeat(frame.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2), points.astype(np.float32)


class SpotNetwork(nn.Module):
    """Stands in for FAN: heat map i shows where the frame's spot i would be seen."""

    def __init__(self, points_in_crop: Points, height: float) -> None:
        super().__init__()
        self.points, self.height = torch.from_numpy(points_in_crop), height
        self.seen: Tensor | None = None

    def forward(self, pictures: Tensor) -> list[Tensor]:
        self.seen = pictures
        cells = (self.points + 0.5) / 4 - 0.5  # pixel centres of 256 to cell centres of 64
        ys, xs = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
        squared = (xs - cells[:, 0, None, None]) ** 2 + (ys - cells[:, 1, None, None]) ** 2
        heatmaps = self.height * torch.exp(-squared / 2)
        return [torch.zeros(1, SPOTS, 64, 64), heatmaps[None]]


def predictor_with(network: nn.Module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FanPredictor:
    (tmp_path / "fan.pth").write_bytes(b"")
    monkeypatch.setattr(fan, "_load_network", lambda path, device: network)
    return FanPredictor(tmp_path / "fan.pth")


@pytest.fixture
def roi() -> Points:
    return roi_from_box(np.array([220, 110, 380, 290], np.float32), FanPredictor.roi_size_px)


def test_heat_maps_are_read_to_a_fraction_of_a_pixel(
    roi: Points, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given a network that sees the spots of the crop where they are
    frame, points = spotted_frame()
    in_crop = transform_points(compose(fan._roi_to_crop(), roi), points)
    network = SpotNetwork(in_crop, 0.9)
    # When
    [result] = predictor_with(network, monkeypatch, tmp_path).predict(frame, [roi])
    # Then it says where they are in the frame
    assert result.landmarks.shape == (68, 2)
    assert result.landmarks.dtype == np.float32
    np.testing.assert_allclose(result.landmarks, points, atol=0.3)
    assert result.presence > 0.9
    # And the picture it was shown has them in the same places, between 0 and 1
    assert network.seen is not None
    assert network.seen.shape == (1, 3, 256, 256)
    assert 0.6 < float(network.seen.max()) <= 1.0
    shown = network.seen[0, 0].numpy()
    for x, y in in_crop[-8:].round().astype(int):  # the brightest spots
        assert shown[y, x] > 0.8 * shown[y - 5 : y + 6, x - 5 : x + 6].max()


def test_faint_heat_maps_mean_that_there_is_no_face(
    roi: Points, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    frame, points = spotted_frame()
    in_crop = transform_points(compose(fan._roi_to_crop(), roi), points)
    [result] = predictor_with(SpotNetwork(in_crop, 0.2), monkeypatch, tmp_path).predict(frame, [roi])
    assert result.presence < 0.3


def test_empty_heat_maps_still_give_a_position(roi: Points, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    frame, points = spotted_frame()
    [result] = predictor_with(SpotNetwork(points, 0.0), monkeypatch, tmp_path).predict(frame, [roi])
    assert np.isfinite(result.landmarks).all()
    assert result.presence == 0.0


def test_there_is_one_result_per_region(roi: Points, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    frame, points = spotted_frame()
    predictor = predictor_with(SpotNetwork(points, 0.9), monkeypatch, tmp_path)
    assert len(predictor.predict(frame, [roi, roi, roi])) == 3
    assert predictor.predict(frame, []) == []


def test_fan_is_shown_the_wide_and_high_crop_it_was_trained_on() -> None:
    """face-alignment: side 200 * (w + h) / 195, centre 0.12 h above the middle of the box."""
    box = np.array([100, 100, 200, 220], np.float32)
    to_crop = compose(fan._roi_to_crop(), roi_from_box(box, 256))
    side = 256 / to_crop[0, 0]
    centre = transform_points(to_crop, np.array([[150.0, 160.0 - 0.12 * 120]], np.float32))[0]
    assert side == pytest.approx(200 * 220 / 195, rel=0.12)
    np.testing.assert_allclose(centre, [127.5, 127.5], atol=0.05 * 256)


def test_fans_own_landmarks_can_be_followed() -> None:
    _, points = spotted_frame()
    assert roi_from_landmarks(points, FanPredictor.roi_size_px).shape == (2, 3)


def test_the_network_of_the_package_takes_our_files(tmp_path: Path) -> None:
    from face_alignment.models import FAN

    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), tmp_path / "fan.pth.tar")
    predictor = build_landmark_predictor("fan", weights=tmp_path / "fan.pth.tar")
    frame = np.full((120, 160, 3), 90, np.uint8)
    [result] = predictor.predict(frame, [roi_from_box(np.array([50, 30, 110, 100], np.float32), predictor.roi_size_px)])
    assert result.landmarks.shape == (predictor.num_landmarks, 2)
    assert 0.0 <= result.presence <= 1.0


def test_other_weights_are_refused_by_name(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth' does not hold the weights of 2D-FAN-4"):
        FanPredictor(tmp_path / "other.pth")


def test_without_weights_and_downloads_one_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UGATIT_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(LandmarkerUnavailableError, match=r"weights of 'fan' .*use the built-in landmarks 'mesh'"):
        FanPredictor(allow_download=False)
