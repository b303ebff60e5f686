"""The built-in parsing network: shapes, folding, and what its committed weights see in a real photograph."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from torch import Tensor

from alignment.templates import HEAD as HEAD_TEMPLATE
from alignment.templates import source_to_crop
from alignment.warp import warp_crop
from faceseg.parser import BUILT_IN_WEIGHTS, load_face_parser
from faceseg.part_net import PartNet
from faceseg.parts import HEAD, FacePart
from trainer.recipes.parser_views import mirror_labels

FIVE = np.float32([[202, 100], [247, 103], [227, 126], [204, 140], [243, 140]])
"""Eyes, nose tip and mouth corners of the astronaut, read off the picture."""
TINY = ((4, 4, 8, 8, 8), (1, 1, 1, 1), (4, 4, 4, 4))


def head_crop() -> np.ndarray:
    return warp_crop(astronaut(), source_to_crop(FIVE, HEAD_TEMPLATE, 256), 256)


@pytest.fixture(scope="module")
def parsed() -> Tensor:
    return load_face_parser(BUILT_IN_WEIGHTS).parse(head_crop()[None])[0]


def share_of(probabilities: Tensor, parts: frozenset[FacePart], window: tuple[slice, slice]) -> float:
    return float(probabilities[sorted(parts)].sum(0)[window].mean())


def test_logits_come_at_the_pictures_size_and_half_of_it() -> None:
    network = PartNet(*TINY).eval()
    images = torch.zeros(2, 3, 64, 96)
    assert network(images).shape == (2, 19, 64, 96)
    assert network.half_size_logits(images).shape == (2, 19, 32, 48)


def test_folding_the_norms_changes_nothing() -> None:
    torch.manual_seed(1)
    network, images = PartNet(*TINY), torch.randn(2, 3, 64, 64)
    for _ in range(3):
        network(images)  # moves the running statistics
    network.eval()
    folded = copy.deepcopy(network).fold_norms().fold_norms()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(images), network(images), rtol=1e-3, atol=1e-4)


def test_the_network_and_its_committed_weights_are_small() -> None:
    assert sum(weight.numel() for weight in PartNet().parameters()) < 2_000_000
    assert BUILT_IN_WEIGHTS.stat().st_size < 4_000_000


def test_the_astronaut_has_skin_hair_and_background_where_they_are(parsed: Tensor) -> None:
    face = frozenset({FacePart.SKIN, FacePart.NOSE})
    assert share_of(parsed, face, np.s_[138:150, 90:104]) > 0.9  # a cheek
    assert share_of(parsed, frozenset({FacePart.HAIR}), np.s_[35:50, 118:140]) > 0.9  # above the forehead
    assert share_of(parsed, frozenset({FacePart.BACKGROUND}), np.s_[:20, :20]) > 0.9
    assert share_of(parsed, frozenset({FacePart.CLOTH, FacePart.NECK}), np.s_[240:, 110:150]) > 0.8
    lips = frozenset({FacePart.UPPER_LIP, FacePart.LOWER_LIP, FacePart.MOUTH})
    assert share_of(parsed, lips, np.s_[172:178, 118:138]) > 0.8


def test_what_is_held_before_the_face_is_no_part_of_the_head() -> None:
    crop = head_crop()
    crop[150:256, 100:170] = np.float32([40, 90, 160]) * np.linspace(0.7, 1.2, 70)[:, None]  # a mug before the mouth
    probabilities = load_face_parser(BUILT_IN_WEIGHTS).parse(crop[None])[0]
    assert share_of(probabilities, HEAD, np.s_[160:250, 108:162]) < 0.1
    assert share_of(probabilities, HEAD, np.s_[100:130, 90:160]) > 0.95  # the eyes stay in it


def test_a_mirrored_picture_has_left_and_right_changed() -> None:
    parser, crop = load_face_parser(BUILT_IN_WEIGHTS), head_crop()
    plain, mirrored = (
        parser.parse(np.ascontiguousarray(c[None])).argmax(1).byte().numpy()[0] for c in (crop, crop[:, ::-1])
    )
    assert (mirror_labels(plain) == mirrored).mean() > 0.97
    assert (plain[115:130, 90:112] == FacePart.RIGHT_EYE).sum() > 20  # the person's own right
    assert (mirrored[115:130, 140:168] == FacePart.LEFT_EYE).sum() > 20
