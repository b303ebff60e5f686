"""The landmark network's arithmetic: votes, folding, sizes."""

from __future__ import annotations

import pytest
import torch

from alignment.landmark_net import ROI_SIZE_PX, LandmarkNet

TINY = {"widths": (4, 4, 8, 8, 8), "num_blocks": (1, 1, 1, 1), "joint_width": 8}


@pytest.fixture
def network() -> LandmarkNet:
    torch.manual_seed(0)
    network = LandmarkNet(**TINY)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, std=0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def test_every_region_gets_152_landmarks_and_one_presence_logit(network: LandmarkNet) -> None:
    output = network(torch.zeros(3, 3, ROI_SIZE_PX, ROI_SIZE_PX))
    assert output.landmarks.shape == (3, 152, 2)
    assert output.presence_logits.shape == (3,)


def test_cells_that_vote_alike_meet_in_the_middle(network: LandmarkNet) -> None:
    torch.nn.init.zeros_(network.vote_head.weight)
    torch.nn.init.zeros_(network.vote_head.bias)
    landmarks = network(torch.rand(1, 3, 128, 128)).landmarks
    torch.testing.assert_close(landmarks, torch.full((1, 152, 2), 0.5))


def test_an_offset_of_one_is_one_cell(network: LandmarkNet) -> None:
    torch.nn.init.zeros_(network.vote_head.weight)
    with torch.no_grad():
        network.vote_head.bias.copy_(torch.tensor([0.0, 1.0, -2.0]).repeat_interleave(152))
    landmarks = network(torch.rand(1, 3, 128, 128)).landmarks
    torch.testing.assert_close(landmarks[0, 7], torch.tensor([0.5 + 1 / 16, 0.5 - 2 / 16]))


def test_the_cell_with_all_the_weight_decides(network: LandmarkNet) -> None:
    votes = torch.zeros(1, 3 * 152, 16, 16)
    votes[0, :152, 3, 10] = 100.0
    landmarks = network.count_votes(votes)
    torch.testing.assert_close(landmarks[0, 0], torch.tensor([10.5 / 16, 3.5 / 16]))


def test_folding_the_norms_changes_no_output(network: LandmarkNet) -> None:
    # Given the outputs with norms
    regions = torch.rand(2, 3, 128, 128)
    before = network(regions)
    # When folded, twice
    after = network.fold_norms().fold_norms()(regions)
    # Then nothing changes but the operations
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    torch.testing.assert_close(after.landmarks, before.landmarks, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(after.presence_logits, before.presence_logits, atol=1e-5, rtol=1e-4)
