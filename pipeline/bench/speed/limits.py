"""What this machine can do at best: arithmetic, memory and ffmpeg alone. The yardsticks of everything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ...encode import EncodeSettings, plan_encoding
from ...ffmpeg import file_url, run_ffmpeg
from ...probe import probe
from ..sections import Cell, Table, cpu_features
from .race import Spread, race
from .run import SpeedBench

DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Arithmetic by name."""

_COPY_BYTES = 256 << 20
_PRODUCT_SIDE = {"cpu": 2048, "cuda": 8192}
_MAP = 256, 64
"""Channels and side of the generator's inner map: most of its arithmetic is 3x3 convolutions there."""


def measure(bench: SpeedBench) -> list[Table]:
    """The tables of the section `limits`."""
    bench.progress.start("limits", "measuring", len(_precisions(bench.device)) + 3)
    rows: list[tuple[Cell, ...]] = []
    for precision in _precisions(bench.device):
        for what, unit, spread in _arithmetic(bench, precision):
            bench.note(f"limits/{what}", spread, unit)
            rows.append((what, spread.high, unit, spread.value))
        bench.progress.advance(1)
    for what, unit, spread in (_copying(bench), _transcoding(bench)):
        bench.note(f"limits/{what}", spread, unit)
        rows.append((what, spread.high, unit, spread.value))
        bench.progress.advance(1)
    features = ", ".join(cpu_features()) or "unknown"
    note = (
        f"Best and median of {bench.effort.crop_rounds} rounds, {torch.get_num_threads()} threads of torch on "
        f"{bench.device}. The processor has {features}"
        + ("." if "AMX bf16" in cpu_features() else "; no AMX: bf16 is emulated or widened here.")
        + " Product: of two square matrices. Convolution: 3x3, 256 channels, 64x64, one picture, channels last. "
        "Copy: bytes copied, each read and written once."
    )
    return [Table("Limits", ("what", "best", "unit", "median"), tuple(rows), note, decimals=1)]


def peak_flops(bench: SpeedBench, precision: str) -> float:
    """FLOP/s of the better of product and convolution, measured once per benchmark; for int8 operations per second."""
    names = (f"limits/product {precision}", f"limits/convolution {precision}")
    known = [figure.high for figure in bench.figures if figure.name in names]
    if not known:
        known = [spread.high for _, _, spread in _arithmetic(bench, precision)]
    return max(known, default=0.0) * 1e9


def transcode(clip: Path, out: Path) -> None:
    """Let ffmpeg decode and encode a clip with the settings that a conversion of it uses."""
    run_ffmpeg(["-y", "-i", file_url(clip), *encoder_arguments(clip), "-an", file_url(out)])


def encoder_arguments(clip: Path, codec: str = EncodeSettings.codec) -> list[str]:
    """Ffmpeg's output options with which a conversion of a clip is encoded."""
    options = plan_encoding(probe(clip), EncodeSettings(codec=codec)).options
    return [word for name, value in options for word in (f"-{name}", value)]


def _precisions(device: str) -> tuple[str, ...]:
    return ("fp32", "bf16", "fp16", "int8") if device.startswith("cuda") else ("fp32", "bf16", "int8")


def _arithmetic(bench: SpeedBench, precision: str) -> list[tuple[str, str, Spread]]:
    """(what, unit, speed) of the product and of the convolution; nothing where torch cannot do it."""
    device = torch.device(bench.device)
    side = _PRODUCT_SIDE.get(device.type, 2048)
    found = []
    for what, make, operations in (
        ("product", _product, 2.0 * side**3),
        ("convolution", _convolution, 2.0 * 9 * _MAP[0] ** 2 * _MAP[1] ** 2),
    ):
        try:
            run = make(precision, side, device)
            timing = race({what: run}, bench.effort.crop_rounds)[what]
        except (RuntimeError, NotImplementedError, AttributeError):
            continue  # no such kernel on this device
        speeds = Spread.of([operations / secs / 1e9 for secs in timing.wall_secs])
        found.append((f"{what} {precision}", "GOP/s" if precision == "int8" else "GFLOP/s", speeds))
    return found


def _product(precision: str, side: int, device: torch.device) -> Callable[[], object]:
    if precision == "int8":
        left, right = (torch.randint(-9, 9, (side, side), dtype=torch.int8, device=device) for _ in range(2))
        return lambda: int(torch._int_mm(left, right)[0, 0])
    a, b = (torch.randn(side, side, device=device).to(DTYPES[precision]) for _ in range(2))
    return lambda: float((a @ b)[0, 0])


def _convolution(precision: str, side: int, device: torch.device) -> Callable[[], object]:
    dtype, (channels, map_side) = DTYPES[precision] if precision != "int8" else torch.int8, _MAP
    if dtype == torch.int8:
        raise NotImplementedError("torch has no convolution in int8 outside its quantised modules")

    def made(*shape: int) -> Tensor:
        return torch.randn(*shape, device=device).to(dtype).contiguous(memory_format=torch.channels_last)

    x, weight = made(1, channels, map_side, map_side), made(channels, channels, 3, 3)

    @torch.no_grad()
    def run() -> float:
        return float(F.conv2d(x, weight, padding=1)[0, 0, 0, 0])

    return run


def _copying(bench: SpeedBench) -> tuple[str, str, Spread]:
    source = torch.ones(_COPY_BYTES // 4, device=bench.device)
    target = torch.empty_like(source)
    secs = race({"copy": lambda: float(target.copy_(source)[0])}, bench.effort.crop_rounds)["copy"].wall_secs
    return "copy", "GB/s", Spread.of([_COPY_BYTES / s / 1e9 for s in secs])


def _transcoding(bench: SpeedBench) -> tuple[str, str, Spread]:
    [first, *_] = bench.effort.whole
    num_frames = bench.effort.most_frames
    clip, out = bench.clip(first, num_frames), bench.folder / "transcoded.mp4"
    secs = race({"ffmpeg": lambda: transcode(clip, out)}, bench.effort.rounds, warm_ups=0)["ffmpeg"].wall_secs
    return f"ffmpeg transcode {first.name}", "fps", Spread.of([num_frames / s for s in secs])
