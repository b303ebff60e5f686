"""Imports OpenVINO without the telemetry that its converter would send to its maker.

Where the package openvino_telemetry is found, `openvino.convert_model` reports every call to an analytics service and
leaves files in the user's home; without it OpenVINO is made to work all the same.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_TELEMETRY = "openvino_telemetry"


def import_openvino() -> ModuleType:
    """The module `openvino`; nothing it does in this process is reported, unless others imported it before."""
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    hidden = _TELEMETRY not in sys.modules
    if hidden:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # importing it fails, which OpenVINO provides for
    try:
        return importlib.import_module("openvino")
    finally:
        if hidden:
            del sys.modules[_TELEMETRY]
