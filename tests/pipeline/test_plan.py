"""Which faces are restyled where, and how strongly."""

import dataclasses

import numpy as np
import pytest

from alignment.templates import HEAD, TIGHT
from alignment.warp import transform_points
from pipeline.analysis import Analysis
from pipeline.choice import parse_faces
from pipeline.plan import FADE_SECS, CropSpec, Plan, choose_tracks, fade, hidden_frames, make_plan

from .faces import analysis, track


def plan_all(found: Analysis, size_px: int = 64, **options: float) -> Plan:
    """A plan in which every face has the same style."""
    return make_plan(found, {t.track_id: CropSpec("toon", HEAD, size_px) for t in found.tracks}, **options)


def test_every_face_of_every_track_gets_a_crop_on_its_template() -> None:
    plan = plan_all(analysis(10, track(0, range(10)), track(1, range(4, 8), (250, 90))), 256)
    assert [plan.num_faces_in(i) for i in range(10)] == [1, 1, 1, 1, 2, 2, 2, 2, 1, 1]
    assert plan.num_faces == 14
    [placement] = plan.faces_in(0)
    back = transform_points(placement.source_to_crop, track(0, [0]).landmarks[0])
    assert np.abs(back - HEAD.at_size(256)).max() < 12  # the toy face is not quite the template
    assert np.allclose(back, placement.landmarks, atol=1e-3)


def test_the_largest_face_wins_and_never_two_at_once() -> None:
    small, large = track(0, range(10), size=1.0), track(1, range(5, 15), (250, 90), size=2.0)
    later = track(2, range(20, 30), size=0.5)
    assert [t.track_id for t in choose_tracks([small, large, later], parse_faces("1"))] == [1, 2]
    assert [t.track_id for t in choose_tracks([small, large, later], parse_faces("2"))] == [0, 1, 2]
    assert [t.track_id for t in choose_tracks([small, large, later], parse_faces("all"))] == [0, 1, 2]


def test_style_fades_in_and_out_in_the_middle_of_a_scene() -> None:
    opacity = fade(track(0, range(30, 60)), analysis(100))
    ramp = round(FADE_SECS * 25)
    assert 0 < opacity[0] < 0.5
    assert (np.diff(opacity[:ramp]) > 0).all()
    assert (opacity[ramp:-ramp] == 1).all()
    assert opacity[-1] == pytest.approx(opacity[0])


def test_no_fade_at_cuts_and_at_the_ends_of_the_video() -> None:
    assert (fade(track(0, range(100)), analysis(100)) == 1).all()
    assert (fade(track(0, range(40, 60)), analysis(100, cuts=[40, 60])) == 1).all()


def test_strength_scales_the_opacity() -> None:
    plan = plan_all(analysis(5, track(0, range(5))), strength=0.4)
    assert all(p.opacity == pytest.approx(0.4) for i in range(5) for p in plan.faces_in(i))


def test_bridged_faces_are_counted() -> None:
    bridged = dataclasses.replace(track(0, range(10)), is_bridged=np.arange(10) % 5 == 2)
    assert plan_all(analysis(10, bridged)).num_bridged == 2


def test_smoothing_lowers_the_jitter_and_zero_leaves_it() -> None:
    rng = np.random.default_rng(0)
    still = track(0, range(50))
    shaky = dataclasses.replace(
        still, landmarks=still.landmarks + rng.normal(0, 0.5, still.landmarks.shape).astype(np.float32)
    )
    on, off = (plan_all(analysis(50, shaky), smoothing=s) for s in (1.0, 0.0))
    assert on.jitter_in_percent == off.jitter_in_percent == off.jitter_out_percent
    assert on.jitter_out_percent is not None
    assert off.jitter_out_percent is not None
    assert on.jitter_out_percent < 0.5 * off.jitter_out_percent


def test_a_video_without_faces_has_an_empty_plan() -> None:
    plan = plan_all(analysis(10))
    assert (plan.num_faces, len(plan.tracks), plan.jitter_in_percent) == (0, 0, None)


def test_faces_are_picked_by_number_counted_from_one() -> None:
    tracks = [track(i, range(10), (60 + 80 * i, 90)) for i in range(3)]
    assert [t.track_id for t in choose_tracks(tracks, parse_faces("1,3"))] == [0, 2]
    assert [t.track_id for t in choose_tracks(tracks, parse_faces("only:2"))] == [1]
    assert choose_tracks(tracks, parse_faces("only:7")) == []


def test_every_face_is_cut_as_its_own_style_asks() -> None:
    found = analysis(5, track(0, range(5)), track(1, range(5), (250, 90)), track(2, range(5), (180, 90)))
    plan = make_plan(found, {0: CropSpec("toon", HEAD, 256), 2: CropSpec("ink", TIGHT, 64)})
    placed = {p.style: p for p in plan.faces_in(3)}
    assert sorted(placed) == ["ink", "toon"]
    scale = {style: np.linalg.norm(p.source_to_crop[0, :2]) for style, p in placed.items()}
    assert scale["toon"] / scale["ink"] == pytest.approx(0.72 * 256 / 64, rel=1e-4)


def test_the_larger_face_of_a_frame_is_pasted_last() -> None:
    found = analysis(3, track(0, range(3), size=2.0), track(1, range(3), (150, 90), size=1.0))
    assert [p.track_id for p in plan_all(found).faces_in(1)] == [1, 0]


def test_a_face_behind_another_one_is_not_drawn_over_it() -> None:
    # Given a face that passes behind another one, unseen in frames 40 to 59, and in frames 80 to 84 for another reason
    front, back = track(0, range(100), (200, 90)), track(1, range(100))
    xs = np.arange(100, dtype=np.float32) * 4
    back = dataclasses.replace(
        back,
        boxes=back.boxes + np.stack([xs - 100, 0 * xs] * 2, axis=1),
        is_bridged=np.isin(np.arange(100), [*range(40, 60), *range(80, 85)]),
    )
    # When
    hidden = hidden_frames(back, analysis(100, front, back))
    opacity = fade(back, analysis(100, front, back))
    # Then it is left out for the whole first gap, fades out and in around it, and is bridged as usual in the second
    assert list(np.flatnonzero(hidden)) == list(range(40, 60))
    assert (opacity[40:60] == 0).all()
    assert (np.diff(opacity[35:40]) < 0).all()
    assert (np.diff(opacity[59:64]) > 0).all()
    assert (opacity[65:] == 1).all()
    assert (fade(front, analysis(100, front, back)) == 1).all()


def test_a_gap_longer_than_the_longest_to_be_bridged_is_not_drawn() -> None:
    away = dataclasses.replace(track(0, range(60)), is_bridged=np.isin(np.arange(60), range(20, 40)))
    assert (fade(away, analysis(60, away), max_gap_secs=0.5)[20:40] == 0).all()
    assert (fade(away, analysis(60, away), max_gap_secs=1.0) == 1).all()
