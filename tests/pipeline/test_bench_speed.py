"""The benchmark of speed measures what it says: on tiny clips and networks, with no opinion about how fast they are."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import run as command_line
from model import GeneratorConfig, ModelError, Style, StyleCard, build_generator, load_style
from pipeline.bench.clips import make_scene
from pipeline.bench.sections import BenchResult, Figure, SectionResult, machine
from pipeline.bench.speed.chart import draw_chart, frame_bars
from pipeline.bench.speed.child import run_child
from pipeline.bench.speed.compare import compare, read_result
from pipeline.bench.speed.crops import face_crops
from pipeline.bench.speed.effort import EFFORTS, SIZES, Effort, Scene
from pipeline.bench.speed.extra import _numbers
from pipeline.bench.speed.generator import public_generator
from pipeline.bench.speed.goals import GOALS, Goal, verdict
from pipeline.bench.speed.int8 import load_int8
from pipeline.bench.speed.race import Spread, race, ratio
from pipeline.bench.speed.run import SECTIONS, SpeedSettings, run_speed
from pipeline.bench.speed.styles import widened
from pipeline.bench.training import TrainingChoices
from pipeline.cli.bench import bench
from pipeline.decode import iter_frames
from pipeline.errors import InputError, PipelineError, RegressionError, UnreadableInputError
from pipeline.probe import probe
from pipeline.progress import SilentProgress
from pipeline.settings import ConvertSettings
from pipeline.studio import Studio
from tests.pipeline.clips import write_style

SMALL = Scene("small", (320, 240))
TINY = Effort(
    "tiny",
    rounds=1,
    crop_rounds=1,
    stage_rounds=1,
    stage_frames=8,
    stages=(SMALL,),
    whole=(SMALL,),
    whole_narrow=(),
    run_secs=0.01,
    most_frames=25,
    memory=SMALL,
    memory_frames=(8, 16),
    starts=1,
    has_int8=False,
)


@dataclass
class Globals:
    json: bool = False


def command(*arguments: object, as_json: bool = False) -> Result:
    return CliRunner().invoke(bench, [str(a) for a in arguments], obj=Globals(as_json))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BenchResult]:
    """Everything that needs no other process, measured once."""
    folder = tmp_path_factory.mktemp("speed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UGATIT_CACHE", str(folder / "cache"))
        patch.setattr("pipeline.bench.speed.limits._COPY_BYTES", 1 << 20)
        patch.setattr("pipeline.bench.speed.limits._PRODUCT_SIDE", {"cpu": 64})
        names = ("limits", "stages", "generator", "whole", "goals")
        settings = SpeedSettings(TINY, only=names, style=str(write_style(folder / "tiny.safetensors")), device="cpu")
        yield run_speed(settings, SilentProgress())


def figure(name: str, value: float, low: float | None = None, high: float | None = None, **more: Any) -> Figure:
    return Figure(name, value, "x", value if low is None else low, value if high is None else high, **more)


def result_of(*figures: Figure, **changed: str) -> BenchResult:
    section = SectionResult("fake", "Fake", "Nothing.", (), 0.0, figures=figures)
    return BenchResult(machine() | {"device": "cpu"} | changed, {}, (section,))


def written(path: Path, result: BenchResult) -> Path:
    path.write_text(json.dumps(result.to_json()))
    return path


def test_every_section_can_be_loaded() -> None:
    for section in SECTIONS:
        assert callable(section.load())


def test_contenders_run_once_per_round_and_each_begins_some_round() -> None:
    calls: list[str] = []
    timings = race({name: lambda name=name: calls.append(name) for name in "abc"}, 3, warm_ups=1)  # type: ignore[misc]
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab"
    assert all(len(timing.wall_secs) == len(timing.cpu_secs) == 3 for timing in timings.values())


def test_ratios_are_taken_within_a_round() -> None:
    assert ratio([2.0, 40.0, 3.0], [1.0, 10.0, 1.0]) == Spread(3.0, 2.0, 4.0)
    assert Spread(3.0, 2.0, 4.0).text() == "3.00 (2.00-4.00)"
    assert (Spread(3.0, 3.0, 3.0) * 2).text(0) == "6"


def test_everything_is_measured_and_finite(measured: BenchResult) -> None:
    assert [(section.name, section.error) for section in measured.sections] == [
        (name, None) for name in ("limits", "stages", "generator", "whole", "goals")
    ]
    assert measured.figures
    for one in measured.figures.values():
        assert math.isfinite(one.value), one.name
        assert one.low <= one.value <= one.high, one.name
    assert all(one.value > 0 for name, one in measured.figures.items() if name.endswith(("/ms", "/x public", "fps")))


def test_ratios_are_those_of_the_times_beside_them(measured: BenchResult) -> None:
    figures = measured.figures
    for width in (8, 16):
        public, own = figures[f"generator/{width}/public/ms"], figures[f"generator/{width}/torch fp32/ms"]
        assert figures[f"generator/{width}/torch fp32/x public"].value == pytest.approx(public.value / own.value)
        whole = f"whole/small/1/{width}"
        expected = figures[f"{whole}/public ms"].value / figures[f"{whole}/ms"].value
        assert figures[f"{whole}/x public"].value == pytest.approx(expected)
        assert figures[f"{whole}/fps"].value == pytest.approx(1000 / figures[f"{whole}/ms"].value)


def test_plain_fp32_engines_draw_what_the_style_draws(measured: BenchResult) -> None:
    assert measured.figures["generator/8/torch fp32/max error"].value < 0.1
    assert measured.figures["generator/8/torch fp32/PSNR"].value > 90


def test_every_goal_names_a_figure_that_is_measured(measured: BenchResult) -> None:
    elsewhere = ("start/", "memory/", "generator/64/batch")
    for goal in GOALS:
        if not goal.figure.startswith(elsewhere) and "int8" not in goal.figure and "bf16" not in goal.figure:
            name = goal.figure.replace("720p", "small").replace("/32/", "/8/").replace("/64/", "/16/")
            assert name.replace("openvino", "torch") in measured.figures, goal.what


def test_a_result_survives_its_file(measured: BenchResult, tmp_path: Path) -> None:
    path = written(tmp_path / "result.json", measured)
    again = read_result(path)
    assert again.figures == measured.figures
    assert written(tmp_path / "again.json", again).read_text() == path.read_text()


def test_a_result_can_be_drawn(measured: BenchResult, tmp_path: Path) -> None:
    draw_chart(measured, tmp_path / "chart.png")
    picture = cv2.imread(str(tmp_path / "chart.png"))
    assert picture is not None
    assert picture.shape[1] > 900
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
    bars = frame_bars(measured.figures)
    assert list(bars) == ["public loop, 8 ch", "ours, 8 ch", "public loop, 16 ch", "ours, 16 ch"]
    assert all(sum(pieces.values()) > 0 for pieces in bars.values())


def test_there_must_be_something_to_draw(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="nothing to draw"):
        draw_chart(result_of(figure("limits/copy", 1.0)), tmp_path / "chart.png")


def test_a_child_tells_what_it_reaches_and_is_watched(style_file: Path, tmp_path: Path) -> None:
    clip = make_scene(tmp_path / "clip.mp4", SMALL.size_wh, 1, 8)
    (tmp_path / "out").mkdir()
    run = run_child(clip, tmp_path / "out", str(style_file), "cpu")
    assert list(run.reached_secs) == ["imports", "networks", "analysed", "first frame", "end"]
    assert sorted(run.reached_secs.values()) == list(run.reached_secs.values())
    assert run.peak_rss_bytes > 50e6


def test_a_child_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"gone\.mp4"):
        run_child(tmp_path / "gone.mp4", tmp_path, "toon", "cpu")


@pytest.mark.slow
def test_start_and_memory_are_measured(style_file: Path) -> None:
    settings = SpeedSettings(TINY, only=("start", "memory"), style=str(style_file), device="cpu")
    start, memory = run_speed(settings, SilentProgress()).sections
    assert (start.error, memory.error) == (None, None)
    assert {"start/cold/first frame", "start/warm/first frame"} <= {one.name for one in start.figures}
    assert all(one.value > 0 for one in memory.figures)


def test_scenes_show_as_many_faces_as_they_say(tmp_path: Path) -> None:
    finder = Studio(ConvertSettings(detector="builtin", device="cpu")).finder
    for num_faces in (1, 4):
        clip = make_scene(tmp_path / f"{num_faces}.mp4", SIZES["480p"], num_faces, 1)
        [frame] = iter_frames(probe(clip))
        assert frame.size_wh == SIZES["480p"]
        assert len(finder.find(frame)) == num_faces
    with pytest.raises(ValueError, match="has 1 or 4"):
        make_scene(tmp_path / "no.mp4", (64, 64), 3, 1)


def test_a_style_twice_as_wide_draws_the_same() -> None:
    torch.manual_seed(1)
    config = GeneratorConfig(base_channels=4, num_blocks=2, image_size_px=64)
    generator = build_generator(config).eval()
    for parameter in generator.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    style = Style("narrow", StyleCard(crop_size_px=64), config, generator)
    wide, crops = widened(style), face_crops(64)
    with torch.no_grad():
        expected, got = generator(crops).image, wide.generator(crops).image
    assert wide.config.base_channels == 8
    torch.testing.assert_close(got, expected, atol=2e-3, rtol=0)
    assert expected.std() > 0.01


def test_only_plain_styles_can_be_widened() -> None:
    config = GeneratorConfig(base_channels=4, num_blocks=0, image_size_px=64, use_scse=True)
    with pytest.raises(ValueError, match="plain light ones"):
        widened(Style("odd", StyleCard(crop_size_px=64), config, build_generator(config)))


def test_the_public_generator_draws_what_a_style_without_its_own_additions_draws() -> None:
    torch.manual_seed(2)
    config = GeneratorConfig(base_channels=4, num_blocks=1, image_size_px=64)
    style = Style("plain", StyleCard(crop_size_px=64), config, build_generator(config).eval())
    public = public_generator(style)
    known = {re.sub(r"\.1\.(?=weight|bias)", ".", key) for key in public.state_dict()}
    for key, parameter in style.generator.named_parameters():
        if key not in known and key.endswith("bias"):
            parameter.data.zero_()
    crops = face_crops(64)
    with torch.no_grad():
        torch.testing.assert_close(public(crops)[0], style.generator(crops).image, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("value", "expected"), [(1.7, "met, stretch too"), (1.45, "met"), (1.2, "NOT MET"), (None, "not measured")]
)
def test_goals_are_judged_by_their_figures(value: float | None, expected: str) -> None:
    goal = Goal("fast", "generator/32/fast", 1.4, 1.6)
    assert verdict(goal, None if value is None else figure(goal.figure, value), {"": True}) == expected


def test_a_goal_for_another_machine_is_not_judged_here() -> None:
    goal = Goal("fast", "generator/32/fast", 8.0, needs="AMX")
    assert verdict(goal, figure(goal.figure, 1.0), {"AMX": False}) == "needs AMX"
    assert verdict(replace(goal, is_most=True), figure(goal.figure, 1.0), {"AMX": True}) == "met"


def test_worse_beyond_the_spread_is_a_regression() -> None:
    old = result_of(figure("a", 2.0, 1.9, 2.1, is_ratio=True), figure("b", 2.0, 1.0, 3.0, is_ratio=True))
    new = result_of(figure("a", 1.5, 1.4, 1.6, is_ratio=True), figure("b", 1.5, 0.9, 2.0, is_ratio=True))
    assert [change.new.name for change in compare(old, new).regressions] == ["a"]
    assert not compare(old, old).regressions
    assert not compare(new, old).regressions
    assert [change.is_better for change in compare(new, old).changes] == [True, False]


def test_smaller_is_better_where_a_figure_says_so() -> None:
    old = result_of(figure("error", 1.0, is_ratio=True, more_is_better=False))
    assert compare(old, result_of(figure("error", 2.0, is_ratio=True, more_is_better=False))).regressions
    assert not compare(old, result_of(figure("error", 0.5, is_ratio=True, more_is_better=False))).regressions


def test_times_of_a_shared_machine_are_told_and_not_judged() -> None:
    old, new = result_of(figure("ms", 10.0, more_is_better=False)), result_of(figure("ms", 20.0, more_is_better=False))
    comparison = compare(old, new)
    assert comparison.changes[0].is_worse
    assert not comparison.regressions


def test_on_another_machine_only_ratios_are_compared() -> None:
    old = result_of(figure("ms", 10.0), figure("x", 2.0, is_ratio=True), processor="Another")
    comparison = compare(old, result_of(figure("ms", 20.0), figure("x", 1.0, is_ratio=True)))
    assert [change.new.name for change in comparison.changes] == ["x"]
    assert "Another" in comparison.differences[0]
    assert comparison.num_left_out == 1


def test_two_results_are_compared_without_measuring(tmp_path: Path) -> None:
    old = written(tmp_path / "old.json", result_of(figure("a", 2.0, is_ratio=True)))
    new = written(tmp_path / "new.json", result_of(figure("a", 1.0, is_ratio=True)))
    worse = command("--from", new, "--compare", old, "-o", tmp_path / "both.md", "-o", tmp_path / "both.json")
    assert isinstance(worse.exception, RegressionError)
    assert command_line.exit_code(worse.exception) == 20
    assert "WORSE" in worse.output
    assert "WORSE" in (tmp_path / "both.md").read_text()
    assert command("--from", tmp_path / "both.json", "--compare", new).exit_code == 0
    assert command("--from", old, "--compare", new).exit_code == 0


def test_what_is_no_result_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    for text in ("[]", "{", '{"machine": {}}'):
        wrong.write_text(text)
        with pytest.raises(UnreadableInputError, match=r"wrong\.json.*no result"):
            read_result(wrong)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--quality", "--training"), "not both"),
        (("--quality", "--quick"), "are for the benchmark of speed"),
        (("--training", "--chart", "a.png"), "are for the benchmark of speed"),
        (("--chart", "a.jpg"), "does not end in .png"),
        (("-o", "a.txt"), "ends neither in .json nor in .md"),
        (("--only", "none"), 'no section "none"; choose some of limits, stages, generator'),
        (("--only", "jobs"), "from the command line only"),
        (("--data", "."), "--data is for --quality"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: tuple[str, ...], said: str) -> None:
    result = command(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_the_efforts_differ_in_what_they_measure() -> None:
    assert [effort.name for effort in EFFORTS.values()] == ["quick", "default", "full"]
    assert len(EFFORTS["full"].whole) == 6
    for effort in EFFORTS.values():
        names = [section.name for section in SpeedSettings(effort).sections()]
        assert names[0] == "limits"
        assert names[-1] == "goals"


def test_training_and_watching_are_measured_where_the_entry_hands_them_over() -> None:
    def training(choices: TrainingChoices, on_step: Any) -> list[dict[str, Any]]:
        on_step(1, 1)
        rows = (("official, fp32", 4, "1.00"), ("ours, bf16", 2, "2.00 (1.80-2.30)"))
        return [{"title": "Step", "columns": ("step", "ms", "x official"), "rows": rows, "note": ""}]

    def jobs(on_step: Any) -> list[dict[str, Any]]:
        on_step(1, 1)
        return [{"name": "rescan", "what": "A rescan", "value": 12.0, "unit": "ms"}]

    with pytest.raises(InputError, match="from the command line only"):
        SpeedSettings(TINY, only=("jobs",)).sections()
    settings = SpeedSettings(TINY, only=("training", "jobs"), measure_training=training, measure_jobs=jobs)
    result = run_speed(settings, SilentProgress())
    assert [section.error for section in result.sections] == [None, None]
    assert result.figures["training/x official"].high == 2.3
    assert result.figures["jobs/rescan"].value == 12.0
    assert _numbers("1.25") == (1.25, 1.25, 1.25)


def test_the_built_in_style_can_be_measured() -> None:
    style = load_style("toon")
    assert widened(style).config.base_channels == 2 * style.config.base_channels


def test_a_style_is_quantised_in_a_folder_that_goes_away(
    style_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    style, caches = load_style(str(style_file)), []

    def load(style: Style, **choices: Any) -> str:
        caches.append(os.environ["UGATIT_CACHE"])
        if len(caches) == 1:
            raise ModelError("there is none in 8 bits")
        return "engine"

    def quantise(style: Style, calibration: torch.Tensor, held_out: torch.Tensor) -> None:
        assert len(calibration) > len(held_out) > 0
        caches.append(os.environ["UGATIT_CACHE"])

    own = os.environ["UGATIT_CACHE"]
    monkeypatch.setattr("pipeline.bench.speed.int8.load_engine", load)
    monkeypatch.setitem(sys.modules, "model.quantise", SimpleNamespace(quantise=quantise))
    with pytest.raises(ModelError, match="none in 8 bits"):
        load_int8(style, tmp_path / "int8", may_quantise=False)
    caches.clear()
    assert load_int8(style, tmp_path / "int8", may_quantise=True) == ("engine", "quantised for the demo's face")
    assert caches == [own, str(tmp_path / "int8"), str(tmp_path / "int8")]
    assert os.environ["UGATIT_CACHE"] == own


def test_stages_are_compared_by_the_time_of_all_cores(measured: BenchResult) -> None:
    figures = measured.figures
    bare = [
        figures[f"stage/small/1/{stage}/CPU ms"].value / figures[f"stage/small/1/{stage}/x bare decoder"].value
        for stage in ("analyse", "mask before", "encode")
    ]
    assert bare == pytest.approx([bare[0]] * 3)
    assert "stage/small/1/blend/CPU ms" not in figures
