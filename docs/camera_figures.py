"""Figures of docs/camera.md: how calm and how late the One-Euro filter keeps faces, against smoothing that looks ahead.

python docs/camera_figures.py CLIP...
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from alignment.detectors import build_detector
from alignment.landmarks import build_landmark_predictor
from alignment.one_euro import OneEuroFilter
from alignment.points import Points, eye_distance, five_points
from alignment.smoothing import jitter_percent, smooth_track
from pipeline.analyse import AnalyseConfig, analyse
from pipeline.decode import iter_frames
from pipeline.finder import FaceFinder
from pipeline.probe import probe

MIN_FRAMES = 30


def placement_error(landmarks: Points, wanted: Points) -> float:
    """RMS distance of the five alignment points, in % of the eye distance."""
    five = [np.stack([five_points(points) for points in track]) for track in (landmarks, wanted)]
    eyes = np.mean([eye_distance(points) for points in wanted])
    return float(100 * np.sqrt(np.mean((five[0] - five[1]) ** 2) * 2) / eyes)


def main(clips: list[str]) -> None:
    """Print one row per face of every clip."""
    finder = FaceFinder(build_detector("builtin"), build_landmark_predictor("mesh"))
    print("| clip | jitter as seen | live | looking ahead | placement off by, as seen | live |")
    print("|---|---|---|---|---|---|")
    for clip in clips:
        info = probe(Path(clip).absolute())
        analysis = analyse(iter_frames(info), info.video.time_base, finder, AnalyseConfig())
        for track in (track for track in analysis.tracks if len(track.frames) >= MIN_FRAMES):
            times = analysis.times_secs[track.frames]
            ahead = smooth_track(track, times).landmarks
            steady = OneEuroFilter()
            live = np.stack([steady(points, float(at)) for points, at in zip(track.landmarks, times, strict=True)])
            jitters = [jitter_percent(of) for of in (track.landmarks, live, ahead)]
            errors = [placement_error(of, ahead) for of in (track.landmarks, live)]
            print(f"| {Path(clip).stem} | " + " | ".join(f"{value:.2f}" for value in (*jitters, *errors)) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
