"""Groups of parts, asked for again and again: compiled once each, with the answers of the parser itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from faceseg.bisenet import BiSeNet
from faceseg.group_parser import CompiledNetwork, GroupParser
from faceseg.parser import BiSeNetParser, BuiltInParser, FaceParser
from faceseg.part_net import PartNet
from faceseg.parts import FACE, HAIR, PartGroup

GROUPS: list[PartGroup] = [FACE, HAIR, frozenset()]


class Compiler:
    """Runs networks as they are and remembers what it was given."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.shapes: list[tuple[int, ...]] = []

    def __call__(
        self, network: nn.Module, example: Tensor, *, key: str, precision: str = "fp32", dynamic_batch: bool = False
    ) -> CompiledNetwork | None:
        self.keys.append(key)
        self.shapes.append(tuple(example.shape))
        return lambda images: (network(images),)


def built_in() -> BuiltInParser:
    torch.manual_seed(4)
    return BuiltInParser(PartNet((4, 4, 8, 8, 8), (1, 1, 1, 1), (4, 4, 4, 4)), working_size_px=64)


def bisenet() -> BiSeNetParser:
    torch.manual_seed(3)
    return BiSeNetParser(BiSeNet(), working_size_px=64)


def pictures(side: int = 64) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, side, side, 3), np.uint8)


@pytest.mark.parametrize("parser", [built_in(), bisenet()], ids=["built-in", "bisenet"])
def test_the_answers_are_those_of_the_parser(parser: FaceParser) -> None:
    shares = GroupParser(parser, Compiler(), 64).parse_groups(pictures(), GROUPS)
    torch.testing.assert_close(shares, parser.parse_groups(pictures(), GROUPS), rtol=1e-4, atol=1e-5)


def test_each_set_of_groups_is_compiled_once_and_under_a_key_of_its_own() -> None:
    compiler = Compiler()
    parser = GroupParser(built_in(), compiler, 64)
    for groups in (GROUPS, GROUPS, GROUPS[:1]):
        parser.parse_groups(pictures(), groups)
    assert len(set(compiler.keys)) == 2


def test_other_weights_have_another_key() -> None:
    compiler, one, other = Compiler(), built_in(), built_in()
    other.part_net.head.weight.mul_(2)
    for parser in (one, other):
        GroupParser(parser, compiler, 64).parse_groups(pictures(), GROUPS)
    assert len(set(compiler.keys)) == 2


def test_the_built_in_network_is_shown_pictures_of_the_size_asked_for_and_others_as_they_are() -> None:
    compiler = Compiler()
    for parser in (built_in(), bisenet()):
        GroupParser(parser, compiler, 32).parse_groups(pictures(), GROUPS)
    assert compiler.shapes == [(1, 32, 32, 3), (1, 64, 64, 3)]


def test_where_nothing_can_be_compiled_the_network_runs_as_it_is() -> None:
    def none(network: nn.Module, example: Tensor, **_: object) -> None:
        return None

    shares = GroupParser(built_in(), none, 64).parse_groups(pictures(), GROUPS)
    torch.testing.assert_close(shares, built_in().parse_groups(pictures(), GROUPS), rtol=1e-4, atol=1e-5)
