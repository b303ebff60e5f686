"""Which crops are for training and which for testing: whole runs of neighbours on one side, the same ones every time.

Pictures that lie next to each other in a folder, and moments of a video that lie close together, often show the same
face alike; a test on them would praise what was only learnt by heart.
"""

from __future__ import annotations

from dataclasses import dataclass

Group = tuple[str, int]

_MAX_RUN_PICTURES = 10
_MAX_BLOCK_SECS = 30.0
_MAX_GAP_SECS = 2.0


@dataclass(frozen=True)
class Neighbourhood:
    """What of one source stays together."""

    name: str
    """The source, or for pictures the run of pictures that it belongs to."""
    block_secs: float | None = None
    """Length of the pieces of a video that stay together; None for a picture."""

    @property
    def gap_secs(self) -> float:
        """So far apart in time are two crops of a video that lie on different sides."""
        return min(_MAX_GAP_SECS, (self.block_secs or 0.0) / 2)

    def group_of(self, time_secs: float | None) -> Group:
        """Name the group of a crop."""
        if time_secs is None or self.block_secs is None:
            return self.name, 0
        return self.name, int(time_secs // self.block_secs)


def picture_run(position: int, num_pictures: int, share: float) -> Neighbourhood:
    """Place a picture among its neighbours.

    Args:
        position: of the picture among those of the call, in order of their names.
        num_pictures: how many there are.
        share: of the crops that is for testing; the runs are short enough for a few of them to be.
    """
    length = min(max(round(num_pictures * share / 4), 1), _MAX_RUN_PICTURES)
    return Neighbourhood(f"run {position // length}")


def video_blocks(source: str, duration_secs: float | None, share: float, every_secs: float) -> Neighbourhood:
    """Divide a video into blocks: a few of them are for testing, however short it is.

    Args:
        source: names the video.
        duration_secs: its length, where that is known.
        share: of the crops that is for testing.
        every_secs: distance of its crops.
    """
    wanted = _MAX_BLOCK_SECS if duration_secs is None else duration_secs * share / 2
    return Neighbourhood(source, min(max(wanted, 2 * every_secs), max(_MAX_BLOCK_SECS, 2 * every_secs)))


class Splitter:
    """Gives each group the side that keeps the share right, in the order in which groups come.

    The first group is for training and the second for testing, so a small data set has both.
    """

    def __init__(self, share: float, num_train: int = 0, num_test: int = 0) -> None:
        """Begin with what is there already.

        Args:
            share: of the crops that is for testing, 0 to 1.
            num_train: crops for training so far.
            num_test: crops for testing so far.
        """
        self._share = share
        self._num = [num_train, num_test]
        self._side_of: dict[Group, int] = {}
        self._last_secs: dict[tuple[str, int], float] = {}

    def choose(self, place: Neighbourhood, time_secs: float | None) -> int | None:
        """Choose the side of the next crop; crops of one video come in order of time.

        Returns:
            0 for training, 1 for testing; None where it is too close to one on the other side and belongs nowhere.
        """
        group = place.group_of(time_secs)
        if group not in self._side_of:
            self._side_of[group] = int(self._num[1] < self._share * sum(self._num))
        side = self._side_of[group]
        if time_secs is not None:
            other = self._last_secs.get((place.name, 1 - side))
            if other is not None and time_secs - other < place.gap_secs:
                return None
            self._last_secs[place.name, side] = time_secs
        self._num[side] += 1
        return side
