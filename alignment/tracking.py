"""Faces of single frames become tracks: the same face over time, without gaps.

First faces are linked from frame to frame by where they are, where they were heading and what they look like; then
tracks that end behind another face are joined to those that come out from there and look the same. Works on boxes,
landmarks, signatures and times only. Smoothing the tracks is smoothing.py's work, finding cuts cuts.py's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .appearance import OTHER_FACE, SAME_FACE, Signature, distance, mean_signature
from .errors import LandmarkSetError
from .faces import Boxes, Face, crowded, iou, suppress_duplicates
from .points import Points

Times = npt.NDArray[np.float64]

_LOOKS_WEIGHT = 1.0
"""What a perfect likeness is worth against a perfect overlap when faces are given to tracks."""
_RECENT_SECS = 0.4
"""How far back a track's speed and the company it keeps are looked at."""
_TOUCH_MARGIN = 0.15
_COMPANY_MARGIN = 0.5
"""How much larger than their boxes faces are where they touch, and where they are close, see `crowded`."""
_LOOKS_SECS = 1.0
"""How much of a track's beginning or end tells what its face looks like."""


@dataclass(frozen=True)
class TrackingConfig:
    """When faces of different frames are the same face, and which tracks are kept."""

    min_iou: float = 0.2
    """Overlap (IoU) a face must have with where its track was, or was heading, to continue it."""
    max_gap_secs: float = 0.5
    """A face not seen for longer than this ends its track; shorter gaps are bridged."""
    max_hidden_secs: float = 2.0
    """A face that went behind another one may stay away so long, if it looks the same when it comes back."""
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
    times: list[float] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)
    is_clear: list[bool] = field(default_factory=list)
    """Where no other face touched it: then its landmarks and looks can be trusted."""
    company_secs: float = -np.inf
    """When another face was last close to it."""
    looks: Signature | None = None
    """What it looked like of late, from clear sightings if there were any."""

    def add(self, frame: int, time_secs: float, face: Face, *, is_clear: bool, has_company: bool) -> None:
        self.frames.append(frame)
        self.times.append(time_secs)
        self.faces.append(face)
        self.is_clear.append(is_clear)
        self.company_secs = time_secs if has_company else self.company_secs
        if face.signature is not None and (self.looks is None or is_clear or not any(self.is_clear)):
            self.looks = _blend(self.looks, face.signature)

    def was_touched(self) -> bool:
        """Tell whether another face touched it lately: one may have stood in front of the other."""
        start = self.times[-1] - _RECENT_SECS
        return any(not c for c, t in zip(self.is_clear[-60:], self.times[-60:], strict=True) if t >= start)

    def may_hide(self) -> bool:
        """Tell whether it may have gone behind another face where it ends."""
        return self.company_secs >= self.times[-1] - _RECENT_SECS

    def extend(self, later: _OpenTrack) -> None:
        """Take over the sightings of a track that begins after this one ends."""
        self.frames += later.frames
        self.times += later.times
        self.faces += later.faces
        self.is_clear += later.is_clear
        self.company_secs = max(self.company_secs, later.company_secs)


def _blend(before: Signature | None, now: Signature) -> Signature:
    return now if before is None else np.asarray(0.85 * before.astype(np.float32) + 0.15 * now, np.float16)


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
    joined = _join(finished + live, cuts, config)
    kept = [t for t in joined if _is_long_enough(t, times_secs, cuts, config)]
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


