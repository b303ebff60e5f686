"""Do crossing faces keep their ids? Drawn clips with known truth in which heads cross, hide, touch and part.

The heads are made from scikit-image's portrait of an astronaut, so nothing is needed that is not installed. It measures
pass 1 as a whole (detector, landmarks, tracks); commands print what it returns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import five_points
from alignment.tracking import Track

from ...analyse import AnalyseConfig, analyse
from ...canvas import PictureCanvas
from ...finder import FaceFinder
from ...frames import Frame

RGB = npt.NDArray[np.uint8]
RGBA = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float64]

KINDS = ("cross", "overtake", "bounce", "hide", "three")
"""Two faces pass each other; one passes another on its way; they touch and part; one goes behind another and comes
back on the same side; one passes two others."""

SIZE_WH = (640, 360)
FRAME_RATE = 25
DURATION_SECS = 2.8

_HEAD_PX = 240
_FACE_IN_HEAD = np.array([0.5, 0.54])
"""Middle of the five points in a head's picture, as a fraction of its sides."""


@dataclass(frozen=True, eq=False)
class Actor:
    """One head and its way through the clip, T frames long."""

    head: RGBA
    """SxSx4 uint8: a head on nothing."""
    centres: Values
    """(T, 2) where the middle of its face is, pixels of the frame."""
    heights: Values
    """(T,) side of its picture in the frame, pixels."""
    depth: int
    """Heads of greater depth stand behind."""


@dataclass(frozen=True)
class TrackingScore:
    """How often ids were kept, over some drawn clips."""

    num_faces: int
    """Faces in all clips."""
    num_kept: int
    """Those that have one id before and after they met the others."""
    num_switched: int
    """Those that took over the id of another."""
    num_broken: int
    """Those that got a new id, or were lost."""


def score_tracking(
    finder: FaceFinder,
    *,
    num_per_kind: int = 4,
    seed: int = 0,
    kinds: Sequence[str] = KINDS,
    heads: Sequence[RGBA] | None = None,
    config: AnalyseConfig | None = None,
) -> dict[str, TrackingScore]:
    """Run pass 1 over drawn clips and compare its tracks with the truth.

    Args:
        finder: detector and landmarks to use.
        num_per_kind: clips of each kind.
        seed: of the ways, sizes and depths.
        kinds: some of KINDS.
        heads: at least three SxSx4 heads of different people, faces at the usual place; None draws them.
        config: of pass 1; None is its defaults.

    Returns:
        The score of each kind, and of all as "all".
    """
    heads = heads or drawn_heads()
    scores = {}
    for kind in kinds:
        found = Counter[str]()
        for index in range(num_per_kind):
            actors = make_scene(kind, heads, np.random.default_rng([seed, KINDS.index(kind), index]))
            frames = cast(Iterator[Frame], draw_clip(actors))
            tracks = analyse(frames, Fraction(1, FRAME_RATE), finder, config or AnalyseConfig()).tracks
            found.update(judge(tracks, actors))
        scores[kind] = _score(found)
    total = [sum(getattr(score, name) for score in scores.values()) for name in TrackingScore.__dataclass_fields__]
    return scores | {"all": TrackingScore(*total)}


def _score(found: Counter[str]) -> TrackingScore:
    return TrackingScore(sum(found.values()), found["kept"], found["switched"], found["broken"])


def drawn_heads() -> list[RGBA]:
    """Three different heads from one portrait: as it is; mirrored, darker, longer; paler and broader."""
    from skimage.data import astronaut

    portrait: RGB = astronaut()[:260, 100:350]  # type: ignore[no-untyped-call]
    dark = np.clip(portrait[:, ::-1].astype(np.float32) * (0.7, 0.6, 0.54), 0, 255).astype(np.uint8)
    pale = np.clip(portrait.astype(np.float32) * (0.85, 0.92, 1.05) + (12, 12, 20), 0, 255).astype(np.uint8)
    return [
        _cut_head(portrait, (1.0, 1.0)),
        _cut_head(dark, (0.9, 1.1), is_mirrored=True),
        _cut_head(pale, (1.12, 0.95)),
    ]


