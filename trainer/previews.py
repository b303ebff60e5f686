"""Previews: what the generators make of a few fixed held-out pictures, as one labelled grid. Writes no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from model.images import to_tensor

from .grid import Picture, Row, Section, draw_grid
from .networks import DIRECTIONS, Direction
from .translate import Pictures, at_rest, run_generator, shown

_HEAT_SHARE = 0.55


def draw_preview(
    generators: Mapping[str, nn.Module],
    averaged: Mapping[str, nn.Module] | None,
    pictures_a: Pictures,
    pictures_b: Pictures,
    *,
    names_a: Sequence[str] = (),
    names_b: Sequence[str] = (),
) -> Picture:
    """Draw what both directions make of some pictures, one picture at a time; the training is left as it was.

    Args:
        generators: `gen_a2b` and `gen_b2a` as they are trained.
        averaged: the same, averaged; None leaves their rows out.
        pictures_a: NxHxWx3 uint8 RGB of domain A, always the same ones.
        pictures_b: the same of domain B.
        names_a: file names of the pictures, for the labels; numbers if there are none.
        names_b: the same of domain B.

    Returns:
        HxWx3 uint8 RGB: for each picture a row of the trained and one of the averaged generators; columns real,
        heat map, fake, cycled, identity, and attention where there are masks.
    """
    kinds = {"raw": generators} | ({"averaged": averaged} if averaged else {})
    pictures, names = {"a": pictures_a, "b": pictures_b}, {"a": names_a, "b": names_b}
    return draw_grid(
        [
            Section(f"{d.source.upper()} to {d.target.upper()}", _rows(kinds, d, pictures[d.source], names[d.source]))
            for d in DIRECTIONS
        ]
    )


def translation_tiles(
    there: nn.Module, back: nn.Module | None, direction: Direction, picture: Picture
) -> dict[str, Picture]:
    """Translate one picture.

    Args:
        there: the generator of the direction.
        back: the one of the other direction; None leaves out what it makes.
        direction: which way `there` translates.
        picture: HxWx3 uint8 RGB of the source.

    Returns:
        Pictures of the same size by their names: `real A`, `heat map`, `fake B`, `cycled A`, `identity A`,
        `attention 1`...
    """
    source, target = direction.source.upper(), direction.target.upper()
    with at_rest(there, *([back] if back else [])):
        real = to_tensor(picture[None])
        output = run_generator(there, real)
        tiles = {
            f"real {source}": picture,
            "heat map": draw_heatmap(picture, output.heatmap[0, 0].float().cpu().numpy()),
        }
        tiles[f"fake {target}"] = shown(output.image)[0]
        if back is not None:
            tiles[f"cycled {source}"] = shown(run_generator(back, output.image).image)[0]
            tiles[f"identity {source}"] = shown(run_generator(back, real).image)[0]
        if output.attention is not None:
            masks = torch.nan_to_num(output.attention[0].float()).cpu().numpy()
            tiles |= {f"attention {number}": _as_grey(mask) for number, mask in enumerate(masks, 1)}
    return tiles


def draw_heatmap(picture: Picture, heatmap: npt.NDArray[np.float32]) -> Picture:
    """Lay a heat map in colours over a picture: blue is least, red most.

    A map that is the same everywhere, or not finite, is blue everywhere.

    Args:
        picture: HxWx3 uint8 RGB.
        heatmap: hw, of any size and range.

    Returns:
        HxWx3 uint8 RGB.
    """
    height, width = picture.shape[:2]
    levels = np.rint(_normalised(heatmap) * 255).astype(np.uint8)
    large = cv2.resize(levels, (width, height), interpolation=cv2.INTER_CUBIC)
    colours = cv2.cvtColor(cv2.applyColorMap(large, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    return np.asarray(cv2.addWeighted(colours, _HEAT_SHARE, picture, 1 - _HEAT_SHARE, 0), np.uint8)


def _normalised(heatmap: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Scale to [0, 1]; 0 everywhere where there is no difference to show."""
    values = heatmap.astype(np.float64)
    low, high = values.min(), values.max()
    if not np.isfinite([low, high]).all() or low == high:
        return np.zeros_like(values)
    scaled: npt.NDArray[np.float64] = (values - low) / (high - low)
    return scaled


def _as_grey(mask: npt.NDArray[np.float32]) -> Picture:
    levels = np.rint(mask.clip(0, 1) * 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def _rows(
    kinds: Mapping[str, Mapping[str, nn.Module]], direction: Direction, pictures: Pictures, names: Sequence[str]
) -> list[Row]:
    there, back = f"gen_{direction.name}", f"gen_{direction.target}2{direction.source}"
    return [
        Row(f"{_short(names, index)}\n{kind}", translation_tiles(pair[there], pair[back], direction, picture))
        for index, picture in enumerate(pictures)
        for kind, pair in kinds.items()
    ]


def _short(names: Sequence[str], index: int) -> str:
    return PurePath(names[index]).stem if index < len(names) else str(index + 1)
