"""What an NVIDIA GPU does: the generator in batches that stay on it, and the ways on and off it, one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model import Style, load_style
from model.cuda_engine import CudaEngine, cuda_engines
from model.images import to_sound_pictures, to_tensor

from ...crops import cut_all
from ...cuda_decode import iter_chunk_on
from ...decode import iter_frames
from ...errors import FfmpegError
from ...ffmpeg import file_url, run_ffmpeg
from ...probe import probe
from ..sections import Cell, Table
from .effort import Scene
from .generator import flops_of, public_generator
from .limits import encoder_arguments, peak_flops
from .race import Spread, race
from .run import SpeedBench

_PRECISIONS = "bf16", "fp16"
_BATCHES = (1, 8, 32)
_NUM_REPEATS = 8
"""Batches that follow each other in one run: only the last one is waited for."""
_SCENE = Scene("1080p", (1920, 1080))
_SHOWN_PX = 464
"""Side of what a crop shows of such a frame."""


def measure(bench: SpeedBench) -> list[Table]:
    """The tables of the section `nvidia`."""
    bench.progress.start("NVIDIA", "measuring", None)
    rows: list[tuple[Cell, ...]] = []
    for channels, name in bench.styles.items():
        style = load_style(name)
        for precision in _PRECISIONS:
            made = _engines(bench, style, precision)
            best = min(made, key=CudaEngine.secs_per_crop)
            for engine in made:
                rows += _batch_rows(bench, channels, engine, style, is_best=engine is best and precision == "bf16")
    note = (
        "Crops that are on the GPU before and after, batch after batch. Limit: the better of a large product and the "
        "generator's convolution in the same arithmetic; counted are the public generator's operations."
    )
    heads = ("channels", "engine", "arithmetic", "batch", "crops/s", "% of limit")
    return [Table("Generator, on the GPU", heads, tuple(rows), note, decimals=1), _ways(bench, best, style)]


def _engines(bench: SpeedBench, style: Style, precision: str) -> list[CudaEngine]:
    index = torch.device(bench.device).index or 0
    device, size_px = torch.device("cuda", index), style.card.crop_size_px
    return cuda_engines(style.generator, device=device, precision=precision, size_px=size_px)


def _batch_rows(
    bench: SpeedBench, channels: int, engine: CudaEngine, style: Style, *, is_best: bool
) -> list[tuple[Cell, ...]]:
    """One row per size of batch; the faster bf16 engine's figures are what the goals ask for."""
    side = style.card.crop_size_px
    flops = flops_of(public_generator(style), torch.zeros(1, 3, side, side), torch.device("cpu"))
    peak = peak_flops(bench, engine.precision) or float("inf")
    rows: list[tuple[Cell, ...]] = []
    for size in _BATCHES:
        crops = torch.rand(size, 3, side, side, device=engine.device) * 2 - 1
        secs = race({"run": _repeated(engine, crops)}, bench.effort.crop_rounds)["run"].wall_secs
        speed = Spread.of([_NUM_REPEATS * size / s for s in secs])
        share = speed * (100 * flops / peak)
        for name in (f"{engine.name} {engine.precision}", *(["best bf16"] if is_best else [])):
            bench.note(f"nvidia/{channels}/{name}/batch {size}/crops", speed, "crops/s")
            bench.note(f"nvidia/{channels}/{name}/batch {size}/share", share, "%", is_ratio=True)
        rows.append((channels, engine.name, engine.precision, size, speed.value, share.value))
        bench.progress.advance()
    return rows


def _repeated(engine: CudaEngine, crops: Tensor) -> Callable[[], object]:
    def run() -> float:
        for _ in range(_NUM_REPEATS):
            output = engine(crops)
        return float(output[0, 0, 0, 0])  # waits

    return run


def _ways(bench: SpeedBench, engine: CudaEngine, style: Style) -> Table:
    """What a frame with one face costs at each place that it passes."""
    num_frames = bench.effort.stage_frames
    clip = bench.clip(_SCENE, num_frames)
    crops, frames = _ways_of_crops(clip, engine, style), _ways_of_frames(clip, bench.folder, engine.device)
    timings = race(crops | frames, bench.effort.stage_rounds, on_run=bench.progress.advance)
    rows: list[tuple[Cell, ...]] = []
    for name, timing in timings.items():
        own = timing.per(max(_BATCHES) if name in crops else num_frames)
        fps = bench.note(f"nvidia/way/{name}", Spread.of([1 / secs for secs in own.wall_secs]), "fps")
        rows.append((name, fps.value, 1000 * own.wall.value, 1000 * own.cpu.value))
    note = (
        f"Each alone, a frame of {_SCENE.name}; a crop shows {_SHOWN_PX}x{_SHOWN_PX} pixels of it. "
        "A conversion does all of this at the same time: the slowest of those that it uses limits it, or the sum of "
        "their CPU times over the cores. Encoding includes ffmpeg's own decoding."
    )
    return Table("Ways on and off the GPU", ("what", "fps", "ms/frame", "CPU ms/frame"), tuple(rows), note)


def _ways_of_crops(clip: Path, engine: CudaEngine, style: Style) -> dict[str, Callable[[], object]]:
    """Work on a batch of crops, one of each frame."""
    frame, size_px = next(iter(iter_frames(probe(clip)))), style.card.crop_size_px
    scale = size_px / _SHOWN_PX
    place = np.array([[scale, 0, -scale * 700], [0, scale, -scale * 300]], np.float32)
    faces = [(frame, place)] * max(_BATCHES)
    pictures = np.stack(cut_all(faces, size_px))

    def generate() -> object:
        return to_sound_pictures(engine(to_tensor(pictures, engine.device)))

    return {
        "crops cut on the CPU": lambda: cut_all(faces, size_px),
        "crops cut on the GPU": lambda: cut_all(faces, size_px, engine.device),
        "crops generated, bytes to bytes": generate,
    }


def _ways_of_frames(clip: Path, folder: Path, device: str) -> dict[str, Callable[[], object]]:
    """Decoding and encoding of a whole clip."""
    info = probe(clip)
    pts = [frame.pts for frame in iter_frames(info)]

    def decode(where: str) -> int:
        return sum(1 for _ in iter_chunk_on(where, info, pts, 0, len(pts), is_sound=True, is_repaired=False))

    ways: dict[str, Callable[[], object]] = {
        "decoded in software": lambda: decode("cpu"),
        "decoded on the GPU": lambda: decode(device),
    }
    for codec in ("libx264", "h264_nvenc"):
        try:
            arguments = encoder_arguments(clip, codec)
        except FfmpegError:  # no such encoder in this ffmpeg, or none that starts
            continue
        command = ["-y", "-i", file_url(clip), *arguments, "-an", file_url(folder / f"{codec}.mp4")]
        ways[f"encoded by {codec}"] = lambda command=command: run_ffmpeg(command)  # type: ignore[misc]
    return ways
