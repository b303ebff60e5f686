"""One crop at a time through the public generator and through every engine: speed, error, share of the limit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from model import Engine, ModelError, Style, load_engine, load_style
from model.engine import compare
from model.reference import PlainGenerator, load_ours

from ..sections import Cell, Table
from .crops import face_crops
from .int8 import load_int8
from .limits import peak_flops
from .race import Spread, Timing, race, ratio
from .run import SpeedBench

logger = logging.getLogger(__name__)

_PUBLIC = "public code, fp32"
_BATCH = 32


@dataclass(frozen=True)
class _Candidate:
    """An engine that is measured."""

    label: str
    engine: Engine
    remark: str = ""


def measure(bench: SpeedBench) -> list[Table]:
    """The tables of the section `generator`: one per width, and on a GPU one of batches."""
    tables = []
    for channels, name in bench.styles.items():
        tables += _tables(bench, channels, load_style(name))
    return tables


def public_generator(style: Style) -> PlainGenerator:
    """The public generator with a style's weights; scales and biases that it does not have are left out."""
    network = PlainGenerator(style.config.base_channels, style.config.num_blocks, is_enhanced=False)
    load_ours(network, style.generator.state_dict())
    return network.eval().requires_grad_(False)


def _tables(bench: SpeedBench, channels: int, style: Style) -> list[Table]:
    device, crops = torch.device(bench.device), face_crops(style.card.crop_size_px)
    asked = _asked(bench)
    bench.progress.start(f"generators of {channels} channels", "measuring", None)
    candidates, refused = _load(style, asked, bench)
    public = public_generator(style).to(device)
    runs: dict[str, Callable[[], object]] = {_PUBLIC: lambda: _eager(public, crops[:1], device)}
    for candidate in candidates:
        runs[candidate.label] = _one(candidate.engine, crops[:1])
    timings = race(runs, bench.effort.crop_rounds, warm_ups=2, on_run=lambda: bench.progress.advance(1))
    flops, wanted = flops_of(public, crops[:1], device), _reference(style, crops)
    rows: list[tuple[Cell, ...]] = [_public_row(bench, channels, timings[_PUBLIC], flops)]
    for candidate in candidates:
        timing = timings[candidate.label]
        rows.append(_row(bench, channels, candidate, timing, timings[_PUBLIC], flops, candidate.engine(crops), wanted))
    _note_int8(bench, channels, timings)
    heads = ("engine", "ms", "x public", "x in CPU time", "max error", "mean error", "PSNR dB", "% of limit", "remark")
    note = (
        f"{channels} channels, {style.card.crop_size_px} px, one crop, {flops / 1e9:.1f} GFLOP as the public code "
        f"computes it; {bench.effort.crop_rounds} rounds, one run each per round, x: median of the rounds' ratios and "
        f"their range, by the clock; CPU time is that of all cores. Errors against fp32 on the CPU over {len(crops)} "
        "crops of a face, in levels of 255. Limit: the better of a large product and the generator's convolution in "
        "the same arithmetic. `auto` is what a conversion takes."
    ) + "".join(f" Not here: {label} ({reason})." for label, reason in refused)
    tables = [Table(f"Generator of {channels} channels", heads, tuple(rows), note)]
    if device.type == "cuda":
        tables += _batches(bench, channels, style, flops)
    return tables


def _asked(bench: SpeedBench) -> list[tuple[str, str]]:
    """(engine, precision) of the rows."""
    if bench.device.startswith("cuda"):
        return [("auto", "auto"), ("torch", "fp32"), ("torch", "bf16"), ("torch", "fp16"), ("compiled", "bf16")]
    compiled = [("compiled", "fp32")] if bench.effort.has_compiled else []
    return [("auto", "auto"), ("torch", "fp32"), *compiled, *(("openvino", p) for p in ("fp32", "bf16", "int8"))]


def _load(
    style: Style, asked: Sequence[tuple[str, str]], bench: SpeedBench
) -> tuple[list[_Candidate], list[tuple[str, str]]]:
    """Load engines; those that are not what was asked for come back with the reason."""
    loaded: list[_Candidate] = []
    refused: list[tuple[str, str]] = []
    for name, precision in asked:
        label = name if name == "auto" else f"{name} {precision}"
        try:
            candidate = _candidate(label, name, precision, style, bench)
        except (ModelError, RuntimeError, ImportError, ValueError) as error:
            refused.append((label, _first_sentence(error)))
            continue
        engine = candidate.engine
        if name != "auto" and (engine.name, engine.precision) != (name, precision):
            refused.append((label, f"falls back to {engine.name} {engine.precision}"))
            continue
        loaded.append(candidate)
        bench.progress.advance(1)
    return loaded, refused


def _candidate(label: str, name: str, precision: str, style: Style, bench: SpeedBench) -> _Candidate:
    if precision == "int8":
        may_quantise = bench.effort.has_int8 and style.config.base_channels == min(bench.styles)
        engine, origin = load_int8(style, bench.folder / "int8", may_quantise=may_quantise)
        return _Candidate(label, engine, origin)
    engine = load_engine(style, device=bench.device, engine=name, precision=precision, threads=torch.get_num_threads())
    return _Candidate(label, engine, f"{engine.name} {engine.precision}" if name == "auto" else "")


