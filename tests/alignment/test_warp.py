"""The crop warp keeps places and removes what the crop cannot show; transforms undo and follow each other."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data

from alignment.points import Points
from alignment.warp import (
    SimilarityParams,
    compose,
    from_params,
    invert,
    params,
    transform_points,
    warp_crop,
)


def similarity(scale: float, degrees: float = 0.0, tx: float = 0.0, ty: float = 0.0) -> Points:
    return from_params(SimilarityParams(math.log(scale), math.radians(degrees), tx, ty))


def about_centre(scale: float, degrees: float, source_px: int, crop_px: int) -> Points:
    """Take the middle of the source to the middle of the crop."""
    turn = similarity(scale, degrees)
    middle = transform_points(turn, np.full(2, (source_px - 1) / 2, np.float32))
    turn[:, 2] += (crop_px - 1) / 2 - middle
    return turn


def blobs(size: int) -> npt.NDArray[np.float32]:
    """A smooth picture: three Gaussian spots."""
    ys, xs = np.mgrid[:size, :size].astype(np.float64)
    spots = [(0.38, 0.4, 0.07), (0.62, 0.45, 0.06), (0.5, 0.6, 0.08)]
    return sum(
        (200 * np.exp(-((xs - x * size) ** 2 + (ys - y * size) ** 2) / (2 * (s * size) ** 2)) for x, y, s in spots)
    ).astype(np.float32)


def centre_of_mass(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    ys, xs = np.mgrid[: picture.shape[0], : picture.shape[1]]
    weight = picture.astype(np.float64) / picture.sum(dtype=np.float64)
    return np.array([(xs * weight).sum(), (ys * weight).sum()])


@pytest.mark.parametrize("scale", [0.11, 0.2, 0.37, 0.5, 0.74, 0.76, 1.0, 1.7, 4.0])
def test_the_warp_puts_everything_where_the_transform_says(scale: float) -> None:
    source = blobs(256)
    crop_px = int(256 * scale * 1.4) + 8
    transform = about_centre(scale, 20.0, 256, crop_px)
    crop = warp_crop(source, transform, crop_px, border="constant")
    expected = transform_points(transform, centre_of_mass(source)[None].astype(np.float32))[0]
    np.testing.assert_allclose(centre_of_mass(crop), expected, atol=0.03)


@pytest.mark.parametrize("scale", [0.25, 0.4, 0.5, 2.0, 3.3])
def test_there_and_back_does_not_shift_a_smooth_picture(scale: float) -> None:
    # Given a smooth picture, shrunk or enlarged
    source = blobs(240)
    crop_px = round(240 * scale)
    transform = about_centre(scale, 0.0, 240, crop_px)
    # When it is warped back to its size
    back = warp_crop(warp_crop(source, transform, crop_px), invert(transform), 240)
    # Then it is the same picture, and any shift would show as a difference along the gradient
    inner = (slice(20, -20), slice(20, -20))
    gradient_y, gradient_x = np.gradient(source)
    error = (back - source)[inner]
    for gradient in (gradient_x[inner], gradient_y[inner]):
        shift = -(error * gradient).sum() / (gradient**2).sum()
        assert abs(shift) < 0.02
    assert np.abs(error).mean() < 1.0


def test_an_identity_crop_is_the_picture_itself() -> None:
    picture = skimage.data.astronaut()[:128, :128]
    np.testing.assert_array_equal(warp_crop(picture, similarity(1.0), 128), picture)


@pytest.mark.parametrize("scale", [0.5, 0.3, 0.13])
def test_shrinking_averages_what_the_crop_cannot_show(scale: float) -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (400, 200))  # one pixel wide
    crop = warp_crop(stripes, about_centre(scale, 0.0, 400, 40), 40)
    assert np.abs(crop.astype(float) - 127.5).max() < 30
    assert abs(crop.mean() - 127.5) < 3


def test_a_shrunk_crop_is_the_mean_over_its_footprint() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    crop = warp_crop(picture, about_centre(0.5, 0.0, 256, 128), 128)
    expected = picture.reshape(128, 2, 128, 2, 3).mean((1, 3))
    assert np.abs(crop - expected).max() <= 1.0


def test_a_shrunk_crop_moves_smoothly_with_its_face() -> None:
    """No pixel grid of the source may show through: it would shimmer while a face drifts by."""
    source = skimage.data.astronaut()[..., 1].astype(np.float32)
    transform = about_centre(0.3, 5.0, 512, 100)
    moved = transform + np.array([[0, 0, 1], [0, 0, 1]], np.float32)  # by 3.3 source pixels
    np.testing.assert_allclose(
        warp_crop(source, moved, 100)[1:, 1:], warp_crop(source, transform, 100)[:-1, :-1], atol=0.2
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(60, 80), (60, 80, 3), (60, 80, 4)])
@pytest.mark.parametrize("scale", [0.4, 1.3])
def test_the_type_and_the_channels_of_the_picture_are_kept(dtype: type, shape: tuple[int, ...], scale: float) -> None:
    value = 60000 if dtype is np.uint16 else 200
    crop = warp_crop(np.full(shape, value, dtype), similarity(scale, 10.0), 24)
    assert crop.dtype == dtype
    assert crop.shape == (24, 24, *shape[2:])
    np.testing.assert_allclose(crop, value)


def test_outside_the_frame_its_edge_is_drawn_out_unless_asked_otherwise() -> None:
    ramp = np.tile(np.arange(10, 60, dtype=np.uint8), (50, 1))  # 10 at the left edge
    shift = similarity(1.0, 0.0, 20.0, 0.0)
    assert (warp_crop(ramp, shift, 50)[:, :20] == 10).all()
    np.testing.assert_array_equal(warp_crop(ramp, shift, 50, border="reflect")[0, :21], np.arange(30, 9, -1))
    outside = warp_crop(ramp, shift, 50, border="constant", border_value=7)
    assert (outside[:, :20] == 7).all()
    assert (outside[:, 20] == 10).all()


def test_a_crop_of_a_point_stays_within_bounds() -> None:
    crop = warp_crop(np.full((40, 40, 3), 90, np.uint8), similarity(1e-6), 32)
    assert crop.shape == (32, 32, 3)


def test_a_transform_and_its_inverse_cancel() -> None:
    transform = similarity(0.37, 33.0, 812.5, -77.25)
    np.testing.assert_allclose(compose(transform, invert(transform)), [[1, 0, 0], [0, 1, 0]], atol=1e-4)


def test_compose_applies_the_inner_transform_first() -> None:
    turn, shift = similarity(2.0, 90.0), similarity(1.0, 0.0, 10.0, 0.0)
    point = np.array([[1.0, 0.0]], np.float32)
    np.testing.assert_allclose(transform_points(compose(turn, shift), point), [[0.0, 22.0]], atol=1e-5)
    np.testing.assert_allclose(transform_points(compose(shift, turn), point), [[10.0, 2.0]], atol=1e-5)


def test_params_are_taken_apart_and_put_together() -> None:
    values = SimilarityParams(-0.7, 0.3, 41.0, -8.0)
    np.testing.assert_allclose(params(from_params(values)), values, atol=1e-6)
    np.testing.assert_allclose(params(similarity(2.0)), [math.log(2.0), 0.0, 0.0, 0.0], atol=1e-6)


def test_a_transform_without_inverse_is_refused() -> None:
    with pytest.raises(ValueError, match="no inverse"):
        invert(np.array([[1, 2, 0], [2, 4, 0]], np.float32))


def test_means_keep_their_fractions_where_asked() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    quarter = np.array([[0.25, 0, -0.375], [0, 0.25, -0.375]], np.float32)
    exact, rounded = warp_crop(noise, quarter, 16, keeps_fractions=True), warp_crop(noise, quarter, 16)
    assert (exact.dtype, rounded.dtype) == (np.float32, np.uint8)
    assert (exact != np.rint(exact)).mean() > 0.5
    np.testing.assert_allclose(exact, rounded, atol=0.501)
