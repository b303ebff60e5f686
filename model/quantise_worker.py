"""A program of its own that quantises one OpenVINO model with NNCF: `python quantise_worker.py JOB.json`.

NNCF changes libraries of the process it runs in, logs on import and reports to its maker unless told not to; here
all that ends with the process. The file imports nothing of the project, so that it starts without PyTorch's weight.

JOB.json names `model` (.xml), `crops` (.npy, N3SS float32), `float_layers` (names of operations), `result` (.xml).
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

ARITHMETIC = (
    "Add",
    "Subtract",
    "Multiply",
    "Divide",
    "Power",
    "Sqrt",
    "SquaredDifference",
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "MatMul",
    "MVN",
    "Sigmoid",
    "Softmax",
    "Tanh",
)
"""Types of operations that stay in float: norms (and their statistics), gates, the AdaLIN head."""


def main(job_path: str) -> None:
    """Do the job of a file."""
    warnings.simplefilter("ignore")
    os.environ["NNCF_CI"] = "1"  # what keeps its telemetry off
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # and that of OpenVINO
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    import openvino

    model = openvino.Core().read_model(job["model"])
    quantised = quantise(model, np.load(job["crops"], mmap_mode="r"), job["float_layers"])
    openvino.save_model(quantised, job["result"], compress_to_fp16=False)


def quantise(model: Any, crops: np.ndarray[Any, Any], float_layers: list[str], **options: Any) -> Any:
    """Return the model with convolutions in 8 bits, all of them but `float_layers`.

    Args:
        model: `openvino.Model` of one input, 1x3xSxS.
        crops: N3SS float32 that its ranges are taken from.
        float_layers: friendly names of operations that stay as they are.
        options: of `nncf.quantize`.
    """
    import nncf

    present = {operation.get_type_name() for operation in model.get_ops()}
    return nncf.quantize(
        model,
        nncf.Dataset([np.array(crops[i : i + 1]) for i in range(len(crops))]),
        subset_size=len(crops),
        **{**_settings(nncf), **options},
        ignored_scope=nncf.IgnoredScope(names=float_layers, types=sorted(present & set(ARITHMETIC))),
    )


def _settings(nncf: Any) -> Mapping[str, Any]:
    """Weights per output channel and symmetric; ranges of maps asymmetric where they go below zero, and never clipped.

    NNCF's own ranges, the averages of the crops' extremes, are 2 dB better over all pixels, but clip what is rare: the
    worst crop is 5 dB worse and the largest error more than twice as large.
    """
    from nncf.quantization import range_estimator as ranges

    least = ranges.StatisticsCollectorParameters(ranges.StatisticsType.MIN, ranges.AggregatorType.MIN)
    greatest = ranges.StatisticsCollectorParameters(ranges.StatisticsType.MAX, ranges.AggregatorType.MAX)
    return {
        "preset": nncf.QuantizationPreset.MIXED,
        "fast_bias_correction": True,
        "advanced_parameters": nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=ranges.RangeEstimatorParameters(least, greatest)
        ),
    }


if __name__ == "__main__":
    main(sys.argv[1])