def _first_sentence(error: Exception) -> str:
    text = (str(error) or type(error).__name__).splitlines()[0]
    return text.rstrip(".")


@torch.no_grad()
def _eager(network: PlainGenerator, crop: Tensor, device: torch.device) -> Tensor:
    image: Tensor = network(crop.to(device))[0]
    return image.cpu()  # waits for a GPU


def _one(engine: Engine, crop: Tensor) -> Callable[[], object]:
    return lambda: engine(crop)


@torch.no_grad()
def flops_of(network: PlainGenerator, crop: Tensor, device: torch.device) -> float:
    """Floating-point operations for one 13SS crop; the network is on the device."""
    with FlopCounterMode(display=False) as counter:
        network(crop.to(device))
    return float(counter.get_total_flops())


@torch.no_grad()
def _reference(style: Style, crops: Tensor) -> Tensor:
    network = style.generator.eval().float().cpu()
    return torch.cat([network(crop[None]).image for crop in crops])


def _public_row(bench: SpeedBench, channels: int, timing: Timing, flops: float) -> tuple[Cell, ...]:
    bench.note(f"generator/{channels}/public/ms", timing.wall * 1000, "ms", more_is_better=False)
    share = bench.note(f"generator/{channels}/public/share", _share(bench, "fp32", flops, timing), "%", is_ratio=True)
    return (_PUBLIC, timing.wall.value * 1000, "1", 1.0, None, None, None, share.value, "eager, no gradients")


def _row(
    bench: SpeedBench,
    channels: int,
    candidate: _Candidate,
    timing: Timing,
    public: Timing,
    flops: float,
    image: Tensor,
    wanted: Tensor,
) -> tuple[Cell, ...]:
    key, engine = f"generator/{channels}/{candidate.label}", candidate.engine
    worst, psnr_db = compare(image, wanted)
    mean = float((image - wanted).abs().mean()) * 127.5
    share = _share(bench, engine.precision, flops, timing)
    bench.note(f"{key}/ms", timing.wall * 1000, "ms", more_is_better=False)
    times = bench.note(f"{key}/x public", ratio(public.wall_secs, timing.wall_secs), "x", is_ratio=True)
    cpu = bench.note(f"{key}/x public CPU", ratio(public.cpu_secs, timing.cpu_secs), "x", is_ratio=True)
    bench.note(f"{key}/max error", worst, "levels", is_ratio=True, more_is_better=False)
    bench.note(f"{key}/mean error", mean, "levels", is_ratio=True, more_is_better=False)
    bench.note(f"{key}/PSNR", psnr_db, "dB", is_ratio=True)
    bench.note(f"{key}/share", share, "%", is_ratio=True)
    errors = f"{worst:.3g}", f"{mean:.2g}", f"{psnr_db:.1f}"
    return (candidate.label, timing.wall.value * 1000, times.text(), cpu.value, *errors, share.value, candidate.remark)


def _share(bench: SpeedBench, precision: str, flops: float, timing: Timing) -> Spread:
    """Public FLOPs per second over what the machine reaches in that arithmetic, in percent."""
    peak = peak_flops(bench, precision)
    return Spread.of([100 * flops / secs / peak if peak else 0.0 for secs in timing.wall_secs])


def _note_int8(bench: SpeedBench, channels: int, timings: dict[str, Timing]) -> None:
    """How much faster int8 is than bf16, and than fp32 where that is what the machine is good at."""
    for other in ("bf16", "fp32"):
        own, rival = timings.get("openvino int8"), timings.get(f"openvino {other}")
        if own and rival:
            times = ratio(rival.wall_secs, own.wall_secs)
            bench.note(f"generator/{channels}/openvino int8/x {other}", times, "x", is_ratio=True)


def _batches(bench: SpeedBench, channels: int, style: Style, flops: float) -> list[Table]:
    """Crops per second of the chosen engine on a GPU, by batch."""
    engine = load_engine(style, device=bench.device)
    crops = face_crops(style.card.crop_size_px)
    rows: list[tuple[Cell, ...]] = []
    for size in (1, 8, _BATCH):
        batch = crops.repeat(-(-size // len(crops)), 1, 1, 1)[:size]
        secs = race({"batch": _one(engine, batch)}, bench.effort.crop_rounds, warm_ups=3)["batch"].wall_secs
        speed = bench.note(f"generator/{channels}/batch {size}/crops", Spread.of([size / s for s in secs]), "crops/s")
        share = speed * (100 * flops / peak_flops(bench, engine.precision))
        bench.note(f"generator/{channels}/batch {size}/share", share, "%", is_ratio=True)
        rows.append((size, speed.value, share.value, 1000 / speed.value))
    note = (
        f"{engine.name} {engine.precision}, crops from and to memory of the CPU; share of the large product's FLOP/s."
    )
    return [Table(f"Batches, {channels} channels", ("batch", "crops/s", "% of limit", "ms/crop"), tuple(rows), note)]
