"""Which pictures are shown when: every sample of a run has a number, and the number decides everything.

Both domains are shuffled independently, epoch by epoch. As nothing depends on what was drawn before, a run resumes at
any step without replaying, and N processes with batches of n show what one shows with batches of N * n.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt


class Stream(IntEnum):
    """What a random generator is for; generators of different streams have nothing in common."""

    DOMAIN_A = 0
    DOMAIN_B = 1
    PAIRS = 2
    CHANCES = 3


@dataclass(frozen=True)
class SampleOrder:
    """The numbers of the samples in a process's batches."""

    seed: int
    batch_size: int
    """Samples of one batch of one process."""
    rank: int = 0
    world_size: int = 1

    def samples(self, batch_number: int) -> range:
        """Numbers of the samples in this process's batch, counted from 0 over the whole run and all processes."""
        first = (batch_number * self.world_size + self.rank) * self.batch_size
        return range(first, first + self.batch_size)

    def picture(self, stream: Stream, sample: int, count: int) -> int:
        """Index of the picture that a sample shows, of `count`; in each epoch each picture comes once."""
        epoch, position = divmod(sample, count)
        return int(_permutation(self.seed, stream, epoch, count)[position])

    def chances(self, sample: int) -> np.random.Generator:
        """Return the generator of all other chances of a sample."""
        return np.random.default_rng((self.seed, Stream.CHANCES, sample))


@lru_cache(maxsize=8)
def _permutation(seed: int, stream: Stream, epoch: int, count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((seed, stream, epoch)).permutation(count)
