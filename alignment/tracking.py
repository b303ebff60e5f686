"""Faces of single frames become tracks: the same face over time, without gaps.

Works on boxes, landmarks and times only. Smoothing the tracks is smoothing.py's work, finding cuts cuts.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from .errors import LandmarkSetError
from .faces import Boxes, Face, iou, suppress_duplicates
from .points import Points

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TrackingConfig:
    """When faces of different frames are the same face, and which tracks are kept."""

    min_iou: float = 0.2
    """Overlap (IoU) a face must have with where its track was, or was heading, to continue it."""
    max_gap_secs: float = 0.5
    """A face not seen for longer than this ends its track; shorter gaps are bridged."""
    min_track_secs: float = 0.3
    """Shorter tracks are dropped as false, unless their scene itself is shorter."""


@dataclass(frozen=True, eq=False)
class Track:
    """The same face over T consecutive frames, in source-frame pixels."""

    track_id: int
    """Counts from 0 in order of appearance."""
    frames: npt.NDArray[np.int64]
    """(T,) consecutive frame indices."""
    landmarks: Points
    """(T, K, 2) float32 (x, y)."""
    boxes: Boxes
    """(T, 4) float32 (x, y, x, y)."""
    scores: npt.NDArray[np.float32]
    """(T,) float32 in [0, 1]."""
    is_bridged: npt.NDArray[np.bool_]
    """(T,) True where the face was not seen and stands between its neighbours in time."""


@dataclass(eq=False)
class _OpenTrack:
    """A track while it grows: the frames where its face was seen."""

    frames: list[int] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)

    def add(self, frame: int, face: Face) -> None:
        self.frames.append(frame)
        self.faces.append(face)


def link_faces(
    faces_per_frame: Sequence[Sequence[Face]],
    times_secs: Times,
    cuts: frozenset[int] = frozenset(),
    config: TrackingConfig | None = None,
) -> list[Track]:
    """Link the faces of a clip's frames to tracks.

    Args:
        faces_per_frame: for each of N frames its faces, all with landmarks of one set. Several boxes on one
            face count once.
        times_secs: (N,) presentation times, ascending, in seconds.
        cuts: frame indices that start a new scene; no track crosses them.
        config: see TrackingConfig; None is its defaults.

    Returns:
        Tracks by first frame, then from left to right.

    Raises:
        LandmarkSetError: a face has no landmarks, or another set than the others.
    """
    config = config or TrackingConfig()
    _check_landmarks(faces_per_frame)
    finished: list[_OpenTrack] = []
    live: list[_OpenTrack] = []
    for frame, faces in enumerate(faces_per_frame):
        live, ended = _split_ended(live, frame, times_secs, cuts, config)
        finished += ended
        _extend(live, frame, suppress_duplicates(faces), times_secs, config)
    kept = [t for t in finished + live if _is_long_enough(t, times_secs, cuts, config)]
    kept.sort(key=lambda t: (t.frames[0], float(t.faces[0].box_xyxy[0])))
    return [_bridge(track_id, t, times_secs) for track_id, t in enumerate(kept)]


def _check_landmarks(faces_per_frame: Sequence[Sequence[Face]]) -> None:
    shapes = {None if f.landmarks is None else f.landmarks.shape for faces in faces_per_frame for f in faces}
    if None in shapes:
        raise LandmarkSetError("a face without landmarks cannot be tracked; predict its landmarks first.")
    if len(shapes) > 1:
        raise LandmarkSetError(f"faces of one clip carry different landmark sets: {shapes}.")


def _split_ended(
    live: list[_OpenTrack], frame: int, times_secs: Times, cuts: frozenset[int], config: TrackingConfig
) -> tuple[list[_OpenTrack], list[_OpenTrack]]:
    """Return the tracks that may go on in `frame`, and those that may not."""
    if frame in cuts:
        return [], live
    oldest_secs = times_secs[frame] - config.max_gap_secs - 1e-9
    going = [t for t in live if times_secs[t.frames[-1]] >= oldest_secs]
    return going, [t for t in live if t not in going]


def _extend(
    live: list[_OpenTrack], frame: int, faces: Sequence[Face], times_secs: Times, config: TrackingConfig
) -> None:
    """Give each face of `frame` to the track it overlaps most (best sum over all), or to a new one."""
    new = set(range(len(faces)))
    if live and faces:
        overlap = _overlap(live, frame, faces, times_secs)
        gain = np.where(overlap >= config.min_iou, overlap, 0)
        for row, column in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
            if overlap[row, column] >= config.min_iou:
                live[row].add(frame, faces[column])
                new.discard(int(column))
    for index in sorted(new):
        live.append(_OpenTrack([frame], [faces[index]]))


def _overlap(live: Sequence[_OpenTrack], frame: int, faces: Sequence[Face], times_secs: Times) -> Boxes:
    """IoU of tracks and faces, with where each track was or where it was heading, whichever is more."""
    boxes = np.stack([face.box_xyxy for face in faces])
    last = np.stack([t.faces[-1].box_xyxy for t in live])
    heading = np.stack([_predict_box(t, frame, times_secs) for t in live])
    return np.asarray(np.maximum(iou(last, boxes), iou(heading, boxes)), np.float32)


def _predict_box(track: _OpenTrack, frame: int, times_secs: Times) -> Boxes:
    """Where the last box would be if it kept the speed of its last two sightings."""
    box = track.faces[-1].box_xyxy
    if len(track.frames) < 2:
        return box
    before, last = track.frames[-2:]
    elapsed = (times_secs[frame] - times_secs[last]) / max(times_secs[last] - times_secs[before], 1e-9)
    shift = (box - track.faces[-2].box_xyxy).reshape(2, 2).mean(0) * min(elapsed, 3.0)
    return np.asarray(box + np.tile(shift, 2), np.float32)


def _is_long_enough(track: _OpenTrack, times_secs: Times, cuts: frozenset[int], config: TrackingConfig) -> bool:
    first, last = track.frames[0], track.frames[-1]
    scene_first = max((c for c in cuts if c <= first), default=0)
    scene_last = min((c for c in cuts if c > first), default=len(times_secs)) - 1
    if _duration(scene_first, scene_last, times_secs) < config.min_track_secs:
        return True
    return _duration(first, last, times_secs) >= config.min_track_secs - 1e-9


def _duration(first: int, last: int, times_secs: Times) -> float:
    """Seconds from the start of frame `first` to the end of frame `last`."""
    if last + 1 < len(times_secs):
        return float(times_secs[last + 1] - times_secs[first])
    last_frame_secs = times_secs[last] - times_secs[max(last - 1, 0)]
    return float(times_secs[last] + last_frame_secs - times_secs[first])


def _bridge(track_id: int, track: _OpenTrack, times_secs: Times) -> Track:
    """Fill the frames where the face was not seen by linear interpolation in time."""
    seen = np.array(track.frames, np.int64)
    frames = np.arange(seen[0], seen[-1] + 1, dtype=np.int64)
    at, known = times_secs[frames], times_secs[seen]
    return Track(
        track_id,
        frames,
        _interpolate(at, known, np.stack([f.landmarks for f in track.faces if f.landmarks is not None])),
        _interpolate(at, known, np.stack([f.box_xyxy for f in track.faces])),
        _interpolate(at, known, np.array([f.score for f in track.faces])),
        ~np.isin(frames, seen),
    )


def _interpolate(at: Times, known: Times, values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Values at all times: the known ones as they are, the others between their neighbours."""
    filled = np.empty((len(at), *values.shape[1:]), np.float32)
    is_seen = np.isin(at, known)
    filled[is_seen] = values
    filled[~is_seen] = _between(at[~is_seen], known, values)
    return filled


def _between(at: Times, known: Times, values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    right = np.searchsorted(known, at).clip(min(1, len(known) - 1), len(known) - 1)
    left = np.maximum(right - 1, 0)
    span = np.maximum(known[right] - known[left], 1e-9)
    share = ((at - known[left]) / span).clip(0, 1).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(values[left] * (1 - share) + values[right] * share, np.float32)
