"""Whole pictures: one pass without seams, the source's colours, any size, nothing broken on the screen."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from skimage.data import astronaut, coffee

from pipeline.pictures import PictureCanvas
from pipeline.whole_frame import WholeFrame, paint, reduce, restore_tones, working_wh
from tests.pipeline.media import blank_frame


class ToneEngine:
    """Answers with a function of the picture; counts how often it is asked."""

    name, device, precision, max_error, psnr_db, batch_size = "tone", "cpu", "fp32", 0.0, 99.0, 1
    num_callers = 1

    def __init__(self, gain: float = 0.5, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        self.gain, self.shift, self.calls = gain, torch.tensor(shift)[:, None, None], 0

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return crops * self.gain + self.shift


class GreyEngine(ToneEngine):
    """A style without colours."""

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        return crops.mean(1, keepdim=True).repeat(1, 3, 1, 1)


def floats(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return picture.astype(np.float32)


@pytest.mark.parametrize("size_wh", [(1280, 720), (3840, 2160), (7, 5), (640, 33), (33, 2000), (512, 512)])
def test_the_generator_sees_multiples_of_four_within_bounds_and_in_proportion(size_wh: tuple[int, int]) -> None:
    width, height = working_wh(size_wh)
    assert width % 4 == height % 4 == 0
    assert min(width, height) >= 8
    assert max(width, height) <= min(1024, 2 * max(size_wh) + 4)
    if min(size_wh) > 100:
        assert width / height == pytest.approx(size_wh[0] / size_wh[1], rel=0.02)


def test_a_larger_picture_is_seen_larger_but_not_in_proportion() -> None:
    assert working_wh((1280, 720)) == (640, 360)
    assert 640 < working_wh((1920, 1080))[0] < 960


def test_one_pass_shows_every_picture_and_nothing_is_asked_for_no_picture() -> None:
    engine = ToneEngine()
    whole = WholeFrame(engine, keeps_colours=True)
    assert whole.stylise([]) == []
    canvases = [PictureCanvas(astronaut()), PictureCanvas(astronaut()[::-1].copy())]
    styled = whole.stylise(canvases)
    assert engine.calls == 1
    assert [s.styled is not None for s in styled] == [True, True]
    np.testing.assert_array_equal(styled[1].source, reduce(canvases[1]))


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_broken_answer_is_no_picture(broken: float) -> None:
    [styled] = WholeFrame(ToneEngine(broken), keeps_colours=True).stylise([PictureCanvas(astronaut())])
    assert styled.styled is None


def test_a_blank_answer_is_no_picture() -> None:
    [styled] = WholeFrame(ToneEngine(0.0), keeps_colours=True).stylise([PictureCanvas(astronaut())])
    assert styled.styled is None


def test_a_drift_of_tone_is_taken_back_and_contrast_in_the_small_stays() -> None:
    source = coffee()
    drifted = np.clip(floats(source) * 0.6 + np.float32([50, 20, 70]), 0, 255)
    restored = restore_tones(drifted, source)
    assert np.abs(drifted.mean((0, 1)) - source.mean((0, 1))).max() > 10
    assert np.abs(restored.mean((0, 1)) - source.mean((0, 1))).max() < 2
    # A line that the style drew into a flat area is still there.
    drifted[:, 300:302] = 0
    assert (restored - restore_tones(drifted, source))[:, 300:302].mean() > 60


def test_no_glow_is_left_around_what_is_dark() -> None:
    source = np.full((200, 300, 3), 200, np.uint8)
    source[:, 140:160] = 10
    flat = np.clip(floats(source) * 0.5 + 60, 0, 255)
    restored = restore_tones(flat, source).mean(axis=2)
    assert np.abs(restored[:, 100:136] - 200).max() < 8
    assert np.abs(restored[:, 164:200] - 200).max() < 8


def test_a_style_that_draws_in_grey_keeps_its_grey() -> None:
    whole = WholeFrame(GreyEngine())
    assert not whole.keeps_colours
    [styled] = whole.stylise([PictureCanvas(coffee())])
    assert styled.styled is not None
    finished = whole.finish(floats(styled.styled), styled.source)
    assert np.ptp(finished, axis=2).max() < 1
    assert WholeFrame(ToneEngine(0.8)).keeps_colours


def test_painting_fills_the_picture_and_keeps_strong_edges_sharp() -> None:
    big = np.asarray(cv2.resize(astronaut(), (1500, 1500), interpolation=cv2.INTER_CUBIC), np.uint8)
    big[:, 700:] = big[:, 700:] // 8
    canvas = PictureCanvas(big.copy())
    source = reduce(canvas)
    paint(canvas, floats(source), source)
    edge_before = np.abs(np.diff(floats(big)[:, 695:705].mean((0, 2)))).max()
    edge_after = np.abs(np.diff(floats(canvas.pixels)[:, 695:705].mean((0, 2)))).max()
    blurred = np.asarray(cv2.resize(source, (1500, 1500), interpolation=cv2.INTER_CUBIC), np.uint8)
    edge_blurred = np.abs(np.diff(floats(blurred)[:, 695:705].mean((0, 2)))).max()
    assert edge_after > 0.8 * edge_before > 1.2 * edge_blurred


def test_bands_leave_no_seam() -> None:
    height = 600  # more than two bands
    canvas = PictureCanvas(np.zeros((height, 300, 3), np.uint8))
    ramp = np.linspace(0, 255, 200, dtype=np.float32)[:, None, None] * np.ones((1, 100, 3), np.float32)
    paint(canvas, ramp, np.zeros((200, 100, 3), np.uint8))
    steps = np.diff(floats(canvas.pixels)[:, 150, 0])
    assert steps.min() >= 0
    assert steps.max() <= 1


def test_opacity_mixes_with_the_source() -> None:
    canvas = PictureCanvas(np.full((40, 60, 3), 100, np.uint8))
    small = np.full((8, 12, 3), 200, np.float32)
    paint(canvas, small, np.full((8, 12, 3), 100, np.uint8), 0.5)
    assert canvas.pixels.min() == canvas.pixels.max() == 150
    paint(canvas, small, np.full((8, 12, 3), 100, np.uint8), 0.0)
    assert canvas.pixels.max() == 150


@pytest.mark.parametrize(("pix_fmt", "size_wh"), [("yuv420p", (97, 301)), ("yuv422p10le", (65, 600)), ("gray", (9, 7))])
def test_odd_sizes_and_deep_samples_are_painted_to_the_last_sample(pix_fmt: str, size_wh: tuple[int, int]) -> None:
    frame = blank_frame(pix_fmt, *size_wh)
    before = frame.copy()
    source = reduce(frame)
    paint(frame, np.full(source.shape, (200.0, 60.0, 40.0), np.float32), source)
    for was, now in zip(before.planes, frame.planes, strict=True):
        assert (was != now).all()
        assert np.ptp(now) <= 1


def test_a_very_long_picture_is_restyled() -> None:
    picture = np.tile(astronaut()[100:110], (1, 6, 1))
    canvas = PictureCanvas(picture.copy())
    whole = WholeFrame(ToneEngine(0.8), keeps_colours=True)
    [styled] = whole.stylise([canvas])
    assert styled.styled is not None
    paint(canvas, whole.finish(floats(styled.styled), styled.source), styled.source)
    assert np.abs(floats(canvas.pixels) - picture).mean() < 30
