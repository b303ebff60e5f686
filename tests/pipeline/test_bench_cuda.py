"""The section about NVIDIA GPUs measures what it says; here with the CPU in the GPU's place."""

from pathlib import Path
from typing import Any

import pytest
import torch

from model.cuda_engine import CudaEngine
from pipeline.bench.speed import cuda as bench_speed_cuda
from pipeline.bench.speed.effort import Scene
from pipeline.bench.speed.run import SpeedBench, SpeedSettings
from pipeline.errors import InputError
from tests.pipeline.clips import write_style
from tests.pipeline.test_bench_speed import TINY


def _engines(generator: Any, *, device: torch.device, precision: str, size_px: int) -> list[CudaEngine]:
    def network(crops: torch.Tensor) -> torch.Tensor:
        return generator(crops).image

    options: dict[str, Any] = {"device": torch.device("cpu"), "precision": precision, "size_px": size_px}
    record = lambda run, crops: lambda: run(crops)  # noqa: E731
    return [CudaEngine(network, name, record=record, sizes=(1, 8), **options) for name in ("cuda", "cuda fused")]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpeedBench:
    monkeypatch.setattr(bench_speed_cuda, "cuda_engines", _engines)
    monkeypatch.setattr(bench_speed_cuda, "peak_flops", lambda bench, precision: 1e12)
    monkeypatch.setattr(bench_speed_cuda, "_SCENE", Scene("small", (320, 240)))
    monkeypatch.setattr(bench_speed_cuda, "_BATCHES", (1, 2))
    monkeypatch.setattr(bench_speed_cuda, "_NUM_REPEATS", 1)
    style = write_style(tmp_path / "tiny.safetensors")
    return SpeedBench(SpeedSettings(TINY, style=str(style), device="cpu"), tmp_path)


def test_every_engine_arithmetic_and_batch_has_a_row_and_every_way_on_and_off(bench: SpeedBench) -> None:
    generator, ways = bench_speed_cuda.measure(bench)
    assert len(generator.rows) == 2 * 2 * 2 * 2  # widths, arithmetics, engines, batches
    assert all(row[4] > 0 for row in generator.rows)
    names = [row[0] for row in ways.rows]
    assert names[:3] == ["crops cut on the CPU", "crops cut on the GPU", "crops generated, bytes to bytes"]
    assert {"decoded in software", "decoded on the GPU", "encoded by libx264"} <= set(names)
    assert all(fps > 0 for _, fps, *_ in ways.rows)
    best = [figure for figure in bench.figures if "/best bf16/" in figure.name]
    assert len(best) == 2 * 2 * 2  # widths, batches, speed and share


def test_it_is_there_only_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nvidia" not in [section.name for section in SpeedSettings(TINY, device="cpu").sections()]
    with pytest.raises(InputError, match='"nvidia" is measured on an NVIDIA GPU only'):
        SpeedSettings(TINY, only=("nvidia",), device="cpu").sections()
    monkeypatch.setattr("model.devices.choose_device", lambda name: torch.device("cuda"))
    assert "nvidia" in [section.name for section in SpeedSettings(TINY, device="cuda").sections()]
