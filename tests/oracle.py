"""Reads the numeric oracle fixtures: recorded inputs and outputs of the public reference implementations.

A fixture is `NAME.json` + `NAME.safetensors`. The complete set lies beside the checkout (`../shared/oracle`),
a small choice in `tests/data/oracle`. Weights are not stored: `fill_state_dict` computes them from key, shape
and seed.

Use:
    @pytest.mark.parametrize("name", fixture_names("g_*"))
    def test_...(name):
        fixture = Fixture(name)

With no fixture at hand `fixture_names` gives one skipped parameter.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file

_TESTS = Path(__file__).resolve().parent
FOLDERS = (_TESTS.parents[1] / "shared" / "oracle", _TESTS / "data" / "oracle")
"""Where fixtures are looked for, best first."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))
_SCALE_AND_SHIFT = {"running_var": (1.0, 0.25), "running_mean": (0.0, 0.1), "rho": (0.5, 0.5), "bias": (0.0, 0.1)}


def fixture_names(*patterns: str) -> list[Any]:
    """Names of the fixtures that match a glob, for `parametrize`; one skipped parameter if there is none."""
    names = {p.stem for folder in FOLDERS for pattern in patterns for p in folder.glob(f"{pattern}.json")}
    return sorted(names) or [pytest.param("", marks=pytest.mark.skip(reason=f"no oracle fixture {patterns}"))]


def fill_state_dict(entries: Iterable[tuple[str, list[int], str]], seed: int) -> dict[str, torch.Tensor]:
    """Weights from (key, shape, dtype) rows: counter-based numbers, then a rule per kind of tensor."""
    return {key: torch.from_numpy(_fill(key, tuple(shape), seed, dtype)) for key, shape, dtype in entries}


def assert_close(what: str, got: torch.Tensor, want: torch.Tensor, tolerance: float) -> None:
    """Fail unless shapes agree, all is finite and no element is further than `tolerance` (absolute) away."""
    assert got.shape == want.shape, f"{what}: shape {tuple(got.shape)}, expected {tuple(want.shape)}"
    difference = (got.detach().double() - want.double()).abs().max().item() if got.numel() else 0.0
    assert difference <= tolerance, f"{what}: off by {difference:.2e}, allowed {tolerance:.2e}"  # NaN too


class Fixture:
    """One fixture: the sidecar as `meta`, the stored tensors as `tensors`."""

    def __init__(self, name: str) -> None:
        folder = next((f for f in FOLDERS if (f / f"{name}.json").exists()), None)
        if folder is None:
            pytest.skip(f"oracle fixture {name!r} is not here")
        self.name = name
        self.meta: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        self.tensors: dict[str, torch.Tensor] = load_file(folder / f"{name}.safetensors")

    def state(self, net: str = "net") -> dict[str, torch.Tensor]:
        """The recorded network's initial state dict, under the source's own keys."""
        recipe = self.meta["state"][net]
        state = fill_state_dict(recipe["entries"], recipe["seed"])
        return state | {key: self.tensors[f"state.{net}.{key}"] for key in recipe["overrides"]}

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The recorded forward calls: name, mode, args, outputs."""
        return list(self.meta["calls"])

    def arguments(self, call: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The tensors one call was given, by argument name."""
        return {name: self.tensors[key] for name, key in call["args"].items()}

    def tolerance(self, key: str, call: Mapping[str, Any] | None = None) -> float:
        """Allowed absolute error of output `key`; a call without figures of its own takes the first's."""
        if call is None:
            return float(self.meta["measured_fp32_vs_fp64"][key]["suggested_abs_tolerance"])
        figures = call["measured_fp32_vs_fp64"].get(key) or self.calls[0]["measured_fp32_vs_fp64"][key]
        return float(figures["suggested_abs_tolerance"])

    def check(self, key: str, got: torch.Tensor, tolerance: float) -> None:
        """Compare with stored tensor `key`, taking the same strided sample where only a sample was stored."""
        sample = self.meta.get("sampled_tensors", {}).get(key)
        if sample:
            assert list(got.shape) == sample["shape"], f"{key}: {got.shape}, expected {sample['shape']}"
            got = got.flatten()[: sample["stride"] * sample["count"] : sample["stride"]]
        assert_close(f"{self.name} {key}", got, self.tensors[key], tolerance)

    def check_call(self, call: Mapping[str, Any], outputs: Mapping[str, torch.Tensor | None]) -> None:
        """Compare every recorded output of a call; an output recorded as None must be None."""
        for name, key in call["outputs"].items():
            got = outputs[name]
            if key is None:
                assert got is None, f"{self.name} {call['name']}.{name} should be None"
            else:
                assert got is not None, f"{self.name} {call['name']}.{name} is missing"
                self.check(key, got, self.tolerance(name, call))


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    for shift, factor in _MIX:
        z = (z ^ (z >> np.uint64(shift))) * factor
    return z ^ (z >> np.uint64(31))


def _uniform(key: str, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float32]:
    """Exact float32 numbers in [-1, 1) that depend on seed, key and element index alone."""
    start = np.array([(seed << 32) + zlib.crc32(key.encode())], np.uint64)
    counter = np.arange(1, math.prod(shape) + 1, dtype=np.uint64)
    bits = _mix(_mix(start) + counter * _GOLDEN) >> np.uint64(40)
    return ((bits.astype(np.int64) - (1 << 23)).astype(np.float32) * np.float32(2.0**-23)).reshape(shape)


def _fill(key: str, shape: tuple[int, ...], seed: int, dtype: str) -> npt.NDArray[Any]:
    if "int" in dtype:
        return np.zeros(shape, dtype)
    leaf, uniform = key.rpartition(".")[2], _uniform(key, shape, seed)
    if leaf in ("weight_u", "weight_v"):
        return uniform
    shift, scale = _shift_and_scale(leaf, shape)
    return (np.float32(shift) + np.float32(scale) * uniform).astype(np.float32)


def _shift_and_scale(leaf: str, shape: tuple[int, ...]) -> tuple[float, float]:
    if leaf in _SCALE_AND_SHIFT:
        return _SCALE_AND_SHIFT[leaf]
    if (leaf == "weight" and len(shape) == 1) or (leaf == "gamma" and len(shape) == 4):
        return 1.0, 0.25
    if leaf == "beta" and len(shape) == 4:
        return 0.0, 0.1
    return 0.0, math.sqrt(6 / (math.prod(shape) // shape[0]))
