"""Which faces are restyled where, and how strongly."""

import dataclasses

import numpy as np
import pytest

from alignment.templates import HEAD
from alignment.warp import transform_points
from pipeline.plan import FADE_SECS, choose_tracks, fade, make_plan

from .faces import analysis, track


def test_every_face_of_every_track_gets_a_crop_on_its_template() -> None:
    plan = make_plan(analysis(10, track(0, range(10)), track(1, range(4, 8), (250, 90))), HEAD, 256)
    assert [plan.num_faces_in(i) for i in range(10)] == [1, 1, 1, 1, 2, 2, 2, 2, 1, 1]
    assert plan.num_faces == 14
    [placement] = plan.faces_in(0)
    back = transform_points(placement.source_to_crop, track(0, [0]).landmarks[0])
    assert np.abs(back - HEAD.at_size(256)).max() < 12  # the toy face is not quite the template
    assert np.allclose(back, placement.landmarks, atol=1e-3)


def test_the_largest_face_wins_and_never_two_at_once() -> None:
    small, large = track(0, range(10), size=1.0), track(1, range(5, 15), (250, 90), size=2.0)
    later = track(2, range(20, 30), size=0.5)
    assert [t.track_id for t in choose_tracks([small, large, later], "1")] == [1, 2]
    assert [t.track_id for t in choose_tracks([small, large, later], "2")] == [0, 1, 2]
    assert [t.track_id for t in choose_tracks([small, large, later], "all")] == [0, 1, 2]


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
    plan = make_plan(analysis(5, track(0, range(5))), HEAD, 64, strength=0.4)
    assert all(p.opacity == pytest.approx(0.4) for i in range(5) for p in plan.faces_in(i))


def test_bridged_faces_are_counted() -> None:
    bridged = dataclasses.replace(track(0, range(10)), is_bridged=np.arange(10) % 5 == 2)
    assert make_plan(analysis(10, bridged), HEAD, 64).num_bridged == 2


def test_smoothing_lowers_the_jitter_and_zero_leaves_it() -> None:
    rng = np.random.default_rng(0)
    still = track(0, range(50))
    shaky = dataclasses.replace(
        still, landmarks=still.landmarks + rng.normal(0, 0.5, still.landmarks.shape).astype(np.float32)
    )
    on, off = (make_plan(analysis(50, shaky), HEAD, 64, smoothing=s) for s in (1.0, 0.0))
    assert on.jitter_in_percent == off.jitter_in_percent == off.jitter_out_percent
    assert on.jitter_out_percent is not None
    assert off.jitter_out_percent is not None
    assert on.jitter_out_percent < 0.5 * off.jitter_out_percent


def test_a_video_without_faces_has_an_empty_plan() -> None:
    plan = make_plan(analysis(10), HEAD, 64)
    assert (plan.num_faces, len(plan.tracks), plan.jitter_in_percent) == (0, 0, None)
