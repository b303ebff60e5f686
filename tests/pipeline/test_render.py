"""Pass 2: chunks fit together, broken crops stay off the screen, nothing outside the mask changes."""

import itertools
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from alignment.points import Points
from pipeline.colour import ColourTags
from pipeline.frames import Frame, planar_layouts
from pipeline.paste import Region, paste_face
from pipeline.plan import Placement
from pipeline.render import ChunkRenderer
from pipeline.stylist import Stylist
from pipeline.temporal import RADIUS_FRAMES
from pipeline.views import DrawnMasks

SIZE = 64


class InvertingEngine:
    """Turns colours round, with noise that differs from call to call like a nervous generator's."""

    name, device, precision, max_error, psnr_db = "invert", "cpu", "fp32", 0.0, 99.0

    batch_size = num_callers = 1

    def __init__(self, broken_calls: tuple[int, ...] = (), value: float = float("nan")) -> None:
        self.calls = 0
        self.broken_calls = broken_calls
        self.value = value

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls - 1 in self.broken_calls:
            return torch.full_like(crops, self.value)
        return -crops * 0.8


def soft_disc(crop: npt.NDArray[np.uint8], landmarks: Points) -> npt.NDArray[np.float32]:
    y, x = np.mgrid[0:SIZE, 0:SIZE] - (SIZE - 1) / 2
    return np.clip((26 - np.hypot(x, y)) / 8, 0, 1).astype(np.float32)


def frames(count: int, first: int = 0) -> Iterator[Frame]:
    """A texture that drifts to the right, with a little noise of its own in every frame."""
    texture = cv2.GaussianBlur(np.random.default_rng(0).normal(128, 300, (160, 320)).astype(np.float32), (0, 0), 3)
    for i in range(first, first + count):
        shifted = cv2.warpAffine(texture, np.float32([[1, 0, 0.7 * i - 60], [0, 1, 0]]), (192, 160))
        noise = np.random.default_rng(i).normal(0, 3, shifted.shape)
        luma = np.clip(shifted + noise, 16, 235).astype(np.uint8)
        chroma = tuple(np.full((80, 96), value, np.uint8) for value in (110, 150))
        yield Frame((luma, *chroma), planar_layouts()["yuv420p"], ColourTags("tv", "bt709", "bt709", "bt709"), pts=i)


def placements(count: int) -> dict[int, list[Placement]]:
    return {
        i: [Placement(0, np.float32([[0.6, 0, -25 - 0.4 * i], [0, 0.6, -16]]), np.zeros((5, 2), np.float32), 1.0)]
        for i in range(count)
    }


def render(
    start: int, stop: int, total: int, engine: InvertingEngine | None = None, smoothing: float = 1.0
) -> list[Frame]:
    renderer = ChunkRenderer(
        Stylist(engine or InvertingEngine(), DrawnMasks(soft_disc), SIZE),
        placements(total).__getitem__,
        frozenset(),
        smoothing=smoothing,
    )
    first, last = max(start - RADIUS_FRAMES, 0), min(stop + RADIUS_FRAMES, total)
    return [frame for frame, _, _ in renderer.render(frames(last - first, first), first, start, stop)]


def test_two_chunks_give_the_same_frames_as_one() -> None:
    whole = [f.md5() for f in render(0, 20, 20)]
    assert whole == [f.md5() for f in render(0, 9, 20)] + [f.md5() for f in render(9, 20, 20)]
    assert [f.pts for f in render(9, 20, 20)] == list(range(9, 20))


def test_frames_may_be_restyled_in_groups() -> None:
    engine = InvertingEngine()
    engine.batch_size = 8
    assert [f.md5() for f in render(0, 20, 20, engine)] == [f.md5() for f in render(0, 20, 20)]
    assert engine.calls == 3


def test_pixels_outside_the_mask_are_bit_equal_to_the_decoded_source(monkeypatch: pytest.MonkeyPatch) -> None:
    pasted: list[Region | None] = []

    def paste_and_note(*arguments: Any) -> Region | None:
        pasted.append(paste_face(*arguments))
        return pasted[-1]

    monkeypatch.setattr("pipeline.face_paster.paste_face", paste_and_note)
    for result, source, region in zip(render(0, 6, 6), frames(6), pasted, strict=True):
        assert region is not None
        under = np.zeros((160, 192), bool)
        rows, columns = region.mask.shape
        under[region.y0 : region.y0 + rows, region.x0 : region.x0 + columns] = region.mask > 0
        assert 0.1 < under.mean() < 0.7
        # A chroma sample belongs to the mask where one of its four pixels does.
        under_chroma = under.reshape(80, 2, 96, 2).any(axis=(1, 3))
        for was, now, mask in zip(source.planes, result.planes, (under, under_chroma, under_chroma), strict=True):
            assert (was != now).any()
            assert not ((was != now) & ~mask).any()


def test_smoothing_makes_the_output_steadier() -> None:
    def unrest(rendered: list[Frame]) -> float:
        return float(
            np.mean([np.abs(a.planes[0].astype(int) - b.planes[0]).mean() for a, b in itertools.pairwise(rendered)])
        )

    assert unrest(render(0, 12, 12)) < unrest(render(0, 12, 12, smoothing=0.0))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.25])
def test_a_broken_crop_is_replaced_by_its_neighbour_and_counted(value: float) -> None:
    renderer = ChunkRenderer(
        Stylist(InvertingEngine((5,), value), DrawnMasks(soft_disc), SIZE),
        placements(12).__getitem__,
        frozenset(),
        smoothing=0.0,
    )
    result = [frame for frame, _, _ in renderer.render(frames(12), 0, 0, 12)]
    good = render(0, 12, 12, smoothing=0.0)
    assert renderer.stats.num_guarded == 1
    assert renderer.stats.num_pasted == 12
    difference = np.abs(result[5].planes[0].astype(int) - good[5].planes[0])
    assert difference.max() > 0
    assert difference.mean() < 4


def test_a_face_whose_crops_are_all_broken_stays_as_it_was() -> None:
    renderer = ChunkRenderer(
        Stylist(InvertingEngine(tuple(range(6))), DrawnMasks(soft_disc), SIZE),
        placements(6).__getitem__,
        frozenset(),
        smoothing=1.0,
    )
    result = [frame.md5() for frame, _, _ in renderer.render(frames(6), 0, 0, 6)]
    assert result == [frame.md5() for frame in frames(6)]
    assert (renderer.stats.num_guarded, renderer.stats.num_pasted) == (6, 0)
