"""The style in 8 bits for the benchmark: the user's own where `styles quantise` made one, else one for the demo's face.

What is made here lies in the benchmark's folder and is gone with it; nothing of the user's is replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from model import Engine, ModelError, Style, load_engine

from .crops import face_crops

_NUM_CALIBRATED, _NUM_HELD_OUT = 32, 8
_CACHE_VARIABLE = "UGATIT_CACHE"


def load_int8(style: Style, folder: Path, *, may_quantise: bool) -> tuple[Engine, str]:
    """Load a style's int8 engine and tell where it comes from.

    Args:
        style: what to run, on the CPU.
        folder: where one that is made here is kept.
        may_quantise: make one where the user has none; takes a minute or two, and NNCF.

    Raises:
        ModelError: there is none, and it cannot or must not be made.
    """
    threads = torch.get_num_threads()
    try:
        return load_engine(style, device="cpu", engine="openvino", precision="int8", threads=threads), ""
    except ModelError:
        if not may_quantise:
            raise
    from model.quantise import quantise

    size_px = style.card.crop_size_px
    crops = face_crops(size_px, _NUM_CALIBRATED + _NUM_HELD_OUT)
    is_held_out = torch.arange(len(crops)) % (len(crops) // _NUM_HELD_OUT) == 0
    with _cache_in(folder):
        quantise(style, crops[~is_held_out], crops[is_held_out])
        engine = load_engine(style, device="cpu", engine="openvino", precision="int8", threads=threads)
    return engine, "quantised for the demo's face"


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """Let what is kept for later starts be kept in a folder of the benchmark."""
    before = os.environ.get(_CACHE_VARIABLE)
    os.environ[_CACHE_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CACHE_VARIABLE]
        else:
            os.environ[_CACHE_VARIABLE] = before
