"""What each stage of a conversion costs alone, per frame and per face, by the clock and in time of all cores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
from torch import Tensor

from ...analyse import AnalyseConfig, analyse
from ...analysis import Analysis
from ...blending import calm_backdrop
from ...casting import plan_faces
from ...crops import cut
from ...decode import iter_frames
from ...encode import EncodeSettings, VideoEncoder, plan_encoding
from ...frames import Frame
from ...mediainfo import MediaInfo
from ...mux import mux
from ...plan import Placement, Plan
from ...probe import probe
from ...render import ChunkRenderer
from ...report import Report
from ...settings import ConvertSettings
from ...studio import Studio
from ...verify import verify
from ...views import Crop
from ..sections import Cell, Table
from .effort import Scene
from .race import Timing, race, ratio
from .run import SpeedBench

BARE = "bare decoder"
"""What the other stages are compared with: libav decoding the same clip, its pictures thrown away."""


class IdentityEngine:
    """A generator that draws what it sees, at once: the pipeline with the generator left out."""

    name, device, precision = "identity", "cpu", "fp32"
    max_error, mean_error, psnr_db = 0.0, 0.0, 150.0

    def __init__(self, num_callers: int) -> None:
        self.batch_size, self.num_callers = 1, num_callers

    def __call__(self, crops: Tensor) -> Tensor:
        """Return the crops (see `model.Engine`)."""
        return crops.clone()


def identity_studio(style: str, **choices: object) -> Studio:
    """The tools of a conversion with everything but the generator; faces are fitted in as for the style itself."""
    settings = ConvertSettings(style=style, blend="multiband", parallel=1, **choices)  # type: ignore[arg-type]
    studio = Studio(settings)
    studio.engines = {name: IdentityEngine(studio.budget.streams + 1) for name in studio.style_names}
    return studio


def measure(bench: SpeedBench) -> list[Table]:
    """The tables of the section `stages`."""
    return [_table(bench, scene) for scene in bench.effort.stages]


@dataclass
class _Material:
    """A clip, decoded and analysed, and what the stages need of it."""

    clip: Path
    info: MediaInfo
    frames: list[Frame]
    analysis: Analysis
    plan: Plan
    studio: Studio
    folder: Path

    @property
    def faces(self) -> list[tuple[Frame, Placement]]:
        """Every face of every frame."""
        return [(frame, face) for i, frame in enumerate(self.frames) for face in self.plan.faces_in(i)]


def _material(bench: SpeedBench, scene: Scene) -> _Material:
    clip = bench.clip(scene, bench.effort.stage_frames)
    studio, info = identity_studio(bench.settings.style, device=bench.settings.device), probe(clip)
    frames = list(iter_frames(info))
    analysis = analyse(iter(frames), info.video.time_base, studio.finder, AnalyseConfig())
    plan = plan_faces(analysis, studio, Report("bench"))
    return _Material(clip, info, frames, analysis, plan, studio, bench.folder)


def _table(bench: SpeedBench, scene: Scene) -> Table:
    rounds = bench.effort.stage_rounds
    bench.progress.start(f"stages at {scene.name}", "measuring", None)
    material = _material(bench, scene)
    rendering = _Rendering(material)
    stages = {BARE: lambda: _decode_bare(material.clip)} | _stages(material) | {"render": rendering.run}
    stages |= _last_stages(material)
    timings = race(stages, rounds, on_run=lambda: bench.progress.advance(1))
    timings |= rendering.parts(rounds)
    num_frames, num_faces = len(material.frames), len(material.faces)
    bare = timings.pop(BARE).per(num_frames)
    rows = []
    for name, timing in timings.items():
        own = timing.per(num_frames)
        per_face = timing.per(num_faces).wall.value * 1000 if name in _PER_FACE and num_faces else None
        rows.append(_row(bench, scene, name, own, bare, per_face))
    note = (
        f"{num_frames} frames, {num_faces} faces, {rounds} rounds; the style's generator is left out (identity). ms by "
        f"the clock, CPU ms of all cores, ffmpeg's included. x {BARE}: CPU time over that of libav decoding the frame "
        f"({1000 * bare.cpu.value:.2f} ms), round by round, in brackets the smallest and the largest. "
        "Detection: a frame in five is searched. Render: all of the second pass between decoding and encoding; blend, "
        "paste and measure are what it books itself; measure, for the report, looks at every frame here, at fewer in "
        "longer clips."
    )
    heads = ("stage", "ms/frame", "ms/face", "CPU ms/frame", f"x {BARE}")
    return Table(f"Stages at {scene.name}", heads, tuple(rows), note)


_PER_FACE = {"warp", "mask before", "mask after", "blend", "paste"}


def _row(
    bench: SpeedBench, scene: Scene, name: str, own: Timing, bare: Timing, per_face: float | None
) -> tuple[Cell, ...]:
    key = f"stage/{scene.key}/{name}"
    bench.note(f"{key}/ms", own.wall * 1000, "ms", more_is_better=False)
    if not own.cpu_secs:  # a part of another stage, which is booked by the clock alone
        return (name, own.wall.value * 1000, per_face, None, None)
    bench.note(f"{key}/CPU ms", own.cpu * 1000, "ms", more_is_better=False)
    # Of the cores' time: on two cores stages compete for it, and a busy machine changes it least.
    times = ratio(own.cpu_secs, bare.cpu_secs)
    bench.note(f"{key}/x {BARE}", times, "x", is_ratio=True, more_is_better=False)
    return (name, own.wall.value * 1000, per_face, own.cpu.value * 1000, times.text())


def _stages(m: _Material) -> dict[str, Callable[[], object]]:
    """The stages up to the masks."""
    finder, [stylist] = m.studio.finder, m.studio.stylists.values()
    due = m.frames[:: AnalyseConfig.detect_every]
    found = finder.find(m.frames[0])
    faces = m.faces
    crops: list[Crop] = [cut(frame, face.source_to_crop, stylist.size_px) for frame, face in faces]
    points = [face.landmarks for _, face in faces]
    views = [stylist.masks.before([crop], [at])[0] for crop, at in zip(crops, points, strict=True)]
    return {
        "decode": lambda: [frame.pts for frame in iter_frames(m.info)],
        "detect": lambda: [finder.detect([frame]) for frame in due],
        "landmarks": lambda: [finder.follow(frame, found) for frame in m.frames],
        "analyse": lambda: analyse(iter(m.frames), m.info.video.time_base, finder, AnalyseConfig()),
        "warp": lambda: [cut(frame, face.source_to_crop, stylist.size_px) for frame, face in faces],
        "mask before": lambda: [stylist.masks.before([c], [p]) for c, p in zip(crops, points, strict=True)],
        "calm backdrop": lambda: [calm_backdrop(c, v.keeps) for c, v in zip(crops, views, strict=True)],
        "mask after": lambda: [stylist.masks.after([v], [c], [c]) for c, v in zip(crops, views, strict=True)],
    }


class _Rendering:
    """The second pass on decoded frames, and what it books for its parts."""

    def __init__(self, material: _Material) -> None:
        self._material = material
        self._booked: list[dict[str, float]] = []

    def run(self) -> None:
        """Render all frames, on copies: they are painted in place."""
        m = self._material
        renderer = ChunkRenderer(m.studio.cast, m.plan.faces_in, m.analysis.cuts, smoothing=ConvertSettings.smoothing)
        for _ in renderer.render((frame.copy() for frame in m.frames), 0, 0, len(m.frames)):
            pass
        self._booked.append(dict(renderer.stats.stage_secs))

    def parts(self, rounds: int) -> dict[str, Timing]:
        """Seconds of the parts in the last rounds; time of all cores is not known."""
        counted = self._booked[-rounds:]
        names = [name for name in ("blend", "paste", "measure") if all(name in booked for booked in counted)]
        return {name: Timing(tuple(booked[name] for booked in counted), ()) for name in names}


def _last_stages(m: _Material) -> dict[str, Callable[[], object]]:
    """The stages after rendering."""
    encoding, chunk, out = plan_encoding(m.info, EncodeSettings()), m.folder / "stage.nut", m.folder / "stage.mp4"
    pts = m.analysis.pts.tolist()

    def encode() -> None:
        with VideoEncoder(chunk, m.info, encoding) as encoder:
            for frame in m.frames:
                encoder.write(frame)

    return {
        "encode": encode,
        "mux": lambda: mux([chunk], m.info, out, pts=pts, colour=encoding.colour),
        "verify": lambda: verify(out, m.info, pts),
    }


def _decode_bare(clip: Path) -> int:
    with av.open(str(clip)) as container:
        container.streams.video[0].thread_type = "AUTO"
        return sum(1 for _ in container.decode(video=0))
