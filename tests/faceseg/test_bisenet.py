"""BiSeNet computes what the public implementation computes."""

from __future__ import annotations

import pytest
import torch

from faceseg.bisenet import BiSeNet
from faceseg.parser import BiSeNetParser
from tests.oracle import Fixture, assert_close, fixture_names


@pytest.mark.parametrize("name", fixture_names("bisenet"))
def test_all_three_outputs_match_the_public_implementation(name: str) -> None:
    fixture = Fixture(name)
    network = BiSeNet().eval()
    network.load_state_dict(fixture.state())  # strict: the published key names, no map

    with torch.inference_mode():
        outputs = network(fixture.tensors["in.x"])

    for key, got in outputs._asdict().items():
        fixture.check(key, got, fixture.tolerance(key))
    assert torch.equal(outputs.out.argmax(1).to(torch.uint8), fixture.tensors["argmax"])


@pytest.mark.parametrize("name", fixture_names("face_segmentation"))
def test_probabilities_of_an_image_match_the_reference_system(name: str) -> None:
    fixture = Fixture(name)
    state = fixture.state()
    state["conv_out.conv_out.weight"] *= 0.125  # as the fixture's note says
    network = BiSeNet()
    network.load_state_dict(state)

    with torch.inference_mode():
        probabilities = BiSeNetParser(network)(fixture.tensors["in.x"])

    fixture.check("out.prob", probabilities, 2e-5)
    assert_close("sum over the parts", probabilities.sum(1), torch.ones(1, 48, 48), 1e-5)


def test_a_part_count_other_than_nineteen_shapes_every_head() -> None:
    with torch.inference_mode():
        outputs = BiSeNet(num_parts=5).eval()(torch.zeros(2, 3, 64, 96))

    assert [tuple(o.shape) for o in outputs] == [(2, 5, 64, 96)] * 3
