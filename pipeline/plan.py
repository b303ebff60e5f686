"""From tracks to placements: which faces are restyled in which frame, where their crops lie and how strongly they show.

Pure arithmetic between the two passes; no pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alignment.points import Points
from alignment.smoothing import jitter_percent, smooth_track
from alignment.templates import CropTemplate, source_to_crop
from alignment.tracking import Track
from alignment.warp import transform_points

from .analysis import Analysis
from .choice import FaceChoice

MAX_GAP_SECS = 0.5
"""A longer gap of a track is not drawn: its face was away, or behind another one."""

FADE_SECS = 0.2
"""A style fades in and out over this time where a track begins or ends in the middle of a scene."""


@dataclass(frozen=True)
class CropSpec:
    """How the crops of one style are cut."""

    style: str
    """The style as the user named it."""
    template: CropTemplate
    """Where a face lies in its crop."""
    size_px: int
    """Side of the crops."""


@dataclass(frozen=True)
class Placement:
    """One face in one frame."""

    track_id: int
    """The same face over time has the same id."""
    source_to_crop: Points
    """2x3 float32 similarity from pixels of the displayed frame to pixels of the crop."""
    landmarks: Points
    """Kx2 float32, pixels of the crop."""
    opacity: float
    """0..1, how strongly the style shows: fade times strength."""
    style: str = ""
    """Whose generator restyles it: `CropSpec.style`."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Where all faces of a video are restyled, and how unsteady they were before and after smoothing.

    It keeps the tracks and makes placements when a frame asks for its own: a long video has very many.
    """

    tracks: Sequence[Track]
    """The chosen tracks, smoothed."""
    opacities: Sequence[npt.NDArray[np.float64]]
    """(T,) for each track, 0..1."""
    crops: Sequence[CropSpec]
    """For each track how its crops are cut, and for which style."""
    num_bridged: int
    """Face instances that were interpolated over a gap."""
    jitter_in_percent: float | None
    """Landmark jitter as detected, % of eye distance, RMS over the chosen tracks; None without a track of 3 frames."""
    jitter_out_percent: float | None
    """The same after smoothing: how steadily the crops are cut and pasted."""

    @property
    def num_faces(self) -> int:
        """Face instances over all frames."""
        return sum(len(track.frames) for track in self.tracks)

    def faces_in(self, frame_index: int) -> list[Placement]:
        """Place a crop on every face that shows in a frame, the largest last: it stands in front and is pasted last."""
        here = sorted((_area(track.boxes[index]), number) for number, track, index in self._shown(frame_index))
        return [self._place(number, frame_index) for _, number in here]

    def num_faces_in(self, frame_index: int) -> int:
        """Count the faces that show in a frame."""
        return sum(1 for _ in self._shown(frame_index))

    def _shown(self, frame_index: int) -> Iterator[tuple[int, Track, int]]:
        """(position of the track, track, position in the track) of every face of a frame that is not invisible."""
        for number, (track, opacity) in enumerate(zip(self.tracks, self.opacities, strict=True)):
            index = frame_index - int(track.frames[0])
            if 0 <= index < len(track.frames) and opacity[index] > 0:
                yield number, track, index

    def _place(self, number: int, frame_index: int) -> Placement:
        track, crop = self.tracks[number], self.crops[number]
        index = frame_index - int(track.frames[0])
        landmarks, opacity = track.landmarks[index], float(self.opacities[number][index])
        transform = source_to_crop(landmarks, crop.template, crop.size_px)
        return Placement(track.track_id, transform, transform_points(transform, landmarks), opacity, crop.style)


def choose_tracks(tracks: Sequence[Track], choice: FaceChoice) -> list[Track]:
    """Keep all tracks, those with certain numbers, or the largest so that never more than N are restyled at once.

    Args:
        tracks: candidates; the face number N is the track with the id N - 1.
        choice: which are wanted.
    """
    if choice.numbers:
        return [track for track in tracks if track.track_id + 1 in choice.numbers]
    if choice.at_once is None:
        return list(tracks)
    load, kept = defaultdict[int, int](int), []
    for track in sorted(tracks, key=_total_area, reverse=True):
        frames = [int(f) for f in track.frames]
        if max(load[f] for f in frames) < choice.at_once:
            kept.append(track)
            for f in frames:
                load[f] += 1
    return sorted(kept, key=lambda t: t.track_id)


def make_plan(
    analysis: Analysis,
    crop_of: Mapping[int, CropSpec],
    *,
    smoothing: float = 1.0,
    strength: float = 1.0,
    max_gap_secs: float = MAX_GAP_SECS,
) -> Plan:
    """Smooth the tracks over their whole length and place a crop on each.

    Args:
        analysis: result of pass 1.
        crop_of: for the id of each chosen track how its crops are cut; tracks that are not in it are left alone.
        smoothing: 0 (off) .. 1.
        strength: 0 .. 1, greatest opacity.
        max_gap_secs: a face is drawn through gaps that are no longer.
    """
    times, chosen = analysis.times_secs, [track for track in analysis.tracks if track.track_id in crop_of]
    smoothed = [smooth_track(track, times[track.frames], smoothing) if smoothing > 0 else track for track in chosen]
    return Plan(
        tracks=smoothed,
        opacities=[fade(track, analysis, max_gap_secs) * strength for track in smoothed],
        crops=[crop_of[track.track_id] for track in smoothed],
        num_bridged=sum(
            int((track.is_bridged & ~hidden_frames(track, analysis, max_gap_secs)).sum()) for track in chosen
        ),
        jitter_in_percent=_jitter(chosen),
        jitter_out_percent=_jitter(smoothed),
    )


def fade(track: Track, analysis: Analysis, max_gap_secs: float = MAX_GAP_SECS) -> npt.NDArray[np.float64]:
    """(T,) opacity of a track: a ramp at each end and about every time that it is behind another face.

    There is none where it meets a cut or an end of the video.
    """
    times = analysis.times_secs[track.frames]
    first, last = int(track.frames[0]), int(track.frames[-1])
    # The ramps reach zero one frame outside the track, so that its outer frames already show something.
    step = float(np.median(np.diff(times))) if len(times) > 1 else FADE_SECS
    opacity = np.ones(len(times))
    if first > 0 and first not in analysis.cuts:
        opacity = np.minimum(opacity, (times - times[0] + step) / FADE_SECS)
    if last < analysis.num_frames - 1 and last + 1 not in analysis.cuts:
        opacity = np.minimum(opacity, (times[-1] - times + step) / FADE_SECS)
    for hidden in times[hidden_frames(track, analysis, max_gap_secs)]:
        opacity = np.minimum(opacity, np.abs(times - hidden) / FADE_SECS)
    return np.clip(opacity, 0.0, 1.0)


def hidden_frames(track: Track, analysis: Analysis, max_gap_secs: float = MAX_GAP_SECS) -> npt.NDArray[np.bool_]:
    """(T,) True in the gaps of a track in which its face cannot be seen: it is behind another, or away for too long.

    A gap that is bridged because a detection is missing is none of them.
    """
    behind = np.zeros(len(track.frames), bool)
    for other in analysis.tracks if track.is_bridged.any() else ():
        common, own, its = np.intersect1d(track.frames, other.frames, return_indices=True)
        if other is not track and len(common):
            is_covered = _covered(track.boxes[own], other.boxes[its]) > 0.3
            behind[own] |= is_covered & track.is_bridged[own] & ~other.is_bridged[its]
    starts = track.is_bridged & ~np.r_[False, track.is_bridged[:-1]]
    gaps, count = np.cumsum(starts) * track.is_bridged, int(starts.sum())
    times = analysis.times_secs[track.frames]
    for gap in range(1, count + 1):
        inside = np.flatnonzero(gaps == gap)
        behind[inside] |= times[inside[-1] + 1] - times[inside[0] - 1] > max_gap_secs + 1e-9
    return np.asarray(np.isin(gaps, np.unique(gaps[behind])) & track.is_bridged)


def _covered(boxes: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(T,) share of each of T boxes that lies in the other of the same frame."""
    low, high = np.maximum(boxes[:, :2], others[:, :2]), np.minimum(boxes[:, 2:], others[:, 2:])
    areas = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-6)
    return np.asarray(np.maximum(high - low, 0).prod(axis=1) / areas, np.float32)


def _area(box_xyxy: npt.NDArray[np.float32]) -> float:
    return float(np.maximum(box_xyxy[2:] - box_xyxy[:2], 0).prod())


def _total_area(track: Track) -> float:
    sides = np.maximum(track.boxes[:, 2:] - track.boxes[:, :2], 0)
    return float(sides.prod(axis=1).sum())


def _jitter(tracks: Sequence[Track]) -> float | None:
    """RMS over tracks, weighted by how many second differences each has."""
    weighted = [(len(t.frames) - 2, jitter_percent(t.landmarks)) for t in tracks if len(t.frames) > 2]
    if not weighted:
        return None
    return float(np.sqrt(sum(n * j * j for n, j in weighted) / sum(n for n, _ in weighted)))
