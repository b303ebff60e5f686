"""How long it takes from the start of a process to the first restyled frame, with an empty and with a full cache."""

from __future__ import annotations

from ..sections import Cell, Table
from .child import ChildRun, run_child
from .race import Spread
from .run import SpeedBench

STEPS = ("imports", "networks", "analysed", "first frame", "end")
"""What is reached, in order."""
_NUM_FRAMES = 12


def measure(bench: SpeedBench) -> list[Table]:
    """The table of the section `start`."""
    [scene, *_] = bench.effort.whole
    clip, out = bench.clip(scene, _NUM_FRAMES), bench.folder / "started"
    environment = {"UGATIT_CACHE": str(bench.folder / "cache")}
    bench.progress.start("starts", "measuring", 1 + bench.effort.starts)
    out.mkdir(exist_ok=True)
    runs: list[ChildRun] = []
    for _ in range(1 + bench.effort.starts):
        runs.append(run_child(clip, out, bench.settings.style, bench.settings.device, environment))
        bench.progress.advance(1)
    cold, warm = runs[:1], runs[1:]
    rows: list[tuple[Cell, ...]] = []
    for step in STEPS:
        empty = _noted(bench, "cold", step, cold)
        rows.append((step, empty.text(), _noted(bench, "warm", step, warm).text()))
    note = (
        f"Seconds since the process was started, a clip of {scene.name} and {_NUM_FRAMES} frames. Cold: the program's "
        "own cache is empty (compiled networks are made and kept); warm: it is full, "
        f"{bench.effort.starts} starts. Files are in the system's cache in both. Imports: Python and all packages. "
        "Networks: loaded and ready. Analysed: the first pass over the whole clip is done. First frame: restyled and "
        "handed to the encoder. End: joined, verified, published."
    )
    return [Table("From the start", ("reached", "cold, s", "warm, s"), tuple(rows), note)]


def _noted(bench: SpeedBench, kind: str, step: str, runs: list[ChildRun]) -> Spread:
    secs = Spread.of([run.reached_secs[step] for run in runs])
    return bench.note(f"start/{kind}/{step}", secs, "s", more_is_better=False)
