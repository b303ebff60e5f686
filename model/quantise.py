"""Puts a style's generator into 8 bits for OpenVINO, measured on crops that it was not calibrated with.

Which layers stay in float, and why, is told at `FLOAT_LAYERS`. NNCF itself runs in a process of its own
(`quantise_worker.py`). Crops come from the caller.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .deviation import MIN_INT8_PSNR_DB, Deviation, deviation
from .devices import fast_precision
from .errors import QuantisationError
from .fast_generator import FastGenerator
from .openvino_cache import FOLDER_VARIABLE, cache_folder, write_cached
from .openvino_engine import OpenVinoEngine, keep_quantised
from .openvino_import import import_openvino
from .openvino_runtime import convert, pack_model
from .style import Style

MIN_CROPS = 8
"""Ranges that come from fewer crops mean nothing."""

FLOAT_LAYERS = re.compile(r"\.(down\.0|head|scse|score\.2)[./]")
"""Layers that stay in float: the first convolution (three channels: there is nothing to gain, and all that follows
inherits its error), the AdaLIN head (few numbers that steer every pixel), the gates of scSE and the scores of masks
(small, with a sigmoid or softmax behind them). Norms and sums stay in any case (`quantise_worker.ARITHMETIC`)."""

_ROUNDS = 9  # of the race


@dataclass(frozen=True)
class Quantised:
    """What was kept, measured on the crops held out, in the engine that will run it."""

    error: Deviation
    """Over all crops."""
    worst_psnr_db: float
    """Of the crop that came out worst."""
    secs: float
    """Time of one crop here."""
    times: dict[str, float]
    """How many times as fast it is here as the float engines, by precision: fp32, and bf16 where the CPU has that."""


def require_nncf() -> None:
    """Find NNCF without importing it.

    Raises:
        QuantisationError: it is not installed, or there is no folder to keep the result in.
    """
    if importlib.util.find_spec("nncf") is None:
        raise QuantisationError("styles are quantised with NNCF, which is not installed: pip install '.[int8]'")
    if cache_folder() is None:
        raise QuantisationError(f"{FOLDER_VARIABLE} is empty, so there is no folder to keep the result in.")


def quantise(style: Style, calibration: Tensor, held_out: Tensor) -> Quantised:
    """Quantise a style's generator and keep it for engines of precision `int8`.

    Args:
        style: whose generator.
        calibration: N3SS float32 in [-1, 1], S the style's size; its ranges come from these.
        held_out: M3SS float32 in [-1, 1]: its error is measured on these.

    Raises:
        QuantisationError: NNCF is missing or fails, there are too few crops, or the error is too large; what an
            earlier call kept stays then.
    """
    require_nncf()
    if len(calibration) < MIN_CROPS or not len(held_out):
        raise QuantisationError(
            f"there are {len(calibration)} crops; at least {MIN_CROPS} are needed, and one held out."
        )
    is_narrow = fast_precision(torch.device("cpu")) != "fp32"  # how the engine runs what is not quantised
    network = FastGenerator(style.generator, is_narrow=is_narrow)
    packed = pack_model(_quantised(convert(network, [1, *calibration.shape[1:]]), calibration))
    engine = OpenVinoEngine(style, precision="int8", quantised=packed)
    plain = OpenVinoEngine(style, precision="fp32")
    images, wanted = engine(held_out), plain(held_out)
    error = deviation(images, wanted)
    if not error.psnr_db >= MIN_INT8_PSNR_DB:
        raise QuantisationError(
            f"style {style.name!r} in int8 is {error.psnr_db:.1f} dB from fp32 on crops it was not calibrated with; "
            f"below {MIN_INT8_PSNR_DB:g} dB it is not used, and was not kept. More and more various crops may help."
        )
    keep_quantised(style, packed)
    write_cached(f"deviation-{engine.key}", json.dumps(error).encode())  # engines report it, not that on a drawn oval
    worst = min(deviation(image, other).psnr_db for image, other in zip(images, wanted, strict=True))
    rivals = {"fp32": plain}
    if is_narrow:
        rivals["bf16"] = OpenVinoEngine(style, precision="bf16")
    secs, times = _race(engine, rivals, held_out[:1])
    return Quantised(error, worst, secs, times)


def _quantised(model: Any, crops: Tensor) -> Any:
    """The quantised `openvino.Model`, made by a process of its own."""
    openvino = import_openvino()
    names = [operation.get_friendly_name() for operation in model.get_ops()]
    with tempfile.TemporaryDirectory(prefix="ugatit-int8-") as folder:
        job = {
            "model": str(Path(folder) / "model.xml"),
            "crops": str(Path(folder) / "crops.npy"),
            "float_layers": _float_layers(model, names),
            "result": str(Path(folder) / "quantised.xml"),
        }
        openvino.save_model(model, job["model"], compress_to_fp16=False)
        np.save(str(job["crops"]), crops.numpy())
        (Path(folder) / "job.json").write_text(json.dumps(job), encoding="utf-8")
        _run_worker(Path(folder) / "job.json")
        # From memory: a model read from files would hold them open.
        content, weights = (Path(str(job["result"])).with_suffix(suffix).read_bytes() for suffix in (".xml", ".bin"))
    return openvino.Core().read_model(content, openvino.Tensor(np.frombuffer(weights, np.uint8).copy()))


def _float_layers(model: Any, names: list[str]) -> list[str]:
    kinds = {"Convolution", "ConvolutionBackpropData", "MatMul"}
    return [
        name
        for name, operation in zip(names, model.get_ops(), strict=True)
        if operation.get_type_name() in kinds and FLOAT_LAYERS.search(name)
    ]


def _run_worker(job: Path) -> None:
    worker = Path(__file__).with_name("quantise_worker.py")
    # -P: this room's files must not stand for modules of the same names.
    done = subprocess.run(
        [sys.executable, "-P", str(worker), str(job)],
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "NNCF_CI": "1"},
    )
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        raise QuantisationError(f"NNCF could not quantise the generator: {lines[-1]}")


def _race(engine: OpenVinoEngine, rivals: dict[str, OpenVinoEngine], crop: Tensor) -> tuple[float, dict[str, float]]:
    """Seconds per crop, and times as fast as each rival: medians of rounds in which all run in turn."""
    rounds = [{name: _secs(each, crop) for name, each in (("", engine), *rivals.items())} for _ in range(_ROUNDS + 2)][
        2:
    ]
    times = {name: statistics.median(each[name] / each[""] for each in rounds) for name in rivals}
    return statistics.median(each[""] for each in rounds), times


def _secs(engine: OpenVinoEngine, crop: Tensor) -> float:
    start = time.perf_counter()
    engine(crop)
    return time.perf_counter() - start
