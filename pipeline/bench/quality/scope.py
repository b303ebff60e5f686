"""What the scopes of a conversion cost and change: face, head and whole frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ...decode import iter_frames
from ...errors import UnsuitableStyleError
from ...frames import Frame
from ...probe import probe
from ...settings import ConvertSettings
from ..sections import Cell, Table
from .run import Bench

SCOPES: tuple[str, ...] = ConvertSettings.__dataclass_fields__["scope"].metadata["choices"]

_CHANGED_LEVELS = 8
"""A pixel whose brightness differs by more than this has changed."""
_TONE_SIDE_PX = 24
"""Tones are compared on pictures of this width."""


def measure(bench: Bench) -> list[Table]:
    """The table of the section `scope`."""
    bench.progress.start("scope", "measuring", len(SCOPES))
    rows = []
    for scope in SCOPES:
        try:
            rows.append(_row(bench, scope))
        except UnsuitableStyleError:
            rows.append((scope, *[None] * 7))
        bench.progress.advance(1)
    return [
        Table(
            "The demo clip in every scope",
            ("scope", "fps", "changed", "tones off by", "warp error in", "out", "whole frames", "guarded"),
            tuple(rows),
            "Changed: share of the pixels whose brightness differs by more than 8 levels. Tones off by: mean "
            "difference of source and result seen so small that only tones are left, in levels of 255. Warp error "
            "inside what is restyled, so the scopes do not compare with each other but `in` with `out`.",
        )
    ]


def _row(bench: Bench, scope: str) -> tuple[Cell, ...]:
    report, result = bench.convert_to(bench.demo_clip, scope=scope)
    changed, tones = _compare(bench.demo_clip, result)
    errors = report.warp_error_in, report.warp_error_out
    return (scope, report.fps, f"{100 * changed:.0f} %", tones, *errors, report.whole_frames, report.guarded)


def _compare(source: Path, result: Path) -> tuple[float, float]:
    """Share of changed pixels and mean difference of tones, over all frames."""
    changed, tones = [], []
    for before, after in zip(iter_frames(probe(source)), iter_frames(probe(result)), strict=True):
        difference = cv2.absdiff(before.planes[0], after.planes[0])
        changed.append(float((difference > _CHANGED_LEVELS).mean()))
        tones.append(float(np.abs(_tones(before) - _tones(after)).mean()))
    return float(np.mean(changed)), float(np.mean(tones))


def _tones(frame: Frame) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    width, height = frame.size_wh
    size_wh = _TONE_SIDE_PX, max(round(_TONE_SIDE_PX * height / width), 1)
    small = cv2.resize(frame.to_rgb(0, 0, width, height), size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)
