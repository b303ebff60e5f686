"""Chooses device and precision from what the machine has. Runs no network."""

from __future__ import annotations

import torch

from .errors import DeviceError

PRECISIONS: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Names of the precisions that can be asked for."""


def choose_device(name: str = "auto") -> torch.device:
    """Find the device of a name.

    Args:
        name: `auto` (CUDA, else MPS, else CPU) or a torch device as `cpu`, `cuda`, `cuda:1`, `mps`.

    Raises:
        DeviceError: there is no such device.
    """
    if name == "auto":
        return torch.device(_best_device())
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"device {name!r} is unknown; use auto, cpu, cuda, cuda:N or mps.") from error
    if not _is_there(device):
        raise DeviceError(
            f"device {name!r} is not there (this machine or this build of PyTorch has none); "
            f"use --device auto, which finds {_best_device()!r}."
        )
    return device


def choose_precisions(name: str, device: torch.device) -> tuple[str, ...]:
    """Precisions to try on a device, best first; the last one always works.

    Args:
        name: `auto` or one of `PRECISIONS`.
        device: where the network will run.

    Raises:
        DeviceError: unknown, or the device cannot compute in it.
    """
    if name == "auto":
        fast = fast_precision(device)
        return ("fp32",) if fast == "fp32" else (fast, "fp32")
    if name not in PRECISIONS:
        raise DeviceError(f"precision {name!r} is unknown; use auto, {', '.join(PRECISIONS)} or int8.")
    if name == "fp16" and device.type == "cpu":
        raise DeviceError("precision 'fp16' is slower than fp32 on a CPU; use --precision bf16, fp32 or auto.")
    return (name,)


def fast_precision(device: torch.device | str) -> str:
    """The precision in which the device is fastest: bf16 on CPUs with AMX tiles, bf16 or fp16 on CUDA."""
    device = torch.device(device)
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "cpu" and _has_amx():
        return "bf16"
    return "fp32"


def _has_amx() -> bool:
    # Every CPU with AMX tiles so far multiplies bf16 in them. The query has no public name yet (torch 2.14).
    query = getattr(torch.cpu, "_is_amx_tile_supported", None)
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(query is not None and query() and has_onednn)


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if _has_mps() else "cpu"


def _is_there(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return _has_mps()
    return device.type == "cpu"


def _has_mps() -> bool:
    return bool(torch.backends.mps.is_available())  # type: ignore[no-untyped-call]
