"""Heads drawn by a built-in style: the generated heads whose outline the parser shall read too.

The labels of a drawing are those of its photograph: the generator keeps parts where they are, within a few pixels.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from model import load_engine, load_style, to_pictures, to_tensor

from .parser_data import Heads

_BATCH = 4

_logger = logging.getLogger(__name__)


def draw_heads(
    heads: Heads, indices: npt.NDArray[np.int64], cache: Path, *, style: str = "toon", limit: int = 600
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Draw up to `limit` of some heads, evenly chosen, once; the second time they are mapped from `cache`.

    Args:
        heads: photographs on their canvases.
        indices: which of them may be drawn.
        cache: folder of drawn.npy and drawn_indices.npy; made if absent.
        style: name or path of the style.
        limit: how many; a drawing takes half a second.

    Returns:
        KxSxSx3 uint8 RGB and the K indices of their heads.
    """
    pictures, chosen = cache / "drawn.npy", cache / "drawn_indices.npy"
    if not chosen.exists():
        cache.mkdir(parents=True, exist_ok=True)
        picked = indices[np.linspace(0, len(indices) - 1, min(limit, len(indices))).round().astype(int)]
        shape = (len(picked), *heads.pictures.shape[1:])
        drawn = np.lib.format.open_memmap(pictures, "w+", np.uint8, shape)
        engine = load_engine(load_style(style), device="cpu")
        for start in range(0, len(picked), _BATCH):
            batch = np.stack([heads.pictures[i] for i in picked[start : start + _BATCH]])
            with torch.inference_mode():
                drawn[start : start + _BATCH] = to_pictures(engine(to_tensor(batch)))
        drawn.flush()
        np.save(chosen, picked)
        _logger.info("Drew %d heads in style '%s'.", len(picked), style)
    return np.load(pictures, mmap_mode="r"), np.load(chosen)
