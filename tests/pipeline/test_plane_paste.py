"""Crops pasted plane by plane lie where RGB would, and nothing but what is under the mask changes."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from pipeline.colour import ColourTags
from pipeline.frames import Frame
from pipeline.orientation import Orientation
from pipeline.paste import Region, paste_face

from .media import blank_frame, smooth_picture

SIZE = 64
HLG = ColourTags("tv", "bt2020nc", "bt2020", "arib-std-b67")


class RgbDoor:
    """A frame that can only be pasted into as RGB."""

    def __init__(self, frame: Frame) -> None:
        self.size_wh, self.paste_rgb = frame.size_wh, frame.paste_rgb


def similarity(scale: float, degrees: float, at: tuple[float, float]) -> npt.NDArray[np.float32]:
    """From the frame to a crop in whose middle `at` lies."""
    a, b = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    linear = np.array([[a, -b], [b, a]])
    shift = np.array([(SIZE - 1) / 2] * 2) - linear @ np.array(at)
    return np.concatenate([linear, shift[:, None]], axis=1).astype(np.float32)


def soft_disc(radius: float = 22, soft_px: float = 6) -> npt.NDArray[np.float32]:
    y, x = np.mgrid[0:SIZE, 0:SIZE] - (SIZE - 1) / 2
    return np.clip((radius - np.hypot(x, y)) / soft_px, 0, 1).astype(np.float32)


def crop() -> npt.NDArray[np.float32]:
    """A smooth, colourful picture."""
    noise = np.random.default_rng(3).normal(128, 600, (SIZE, SIZE, 3)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 6), 0, 255)


def painted(pix_fmt: str, size_wh: tuple[int, int], tags: ColourTags | None = None) -> Frame:
    frame = blank_frame(pix_fmt, *size_wh, tags=tags)
    frame.paste_rgb(0, 0, smooth_picture(*size_wh), np.ones(size_wh[::-1], np.float32))
    return frame


def pasted(frame: Frame, place: npt.NDArray[np.float32]) -> Region:
    region = paste_face(frame, crop(), soft_disc(), place)
    assert region is not None
    return region


@pytest.mark.parametrize(("scale", "degrees"), [(0.3, 0), (0.45, 12), (0.7, -30), (1.0, 90), (1.7, 5), (3.2, 0)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "gbrp", "gray"])
def test_it_looks_as_if_rgb_were_pasted(pix_fmt: str, scale: float, degrees: float) -> None:
    by_planes = painted(pix_fmt, (221, 171))
    by_rgb = by_planes.copy()
    place = similarity(scale, degrees, (111.3, 82.6))
    region = pasted(by_planes, place)
    paste_face(RgbDoor(by_rgb), crop(), soft_disc(), place)
    one, other = (of.to_rgb(0, 0, 221, 171).astype(float) for of in (by_planes, by_rgb))
    height, width = region.mask.shape
    inside = np.abs(one - other)[region.y0 : region.y0 + height, region.x0 : region.x0 + width]
    assert inside.mean() < 1.0
    assert np.abs(one - other).max() < 16


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuva420p", "yuv422p12le", "yuv411p", "yuv444p", "gbrp", "gray"])
@pytest.mark.parametrize("at", [(48.0, 40.0), (2.0, 3.0), (96.0, 64.0)])
@pytest.mark.parametrize("scale", [0.45, 1.0, 2.5])
def test_samples_outside_the_mask_stay_bit_equal(pix_fmt: str, at: tuple[float, float], scale: float) -> None:
    frame = painted(pix_fmt, (97, 65))
    before = frame.copy()
    region = pasted(frame, similarity(scale, 10, at))
    under = np.zeros((65, 97), bool)
    height, width = region.mask.shape
    under[region.y0 : region.y0 + height, region.x0 : region.x0 + width] = region.mask > 0
    for was, now in zip(before.planes, frame.planes, strict=True):
        steps = [-(-whole // part) for whole, part in zip(under.shape, now.shape, strict=True)]
        padded = np.pad(
            under, [(0, step * part - whole) for step, part, whole in zip(steps, now.shape, under.shape, strict=True)]
        )
        touched = padded.reshape(now.shape[0], steps[0], now.shape[1], steps[1]).any(axis=(1, 3))
        assert not ((was != now) & ~touched).any()
    assert any((was != now).any() for was, now in zip(before.planes, frame.planes, strict=True))
    if frame.layout.has_alpha:
        assert np.array_equal(before.planes[-1], frame.planes[-1])


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_positions_are_those_of_the_displayed_picture(degrees: int, is_mirrored: bool) -> None:
    upright = painted("yuv444p", (120, 90))
    orientation = Orientation(degrees, is_mirrored)
    planes = tuple(np.ascontiguousarray(orientation.to_coded(plane)) for plane in upright.planes)
    turned = Frame(planes, upright.layout, upright.colour, 0, orientation)
    place = similarity(0.8, 20, (50, 40))
    one, other = pasted(upright, place), pasted(turned, place)
    shown = [orientation.to_display(plane).astype(int) for plane in turned.planes]
    assert max(np.abs(plane - now).max() for plane, now in zip(upright.planes, shown, strict=True)) <= 2
    assert (one.x0, one.y0, one.mask.shape) == (other.x0, other.y0, other.mask.shape)
    assert np.abs(one.mask - other.mask).max() < 0.02


def test_hdr_frames_get_the_colours_that_rgb_would_get() -> None:
    by_planes = painted("yuv420p10le", (128, 96), HLG)
    by_rgb, place = by_planes.copy(), similarity(0.9, 0, (60, 50))
    pasted(by_planes, place)
    paste_face(RgbDoor(by_rgb), crop(), soft_disc(), place)
    one, other = (of.to_rgb(0, 0, 128, 96).astype(float) for of in (by_planes, by_rgb))
    assert np.abs(one - other).mean() < 0.5


def test_a_face_outside_the_frame_and_an_empty_mask_paste_nothing() -> None:
    frame = painted("yuv420p", (96, 64))
    before = frame.md5()
    assert paste_face(frame, crop(), soft_disc(), similarity(1, 0, (-80, 30))) is None
    assert paste_face(frame, crop(), np.zeros((SIZE, SIZE), np.float32), similarity(1, 0, (40, 30))) is None
    assert frame.md5() == before
