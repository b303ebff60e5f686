"""The perceptual term: another style is near, another face is far."""

import cv2
import numpy as np
import pytest
import torch
from skimage.data import astronaut
from torch import Tensor

from model.images import to_tensor
from trainer.perceptual import ParserFeatures, load_parser_features, perceptual_loss, without_colour


@pytest.fixture(scope="module")
def features() -> ParserFeatures:
    return load_parser_features("cpu")


def face() -> Tensor:
    return to_tensor(np.ascontiguousarray(astronaut()[0:256, 99:355])[None])


def restyled(images: Tensor) -> Tensor:
    """Flat tones of other colours, brighter."""
    smooth = torch.nn.functional.avg_pool2d(images, 5, 1, 2)
    return (((smooth.flip(1) * 0.7 + 0.2) * 4).round() / 4).clamp(-1, 1)


def with_another_face() -> Tensor:
    """Colours and hair stay; eyes and mouth are elsewhere: the middle of the face is squeezed towards the chin."""
    picture = (face()[0].permute(1, 2, 0).numpy() + 1) * 127.5
    ys, xs = np.mgrid[:256, :256].astype(np.float32)
    near = np.exp(-(((xs - 128) / 45) ** 2) - ((ys - 125) / 60) ** 2)
    moved = cv2.remap(picture, xs + 0.35 * (xs - 128) * near, ys - 24 * near, cv2.INTER_LINEAR)
    return to_tensor(np.clip(moved, 0, 255).astype(np.uint8)[None])


def test_the_same_face_in_another_style_is_nearer_than_another_face(features: ParserFeatures) -> None:
    real = face()
    style, stranger = (float(perceptual_loss(features, real, x)) for x in (restyled(real), with_another_face()))
    pixels_style, pixels_stranger = ((x - real).abs().mean() for x in (restyled(real), with_another_face()))
    assert pixels_style > 2 * pixels_stranger
    assert style < 0.8 * stranger


def test_brightness_contrast_and_tint_alone_cost_nothing(features: ParserFeatures) -> None:
    real = face()
    grey = without_colour(real)[:, :1].expand(-1, 3, -1, -1)
    assert float(perceptual_loss(features, real, real)) < 1e-5
    assert float(perceptual_loss(features, real, 0.4 * grey + 0.3)) < 1e-3


def test_the_gradient_reaches_the_fake_alone(features: ParserFeatures) -> None:
    real, fake = face().requires_grad_(), restyled(face()).requires_grad_()
    features.train()
    perceptual_loss(features, real, fake).backward()
    assert real.grad is None
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0
    assert fake.grad.isfinite().all()
    assert not features.training
    assert all(p.grad is None for p in features.parameters())


def test_descending_makes_another_face_more_like_the_photograph(features: ParserFeatures) -> None:
    real, fake = face(), with_another_face().requires_grad_()
    before = perceptual_loss(features, real, fake)
    (gradient,) = torch.autograd.grad(before, fake)
    after = perceptual_loss(features, real, (fake - 0.004 * gradient.sign()).detach())
    assert float(after) < float(before.detach())


def test_an_empty_picture_and_odd_sizes_give_finite_losses(features: ParserFeatures) -> None:
    flat = torch.zeros(1, 3, 44, 60, requires_grad=True)
    loss = perceptual_loss(features, torch.zeros(1, 3, 44, 60), flat)
    loss.backward()
    assert loss.isfinite()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()
