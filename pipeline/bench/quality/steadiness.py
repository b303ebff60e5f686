"""How steady the program is: placement against the true motion, pixels by flow-warp error, smoothing off and on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import eye_distance
from alignment.tracking import Track

from ...analyse import AnalyseConfig, analyse
from ...casting import plan_faces
from ...decode import iter_frames
from ...plan import Plan
from ...probe import probe
from ...report import Report
from ..clips import VARIANTS, make_clip, true_transform
from ..sections import Cell, Table
from .run import Bench

Values = npt.NDArray[np.float64]


def measure(bench: Bench) -> list[Table]:
    """The tables of the section `steadiness`."""
    bench.progress.start("steadiness", "measuring", 3 * len(VARIANTS))
    placements, pixels = [], []
    for variant in VARIANTS:
        clip = make_clip(bench.folder / f"{variant}.mp4", variant, bench.settings.frames)
        placements.append(_placement_row(bench, clip, variant))
        bench.progress.advance(1)
        pixels.append(_pixel_row(bench, clip, variant))
    return [
        Table(
            "Placement",
            ("clip", "found", "jitter in", "off", "on", "noise off", "on", "error off", "on"),
            tuple(placements),
            "All but `found` in % of eye distance. Jitter: see Definitions; it holds the true motion too. Noise and "
            "error are measured against the true motion of the portrait: noise is the RMS of the second difference of "
            "what is left of the landmarks' motion, error the RMS of how far they stray from their mean place on the "
            "portrait (lag and overshoot included).",
        ),
        Table(
            "Pixels",
            ("clip", "warp error in", "off", "on", "mask flicker off", "on", "seam excess", "guarded"),
            tuple(pixels),
            "Warp error and seam excess in grey levels, mask flicker in % of the head's area; see Definitions.",
        ),
    ]


def _placement_row(bench: Bench, clip: Path, variant: str) -> tuple[Cell, ...]:
    """Jitter, noise and error of one clip."""
    info, studio = probe(clip), bench.studio()
    config = AnalyseConfig(min_track_secs=studio.settings.min_track_secs)
    analysis = analyse(iter_frames(info), info.video.time_base, studio.finder, config)
    off, on = (plan_faces(analysis, bench.studio(smoothing=smoothing), Report(str(clip))) for smoothing in (0.0, 1.0))
    found = 100 * off.num_faces / analysis.num_frames
    row: list[Cell] = [variant, f"{found:.0f} %", on.jitter_in_percent, off.jitter_out_percent, on.jitter_out_percent]
    unrest = [_unrest(plan, variant) for plan in (off, on)]
    return (*row, *(noise for noise, _ in unrest), *(error for _, error in unrest))


def _unrest(plan: Plan, variant: str) -> tuple[float | None, float | None]:
    """Noise and error of the longest track against the truth, % of eye distance."""
    if not plan.tracks:
        return None, None
    track = max(plan.tracks, key=lambda t: len(t.frames))
    if len(track.frames) < 3:
        return None, None
    residual = residual_percent(track, [true_transform(variant, int(i)) for i in track.frames])
    return _rms(np.diff(residual, 2, axis=0)), _rms(residual)


def residual_percent(track: Track, truth: list[npt.NDArray[np.float64]]) -> Values:
    """(T, K, 2): how far landmarks stray from their mean place on the thing that moves, % of eye distance.

    Args:
        track: landmarks over T frames.
        truth: for each frame the 2x3 from the thing to the frame.
    """
    on_thing = np.stack(
        [
            cv2.transform(points[None].astype(np.float64), cv2.invertAffineTransform(move))[0]
            for points, move in zip(track.landmarks, truth, strict=True)
        ]
    )
    middle = on_thing.mean(axis=0)
    return np.asarray(100 * (on_thing - middle) / eye_distance(middle.astype(np.float32)), np.float64)


def _rms(differences: Values) -> float:
    """Root of the mean squared length of vectors."""
    return float(np.sqrt((differences**2).sum(axis=-1).mean()))


def _pixel_row(bench: Bench, clip: Path, variant: str) -> tuple[Cell, ...]:
    reports = []
    for smoothing in (0.0, 1.0):
        reports.append(bench.convert(clip, smoothing=smoothing))
        bench.progress.advance(1)
    off, on = reports
    flicker = [getattr(report, "mask_flicker", None) for report in reports]
    seam: float | None = getattr(on, "seam_excess", None)
    return (variant, on.warp_error_in, off.warp_error_out, on.warp_error_out, *flicker, seam, off.guarded + on.guarded)
