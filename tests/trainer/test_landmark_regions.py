"""What landmark training draws: pairs of views, bent, hidden and leaving faces; and the loss of two views."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from alignment.landmark_net import LandmarkOutput
from alignment.landmarks import roi_from_landmarks
from alignment.points import MESH
from alignment.warp import transform_points
from trainer.recipes.landmark_covers import cover, cut_off
from trainer.recipes.landmark_degrade import shake
from trainer.recipes.landmark_regions import Batch, RegionConfig, RegionSampler
from trainer.recipes.landmark_shapes import Bend, draw_bend
from trainer.recipes.landmark_training import LossWeights, landmark_losses

from .test_landmark_recipe import made_up_face, made_up_landmarks


def draw_batch(count: int = 24, **options: float) -> Batch:
    faces = [made_up_face("faces/a"), made_up_face("faces/bb")]
    return RegionSampler(faces, RegionConfig(**options)).batch(np.random.default_rng(0), count)


# Pairs


def test_the_views_of_a_pair_show_the_same_face_moved_by_a_similarity() -> None:
    batch = draw_batch(pair_share=1.0, negative_share=0.0)
    seconds = np.flatnonzero(batch.partners.numpy() >= 0)
    assert list(seconds) == list(range(1, 24, 2))
    for second in seconds:
        first, other = (batch.landmarks[i].numpy() * 128 for i in (batch.partners[second], second))
        fit, _ = cv2.estimateAffinePartial2D(first, other, method=cv2.LMEDS)
        assert np.abs(transform_points(fit.astype(np.float32), first) - other).max() < 0.05
        assert 0 < np.linalg.norm(first - other, axis=1).mean() < 30


def test_regions_without_a_face_have_no_partner() -> None:
    batch = draw_batch(negative_share=0.5)
    assert ((batch.presence == 1) | (batch.partners == -1)).all()
    assert 0 < batch.presence.sum() < 24


def turned_pair(miss: float, other_miss: float) -> tuple[LandmarkOutput, Batch]:
    """Two views of one face, the second turned by 90 degrees, with misses to the face's own right."""
    labels = torch.from_numpy(made_up_landmarks((60, 60), 20)) / 128
    turned = torch.stack([1 - labels[:, 1], labels[:, 0]], 1)
    right, turned_right = torch.tensor([20 / 128, 0.0]), torch.tensor([0.0, 20 / 128])
    found = torch.stack([labels + miss * right, turned + other_miss * turned_right])
    pictures = torch.zeros(2, 1, 1, 3, dtype=torch.uint8)
    batch = Batch(pictures, torch.stack([labels, turned]), torch.ones(2), torch.tensor([-1, 0]))
    return LandmarkOutput(found, torch.zeros(2)), batch


def test_a_miss_that_both_views_share_costs_no_steadiness() -> None:
    losses = landmark_losses(*turned_pair(0.1, 0.1), LossWeights())
    assert losses["steady"].item() == pytest.approx(0, abs=1e-6)
    assert losses["landmarks"].item() > 0.04


def test_views_that_disagree_cost_by_how_far() -> None:
    losses = landmark_losses(*turned_pair(0.1, 0.0), LossWeights())
    assert losses["steady"].item() == pytest.approx((0.1 - 0.0025) / 2, rel=1e-3)  # on one of two axes


def test_steadiness_counts_as_far_as_it_is_ramped_up() -> None:
    totals = [landmark_losses(*turned_pair(0.1, 0.0), LossWeights(), ramp)["total"].item() for ramp in (0.0, 0.5, 1.0)]
    steady = landmark_losses(*turned_pair(0.1, 0.0), LossWeights(steady=2.0))["steady"].item()
    assert totals[1] - totals[0] == pytest.approx(0.5 * LossWeights().steady * steady, rel=1e-4)
    assert totals[2] - totals[0] == pytest.approx(LossWeights().steady * steady, rel=1e-4)


def test_a_mouth_that_opens_too_little_costs_opening() -> None:
    output, batch = turned_pair(0.0, 0.0)
    shut = output.landmarks.clone()
    shut[0, MESH["lips_inner"].start + 15, 1] -= 0.05
    losses = landmark_losses(LandmarkOutput(shut, output.presence_logits), batch, LossWeights())
    assert losses["opening"].item() > 0
    assert landmark_losses(output, batch, LossWeights())["opening"].item() == 0


