"""The engine for CPUs: a rewritten generator in OpenVINO, compiled once for each size of picture and kept on disk."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .deviation import PSNR_CEILING_DB
from .devices import fast_precision
from .errors import DeviceError
from .fast_generator import FastGenerator, suits_winograd
from .openvino_cache import read_cached, write_cached
from .openvino_runtime import (
    OpenVinoNetwork,
    code_key,
    combined_key,
    convert,
    machine_key,
    open_network,
    unpack_model,
)
from .style import Style

logger = logging.getLogger(__name__)

_MAX_SIZES = 3  # compiled networks that are kept in memory; each has its own copy of the weights
_CODE = ("blocks", "fast_generator", "fast_norms", "generator", "norms", "winograd", "openvino_runtime")


class OpenVinoEngine:
    """Runs a style's generator (see `engine.Engine`); crops go one by one, so that none depends on the others.

    Args:
        style: what to run.
        precision: `fp32`, `bf16`, or `int8`, which `keep_quantised` must have been given first.
        threads: CPU threads; None is one per core.
        streams: calls that run at once, each with its share of the threads.
        quantised: for int8, a packed network that is to be tried; None is the one that was kept.

    Raises:
        DeviceError: OpenVINO is not there or cannot run it, or the style was never quantised.
    """

    name = "openvino"
    device = "cpu"
    batch_size = 1

    def __init__(
        self,
        style: Style,
        *,
        precision: str = "fp32",
        threads: int | None = None,
        streams: int = 1,
        quantised: bytes | None = None,
    ) -> None:
        self.precision = precision
        self.max_error = self.mean_error = 0.0
        self.psnr_db = PSNR_CEILING_DB
        self._style = style
        self.num_callers = streams + 1
        self._threads, self._streams = threads, streams
        self._style_sha256 = style.sha256
        self._networks: OrderedDict[tuple[int, int], OpenVinoNetwork] = OrderedDict()
        self._lock = threading.Lock()
        self._own_size_hw = (style.config.image_size_px,) * 2
        self._quantised = (quantised or read_quantised(style)) if precision == "int8" else b""
        self._network_for(self._own_size_hw)

    @property
    def calibration(self) -> str:
        """SHA-256 (hex) of the quantised network, which depends on the crops that calibrated it; else empty."""
        return hashlib.sha256(self._quantised).hexdigest() if self._quantised else ""

    @property
    def key(self) -> str:
        """Names what it computes: style, precision, program, OpenVINO and CPU."""
        if self.calibration:  # holds the whole network: the program's code has no part in it
            return combined_key(kind="engine", calibration=self.calibration, machine=machine_key())
        return self._key("engine", style=self._style_sha256, precision=self.precision)

    def __call__(self, crops: Tensor) -> Tensor:
        """Stylise N3HW float32 crops in [-1, 1] (see `engine.Engine`)."""
        if crops.ndim != 4 or crops.shape[1] != 3:
            raise ValueError(f"crops are of shape {tuple(crops.shape)}, expected N3HW.")
        if not len(crops):
            return torch.empty_like(crops, dtype=torch.float32)
        (image,) = self._network_for((crops.shape[2], crops.shape[3]))(crops)
        return image.to(crops.device)

    def _network_for(self, size_hw: tuple[int, int]) -> OpenVinoNetwork:
        with self._lock:
            if size_hw not in self._networks:
                self._networks[size_hw] = self._opened(size_hw)
                if len(self._networks) > _MAX_SIZES:
                    self._networks.popitem(last=False)
            self._networks.move_to_end(size_hw)
            return self._networks[size_hw]

    def _opened(self, size_hw: tuple[int, int]) -> OpenVinoNetwork:
        generator = self._style.generator
        shape = [1, 3, *size_hw]
        generator._check_size(torch.empty(shape, device="meta"))
        use_winograd = self.precision == "fp32" and suits_winograd(generator, size_hw)

        def build() -> Any:
            network = FastGenerator(generator, use_winograd=use_winograd, is_narrow=precision != "fp32")
            return convert(network, shape)

        weights, precision = self._style_sha256, self.precision
        if precision == "int8":
            precision = fast_precision(torch.device("cpu"))  # of all that is not quantised
            if size_hw == self._own_size_hw:
                weights, build = self.calibration, partial(unpack_model, self._quantised)
            else:
                logger.warning("Pictures of %dx%d are restyled in %s: int8 is made for crops.", *size_hw, precision)
        return open_network(
            build,
            key=self._key("generator", weights=weights, shape=shape, precision=precision, winograd=use_winograd),
            precision=precision,
            threads=self._threads,
            streams=self._streams,
            dynamic_batch=True,
        )

    def _key(self, kind: str, **parts: Any) -> str:
        code = code_key(f"{__package__}.{name}" for name in _CODE)
        return combined_key(kind=kind, code=code, machine=machine_key(), **parts)


def keep_quantised(style: Style, packed: bytes) -> None:
    """Keep a style's quantised network (`pack_model`, 1x3xSxS -> 1x3xSxS) for later engines of this user."""
    write_cached(_quantised_key(style), packed)


def read_quantised(style: Style) -> bytes:
    """The packed network that `keep_quantised` kept.

    Raises:
        DeviceError: there is none.
    """
    content = read_cached(_quantised_key(style))
    if content is None:
        raise DeviceError(
            f"style {style.name!r} was not quantised here; `run.py styles quantise {style.name} INPUT...` does it "
            "with your own videos or pictures. Or use --precision auto."
        )
    return content


def _quantised_key(style: Style) -> str:
    return f"int8-{style.sha256}"
