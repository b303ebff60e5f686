"""The flow-warp error tells flicker from motion."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from pipeline.meter import WarpErrorMeter, WarpErrorSums, measured_every
from pipeline.paste import Region

Grey = npt.NDArray[np.uint8]
REGION = Region(20, 20, np.ones((120, 120), np.float32))


def texture(shift: float = 0.0) -> Grey:
    noise = np.random.default_rng(5).normal(128, 300, (160, 220)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    moved = cv2.warpAffine(smooth, np.float32([[1, 0, shift - 30], [0, 1, 0]]), (160, 160))
    return np.clip(moved, 0, 255).astype(np.uint8)


def errors(frames: list[tuple[Grey, Grey]], cuts: tuple[int, ...] = ()) -> tuple[float | None, float | None]:
    meter = WarpErrorMeter()
    for i, (source, output) in enumerate(frames):
        meter.update(i, source, output, [REGION], i in cuts)
    return meter.sums.means()


def test_motion_alone_is_no_error() -> None:
    source, output = errors([(texture(2.0 * i), texture(2.0 * i)) for i in range(6)])
    assert source is not None
    assert source < 2.5
    assert source == output


def test_flicker_of_the_output_shows_in_grey_levels() -> None:
    flicker = [(texture(), np.clip(texture().astype(int) + 10 * (i % 2), 0, 255).astype(np.uint8)) for i in range(6)]
    source, output = errors(flicker)
    assert source is not None
    assert output is not None
    assert source < 0.5
    assert 8 < output <= 10


def test_a_cut_is_not_measured() -> None:
    frames = [(texture(), texture()), (255 - texture(), 255 - texture())]
    assert errors(frames, cuts=(1,)) == (None, None)


def test_frames_are_chosen_by_their_index_and_only_neighbours_are_compared() -> None:
    # Given a video whose output changes once
    meter = WarpErrorMeter(every=4)
    given = [i for i in range(3, 16) if meter.wants(i)]
    for i in given:
        meter.update(i, texture(), texture() if i < 10 else texture() // 2, [REGION])
    # Then the pairs (4, 5), (9, 10) and (12, 13) are measured, and the middle one is where the output changes
    assert given == [4, 5, 9, 10, 12, 13]
    assert meter.sums.pixels == 3 * REGION.mask.size
    assert meter.sums.output / REGION.mask.size > 20


@pytest.mark.parametrize("period", range(2, 13))
def test_a_rhythm_of_the_video_does_not_decide_which_frames_are_measured(period: int) -> None:
    meter = WarpErrorMeter(every=8)
    measured = [i for i in range(1, 960) if meter.wants(i - 1) and meter.wants(i)]
    in_step = sum(i % period == 0 for i in measured)
    assert len(measured) == pytest.approx(120, abs=2)
    assert in_step == pytest.approx(len(measured) / period, abs=3)


def test_short_videos_are_measured_as_a_whole_and_long_ones_in_part() -> None:
    assert [measured_every(n) for n in (1, 39, 40, 159, 160, 100_000)] == [1, 1, 2, 7, 8, 8]


def test_chunks_add_up() -> None:
    total = WarpErrorSums()
    total.add(WarpErrorSums(10, 20, 30))
    total.add(WarpErrorSums(30, 20, 90))
    assert total.means() == (1.0, 3.0)


def flicker(masks: list[npt.NDArray[np.float32]], shift: float = 0.0) -> float | None:
    meter = WarpErrorMeter()
    for i, mask in enumerate(masks):
        meter.update(i, texture(shift * i), texture(shift * i), [Region(20, 20, mask)])
    return meter.sums.mean_mask_flicker


def disc(radius: float, x: float = 60) -> npt.NDArray[np.float32]:
    rows, columns = np.mgrid[0:120, 0:120]
    return np.clip(radius - np.hypot(rows - 60, columns - x) + 0.5, 0, 1).astype(np.float32)


def test_a_mask_that_moves_with_the_picture_does_not_flicker_and_one_that_breathes_does() -> None:
    moving = flicker([disc(30, 50 + 2 * i) for i in range(6)], shift=2.0)
    breathing = flicker([disc(30 + i % 2) for i in range(6)])
    assert moving is not None
    assert breathing is not None
    assert moving < 1.5
    assert 5 < breathing < 8  # a ring of 1 px around a disc of 30 px is 6.6 % of it


def test_a_region_that_moved_is_compared_with_the_mask_where_it_was() -> None:
    meter = WarpErrorMeter()
    meter.update(0, texture(), texture(), [Region(20, 20, disc(30))])
    meter.update(1, texture(), texture(), [Region(24, 22, disc(30)[2:, 4:])])
    assert meter.sums.mean_mask_flicker is not None
    assert meter.sums.mean_mask_flicker < 0.5


def test_a_visible_border_shows_in_the_seam_excess() -> None:
    meter = WarpErrorMeter()
    brighter = texture().astype(np.float32)
    brighter[20:140, 20:140] += 40 * disc(30)
    meter.update(0, texture(), np.clip(brighter, 0, 255).astype(np.uint8), [Region(20, 20, disc(30))])
    assert meter.sums.mean_seam_excess is not None
    assert meter.sums.mean_seam_excess > 2
