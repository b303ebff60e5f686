"""What `train --dry-run` tells: options, parameters and memory. Reads no pictures and writes nothing."""

from __future__ import annotations

from typing import Any

from .memory import device_bytes, estimate_needs, smaller_settings
from .plan import Plan

_GIGA = 1e9


def describe(plan: Plan) -> dict[str, Any]:
    """Return what a run would be, ready for JSON.

    Args:
        plan: the run.

    Returns:
        `config` by section and name, `data`, `device`, `precision`, `parameters` by network, `memory_gb` and its parts
        `fixed_gb` and `step_gb`, `free_gb` that the device has, and `would_need_less`: settings, if it does not fit.
    """
    device = plan.device
    precision = plan.precision(device)
    needs, there = estimate_needs(plan.config, precision), device_bytes(device)
    is_too_large = needs.total_bytes > there
    return {
        "config": plan.config.to_dict(),
        "data": str(plan.data),
        "device": str(device),
        "precision": precision,
        "parameters": needs.parameters,
        "memory_gb": needs.total_bytes / _GIGA,
        "fixed_gb": needs.fixed_bytes / _GIGA,
        "step_gb": needs.step_bytes / _GIGA,
        "free_gb": there / _GIGA,
        "would_need_less": smaller_settings(plan.config, precision, there) if is_too_large else [],
    }
