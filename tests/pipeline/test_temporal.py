"""Steadying in crop space: flicker goes, motion stays."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from pipeline.flow import warp_by_flow
from pipeline.temporal import RADIUS_FRAMES, TemporalBlend

Crop = npt.NDArray[np.uint8]
SIZE = 128


def scene(shift: float = 0.0) -> Crop:
    """A smooth textured picture, moved to the right by `shift` pixels."""
    rng = np.random.default_rng(3)
    texture = cv2.GaussianBlur(rng.normal(128, 400, (SIZE, SIZE + 64, 3)).astype(np.float32), (0, 0), 4)
    moved = cv2.warpAffine(texture, np.array([[1, 0, shift - 32], [0, 1, 0]], np.float32), (SIZE, SIZE))
    return np.clip(moved, 0, 255).astype(np.uint8)


def test_flicker_of_a_still_face_is_averaged_away() -> None:
    rng = np.random.default_rng(0)
    still = scene()
    styled = {i: np.clip(still + rng.normal(0, 12, still.shape), 0, 255).astype(np.uint8) for i in range(5)}
    blended = TemporalBlend().blend(dict.fromkeys(range(5), still), styled, 2)
    before = np.abs(styled[2].astype(float) - still).mean()
    assert np.abs(blended - still).mean() < 0.6 * before


def test_a_moving_face_is_followed_and_does_not_ghost() -> None:
    crops = {i: scene(3.0 * i) for i in range(5)}
    blended = TemporalBlend().blend(crops, crops, 2)
    assert np.abs(blended[16:-16, 16:-16] - crops[2][16:-16, 16:-16]).mean() < 2.0


def test_what_appears_in_one_frame_only_is_not_smeared_over_its_neighbours() -> None:
    rng = np.random.default_rng(1)
    sources = {i: scene() for i in range(5)}
    blob = cv2.GaussianBlur(rng.normal(128, 600, (48, 48, 3)).astype(np.float32), (0, 0), 2)
    sources[3] = sources[3].copy()
    sources[3][40:88, 40:88] = np.clip(255 - blob, 0, 255).astype(np.uint8)
    blended = TemporalBlend().blend(sources, sources, 2)
    assert np.abs(blended - sources[2]).mean() < 4.0


def test_every_channel_is_averaged_with_the_same_weights() -> None:
    sources = {i: scene(1.5 * i) for i in range(5)}
    masks = {i: np.maximum(scene(1.5 * i + 20)[..., :1], 1) for i in sources}
    layers = {i: np.dstack([sources[i], masks[i]]) for i in sources}
    blend = TemporalBlend()
    both, colours, mask = (blend.blend(sources, of, 2) for of in (layers, sources, masks))
    assert both.shape == (SIZE, SIZE, 4)
    assert mask.shape == (SIZE, SIZE, 1)
    assert np.allclose(both, np.dstack([colours, mask]), atol=1e-3)
    assert np.abs(both - layers[2]).mean() < 2.0


def test_strength_zero_changes_nothing() -> None:
    crops = {i: scene(2.0 * i) for i in range(3)}
    assert (TemporalBlend(0.0).blend(crops, crops, 1) == crops[1]).all()


def test_frames_outside_the_window_do_not_matter() -> None:
    near = {i: scene(float(i)) for i in range(-RADIUS_FRAMES, RADIUS_FRAMES + 1)}
    far = near | {RADIUS_FRAMES + 1: scene(0.5), -RADIUS_FRAMES - 1: scene(0.5)}
    assert (TemporalBlend().blend(near, near, 0) == TemporalBlend().blend(far, far, 0)).all()


def test_a_single_frame_stays_as_it_is() -> None:
    assert (TemporalBlend().blend({7: scene()}, {7: scene()}, 7) == scene()).all()


@pytest.mark.parametrize("shift", [2.0, -5.0])
def test_flow_fetches_from_where_it_points(shift: float) -> None:
    flow = np.full((SIZE, SIZE, 2), (shift, 0), np.float32)
    assert np.abs(warp_by_flow(scene(shift), flow).astype(int) - scene())[:, 8:-8].mean() < 1.0
