"""Faces become tracks: continued, bridged, cut, dropped."""

from __future__ import annotations

import numpy as np
import pytest

from alignment.errors import LandmarkSetError
from alignment.faces import Face
from alignment.tracking import Track, TrackingConfig, link_faces

FIVE = np.array([[-20, -15], [20, -15], [0, 5], [-15, 28], [15, 28]], np.float32)


def face(x: float, y: float = 200.0, size: float = 100.0, score: float = 0.9) -> Face:
    """A face of `size` px centred at (x, y)."""
    box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], np.float32)
    return Face(box, FIVE * size / 100 + np.float32([x, y]), score)


def times(count: int, frame_rate: float = 25.0) -> np.ndarray:
    return np.arange(count) / frame_rate


def centres(track: Track) -> list[float]:
    return [round(float(x), 3) for x in (track.boxes[:, 0] + track.boxes[:, 2]) / 2]


def test_a_moving_face_is_one_track() -> None:
    faces = [[face(100 + 5 * i)] for i in range(30)]
    [track] = link_faces(faces, times(30))
    assert track.track_id == 0
    np.testing.assert_array_equal(track.frames, np.arange(30))
    np.testing.assert_array_equal(track.landmarks, [f[0].landmarks for f in faces])
    np.testing.assert_array_equal(track.boxes, [f[0].box_xyxy for f in faces])
    np.testing.assert_allclose(track.scores, 0.9)
    assert not track.is_bridged.any()
    assert [a.dtype for a in (track.frames, track.landmarks, track.boxes, track.scores, track.is_bridged)] == [
        np.int64,
        np.float32,
        np.float32,
        np.float32,
        np.bool_,
    ]


def test_a_clip_without_faces_or_frames_has_no_tracks() -> None:
    assert link_faces([[], [], []], times(3)) == []
    assert link_faces([], times(0)) == []


def test_the_order_of_the_faces_in_a_frame_means_nothing() -> None:
    left, right = (lambda i: face(100 + i)), (lambda i: face(180 + i))
    faces = [[left(i), right(i)] if i % 2 else [right(i), left(i)] for i in range(20)]
    first, second = link_faces(faces, times(20))
    assert centres(first) == [100 + i for i in range(20)]
    assert centres(second) == [180 + i for i in range(20)]


def test_faces_are_given_out_for_the_best_sum_not_to_the_first_taker() -> None:
    # Given two tracks at 100 and 150, and faces at 135 and 190: the second would take 135 if it chose first
    faces = [[face(100), face(150)]] * 10 + [[face(135), face(190)]]
    tracks = link_faces(faces, times(11))
    assert [centres(t)[-1] for t in tracks] == [135, 190]


def test_people_who_pass_each_other_keep_their_tracks() -> None:
    faces = [[face(100 + 10 * i, 150), face(400 - 10 * i, 230)] for i in range(30)]
    rightward, leftward = link_faces(faces, times(30))
    assert centres(rightward) == [100 + 10 * i for i in range(30)]
    assert centres(leftward) == [400 - 10 * i for i in range(30)]


def test_two_boxes_on_one_face_make_one_track() -> None:
    faces = [[face(100 + i), face(108 + i, 206, 90, 0.6)] for i in range(20)]
    [track] = link_faces(faces, times(20))
    assert centres(track) == [100 + i for i in range(20)]


def test_a_face_that_flies_is_met_where_it_was_heading() -> None:
    # Given a face that speeds up until its boxes do not overlap any more
    xs = np.cumsum([0] + [min(12 * i, 96) for i in range(20)])
    assert max(np.diff(xs)) > 0.9 * 100
    [track] = link_faces([[face(float(x))] for x in xs], times(len(xs)))
    assert len(track.frames) == len(xs)


def test_a_new_face_far_away_does_not_continue_a_track() -> None:
    faces = [[face(100)]] * 10 + [[face(500)]] * 10
    first, second = link_faces(faces, times(20))
    assert (first.frames[-1], second.frames[0]) == (9, 10)


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_cut_ends_a_track_even_where_the_next_face_stands_in_the_same_place(is_cut: bool) -> None:
    faces = [[face(100)] for _ in range(30)]
    tracks = link_faces(faces, times(30), frozenset({12}) if is_cut else frozenset())
    ends = [(int(t.frames[0]), int(t.frames[-1])) for t in tracks]
    assert ends == ([(0, 11), (12, 29)] if is_cut else [(0, 29)])


