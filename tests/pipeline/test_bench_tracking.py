"""The drawn clips in which faces meet, and their judge; the ids of pass 1 on some of them."""

import numpy as np
import pytest

from alignment.detectors import build_detector
from alignment.landmarks import build_landmark_predictor
from alignment.tracking import Track
from pipeline.bench.quality.tracking import (
    KINDS,
    Actor,
    drawn_heads,
    judge,
    make_scene,
    score_tracking,
    visible_shares,
)
from pipeline.finder import FaceFinder

from .faces import FIVE


def actors_of(kind: str, index: int = 0) -> list[Actor]:
    return make_scene(kind, drawn_heads(), np.random.default_rng([0, KINDS.index(kind), index]))


def track_of(track_id: int, actor: Actor, frames: range, other: Actor | None = None, switch: int = 999) -> Track:
    """A track on an actor's face, from frame `switch` on on another's."""
    centres = np.stack([(other if other and i >= switch else actor).centres[i] for i in frames]).astype(np.float32)
    points = FIVE[None] - FIVE.mean(0) + centres[:, None]
    boxes = np.concatenate([centres - 30, centres + 30], axis=1)
    return Track(
        track_id, np.array(frames), points, boxes, np.ones(len(frames), np.float32), np.zeros(len(frames), bool)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_faces_start_and_end_in_full_view(kind: str) -> None:
    for index in range(4):
        shares = visible_shares(actors_of(kind, index))
        assert (shares[:, :5] > 0.6).all()
        assert (shares[:, -5:] > 0.6).all()


@pytest.mark.parametrize("kind", ["cross", "hide"])
def test_somebody_is_hidden_for_a_while(kind: str) -> None:
    assert min(visible_shares(actors_of(kind)).min(axis=1)) < 0.2


def test_the_judge_knows_who_kept_who_switched_and_who_lost_the_id() -> None:
    first, second = actors_of("cross")
    whole = range(len(first.heights))
    kept = [track_of(0, first, whole), track_of(1, second, whole)]
    assert judge(kept, [first, second]) == ["kept", "kept"]
    switched = [track_of(0, first, whole, second, 35), track_of(1, second, whole, first, 35)]
    assert judge(switched, [first, second]) == ["switched", "switched"]
    broken = [track_of(0, first, whole), track_of(1, second, range(30)), track_of(2, second, range(40, 70))]
    assert judge(broken, [first, second]) == ["kept", "broken"]


def test_ids_are_kept_when_faces_cross_and_when_they_touch_and_part() -> None:
    finder = FaceFinder(build_detector("builtin"), build_landmark_predictor("mesh"))
    scores = score_tracking(finder, num_per_kind=1, kinds=("cross", "bounce"))
    assert scores["all"].num_faces == 4
    assert scores["all"].num_kept == 4
