"""Mask operations equal the reference system's and OpenCV's, and treat each picture of a batch by itself."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from faceseg import masks
from faceseg.parts import EYEWEAR, HAIR, HEAD, MOUTH, FacePart
from tests.oracle import Fixture, fixture_names


def random_probabilities(num_pictures: int, height: int = 20, width: int = 28) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.softmax(3 * torch.randn(num_pictures, 19, height, width, generator=generator), dim=1)


def combined(probabilities: Tensor, case: dict[str, Any]) -> Tensor:
    normal, dilated, eroded = (
        frozenset(map(FacePart, case[f"{kind}_parts"])) for kind in ("normal", "dilate", "erode")
    )
    return masks.combine_parts(
        probabilities, normal=normal, dilated=dilated, eroded=eroded, is_soft=case["is_soft_edge"]
    )


@pytest.mark.parametrize("name", fixture_names("face_mask"))
def test_every_recorded_mask_of_the_reference_system_is_reproduced(name: str) -> None:
    fixture = Fixture(name)
    probabilities = fixture.tensors["in.prob"]

    got = {case["name"]: combined(probabilities, case) for case in fixture.meta["cases"]}

    for case, mask in got.items():
        fixture.check(f"out.{case}", mask, 1e-6)
    product = got["erode_soft"] * got["glass_mouth_soft"]
    fixture.check("out.train_erode_glass_mouth_soft", product, 1e-6)


def test_a_batch_gives_the_same_masks_as_its_pictures_one_by_one() -> None:
    probabilities = random_probabilities(3)

    def mask(p: Tensor) -> Tensor:
        return masks.combine_parts(p, normal=HEAD - MOUTH, dilated=HAIR, eroded=EYEWEAR | MOUTH)

    together, one_by_one = mask(probabilities), torch.cat([mask(p[None]) for p in probabilities])

    assert together.shape == (3, 1, 20, 28)
    assert torch.equal(together, one_by_one)
    feathered = torch.cat([masks.feather(m[None], 1.5) for m in one_by_one])
    torch.testing.assert_close(masks.feather(together, 1.5), feathered, atol=1e-6, rtol=0)


@pytest.mark.parametrize("radius_px", [0, 1, 2, 3, 5, 9])
def test_morphology_equals_opencvs_with_an_elliptical_kernel(radius_px: int) -> None:
    mask = random_probabilities(1)[:, :1]
    picture = mask[0, 0].numpy()
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1, 2 * radius_px + 1))

    np.testing.assert_array_equal(masks.dilate(mask, radius_px)[0, 0], cv2.dilate(picture, kernel))
    np.testing.assert_array_equal(masks.erode(mask, radius_px)[0, 0], cv2.erode(picture, kernel))
    closed = cv2.morphologyEx(picture, cv2.MORPH_CLOSE, kernel)
    np.testing.assert_array_equal(masks.close_gaps(mask, radius_px)[0, 0], closed)


def test_a_part_mask_adds_the_probabilities_of_its_parts() -> None:
    probabilities = random_probabilities(2)

    mask = masks.part_mask(probabilities, {FacePart.HAIR, FacePart.HAT})

    assert mask.shape == (2, 1, 20, 28)
    torch.testing.assert_close(mask[:, 0], probabilities[:, 17] + probabilities[:, 18])
    torch.testing.assert_close(masks.part_mask(probabilities, frozenset(FacePart)), torch.ones(2, 1, 20, 28))
    assert masks.part_mask(probabilities, ()).abs().max() == 0


def test_a_soft_edge_keeps_the_middle_and_clears_both_ends() -> None:
    values = torch.tensor([[[[0.0, 0.29, 0.31, 0.5, 0.69, 0.7, 1.0]]]])

    assert masks.soft_edge(values).flatten().tolist() == pytest.approx([0, 0, 0.31, 0.5, 0.69, 1, 1])
    assert masks.harden(values).flatten().tolist() == [0, 0, 0, 1, 1, 1, 1]


def test_feathering_is_opencvs_gaussian_and_leaves_full_and_empty_masks_alone() -> None:
    mask = masks.harden(random_probabilities(1, 64, 64)[:, :1], 0.1)

    blurred = masks.feather(mask, 2.0)

    expected = cv2.GaussianBlur(mask[0, 0].numpy(), (13, 13), 2.0, borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(blurred[0, 0], expected, atol=1e-6)
    torch.testing.assert_close(masks.feather(torch.ones(1, 1, 8, 8), 5.0), torch.ones(1, 1, 8, 8))
    assert masks.feather(mask, 0) is mask