def test_no_gap_is_bridged_over_a_cut() -> None:
    faces = [[face(100)] if i not in (9, 10, 11) else [] for i in range(30)]
    first, second = link_faces(faces, times(30), frozenset({10}))
    assert (first.frames[-1], second.frames[0]) == (8, 12)


def test_a_gap_is_bridged_along_the_time_not_the_frame_count() -> None:
    # Given a variable frame rate and a face that moves 100 px a second, unseen in frames 10 and 11
    stamps = np.cumsum([0.0] + [0.04] * 9 + [0.1, 0.05, 0.01] + [0.04] * 10)
    faces = [[face(100 + 100 * t, score=0.8)] if i not in (10, 11) else [] for i, t in enumerate(stamps)]
    # When
    [track] = link_faces(faces, stamps)
    # Then its places in the gap are where it was at those times
    assert list(np.flatnonzero(track.is_bridged)) == [10, 11]
    np.testing.assert_allclose(centres(track), 100 + 100 * stamps, atol=1e-3)
    np.testing.assert_allclose(track.landmarks[:, 2, 0], 100 + 100 * stamps, atol=1e-3)
    np.testing.assert_allclose(track.scores, 0.8, atol=1e-6)


@pytest.mark.parametrize(("gap_frames", "count"), [(11, 1), (13, 2)])
def test_a_gap_is_bridged_up_to_max_gap_secs(gap_frames: int, count: int) -> None:
    seen, unseen = [[face(100)]] * 20, [[]] * gap_frames
    config = TrackingConfig(max_gap_secs=12 / 25)  # last sighting to next sighting
    tracks = link_faces([*seen, *unseen, *seen], times(40 + gap_frames), config=config)
    assert len(tracks) == count
    assert sum(int(t.is_bridged.sum()) for t in tracks) == (gap_frames if count == 1 else 0)


def test_a_short_flicker_is_dropped() -> None:
    faces = [[face(100)] + ([face(400)] if 20 <= i < 26 else []) for i in range(50)]
    tracks = link_faces(faces, times(50), config=TrackingConfig(min_track_secs=0.3))
    assert [centres(t)[0] for t in tracks] == [100]
    tracks = link_faces(faces, times(50), config=TrackingConfig(min_track_secs=0.24))
    assert [centres(t)[0] for t in tracks] == [100, 400]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_clip_shorter_than_a_track_must_be_keeps_its_faces(count: int) -> None:
    faces = [[face(100)] for _ in range(count)]
    [track] = link_faces(faces, times(count), config=TrackingConfig(min_track_secs=0.5))
    assert len(track.frames) == count


def test_a_scene_shorter_than_a_track_must_be_keeps_its_faces() -> None:
    faces = [[face(100)] for _ in range(60)]
    tracks = link_faces(faces, times(60), frozenset({30, 34}), TrackingConfig(min_track_secs=0.5))
    assert [(int(t.frames[0]), int(t.frames[-1])) for t in tracks] == [(0, 29), (30, 33), (34, 59)]


def test_tracks_are_numbered_by_first_frame_then_from_left_to_right() -> None:
    faces = [[face(600), face(300)] + ([face(50)] if i >= 5 else []) for i in range(30)]
    tracks = link_faces(faces, times(30))
    assert [(t.track_id, centres(t)[0]) for t in tracks] == [(0, 300), (1, 600), (2, 50)]


def test_faces_without_landmarks_cannot_be_tracked() -> None:
    boxes_only = Face(face(100).box_xyxy, None, 0.9)
    with pytest.raises(LandmarkSetError, match="predict its landmarks first"):
        link_faces([[face(100)], [boxes_only]], times(2))


def test_landmark_sets_may_not_be_mixed() -> None:
    other = Face(face(100).box_xyxy, np.zeros((68, 2), np.float32), 0.9)
    with pytest.raises(LandmarkSetError, match="different landmark sets"):
        link_faces([[face(100)], [other]], times(2))
