"""The number of a sample decides what it shows: epochs are permutations, and processes share one order."""

from __future__ import annotations

from trainer.sample_order import SampleOrder, Stream

ONE = SampleOrder(seed=3, batch_size=6)


def shown(order: SampleOrder, stream: Stream, samples: range, count: int) -> list[int]:
    return [order.picture(stream, sample, count) for sample in samples]


def test_each_picture_comes_once_in_each_epoch() -> None:
    epochs = [shown(ONE, Stream.DOMAIN_A, range(first, first + 17), 17) for first in (0, 17, 34)]
    assert all(sorted(epoch) == list(range(17)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_domains_are_shuffled_independently() -> None:
    a, b = (shown(ONE, stream, range(50), 50) for stream in (Stream.DOMAIN_A, Stream.DOMAIN_B))
    assert sum(x == y for x, y in zip(a, b, strict=True)) < 8


def test_partners_change_from_epoch_to_epoch() -> None:
    epochs = [
        dict(zip(*(shown(ONE, s, range(n, n + 20), 20) for s in (Stream.DOMAIN_A, Stream.DOMAIN_B)), strict=True))
        for n in (0, 20)
    ]
    assert sum(epochs[0][picture] == epochs[1][picture] for picture in range(20)) < 6


def test_another_seed_is_another_order() -> None:
    other = SampleOrder(seed=4, batch_size=6)
    assert shown(ONE, Stream.DOMAIN_A, range(30), 30) != shown(other, Stream.DOMAIN_A, range(30), 30)
    assert ONE.chances(5).random() != other.chances(5).random()


def test_chances_differ_between_samples_and_repeat_for_one() -> None:
    assert len({ONE.chances(sample).random() for sample in range(100)}) == 100
    assert ONE.chances(7).random() == SampleOrder(seed=3, batch_size=1).chances(7).random()


def test_processes_share_the_samples_of_one_with_a_larger_batch() -> None:
    ranks = [SampleOrder(seed=3, batch_size=2, rank=rank, world_size=3) for rank in range(3)]
    for number in (0, 1, 40):
        shared = [sample for rank in ranks for sample in rank.samples(number)]
        assert shared == list(ONE.samples(number))
