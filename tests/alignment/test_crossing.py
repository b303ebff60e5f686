"""Faces that meet keep their tracks: by their looks where places do not tell, and after they were hidden."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import astronaut

from alignment.appearance import OTHER_FACE, SAME_FACE, distance, mean_signature, signature
from alignment.faces import Face, crowded
from alignment.tracking import Track, TrackingConfig, link_faces

FIVE = np.array([[-20, -15], [20, -15], [0, 5], [-15, 28], [15, 28]], np.float32)
EYES = np.float32([[203, 108], [246, 108], [225, 133], [206, 151], [243, 152]])
LIGHT = signature(astronaut(), EYES)
DARK = signature((astronaut() * 0.6).astype(np.uint8)[::-1].copy(), EYES)
"""Somebody else: what stands there when the portrait is upside down."""


def face(x: float, looks: np.ndarray | None, y: float = 200.0, size: float = 100.0) -> Face:
    box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], np.float32)
    return Face(box, FIVE * size / 100 + np.float32([x, y]), 0.9, looks)


def link(faces: list[list[Face]], **config: float) -> list[Track]:
    return link_faces(faces, np.arange(len(faces)) / 25, config=TrackingConfig(**config))


def ends(track: Track) -> tuple[float, float]:
    """x at the first and the last frame."""
    return float(track.boxes[0, ::2].mean()), float(track.boxes[-1, ::2].mean())


def test_signatures_tell_people_apart_but_not_sizes_angles_and_light() -> None:
    picture = astronaut()
    half = picture[::2, ::2].copy()
    assert distance(LIGHT, signature(half, EYES / 2 - 0.25)) < 0.3 < SAME_FACE
    assert distance(LIGHT, signature(np.rot90(picture).copy(), EYES[:, ::-1] * (1, -1) + (0, 511))) < 0.3
    assert distance(LIGHT, signature((picture * 0.85).astype(np.uint8), EYES)) < 0.3
    assert distance(LIGHT, DARK) > OTHER_FACE


def test_one_odd_signature_does_not_change_the_mean() -> None:
    assert distance(mean_signature([LIGHT, LIGHT, DARK, LIGHT]), LIGHT) < 0.01


def test_faces_are_crowded_where_their_surroundings_touch() -> None:
    boxes = np.float32([[0, 0, 100, 100], [120, 0, 220, 100], [400, 0, 500, 100]])
    assert crowded(boxes, 0.15).tolist() == [True, True, False]
    assert crowded(boxes, 0.05).tolist() == [False, False, False]
    assert crowded(boxes[:1], 1.0).tolist() == [False]


def test_a_face_that_passes_behind_another_comes_out_with_its_id() -> None:
    # Given one who walks to the right and is hidden for 0.64 s behind one who stands
    faces = [[face(300, LIGHT)] + ([face(8 * i, DARK)] if abs(8 * i - 300) > 60 else []) for i in range(75)]
    # When
    tracks = link(faces)
    # Then
    assert sorted(ends(t) for t in tracks) == [(0, 592), (300, 300)]
    assert [int(t.is_bridged.sum()) for t in tracks] == [16, 0]


def test_a_face_that_goes_behind_another_and_turns_back_comes_out_with_its_id() -> None:
    # Given one who goes behind another, waits there for 1.2 s, and comes back to where it came from
    path = [*range(100, 240, 7), *[None] * 30, *range(240, 100, -7)]
    faces = [[face(300, LIGHT)] + ([face(x, DARK)] if x is not None else []) for x in path]
    tracks = link(faces)
    assert sorted(ends(t) for t in tracks) == [(100, 107), (300, 300)]


def test_who_touches_and_parts_keeps_the_id_though_places_say_that_they_crossed() -> None:
    # Given two who come together at speed, are one face for 0.2 s, and go back where they came from
    away = [abs(t) * 14.0 for t in range(-20, 21)]
    faces = [[face(300 - a, LIGHT), face(300 + a, DARK)] if a > 30 else [face(300, LIGHT)] for a in away]
    tracks = link(faces)
    assert [ends(t) for t in tracks] == [(20, 20), (580, 580)]


def test_without_looks_who_is_hidden_too_long_is_somebody_new() -> None:
    faces = [[face(300, None)] + ([face(8 * i, None)] if abs(8 * i - 300) > 60 else []) for i in range(75)]
    assert len(link(faces)) == 3


def test_somebody_else_who_comes_out_is_somebody_new() -> None:
    faces = [
        [face(300, LIGHT)] + ([face(8 * i, DARK if i < 40 else LIGHT)] if abs(8 * i - 300) > 60 else [])
        for i in range(75)
    ]
    assert len(link(faces)) == 3


def test_who_is_away_longer_than_the_longest_hiding_is_somebody_new() -> None:
    # Given one who stands beside another and is away for 2.24 s
    faces = [[face(300, LIGHT)] + ([face(160, DARK)] if not 20 <= i < 75 else []) for i in range(95)]
    assert len(link(faces, max_hidden_secs=2.0)) == 3
    assert len(link(faces, max_hidden_secs=2.5)) == 2


@pytest.mark.parametrize("cut", [30, 44, 50])
def test_no_face_is_joined_over_a_cut(cut: int) -> None:
    faces = [[face(300, LIGHT)] + ([face(8 * i, DARK)] if abs(8 * i - 300) > 60 else []) for i in range(75)]
    tracks = link_faces(faces, np.arange(75) / 25, frozenset({cut}))
    assert not any(t.frames[0] < cut <= t.frames[-1] for t in tracks)
