"""From the faces that were found to the faces that are restyled: choose, give each its style, plan, and report it.

One way for videos and pictures: a picture is a video of one frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from alignment.faces import Face
from alignment.tracking import Track, link_faces

from .analysis import Analysis
from .choice import NO_STYLE, FaceChoice, parse_faces, parse_style_for
from .finder import FaceSource
from .plan import Plan, choose_tracks, make_plan
from .report import Report
from .samples import take_sample
from .studio import Studio


def plan_faces(analysis: Analysis, studio: Studio, report: Report) -> Plan:
    """Choose the faces, place a crop of its style on each, and note both in the report.

    Raises:
        AlignmentError: `--face-like` cannot be answered.
        ModelError: a style cannot be loaded.
    """
    settings, choice = studio.settings, parse_faces(studio.settings.faces)
    style_for = parse_style_for(settings.style_for)
    scores = studio.search.compare(analysis.samples) if studio.search else {}
    alike = [track for track in analysis.tracks if _is_wanted(track, studio, scores)]
    chosen = choose_tracks(alike, choice)
    styles = {track.track_id: style_for.get(track.track_id + 1, settings.style) for track in chosen}
    crop_of = {track_id: studio.crop_spec(style) for track_id, style in styles.items() if style.lower() != NO_STYLE}
    plan = make_plan(
        analysis,
        crop_of,
        smoothing=settings.smoothing,
        strength=settings.strength,
        max_gap_secs=settings.max_gap_secs,
    )
    report.track_list = [
        describe_track(
            track,
            analysis,
            style=crop_of[track.track_id].style if track.track_id in crop_of else None,
            likeness=round(scores[track.track_id], 3) if track.track_id in scores else None,
        )
        for track in analysis.tracks
    ]
    report.tracks = len(plan.tracks)
    report.warnings += _warnings(analysis.tracks, choice, style_for, styles, plan)
    if studio.search and analysis.tracks and not alike:
        best = max(scores.values(), default=-1.0)
        report.warnings.append(
            f"No face is like the one of --face-like: the most similar scores {best:.2f}, and --face-like-score is "
            f"{settings.face_like_score:.2f}."
        )
    return plan


def _is_wanted(track: Track, studio: Studio, scores: Mapping[int, float]) -> bool:
    return studio.search is None or studio.search.is_alike(scores.get(track.track_id, -1.0))


def still_analysis(faces: Sequence[Face], detector: str) -> Analysis:
    """Take the faces of a picture for the tracks of a video of one frame, numbered from left to right."""
    tracks = link_faces([faces], np.zeros(1))
    return Analysis(np.zeros(1, np.int64), Fraction(1), frozenset(), tuple(tracks), detector)


def with_samples(analysis: Analysis, canvas: FaceSource) -> Analysis:
    """Add to the faces of a picture one cut-out of each."""
    samples = {
        track.track_id: (take_sample(canvas, Face(track.boxes[0], track.landmarks[0], float(track.scores[0]))),)
        for track in analysis.tracks
    }
    return replace(analysis, samples=samples)


def describe_track(track: Track, analysis: Analysis, **more: Any) -> dict[str, Any]:
    """One face as users see it: its number, when it is there, where and how large, and whatever else is known."""
    times = analysis.times_secs
    middle = np.median(track.boxes, axis=0)
    return {
        "number": track.track_id + 1,
        "first_secs": round(float(times[track.frames[0]]), 3),
        "last_secs": round(float(times[track.frames[-1]]), 3),
        "frames": len(track.frames),
        "box_xyxy": [round(float(edge)) for edge in middle],
        **more,
    }


def _warnings(
    tracks: Sequence[Track],
    choice: FaceChoice,
    style_for: Mapping[int, str],
    styles: Mapping[int, str],
    plan: Plan,
) -> list[str]:
    if not tracks:
        return ["No face was found."]
    known, left_out = {t.track_id + 1 for t in tracks}, {t.track_id + 1 for t in tracks if t.track_id not in styles}
    count = f"{len(tracks)} face was" if len(tracks) == 1 else f"{len(tracks)} faces were"
    warnings = [
        f"There is no face {number}: {count} found." for number in sorted((choice.numbers | set(style_for)) - known)
    ]
    warnings += [
        f"Face {number} has a style but is not among the chosen." for number in sorted(left_out & set(style_for))
    ]
    return warnings + ([] if plan.tracks else ["No face was chosen."])
