"""One picture of a result: where the time of a frame goes, ours beside the public loop, and the engines' speeds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import PipelineError
from ..sections import BenchResult, Figure

_GROUPS: dict[str, tuple[str, ...]] = {
    "decode": ("decode",),
    "find faces": ("analyse", "find faces"),
    "generator": ("generate",),
    "crop, mask, blend, paste": ("render", "warp", "paste"),
    "encode": ("encode",),
    "join, verify": ("mux", "verify"),
}
"""What is drawn as one piece of a bar: names of our stages and of the public loop's."""
_COLOURS = ("#4c78a8", "#72b7b2", "#e45756", "#f2a93b", "#54a24b", "#9d9d9d")
_PUBLIC_KEY = re.compile(r"whole/(?P<scene>[^/]+/\d)/(?P<channels>\d+)/public ms")
_ENGINE_KEY = re.compile(r"generator/(?P<channels>\d+)/(?P<engine>[^/]+)/x public")


def draw_chart(result: BenchResult, path: Path) -> None:
    """Draw a result.

    Args:
        result: with the figures of the sections stages, generator and whole.
        path: the PNG to write.

    Raises:
        PipelineError: it holds none of them.
    """
    bars, engines = frame_bars(result.figures), engine_bars(result.figures)
    whole = whole_ms(result.figures)
    if not bars and not engines:
        raise PipelineError("there is nothing to draw; --chart needs the sections stages, generator and whole.")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 5), width_ratios=(3, 2))
    _draw_frames(left, bars, whole, _scene_of(result.figures))
    _draw_engines(right, engines)
    told = result.machine
    figure.text(
        0.01, 0.01, f"{told['processor']}, {told['cores']} cores, {told['features']}", fontsize=7.5, color="#555555"
    )
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def frame_bars(figures: Mapping[str, Figure]) -> dict[str, dict[str, float]]:
    """Milliseconds of a frame by piece, for the public loop and for ours, for each width; at 720p if that was measured.

    Ours are the stages measured alone, and the generator's own time for its faces; what is measured end to end may be
    less, because stages overlap, or more, because they share the cores.
    """
    scene, bars = _scene_of(figures), {}
    for channels in _widths(figures, scene):
        public = {name: _sum(figures, f"whole/{scene}/{channels}/public", own) for name, own in _GROUPS.items()}
        bars[f"public loop, {channels} ch"] = public
        ours = {name: _sum(figures, f"stage/{scene}", own, "/ms") for name, own in _GROUPS.items()}
        engine = figures.get(f"generator/{channels}/auto/ms")
        ours["generator"] = 0.0 if engine is None else engine.value * int(scene.rpartition("/")[2])
        # Rendering is cropping, masking, blending and pasting together: those stages are inside it.
        ours["crop, mask, blend, paste"] = _sum(figures, f"stage/{scene}", ("render",), "/ms")
        ours["decode"] *= 2  # once in each pass
        if any(ours.values()):
            bars[f"ours, {channels} ch"] = ours
    return bars


def whole_ms(figures: Mapping[str, Figure]) -> dict[str, float]:
    """Milliseconds of a frame as measured end to end, by the same names."""
    scene, found = _scene_of(figures), {}
    for channels in _widths(figures, scene):
        found[f"public loop, {channels} ch"] = figures[f"whole/{scene}/{channels}/public ms"].value
        found[f"ours, {channels} ch"] = figures[f"whole/{scene}/{channels}/ms"].value
    return found


def _scene_of(figures: Mapping[str, Figure]) -> str:
    """The scene that is drawn: 720p with one face where it was measured, else the first; empty without any."""
    scenes = [match["scene"] for name in figures if (match := _PUBLIC_KEY.fullmatch(name))]
    return "720p/1" if "720p/1" in scenes else next(iter(scenes), "")


def _widths(figures: Mapping[str, Figure], scene: str) -> list[str]:
    matches = [match for name in figures if (match := _PUBLIC_KEY.fullmatch(name))]
    return [match["channels"] for match in matches if match["scene"] == scene]


def engine_bars(figures: Mapping[str, Figure]) -> dict[str, dict[str, Figure]]:
    """For each width the speed of every engine against the public code."""
    found: dict[str, dict[str, Figure]] = {}
    for name, figure in figures.items():
        match = _ENGINE_KEY.fullmatch(name)
        if match:
            found.setdefault(match["channels"], {})[match["engine"]] = figure
    return found


def _sum(figures: Mapping[str, Figure], key: str, stages: tuple[str, ...], tail: str = "") -> float:
    return sum(figures[name].value for stage in stages if (name := f"{key}/{stage}{tail}") in figures)


def _draw_frames(axes: Any, bars: Mapping[str, Mapping[str, float]], whole: Mapping[str, float], scene: str) -> None:
    size, _, faces = scene.partition("/")
    axes.set_title(f"Where the time of a frame goes ({size}, faces: {faces})", fontsize=11)
    names = list(bars)
    lengths = [0.0] * len(names)
    for (piece, _), colour in zip(_GROUPS.items(), _COLOURS, strict=True):
        values = [bars[name][piece] for name in names]
        axes.barh(names, values, left=lengths, color=colour, label=piece, height=0.62)
        lengths = [start + value for start, value in zip(lengths, values, strict=True)]
    ends = [whole[name] for name in names]
    axes.plot(ends, names, linestyle="", marker="D", color="black", markersize=5, label="end to end, measured")
    for name, length, end in zip(names, lengths, ends, strict=True):
        axes.text(max(length, end), name, f"   {end:.0f} ms", va="center", fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("ms per frame; bars: stages measured alone")
    axes.set_xlim(0, 1.16 * max([*lengths, *ends], default=1.0))
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncol=4, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_engines(axes: Any, engines: Mapping[str, Mapping[str, Figure]]) -> None:
    axes.set_title("Generator against the public code", fontsize=11)
    labels = list(dict.fromkeys(label for of_width in engines.values() for label in of_width))
    height = 0.8 / max(len(engines), 1)
    for number, (channels, of_width) in enumerate(engines.items()):
        known = [(i, of_width[label]) for i, label in enumerate(labels) if label in of_width]
        places = [i + number * height for i, _ in known]
        values = [figure.value for _, figure in known]
        ranges = [[f.value - f.low for _, f in known], [f.high - f.value for _, f in known]]
        axes.barh(
            places,
            values,
            height=0.9 * height,
            xerr=ranges,
            color=_COLOURS[number],
            label=f"{channels} channels",
            error_kw={"elinewidth": 1, "ecolor": "#333333"},
        )
        for place, figure in zip(places, [f for _, f in known], strict=True):
            axes.text(figure.high, place, f" {figure.value:.2f}x", va="center", fontsize=8)
    axes.axvline(1.0, color="#555555", linewidth=1, linestyle=":")
    axes.set_yticks([i + height * (len(engines) - 1) / 2 for i in range(len(labels))], labels)
    axes.invert_yaxis()
    axes.set_xlabel("times as fast, one crop (lines: range)")
    top = max((f.high for of_width in engines.values() for f in of_width.values()), default=1.0)
    axes.set_xlim(0, 1.2 * top)
    if engines:
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncol=2, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