def _cut_head(portrait: RGB, stretch_xy: tuple[float, float], *, is_mirrored: bool = False) -> RGBA:
    """A head within a soft oval, SxSx4, its face at the usual place."""
    middle = np.array([portrait.shape[1] - 1 - 124 if is_mirrored else 124, 121.0])  # of the astronaut's five points
    scale = np.array(stretch_xy) * (_HEAD_PX / 235)
    move = np.array([[scale[0], 0, 0], [0, scale[1], 0]])
    move[:, 2] = _FACE_IN_HEAD * _HEAD_PX - scale * middle
    picture = cv2.warpAffine(portrait, move, (_HEAD_PX, _HEAD_PX), borderMode=cv2.BORDER_REPLICATE)
    alpha = np.zeros((_HEAD_PX, _HEAD_PX), np.uint8)
    axes = round(0.33 * _HEAD_PX * stretch_xy[0]), round(0.42 * _HEAD_PX * stretch_xy[1])
    cv2.ellipse(alpha, (_HEAD_PX // 2, round(0.49 * _HEAD_PX)), axes, 0, 0, 360, 255, -1)
    return np.dstack([picture, cv2.GaussianBlur(alpha, (0, 0), 3)]).astype(np.uint8)


def make_scene(kind: str, heads: Sequence[RGBA], rng: np.random.Generator) -> list[Actor]:
    """Draw lots for who goes where: two or three actors that meet in the middle of the clip.

    Args:
        kind: one of KINDS.
        heads: who may appear.
        rng: the lots.
    """
    t = np.arange(round(DURATION_SECS * FRAME_RATE)) / FRAME_RATE - DURATION_SECS / 2  # seconds, 0 is the middle
    cast_of = rng.permutation(len(heads))
    depths = rng.permutation(3)
    base_px, meet = rng.uniform(120, 190), np.array([SIZE_WH[0] / 2, SIZE_WH[1] / 2]) + rng.uniform(-25, 25, 2)
    side = rng.choice([-1.0, 1.0])
    speed, other = rng.uniform(110, 190), rng.uniform(20, 110)
    ways = {
        "cross": [speed * t, -other * t],
        "overtake": [speed * t, 0.25 * speed * t],
        "bounce": [
            -base_px * rng.uniform(0.18, 0.33) - speed * np.sqrt(t**2 + 0.01),
            base_px * rng.uniform(0.18, 0.33) + other * np.sqrt(t**2 + 0.01),
        ],
        "hide": [-0.9 * base_px * (1 - np.exp(-((t / 0.45) ** 2))) - 0.05 * base_px, 12 * np.sin(3 * t)],
        "three": [1.5 * speed * t, -0.6 * base_px - 10 * t, 0.6 * base_px + 10 * t],
    }[kind]
    actors = []
    for number, way in enumerate(ways):
        y = meet[1] + rng.uniform(-0.12, 0.12) * base_px + 4 * np.sin(2 * np.pi * (0.7 * t + rng.uniform()))
        heights = base_px * rng.uniform(0.85, 1.18) * (1 + rng.uniform(-0.06, 0.06) * t)
        depth = 2 if kind == "hide" and number == 0 else int(depths[number]) if kind != "hide" else 0
        actors.append(Actor(heads[int(cast_of[number])], np.stack([meet[0] + side * way, y], axis=1), heights, depth))
    return actors


class DrawnFrame(PictureCanvas):
    """A drawn picture with the stamp of a video frame."""

    def __init__(self, rgb: RGB, pts: int) -> None:
        super().__init__(rgb)
        self.pts = pts


def draw_clip(actors: Sequence[Actor]) -> Iterator[DrawnFrame]:
    """Draw the frames of a scene, those behind first, over a quiet textured wall with a camera's noise."""
    rng, (width, height) = np.random.default_rng(7), SIZE_WH
    coarse = cv2.GaussianBlur(rng.normal(124, 60, (height // 8, width // 8, 3)).astype(np.float32), (0, 0), 2)
    wall = cv2.resize(coarse, SIZE_WH)
    noise = rng.normal(0, 2, (height, 2 * width, 3)).astype(np.float32)
    for index in range(len(actors[0].heights)):
        shift = int(rng.integers(width))
        picture = wall + noise[:, shift : shift + width]
        for actor in sorted(actors, key=lambda a: -a.depth):
            _paint(picture, actor, index)
        yield DrawnFrame(np.clip(picture, 0, 255).astype(np.uint8), index)


def _paint(picture: npt.NDArray[np.float32], actor: Actor, index: int) -> None:
    """Paint one head into HxWx3 float32, in place."""
    size_px, corner = actor.heights[index], _corner(actor, index)
    low = np.maximum(np.floor(corner).astype(int), 0)
    high = np.minimum(np.ceil(corner + size_px).astype(int), SIZE_WH)
    if (high <= low).any():
        return
    scale, shift = size_px / actor.head.shape[0], corner - low
    move = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    head = cv2.warpAffine(actor.head, move, (int(high[0] - low[0]), int(high[1] - low[1])), flags=cv2.INTER_LINEAR)
    part, alpha = picture[low[1] : high[1], low[0] : high[0]], head[..., 3:] / np.float32(255)
    part += (head[..., :3] - part) * alpha


def _corner(actor: Actor, index: int) -> Values:
    """Where the upper left corner of a head's picture lies in the frame."""
    return np.asarray(actor.centres[index] - _FACE_IN_HEAD * actor.heights[index], np.float64)


def visible_shares(actors: Sequence[Actor]) -> Values:
    """(A, T): how much of each face nobody else's head covers, 0 to 1; a face is a disc, a head an oval."""
    shares = np.ones((len(actors), len(actors[0].heights)))
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    disc = np.concatenate([r * np.stack([np.cos(turns), np.sin(turns)], axis=1) for r in (0.05, 0.1, 0.15, 0.2)])
    for (number, index), _ in np.ndenumerate(shares):
        actor = actors[number]
        points = actor.centres[index] + actor.heights[index] * disc
        covers = [_covers(other, index, points) for other in actors if other.depth < actor.depth]
        if covers:
            shares[number, index] = 1 - np.logical_or.reduce(covers).mean()
    return shares


def _covers(actor: Actor, index: int, points: Values) -> npt.NDArray[np.bool_]:
    """Which of Nx2 points lie on an actor's head."""
    local = (points - _corner(actor, index)) / actor.heights[index] * actor.head.shape[0]
    at = local.round().astype(int)
    is_within = ((at >= 0) & (at < actor.head.shape[0])).all(axis=1)
    at = at.clip(0, actor.head.shape[0] - 1)
    return np.asarray(is_within & (actor.head[at[:, 1], at[:, 0], 3] > 127))


def judge(tracks: Sequence[Track], actors: Sequence[Actor]) -> list[str]:
    """For each actor "kept", "switched" or "broken": its id in the first quarter of the clip against the last.

    The usual id of a quarter is the one that stood on the actor most often while it could be seen.
    """
    shares = visible_shares(actors)
    quarter = shares.shape[1] // 4
    first = [_usual_id(tracks, actors, shares, n, range(quarter)) for n in range(len(actors))]
    last = [_usual_id(tracks, actors, shares, n, range(3 * quarter, 4 * quarter)) for n in range(len(actors))]
    return [
        "broken"
        if after is None or before is None or (after != before and after not in first)
        else "kept"
        if after == before
        else "switched"
        for before, after in zip(first, last, strict=True)
    ]


def _usual_id(
    tracks: Sequence[Track], actors: Sequence[Actor], shares: Values, number: int, frames: range
) -> int | None:
    seen = Counter[int]()
    for frame in frames:
        for track in tracks:
            if track.frames[0] <= frame <= track.frames[-1] and not track.is_bridged[frame - track.frames[0]]:
                middle = five_points(track.landmarks[frame - track.frames[0]]).mean(0)
                if _nearest(actors, shares, frame, middle) == number:
                    seen[track.track_id] += 1
    return seen.most_common(1)[0][0] if seen else None


def _nearest(actors: Sequence[Actor], shares: Values, frame: int, middle: npt.NDArray[np.float32]) -> int | None:
    """Which visible actor's face is at a place."""
    misses = [
        float(np.linalg.norm(actor.centres[frame] - middle)) / actor.heights[frame] if share[frame] > 0.5 else np.inf
        for actor, share in zip(actors, shares, strict=True)
    ]
    best = int(np.argmin(misses))
    return best if misses[best] < 0.15 else None
