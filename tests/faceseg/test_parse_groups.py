"""Groups of parts in one answer, at the parser's own resolution."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from faceseg.parser import BuiltInParser
from faceseg.part_net import PartNet
from faceseg.parts import BUST, FACE, UnknownPartGroupError, change_parts, part_group

PICTURES = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3)).astype(np.uint8)


def tiny_parser() -> BuiltInParser:
    torch.manual_seed(0)
    return BuiltInParser(PartNet((4, 4, 8, 8, 8), (1, 1, 1, 1), (4, 4, 4, 4)), working_size_px=64)


def test_a_group_has_the_summed_probability_of_its_parts() -> None:
    parser = tiny_parser()
    groups = parser.parse_groups(PICTURES, [FACE, BUST, frozenset()])
    assert groups.shape == (2, 3, 32, 32)
    expected = parser.parse(PICTURES)[:, sorted(FACE)].sum(1)
    enlarged = F.interpolate(groups[:, :1], (64, 64), mode="bilinear", align_corners=False)[:, 0]
    assert torch.allclose(enlarged, expected, atol=1e-5)
    assert not groups[:, 2].any()


def test_a_parser_in_bfloat16_says_nearly_the_same() -> None:
    exact = tiny_parser().parse_groups(PICTURES, [FACE])
    rough = tiny_parser().to(torch.bfloat16).parse_groups(PICTURES, [FACE])
    assert (exact - rough.float()).abs().max() < 0.03


def test_parts_are_changed_by_words() -> None:
    assert change_parts(BUST, "") == BUST
    assert change_parts(BUST, "no-neck, no-hat") == part_group("head")
    assert change_parts(FACE, "hair,ears") == part_group("head")
    with pytest.raises(UnknownPartGroupError, match="'no-wings' is no part"):
        change_parts(BUST, "no-wings")
