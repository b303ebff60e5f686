"""What pipeline's report has to say in a few figures, each with its unit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..job import Job, JobKind
from . import words


@dataclass(frozen=True)
class Figure:
    """One number of a report."""

    label: str
    """What it is, where the number stands alone."""
    number: str
    """The number with its unit."""
    text: str
    """Both, in as few words as there are."""
    hint: str = ""
    """More of it."""


def report_of(job: Job) -> dict[str, Any]:
    """Return pipeline's report; empty where there is none."""
    try:
        report = json.loads(job.report or "{}")
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def warnings_of(report: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a user should know, one sentence each."""
    warnings = report.get("warnings")
    return tuple(words.sentence(str(warning)) for warning in warnings) if isinstance(warnings, list) else ()


def figures(report: Mapping[str, Any], kind: JobKind = JobKind.VIDEO) -> tuple[Figure, ...]:
    """Return what a report has to say in numbers, most telling first; of a folder, `frames` counts its pictures."""
    noun = "pictures" if kind is JobKind.FOLDER else "frames"
    return tuple(
        figure
        for figure in (
            _counted(report, "frames", noun, f"{noun.capitalize()} of the result", least=1 + (kind is JobKind.PICTURE)),
            _counted(report, "faces", "faces", f"Faces pasted over all {noun}"),
            _counted(report, "tracks", "people", "Different faces over time", least=2),
            _speed(report) if kind is JobKind.VIDEO else None,
            _took(report),
            _steadiness(report),
        )
        if figure is not None
    )


def _counted(report: Mapping[str, Any], name: str, noun: str, hint: str, least: int = 1) -> Figure | None:
    number = _number(report.get(name))
    if number is None or number < least:
        return None
    singular = {"people": "person"}.get(noun, noun.removesuffix("s"))
    text = words.plural(int(number), singular, noun)
    return Figure(noun.capitalize(), words.count(int(number)), text, hint)


def _speed(report: Mapping[str, Any]) -> Figure | None:
    fps = _number(report.get("fps"))
    return Figure("Speed", words.rate(fps), words.rate(fps), "Frames of the result per second of work") if fps else None


def _took(report: Mapping[str, Any]) -> Figure | None:
    secs = _number(report.get("elapsed_secs"))
    return (
        Figure("Time", words.duration(secs), f"in {words.duration(secs)}", "From probing to publishing")
        if secs
        else None
    )


def _steadiness(report: Mapping[str, Any]) -> Figure | None:
    jitter_in, jitter_out = (_number(report.get(f"jitter_{side}_percent")) for side in ("in", "out"))
    if not jitter_in or jitter_out is None or jitter_in <= jitter_out:
        return None
    times = f"{jitter_in / max(jitter_out, jitter_in / 99):.1f}×"
    hint = f"Jitter of the faces: {jitter_in:.2f} % of the eye distance as detected, {jitter_out:.2f} % as placed"
    return Figure("Steadier", times, f"{times} steadier", hint)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
