"""Whether crossing faces keep their ids, as a table of the benchmark."""

from __future__ import annotations

from ..sections import Cell, Table
from .run import Bench
from .tracking import KINDS, score_tracking

_NUM_PER_KIND = 3


def measure(bench: Bench) -> list[Table]:
    """The table of the section `ids`."""
    bench.progress.start("ids", "measuring", len(KINDS))
    rows: list[tuple[Cell, ...]] = []
    total = [0, 0, 0, 0]
    for kind in KINDS:
        score = score_tracking(bench.studio().finder, num_per_kind=_NUM_PER_KIND, kinds=(kind,))[kind]
        counts = [score.num_faces, score.num_kept, score.num_switched, score.num_broken]
        rows.append((kind, *counts))
        total = [a + b for a, b in zip(total, counts, strict=True)]
        bench.progress.advance(1)
    return [
        Table(
            "Ids of faces that meet",
            ("how they meet", "faces", "kept", "switched", "broken"),
            (*rows, ("all", *total)),
            "Drawn clips: two pass each other; one overtakes the other; they touch and part; one hides behind the "
            "other; one passes two. Kept: the same id in the first and the last quarter. Switched: it took another's. "
            "Broken: a new one, or lost.",
        )
    ]
