"""Most memory of a conversion, of a short clip and of a long one."""

from __future__ import annotations

from ..sections import Cell, Table
from .child import run_child
from .run import SpeedBench


def measure(bench: SpeedBench) -> list[Table]:
    """The table of the section `memory`."""
    scene, counts = bench.effort.memory, bench.effort.memory_frames
    bench.progress.start("memory", "measuring", len(counts))
    out = bench.folder / "remembered"
    out.mkdir(exist_ok=True)
    rows: list[tuple[Cell, ...]] = []
    peaks = []
    for kind, num_frames in zip(("short", "long"), counts, strict=True):
        run = run_child(bench.clip(scene, num_frames), out, bench.settings.style, bench.settings.device)
        peaks.append(run.peak_rss_bytes)
        bench.note(f"memory/{scene.size}/{kind}", run.peak_rss_bytes / 1e6, "MB", is_ratio=True, more_is_better=False)
        gpu_mb = run.gpu_bytes / 1e6 if run.gpu_bytes else None
        if gpu_mb is not None:
            bench.note(f"memory/{scene.size}/{kind} GPU", gpu_mb, "MB", is_ratio=True, more_is_better=False)
        rows.append((f"{num_frames} frames", run.peak_rss_bytes / 1e6, gpu_mb))
        bench.progress.advance(1)
    growth = peaks[1] / max(peaks[0], 1)
    bench.note(f"memory/{scene.size}/growth", growth, "x", is_ratio=True, more_is_better=False)
    note = (
        f"Resident memory of the process and its children together, looked at 20 times a second; {scene.name}. The "
        f"long clip needs {growth:.2f} times what the short one needs; 1.00 is flat."
    )
    return [Table(f"Peak memory at {scene.size}", ("clip", "RSS, MB", "GPU, MB"), tuple(rows), note, decimals=0)]
