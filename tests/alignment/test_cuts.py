"""Cuts are found where scenes change, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import skimage.data

from alignment.cuts import CutDetector

Picture = npt.NDArray[np.uint8]
SIZE_WH = (96, 64)


def shrink(picture: npt.NDArray[np.generic]) -> Picture:
    return np.asarray(cv2.resize(picture, SIZE_WH, interpolation=cv2.INTER_AREA), np.uint8)


@pytest.fixture(scope="module")
def woman() -> Picture:
    """A large grey picture of a person, to pan and zoom in."""
    grey = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (1600, 1200)), np.uint8)


@pytest.fixture(scope="module")
def cup() -> Picture:
    grey = cv2.cvtColor(skimage.data.coffee(), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (1600, 1200)), np.uint8)


@pytest.fixture(scope="module")
def man() -> Picture:
    return np.asarray(cv2.resize(skimage.data.camera(), (1600, 1200)), np.uint8)


def drift(picture: Picture, count: int, step: float = 3.0, x0: float = 100.0, noise: float = 2.0) -> list[Picture]:
    """A shot: the camera moves slowly over a picture, with sensor noise."""
    rng = np.random.default_rng(len(picture) + count)
    views = []
    for i in range(count):
        x = round(x0 + step * i)
        view = shrink(picture[200:1000, x : x + 1200])
        views.append(np.asarray((view + rng.normal(0, noise, view.shape)).clip(0, 255), np.uint8))
    return views


def cuts_of(frames: Sequence[Picture]) -> list[int]:
    detector = CutDetector()
    return [i for i, frame in enumerate(frames) if detector.update(frame)]


def test_every_change_of_scene_is_a_cut(woman: Picture, cup: Picture, man: Picture) -> None:
    frames = drift(woman, 20) + drift(cup, 12) + drift(man, 15) + drift(woman, 3) + drift(man, 20)
    assert cuts_of(frames) == [20, 32, 47, 50]


def test_the_first_frame_is_no_cut(woman: Picture) -> None:
    assert cuts_of(drift(woman, 1)) == []


@pytest.mark.parametrize("step", [0.0, 8.0, 30.0, 90.0])
def test_a_pan_is_no_cut(woman: Picture, step: float) -> None:
    count = 20 if step == 0 else min(20, int(300 / step))
    assert cuts_of(drift(woman, count, step=step, x0=0)) == []


def test_a_zoom_is_no_cut(woman: Picture) -> None:
    frames = []
    for i in range(25):
        half_w, half_h = 700 - 20 * i, 525 - 15 * i
        frames.append(shrink(woman[600 - half_h : 600 + half_h, 800 - half_w : 800 + half_w]))
    assert cuts_of(frames) == []


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_flash_is_no_cut(woman: Picture, length: int) -> None:
    frames = drift(woman, 30)
    for i in range(10, 10 + length):
        frames[i] = np.asarray((frames[i] * 1.6 + 90.0).clip(0, 255), np.uint8)
    assert cuts_of(frames) == []


@pytest.mark.parametrize("level", [0, 255])
def test_blank_frames_within_a_scene_are_no_cut(woman: Picture, level: int) -> None:
    frames = drift(woman, 30)
    frames[12] = frames[13] = np.full_like(frames[0], level)
    assert cuts_of(frames) == []


def test_after_blank_frames_a_new_scene_starts_with_its_first_picture(woman: Picture, cup: Picture) -> None:
    black = [np.zeros((64, 96), np.uint8)] * 10
    assert cuts_of(drift(woman, 20) + black + drift(cup, 20)) == [30]
    assert cuts_of(black + drift(cup, 20)) == []


def test_a_dissolve_is_no_cut(woman: Picture, cup: Picture) -> None:
    a, b = drift(woman, 60), drift(cup, 60)
    mix = np.clip((np.arange(60) - 15) / 30, 0, 1)
    frames = [np.asarray(x * (1 - m) + y * m, np.uint8) for x, y, m in zip(a, b, mix, strict=True)]
    assert cuts_of(frames) == []


def test_changing_light_is_no_cut(woman: Picture) -> None:
    gains = 1 + 0.5 * np.sin(np.arange(40) / 2.0)
    frames = [np.asarray((f * g).clip(0, 255), np.uint8) for f, g in zip(drift(woman, 40), gains, strict=True)]
    assert cuts_of(frames) == []


def test_noise_in_the_dark_is_no_cut() -> None:
    rng = np.random.default_rng(3)
    frames = [np.asarray(rng.normal(35, 25, (64, 96)).clip(0, 255), np.uint8) for _ in range(40)]
    assert cuts_of(frames) == []


def test_a_head_that_moves_before_a_still_background_is_no_cut(woman: Picture, cup: Picture) -> None:
    # Given a head that covers a third of the frame and shakes by its own width
    head = cv2.resize(woman[100:700, 500:1000], (40, 48))
    frames = []
    for i in range(40):
        frame = shrink(cup)
        x = round(28 + 24 * np.sin(i * 0.9))
        frame[12:60, x : x + 40] = head
        frames.append(frame)
    assert cuts_of(frames) == []


def test_two_people_before_the_same_wall_are_two_scenes(woman: Picture) -> None:
    """Shot and reverse shot: alike in grey values, different in what stands where."""
    flipped = np.ascontiguousarray(woman[:, ::-1])
    assert cuts_of(drift(woman, 15) + drift(flipped, 15)) == [15]


def test_another_picture_size_is_another_scene(woman: Picture) -> None:
    frames = drift(woman, 5) + [np.asarray(cv2.resize(woman, (64, 96)), np.uint8)] * 5
    assert cuts_of(frames) == [5]


def test_the_pictures_are_left_as_they_were(woman: Picture) -> None:
    frames = drift(woman, 6, step=60)
    copies = [frame.copy() for frame in frames]
    cuts_of(frames)
    np.testing.assert_array_equal(frames, copies)