def _best_pairs(gain: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """Pair rows with columns so that the sum of their gains is greatest; each is taken once."""
    if min(gain.shape) == 1:
        row, column = np.unravel_index(int(gain.argmax()), gain.shape)
        return [(int(row), int(column))]
    from scipy.optimize import linear_sum_assignment  # slow to import, and one face needs none

    return [(int(row), int(column)) for row, column in zip(*linear_sum_assignment(gain, maximize=True), strict=True)]


def _extend(
    live: list[_OpenTrack], frame: int, faces: Sequence[Face], times_secs: Times, config: TrackingConfig
) -> None:
    """Give each face of `frame` to the track it continues best (best sum over all), or to a new one."""
    if not faces:
        return
    time_secs = float(times_secs[frame])
    boxes = np.stack([face.box_xyxy for face in faces])
    is_clear, has_company = ~crowded(boxes, _TOUCH_MARGIN), crowded(boxes, _COMPANY_MARGIN)
    chosen: dict[int, _OpenTrack] = {}
    if live:
        gain = _gain(live, frame, faces, time_secs, config)
        chosen = {column: live[row] for row, column in _best_pairs(gain) if gain[row, column] > 0}
    for index, face in enumerate(faces):
        if index not in chosen:
            live.append(_OpenTrack())
        track = chosen.get(index, live[-1])
        track.add(frame, time_secs, face, is_clear=bool(is_clear[index]), has_company=bool(has_company[index]))


def _gain(
    live: Sequence[_OpenTrack], frame: int, faces: Sequence[Face], time_secs: float, config: TrackingConfig
) -> npt.NDArray[np.float64]:
    """How well each face continues each track; 0 where it may not."""
    boxes = np.stack([face.box_xyxy for face in faces])
    last = np.stack([t.faces[-1].box_xyxy for t in live])
    heading = np.stack([_predict_box(t, time_secs) for t in live])
    overlap = np.maximum(iou(last, boxes), iou(heading, boxes)).astype(np.float64)
    gain = np.where(overlap >= config.min_iou, overlap, 0)
    for row, column in np.argwhere(gain > 0):
        gain[row, column] = _with_looks(gain[row, column], live[row], faces[column], is_next=frame - 1)
    return gain


def _with_looks(overlap: float, track: _OpenTrack, face: Face, *, is_next: int) -> float:
    """The gain of a face that is in the right place, with what it looks like; 0 where it must be somebody else."""
    if track.looks is None or face.signature is None:
        return overlap
    unlike = distance(track.looks, face.signature)
    # Among others a face that was lost, or whose landmarks slid over to its neighbour, is believed by its looks only.
    limit = np.inf if not track.was_touched() else OTHER_FACE if track.frames[-1] == is_next else SAME_FACE
    return 0.0 if unlike > limit else max(overlap + _LOOKS_WEIGHT * (1 - unlike / OTHER_FACE), 1e-3)


def _predict_box(track: _OpenTrack, time_secs: float) -> Boxes:
    """Where the last box would be if its speed stayed what it was lately."""
    box, elapsed = track.faces[-1].box_xyxy, time_secs - track.times[-1]
    return np.asarray(box + np.tile(_speed(track) * elapsed, 2), np.float32)


def _speed(track: _OpenTrack) -> npt.NDArray[np.float64]:
    """(2,) pixels per second: a straight line through the last sightings, clear ones if there are enough."""
    since = track.times[-1] - _RECENT_SECS
    recent = [n for n in range(max(len(track.times) - 12, 0), len(track.times)) if track.times[n] >= since]
    clear = [n for n in recent if track.is_clear[n]]
    chosen = (clear if len(clear) >= 2 else recent)[-6:]
    if len(chosen) < 2:
        return np.zeros(2)
    times = np.array([track.times[n] for n in chosen])
    centres = np.array([track.faces[n].box_xyxy.reshape(2, 2).mean(0) for n in chosen], np.float64)
    times -= times.mean()
    return np.asarray(times @ (centres - centres.mean(0)) / max(float(times @ times), 1e-12))


def _join(tracks: Sequence[_OpenTrack], cuts: frozenset[int], config: TrackingConfig) -> list[_OpenTrack]:
    """Join tracks that end behind another face to those that begin there and look the same, the best pairs first."""
    later_of: dict[int, int] = {}
    for _, first, second in sorted(_join_gains(tracks, cuts, config), reverse=True):
        if first not in later_of and second not in later_of.values():
            later_of[first] = second
    joined = []
    for first in sorted(set(range(len(tracks))) - set(later_of.values())):
        joined.append(tracks[first])
        index = first
        while index in later_of:
            index = later_of[index]
            joined[-1].extend(tracks[index])
    return joined


def _join_gains(
    tracks: Sequence[_OpenTrack], cuts: frozenset[int], config: TrackingConfig
) -> Iterator[tuple[float, int, int]]:
    """Yield (gain, index, index) of every two tracks that may be joined."""
    begins = np.array([track.times[0] for track in tracks])
    for index, track in enumerate(tracks):
        end, patience = track.times[-1], config.max_hidden_secs if track.may_hide() else config.max_gap_secs
        for later in np.flatnonzero((begins > end) & (begins <= end + patience)).tolist():
            if (gain := _join_gain(track, tracks[later], cuts)) > 0:
                yield gain, index, later


def _join_gain(before: _OpenTrack, after: _OpenTrack, cuts: frozenset[int]) -> float:
    """How well `after` may be `before` come back from behind another face; 0 where it cannot be."""
    if any(before.frames[-1] < cut <= after.frames[0] for cut in cuts):
        return 0.0
    looks = _looks(before, from_end=True), _looks(after, from_end=False)
    if looks[0] is None or looks[1] is None:
        return 0.0
    unlike, away = distance(looks[0], looks[1]), _away(before, after)
    return 0.0 if unlike > SAME_FACE or away > 1 else 2 - unlike / SAME_FACE - 0.5 * away


def _looks(track: _OpenTrack, *, from_end: bool) -> Signature | None:
    """What a track's face looks like at its end or beginning where nobody touched it; None where that was never."""
    edge = track.times[-1] if from_end else track.times[0]
    known = [
        (abs(t - edge), face.signature)
        for t, face, clear in zip(track.times, track.faces, track.is_clear, strict=True)
        if clear and face.signature is not None
    ]
    known = known[-25:] if from_end else known[:25]
    if not known:
        return None
    nearest = min(age for age, _ in known)
    return mean_signature([seen for age, seen in known if age <= nearest + _LOOKS_SECS])


def _away(before: _OpenTrack, after: _OpenTrack) -> float:
    """How far a track begins from where another one was or was heading; 1 is as far as it can have come meanwhile.

    Measured between the outermost sightings and between the outermost clear ones: others may have shrunk and slid.
    """
    speed = _speed(before)
    ends = [_edge(before, from_end=True, clear_secs=age) for age in (0.0, _LOOKS_SECS)]
    begins = [_edge(after, from_end=False, clear_secs=age) for age in (0.0, _LOOKS_SECS)]
    return min(_away_between(end, begin, speed) for end, begin in zip(ends, begins, strict=True))


def _away_between(end: tuple[float, Boxes], begin: tuple[float, Boxes], speed: npt.NDArray[np.float64]) -> float:
    start, there = (box.reshape(2, 2).mean(0) for _, box in (end, begin))
    sizes = [float(np.sqrt(np.prod(np.maximum(box[2:] - box[:2], 1e-3)))) for _, box in (end, begin)]
    if max(sizes) > 1.7 * min(sizes):
        return np.inf
    gap_secs = begin[0] - end[0]
    path = speed * gap_secs
    share = np.clip((there - start) @ path / max(float(path @ path), 1e-9), 0, 1)
    return float(np.linalg.norm(there - start - share * path) / ((1 + gap_secs) * np.mean(sizes)))


def _edge(track: _OpenTrack, *, from_end: bool, clear_secs: float) -> tuple[float, Boxes]:
    """Time and box of the last or first sighting, or of the last or first clear one no further than that from it."""
    order = range(len(track.times) - 1, -1, -1) if from_end else range(len(track.times))
    edge = order[0]
    near = (n for n in order if track.is_clear[n] and abs(track.times[n] - track.times[edge]) <= clear_secs)
    chosen = next(near, edge)
    return track.times[chosen], track.faces[chosen].box_xyxy


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
