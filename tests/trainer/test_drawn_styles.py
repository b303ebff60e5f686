"""The rules that draw the styles' domains, and the brushes they share, on scikit-image's astronaut."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from alignment.points import MESH
from trainer.recipes import drawn_brush as brush
from trainer.recipes import drawn_data as data
from trainer.recipes.drawn_styles import STYLES, drawn_style
from trainer.recipes.drawn_tones import flow_of, grain, headings, structure, tones
from trainer.recipes.drawn_zones import bare_face, smooth_regions
from trainer.recipes.paint_drawing import _planes, _strokes
from trainer.recipes.sketch_drawing import _wash

from .drawn_sitter import fake_sitter


@pytest.fixture(scope="module")
def sitter() -> data.Sitter:
    return fake_sitter()


@pytest.fixture(scope="module")
def drawings(sitter: data.Sitter) -> dict[str, np.ndarray]:
    return {name: drawn_style(name).draw(sitter) for name in STYLES}


def lightness(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)[..., 0].astype(np.float32)


def eye_window(sitter: data.Sitter) -> tuple[slice, slice]:
    x, y = sitter.landmarks[MESH["right_eye"]].mean(0).astype(int)
    return slice(y - 9, y + 10), slice(x - 16, x + 17)


@pytest.mark.parametrize("name", STYLES)
def test_a_drawing_is_made_anew_alike_and_a_little_noise_changes_little(
    name: str, sitter: data.Sitter, drawings: dict[str, np.ndarray]
) -> None:
    noise = np.random.default_rng(0).normal(0, 2, sitter.picture.shape)
    noisy = replace(sitter, picture=np.clip(sitter.picture + noise, 0, 255).astype(np.uint8))
    draw = drawn_style(name).draw
    assert drawings[name].shape == (data.CANVAS_PX, data.CANVAS_PX, 3)
    assert np.array_equal(draw(sitter), drawings[name])
    assert np.abs(draw(noisy).astype(int) - drawings[name]).mean() < 3.0


@pytest.mark.parametrize("name", ["toon", "paint"])
def test_skin_is_drawn_in_few_tones(name: str, sitter: data.Sitter, drawings: dict[str, np.ndarray]) -> None:
    cheek = sitter.landmarks[MESH["nose"]][6].astype(int)
    window = (slice(cheek[1] - 12, cheek[1] + 4), slice(cheek[0] - 34, cheek[0] - 22))
    photo, drawn = sitter.picture[window], drawings[name][window]
    assert np.abs(np.diff(drawn.astype(int), axis=1)).mean() < np.abs(np.diff(photo.astype(int), axis=1)).mean()


@pytest.mark.parametrize("name", STYLES)
def test_open_eyes_are_darker_drawn_than_closed_ones(
    name: str, sitter: data.Sitter, drawings: dict[str, np.ndarray]
) -> None:
    closed, eye = drawn_style(name).draw(fake_sitter(0.1)), eye_window(sitter)
    opened, shut = ((lightness(picture)[eye] < 70).sum() for picture in (drawings[name], closed))
    assert opened > shut > 5


def test_a_toon_eye_is_white_only_when_open(sitter: data.Sitter, drawings: dict[str, np.ndarray]) -> None:
    eye = eye_window(sitter)
    assert (drawings["toon"][eye].min(-1) > 200).sum() > 20
    assert (drawn_style("toon").draw(fake_sitter(0.1))[eye].min(-1) > 200).sum() == 0


def test_a_sketch_is_graphite_on_light_paper(sitter: data.Sitter, drawings: dict[str, np.ndarray]) -> None:
    sketch, face = drawings["sketch"], bare_face(sitter, smooth_regions(sitter)) > 0.9
    assert np.ptp(sketch.astype(int), axis=-1).max() <= 12
    assert lightness(sketch)[face].mean() > 180
    assert np.percentile(lightness(sketch), 1) < 80


def test_a_sketch_does_not_follow_the_colour_of_the_light(drawings: dict[str, np.ndarray]) -> None:
    lit = np.clip(astronaut() * np.array([1.0, 0.92, 0.8]), 0, 255).astype(np.uint8)
    assert np.abs(drawn_style("sketch").draw(fake_sitter(picture=lit)).astype(int) - drawings["sketch"]).mean() < 6


def test_dark_skin_gets_a_tone_that_light_skin_does_not(sitter: data.Sitter) -> None:
    regions, size = smooth_regions(sitter), data.CANVAS_PX
    dark, light = (
        _wash(np.full((size, size), middle, np.float32), regions, (middle - 8, middle, middle + 8))
        for middle in (24.0, 66.0)
    )
    face = regions["face"] > 0.9
    assert dark[face].min() > 0.15
    assert light.max() == 0
    assert dark[regions["background"] > 0.95].max() < 0.03


def test_a_painting_is_more_colourful_than_its_photograph(sitter: data.Sitter, drawings: dict[str, np.ndarray]) -> None:
    face = bare_face(sitter, smooth_regions(sitter)) > 0.9
    photo, painted = (
        cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[face]
        for picture in (sitter.picture, drawings["paint"])
    )
    assert np.hypot(painted[:, 1], painted[:, 2]).mean() > 1.15 * np.hypot(photo[:, 1], photo[:, 2]).mean()
    assert abs(painted[:, 0].mean() - photo[:, 0].mean()) < 12


def test_strokes_flatten_texture_and_keep_an_edge() -> None:
    rng, size = np.random.default_rng(0), data.CANVAS_PX
    lab = rng.normal(0, 4, (size, size, 3)).astype(np.float32) + 30
    lab[:, size // 2 :, 0] += 40
    still = np.zeros((size, size), np.float32)
    flat = _strokes(lab, still + np.pi / 2, still + 0.5, still + 6)
    step = flat[:, size // 2 + 1, 0].mean() - flat[:, size // 2 - 2, 0].mean()
    assert flat[20:-20, 20:120, 0].std() < 0.5 * lab[20:-20, 20:120, 0].std()
    assert step > 34


def test_planes_gather_lightness_at_the_middle_tone_and_at_whole_steps_from_it() -> None:
    light = np.array([[50.0, 52.0, 58.0, 60.0]], np.float32)
    assert _planes(light, 50.0, np.full((1, 4), 10.0))[0] == pytest.approx([50.0, 50.6, 59.4, 60.0], abs=0.1)


def test_the_flow_runs_along_stripes() -> None:
    stripes = np.tile(np.sin(np.arange(64) * 0.6).astype(np.float32) * 20, (64, 1))
    assert np.abs(flow_of(stripes)[20:-20, 20:-20, 0]).max() < 0.05
    assert headings(*structure(stripes)).shape == (64, 64, 2)


def test_grain_is_as_strong_in_faint_strands_as_in_strong_ones_and_silent_on_plain_paper() -> None:
    strands = np.tile(np.sin(np.arange(96) * 1.6), (96, 1)).astype(np.float32)
    faint, strong = (grain(50 + strands * gain, flow_of(strands))[30:-30, 30:-30] for gain in (3.0, 12.0))
    assert faint.std() == pytest.approx(strong.std(), rel=0.35)
    assert np.abs(grain(np.full((64, 64), 50, np.float32), flow_of(strands[:64, :64]))).max() < 1e-3


def test_tones_step_softly_between_their_values() -> None:
    field = np.array([[0.0, 10.0, 20.0]], np.float32)
    values = np.array([[1, 1, 1], [5, 5, 5]], np.float32)
    stepped = tones(field, np.array([10.0]), values, 0.5)
    assert stepped[0, :, 0] == pytest.approx([1.0, 3.0, 5.0], abs=1e-3)


def test_a_stroke_is_as_wide_as_it_says() -> None:
    canvas = brush.Canvas(np.zeros((40, 40, 3), np.float32))
    canvas.stroke(
        np.array([[5.0, 20.0], [20.0, 20.0], [35.0, 20.0]], np.float32),
        np.full(30, 6.0, np.float32),
        np.ones(3, np.float32),
    )
    assert canvas.rgb[:, 20, 0].sum() == pytest.approx(7.0, abs=0.5)  # cv2 adds half a pixel to each edge


def test_a_blend_touches_only_where_its_mask_says() -> None:
    canvas, mask = brush.Canvas(np.zeros((6, 6, 3), np.float32)), np.zeros((6, 6), np.float32)
    canvas.blend(mask, np.ones(3, np.float32))
    assert canvas.rgb.max() == 0
    mask[2, 3] = 0.5
    canvas.blend(mask, np.full((6, 6, 3), 0.8, np.float32))
    assert canvas.rgb.sum() == pytest.approx(3 * 0.4)


def test_a_border_is_as_wide_as_it_says_where_two_regions_meet() -> None:
    left = np.clip((20 - np.arange(40, dtype=np.float32)) / 8 + 0.5, 0, 1)[None].repeat(40, 0)
    ink = brush.borders({"face": left, "hair": 1 - left}, {"face": 4.0, "hair": 4.0})
    assert ink[20, 20] == 1
    assert 2 < ink[20].sum() < 5
    assert ink[20, :12].max() == 0
