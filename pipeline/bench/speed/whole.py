"""Whole conversions against the plain loop around the public code, and without the generator against ffmpeg alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import torch

from alignment.templates import TEMPLATES
from model import load_style

from ...settings import ConvertSettings
from ...studio import Studio
from ..conversion import converted
from ..sections import Cell, Table
from .crops import face_crops
from .effort import Scene
from .generator import public_generator
from .limits import encoder_arguments, transcode
from .public import STAGES, PublicLoop
from .race import Spread, Timing, race, ratio
from .run import SpeedBench
from .stages import identity_studio

_FEWEST_FRAMES = 4
_FEWEST_CONVERTED = 25  # what a conversion does once per clip would weigh too much on fewer
_AROUND_SECS = 0.03  # what a frame takes besides the generator, roughly: to choose how many


@dataclass
class _Run:
    """A contender on one clip."""

    clip: Path
    num_frames: int
    work: Callable[[], object]
    parts: list[dict[str, float]] = field(default_factory=list)
    """Seconds per stage of every run so far."""

    def __call__(self) -> None:
        """Do it once."""
        told = self.work()
        self.parts.append(told if isinstance(told, dict) else {})


class _Course:
    """All contenders on one kind of clip.

    Args:
        bench: see there.
        name: of the clip, for the table.
        key: of the clip, for figures.
        clip: gives a clip with so many frames, or as many as there are.
        num_faces: in a frame.
        channels: widths that are converted.
    """

    def __init__(
        self, bench: SpeedBench, name: str, key: str, clip: Callable[[int], Path], num_faces: int, channels: list[int]
    ) -> None:
        self.bench, self.name, self.key, self.channels = bench, name, key, channels
        self._clip, self._num_faces = clip, num_faces
        self.runs: dict[str, _Run] = {}

    def measure(self) -> dict[str, Timing]:
        """Seconds per frame of every contender."""
        bench = self.bench
        bench.progress.start(f"conversions of {self.name}", "measuring", None)
        long = self._clip(bench.effort.most_frames)
        most = num_frames_in(long)
        self.runs["ffmpeg"] = _Run(long, most, lambda: transcode(long, bench.folder / "transcoded.mp4"))
        studio = identity_studio(bench.settings.style, device=bench.settings.device, overwrite=True, resume=False)
        studio.load()  # as those with a generator: what is measured begins when the networks are there
        self.runs["identity"] = self._conversion(studio, long, most)
        for channels in self.channels:
            self._add_style(channels)
        timings = race(self.runs, bench.effort.rounds, warm_ups=0, on_run=lambda: bench.progress.advance(1))
        studio.close()
        return {name: timing.per(self.runs[name].num_frames) for name, timing in timings.items()}

    def _add_style(self, channels: int) -> None:
        bench, name = self.bench, self.bench.styles[channels]
        style = load_style(name)
        settings = ConvertSettings(style=name, device=bench.settings.device, overwrite=True, resume=False)
        studio, crop = Studio(settings), face_crops(style.card.crop_size_px)[:1]
        studio.load()
        clip = self._clip(self._frames_for(_secs_of(lambda: studio.engine(crop)), _FEWEST_CONVERTED))
        num_frames = num_frames_in(clip)
        self.runs[f"ours {channels}"] = self._conversion(studio, clip, num_frames)
        loop = PublicLoop(
            public_generator(style),
            studio.finder,
            TEMPLATES[style.card.template],
            style.card.crop_size_px,
            encoder_arguments(clip),
            device=bench.device,
        )
        num_public = min(self._frames_for(_secs_of(lambda: loop.generate(crop)), _FEWEST_FRAMES), num_frames)
        out = bench.folder / "public.mp4"
        self.runs[f"public {channels}"] = _Run(clip, num_public, lambda: loop.run(clip, out, num_public))

    def _frames_for(self, generator_secs: float, fewest: int) -> int:
        effort, secs = self.bench.effort, self._num_faces * generator_secs + _AROUND_SECS
        return min(max(int(effort.run_secs / secs), fewest), effort.most_frames)

    def _conversion(self, studio: Studio, clip: Path, num_frames: int) -> _Run:
        return _Run(clip, num_frames, lambda: converted(clip, studio, self.bench.folder / "out").stage_secs)


def num_frames_in(clip: Path) -> int:
    """Count the frames of a clip."""
    import av

    with av.open(str(clip)) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


def measure(bench: SpeedBench) -> list[Table]:
    """The tables of the section `whole`."""
    wide, narrow = list(bench.styles), list(bench.styles)[:1]
    courses = [_scene_course(bench, scene, wide) for scene in bench.effort.whole]
    courses += [_scene_course(bench, scene, narrow) for scene in bench.effort.whole_narrow]
    if bench.settings.clips:
        courses = [_clip_course(bench, clip, narrow) for clip in bench.settings.clips]
    rows: list[tuple[Cell, ...]] = []
    bare: list[tuple[Cell, ...]] = []
    for course in courses:
        timings = course.measure()
        rows += [_style_row(course, channels, timings) for channels in course.channels]
        bare.append(_bare_row(course, timings))
    return [_style_table(rows, bench), _bare_table(bare, bench)]


def _scene_course(bench: SpeedBench, scene: Scene, channels: list[int]) -> _Course:
    return _Course(bench, scene.name, scene.key, lambda n: bench.clip(scene, n), scene.num_faces, channels)


def _clip_course(bench: SpeedBench, clip: Path, channels: list[int]) -> _Course:
    from ..clips import shortened

    def cut(num_frames: int) -> Path:
        return shortened(clip, bench.folder / f"{clip.stem}-{num_frames}.mp4", num_frames)

    return _Course(bench, clip.stem, f"clip {clip.stem}", cut, 1, channels)


def _style_row(course: _Course, channels: int, timings: dict[str, Timing]) -> tuple[Cell, ...]:
    bench, key = course.bench, f"whole/{course.key}/{channels}"
    ours, public = timings[f"ours {channels}"], timings[f"public {channels}"]
    run, rival = course.runs[f"ours {channels}"], course.runs[f"public {channels}"]
    for stage in STAGES:
        secs = Spread.of([parts[stage] / rival.num_frames for parts in rival.parts])
        bench.note(f"{key}/public/{stage}", secs * 1000, "ms", more_is_better=False)
    bench.note(f"{key}/ms", ours.wall * 1000, "ms", more_is_better=False)
    bench.note(f"{key}/public ms", public.wall * 1000, "ms", more_is_better=False)
    fps = bench.note(f"{key}/fps", Spread.of([1 / secs for secs in ours.wall_secs]), "fps")
    times = bench.note(f"{key}/x public", ratio(public.wall_secs, ours.wall_secs), "x", is_ratio=True)
    cpu = bench.note(f"{key}/x public CPU", ratio(public.cpu_secs, ours.cpu_secs), "x", is_ratio=True)
    counts = f"{run.num_frames} / {rival.num_frames}"
    return (
        course.name,
        channels,
        ours.wall.value * 1000,
        ours.cpu.value * 1000,
        fps.value,
        public.wall.value * 1000,
        times.text(),
        cpu.value,
        counts,
    )


def _bare_row(course: _Course, timings: dict[str, Timing]) -> tuple[Cell, ...]:
    bench, key = course.bench, f"whole/{course.key}/identity"
    own, rival, run = timings["identity"], timings["ffmpeg"], course.runs["identity"]
    bench.note(f"{key}/ms", own.wall * 1000, "ms", more_is_better=False)
    bench.note(f"{key}/CPU ms", own.cpu * 1000, "ms", more_is_better=False)
    share = bench.note(f"{key}/% of ffmpeg", ratio(rival.wall_secs, own.wall_secs) * 100, "%", is_ratio=True)
    of_cpu = ratio(rival.cpu_secs, own.cpu_secs) * 100
    bench.note(f"{key}/% of ffmpeg CPU", of_cpu, "%", is_ratio=True)
    parts = {stage: _part(run, stage) for stage in ("analyse", "render", "mux", "verify")}
    fps = bench.note(f"{key}/analyse fps", Spread.of([1 / s for s in parts["analyse"]]), "fps")
    bench.note(
        f"{key}/analyse x ffmpeg", ratio(parts["analyse"], rival.wall_secs), "x", is_ratio=True, more_is_better=False
    )
    parts_ms = [1000 * Spread.of(secs).value for secs in parts.values()]
    return (
        course.name,
        own.wall.value * 1000,
        own.cpu.value * 1000,
        *parts_ms,
        fps.value,
        rival.wall.value * 1000,
        share.text(0),
        f"{of_cpu.value:.0f}",
    )


def _part(run: _Run, stage: str) -> tuple[float, ...]:
    """Seconds per frame of a stage, run by run."""
    return tuple(max(parts.get(stage, 0.0), 1e-9) / run.num_frames for parts in run.parts)


def _style_table(rows: list[tuple[Cell, ...]], bench: SpeedBench) -> Table:
    heads = (
        "clip",
        "channels",
        "ms/frame",
        "CPU ms/frame",
        "fps",
        "public ms/frame",
        "x public",
        "x in CPU time",
        "frames",
    )
    note = (
        f"{bench.effort.rounds} rounds, each contender once per round. Ours: hashing, both passes, joining, verifying, "
        "with the networks loaded and default settings. Public: OpenCV, our detector and landmarks in every frame, the "
        "public generator in eager fp32, a float paste over the whole frame, the same encoder with the same settings. "
        f"Frames: ours / public. CPU time is that of all cores. {torch.get_num_threads()} threads of torch."
    )
    return Table("Conversions", heads, tuple(rows), note, decimals=1)


def _bare_table(rows: list[tuple[Cell, ...]], bench: SpeedBench) -> Table:
    stages = ("analyse ms", "render ms", "join ms", "verify ms")
    heads = (
        "clip",
        "ms/frame",
        "CPU ms/frame",
        *stages,
        "analyse fps",
        "ffmpeg ms/frame",
        "% of ffmpeg's fps",
        "% in CPU time",
    )
    note = (
        f"The same conversions with the generator left out (identity), {bench.effort.most_frames} frames, against "
        "ffmpeg decoding and encoding the clip with the same settings."
    )
    return Table("Everything but the generator", heads, tuple(rows), note, decimals=1)


def _secs_of(work: Callable[[], object]) -> float:
    """Seconds of the second call."""
    work()
    started = perf_counter()
    work()
    return perf_counter() - started
