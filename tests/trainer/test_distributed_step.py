"""Two processes with a picture each take the steps of one process with both."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from tests.trainer.tiny_run import configured, networks_of, random_batch, split, weights_of
from trainer.steps import Stepper

NUM_PROCESSES = 2
NUM_STEPS = 2
CONFIG = configured(losses={"tv": 1.0})
ACCUMULATED = configured(losses={"disc_cam": 0.0})


def _train(batches, config, wrap=lambda module: module):
    """Take some steps; return the last one's losses and all weights."""
    stepper = Stepper(networks_of(config), config, wrap=wrap)
    results = [stepper.run(batches, 1e-3, 0.0) for _ in range(NUM_STEPS)]
    return results[-1].losses, weights_of(stepper.networks)


def _work(rank: int, folder: Path) -> None:
    """One process: its picture of two in one run, its two of four, accumulated, in the other."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=NUM_PROCESSES
    )
    plain = _train([split(random_batch(2))[rank]], CONFIG, DistributedDataParallel)
    accumulated = _train(split(random_batch(4))[rank::NUM_PROCESSES], ACCUMULATED, DistributedDataParallel)
    skipped = _skipped_by_one_bad_picture(rank)
    torch.save([plain, accumulated, skipped], folder / f"rank{rank}.pt")
    distributed.destroy_process_group()


def _skipped_by_one_bad_picture(rank: int) -> bool:
    """Did this process leave its weights alone in a step in which the other's picture is broken?"""
    batch = random_batch()
    if rank == 1:
        batch = replace(batch, a=replace(batch.a, real=batch.a.real * float("nan")))
    stepper = Stepper(networks_of(CONFIG), CONFIG, wrap=DistributedDataParallel)
    before = stepper.networks.gen_a2b.draw.weight.detach().clone()
    result = stepper.run([batch], 1e-3, 0.0)
    return not result.is_finite and torch.equal(before, stepper.networks.gen_a2b.draw.weight)


@pytest.fixture(scope="module")
def of_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(_work, (folder,), NUM_PROCESSES)
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(NUM_PROCESSES)]


@pytest.mark.parametrize(("run", "num_pictures", "config"), [(0, 2, CONFIG), (1, 4, ACCUMULATED)])
def test_two_processes_have_the_losses_and_weights_of_one_with_all_pictures(of_ranks, run, num_pictures, config):
    losses, weights = _train([random_batch(num_pictures)], config)
    first, second = (rank[run] for rank in of_ranks)
    mean = {name: (value.item() + second[0][name].item()) / 2 for name, value in first[0].items()}
    assert mean == pytest.approx({name: value.item() for name, value in losses.items()}, rel=1e-8)
    for key, wanted in weights.items():
        torch.testing.assert_close(first[1][key], wanted, atol=1e-9, rtol=0)
        assert torch.equal(first[1][key], second[1][key])


def test_all_processes_skip_a_step_that_is_not_finite_in_one(of_ranks):
    assert [rank[2] for rank in of_ranks] == [True, True]