# Bends


def test_unbending_brings_every_point_back() -> None:
    face = made_up_face()
    own = transform_points(roi_from_landmarks(face.landmarks, 128), face.landmarks)
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 127, (200, 2))
    for _ in range(20):
        bend = draw_bend(own, 128, rng)
        bent = points + bend.shift(points)
        assert np.abs(bent - bend.unshift(bent) - points).max() < 0.05


def test_a_turn_moves_the_nose_and_hardly_the_outline() -> None:
    bend = Bend(np.float32([64, 64]), 43.0, turn_rad=(0.3, 0.0))
    nose, temple = bend.shift(np.array([[64.0, 64.0], [64 + 43.0, 64.0]]))
    assert nose[0] == pytest.approx(0.8 * np.sin(0.3) * 43)
    assert abs(temple[0]) < 0.5 * nose[0]


def test_squeezed_eyes_are_lower_and_as_wide() -> None:
    bend = Bend(np.float32([64, 64]), 43.0, eyes=((50.0, 50.0, 8.0),), eye_squeeze=0.5)
    top, bottom, corner = bend.shift(np.array([[50.0, 48.0], [50.0, 52.0], [42.0, 50.0]]))
    assert top[1] == pytest.approx(-bottom[1])
    assert 0.8 < top[1] < 1.0
    np.testing.assert_allclose(corner, 0, atol=1e-9)


# Faces that go


@pytest.mark.parametrize("share", [0.1, 0.5, 0.85, 1.0])
def test_a_cover_hides_as_many_landmarks_as_it_should(share: float) -> None:
    landmarks, white = made_up_landmarks((64, 50), 28), np.full((128, 128, 3), 255, np.uint8)
    for seed in range(12):
        covered = cover(np.zeros_like(white), landmarks, share, white, np.random.default_rng(seed))
        places = np.clip(landmarks.round().astype(int), 0, 127)
        hidden = (covered[places[:, 1], places[:, 0], 0] > 127).mean()
        assert abs(hidden - share) < 0.08


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_the_frame_s_edge_leaves_as_many_landmarks_outside_as_it_should(share: float) -> None:
    face = made_up_face()
    for seed in range(12):
        left, first = cut_off(face.picture, face.landmarks, share, np.random.default_rng(seed))
        places = face.landmarks - first
        is_outside = ((places < -0.5) | (places > np.array(left.shape[1::-1]) - 0.5)).any(1)
        assert abs(is_outside.mean() - share) < 0.12  # the cartoon's brows lie on one line


def test_a_face_that_went_is_hidden_in_its_region() -> None:
    # Given a white face, and black to hide it behind
    face = made_up_face(picture=np.full((220, 240, 3), 255, np.uint8))
    sampler = RegionSampler([face], RegionConfig(bend_share=0.0))
    black = np.zeros((128, 128, 3), np.uint8)
    # When it is seen as usual, and after it went
    rng = np.random.default_rng(0)
    seen = np.mean([sampler.positive(rng)[0].mean() for _ in range(30)])
    gone = np.mean([sampler.gone(black, rng).mean() for _ in range(30)])
    # Then less of it is to be seen
    assert gone < 0.75 * seen


def test_a_face_whose_labels_are_doubted_is_never_drawn() -> None:
    doubted = replace(made_up_face("faces/a", np.full((220, 240, 3), 255, np.uint8)), doubt=0.5)
    trusted = made_up_face("faces/b", np.full((220, 240, 3), 100, np.uint8))
    sampler = RegionSampler([doubted, trusted], RegionConfig())
    rng = np.random.default_rng(0)
    assert max(int(sampler.positive(rng)[0][60:68, 60:68].mean()) for _ in range(30)) < 200


def test_shaking_moves_nothing() -> None:
    dot = np.full((128, 128, 3), 20, np.uint8)
    cv2.circle(dot, (70, 50), 12, (230, 230, 230), -1)
    rng = np.random.default_rng(0)
    for _ in range(20):
        ys, xs = np.nonzero(shake(dot, rng).mean(-1) > 125)
        assert np.hypot(xs.mean() - 70, ys.mean() - 50) < 0.3
