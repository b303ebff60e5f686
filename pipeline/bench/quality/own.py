"""Figures on the user's own clips: speed, faces and steadiness with smoothing off and on."""

from __future__ import annotations

from pathlib import Path

from ..sections import Cell, Table
from .run import Bench

_HEADS = ("clip", "frames", "with a face", "fps")
_STEADINESS = (
    "jitter in",
    "off",
    "on",
    "warp error in",
    "off",
    "on",
    "mask flicker off",
    "on",
    "seam excess",
    "verified",
)


def measure(bench: Bench) -> list[Table]:
    """The table of the section `clips`."""
    clips = bench.settings.clips
    bench.progress.start("clips", "measuring", 2 * len(clips))
    rows = [_row(bench, clip) for clip in clips]
    return [
        Table(
            "Clips",
            (*_HEADS, *_STEADINESS),
            tuple(rows),
            "`off` is `--smoothing 0`, `on` the default; jitter in % of eye distance, mask flicker in % of the head's "
            "area, the rest in grey levels.",
        )
    ]


def _row(bench: Bench, clip: Path) -> tuple[Cell, ...]:
    reports = []
    for smoothing in (1.0, 0.0):
        reports.append(bench.convert(clip, smoothing=smoothing))
        bench.progress.advance(1)
    on, off = reports
    seam: float | None = getattr(on, "seam_excess", None)
    return (
        clip.stem,
        on.frames,
        f"{100 * on.frames_with_faces / max(on.frames, 1):.1f} %",
        round(on.fps, 1),
        *(on.jitter_in_percent, off.jitter_out_percent, on.jitter_out_percent),
        *(on.warp_error_in, off.warp_error_out, on.warp_error_out),
        *(getattr(report, "mask_flicker", None) for report in (off, on)),
        seam,
        on.verified and off.verified,
    )
