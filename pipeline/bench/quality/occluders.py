"""Whether what is before a face stays there: things with known outlines move across the demo's face."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
import numpy.typing as npt

from ...decode import iter_frames
from ...probe import probe
from ..clips import FACE_XY, draw, face_oval, true_transform, write_clip
from ..sections import Cell, Table
from .run import Bench

RGB = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.float32]

_CHANGED_LEVELS = 12
"""A pixel whose brightness differs by more than this was redrawn."""


def measure(bench: Bench) -> list[Table]:
    """The table of the section `occluders`."""
    bench.progress.start("occluders", "measuring", len(OCCLUDERS))
    rows = []
    for name in OCCLUDERS:
        rows.append(_row(bench, name))
        bench.progress.advance(1)
    return [
        Table(
            "Things before the face",
            ("what", "covers", "redrawn", "by", "face redrawn", "frames with the face"),
            tuple(rows),
            "Covers: share of the face's oval that the thing hides, mean over the frames. Redrawn: share of the "
            f"thing's pixels over the face that differ from the source by more than {_CHANGED_LEVELS} levels (its "
            "outer 2 px left out), `by` their mean difference; less is better. Face redrawn: the same share of the "
            "oval that is in sight; more is better.",
        )
    ]


def _hand(size_px: int) -> tuple[RGB, Mask]:
    """Four fingers and a palm of skin."""
    picture = np.full((size_px, size_px, 3), (205, 160, 135), np.uint8)
    mask = np.zeros((size_px, size_px), np.uint8)
    unit = size_px / 100
    cv2.ellipse(mask, (round(50 * unit), round(75 * unit)), (round(32 * unit), round(28 * unit)), 0, 0, 360, 255, -1)
    for i in range(4):
        x = round((26 + 16 * i) * unit)
        cv2.line(mask, (x, round((14 + 5 * abs(i - 1.5)) * unit)), (x, round(70 * unit)), 255, round(13 * unit))
        if i:
            cv2.line(
                picture,
                (x - round(8 * unit), round(20 * unit)),
                (x - round(8 * unit), round(65 * unit)),
                (150, 105, 85),
                2,
            )
    shade = np.linspace(1.1, 0.8, size_px, dtype=np.float32)[:, None, None]
    return np.asarray(np.clip(picture * shade, 0, 255), np.uint8), _soft(mask)


def _microphone(size_px: int) -> tuple[RGB, Mask]:
    """A dark ball of mesh on a handle."""
    picture, mask = np.full((size_px, size_px, 3), 45, np.uint8), np.zeros((size_px, size_px), np.uint8)
    unit = size_px / 100
    cv2.circle(mask, (round(50 * unit), round(32 * unit)), round(24 * unit), 255, -1)
    cv2.line(mask, (round(50 * unit), round(50 * unit)), (round(56 * unit), size_px), 255, round(20 * unit))
    for offset in range(0, size_px, max(round(5 * unit), 2)):
        cv2.line(picture, (offset, 0), (0, offset), (95, 95, 100), 1)
        cv2.line(picture, (size_px - offset, 0), (size_px, offset), (95, 95, 100), 1)
    return picture, _soft(mask)


def _cloth(size_px: int) -> tuple[RGB, Mask]:
    """A striped scarf."""
    x = np.arange(size_px)
    stripe = ((x // max(size_px // 12, 1)) % 2 == 0)[None, :, None]
    picture = np.where(stripe, np.array([60, 90, 170]), np.array([225, 225, 215])).astype(np.uint8)
    picture = np.repeat(picture, size_px, axis=0)
    mask = np.zeros((size_px, size_px), np.uint8)
    mask[size_px // 4 : -size_px // 4] = 255
    return picture, _soft(mask)


OCCLUDERS: Mapping[str, Callable[[int], tuple[RGB, Mask]]] = {
    "hand": _hand,
    "microphone": _microphone,
    "cloth": _cloth,
}
"""What is moved across the face: picture SxSx3 uint8 and opacity SxS float32 of a side in pixels."""


def _soft(mask: npt.NDArray[np.uint8]) -> Mask:
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 0.8).astype(np.float32) / 255, np.float32)


def covered(name: str, index: int, num_frames: int) -> tuple[RGB, Mask, Mask]:
    """One frame of the clip: the picture, the thing's opacity in it, and the face's oval behind, HxW in {0, 1}."""
    picture, move = draw("plain", index), true_transform("plain", index)
    height, width = picture.shape[:2]
    middle, zoom = move[:, :2] @ np.array(FACE_XY) + move[:, 2], float(np.hypot(*move[:, 0]))
    side = round(85 * zoom)
    thing, opacity = OCCLUDERS[name](side)
    way = index / max(num_frames - 1, 1) - 0.5  # from the left, over the lower half of the face, to the right
    corner = middle - side / 2 + np.array([1.1 * side * way, 0.32 * side])
    shift = np.array([[1, 0, corner[0]], [0, 1, corner[1]]])
    size_wh = width, height
    alpha = np.asarray(cv2.warpAffine(opacity, shift, size_wh), np.float32)
    moved = cv2.warpAffine(thing, shift, size_wh, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    mixed = picture + (moved - picture) * alpha[..., None]
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8), alpha, face_oval("plain", index)


def _row(bench: Bench, name: str) -> tuple[Cell, ...]:
    num_frames = bench.settings.frames
    drawn = [covered(name, index, num_frames) for index in range(num_frames)]
    clip = write_clip(bench.folder / f"{name}.mp4", (picture for picture, _, _ in drawn))
    report, result = bench.convert_to(clip)
    shares = []
    pairs = zip(drawn, iter_frames(probe(clip)), iter_frames(probe(result)), strict=True)
    for (_, alpha, face), before, after in pairs:
        difference = cv2.absdiff(before.planes[0], after.planes[0]).astype(np.float32)
        shares.append(occluder_shares(difference, alpha, face))
    covers, leaks, levels, faces = (np.nanmean(column) for column in np.array(shares).T)
    seen = f"{100 * report.frames_with_faces / num_frames:.0f} %"
    return (name, f"{100 * covers:.0f} %", f"{100 * leaks:.1f} %", float(levels), f"{100 * faces:.0f} %", seen)


def occluder_shares(difference: Mask, alpha: Mask, face: Mask) -> tuple[float, float, float, float]:
    """Of one frame: share of the face that is hidden; of the thing over it, the share redrawn and its mean difference;
    of the face in sight, the share redrawn. NaN where there is nothing to share.
    """  # noqa: D205
    solid = cv2.erode((alpha > 0.98).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    over, in_sight = solid & (face > 0), (alpha < 0.02) & (face > 0)
    hidden = float(((alpha > 0.5) & (face > 0)).sum() / max(face.sum(), 1))
    if not over.any() or not in_sight.any():
        return hidden, np.nan, np.nan, np.nan
    redrawn = difference > _CHANGED_LEVELS
    return hidden, float(redrawn[over].mean()), float(difference[over].mean()), float(redrawn[in_sight].mean())
