"""`--reuse-still`: the generator rests while a face does, whatever the chunks are."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.cast import Cast
from pipeline.colour import ColourTags
from pipeline.frames import Frame, planar_layouts
from pipeline.plan import Placement
from pipeline.render import ChunkRenderer
from pipeline.still_reuse import REUSE_FRAMES, StillReuse, first_of_window
from pipeline.stylist import Stylist
from pipeline.temporal import RADIUS_FRAMES
from pipeline.views import DrawnMasks

from .test_render import SIZE, InvertingEngine, frames, soft_disc

Floats = npt.NDArray[np.float32]
Scene = Callable[[int], float]
"""Index of a frame -> how far its picture has changed, in grey levels."""


def still(change: Scene = lambda index: 0.0, noise: float = 2.0) -> Callable[[int, int], Iterator[Frame]]:
    """Frames of one picture with a noise of their own and a change of half of it."""
    base = np.asarray(next(frames(1)).planes[0], np.float32)

    def make(count: int, first: int) -> Iterator[Frame]:
        for i in range(first, first + count):
            luma = base + np.random.default_rng(i).normal(0, noise, base.shape)
            luma[:, :96] += change(i)
            chroma = tuple(np.full((80, 96), value, np.uint8) for value in (110, 150))
            planes = np.clip(luma, 0, 255).astype(np.uint8), *chroma
            yield Frame(planes, planar_layouts()["yuv420p"], ColourTags("tv", "bt709", "bt709", "bt709"), pts=i)

    return make


def placement(shift_px: float = 0.0) -> Placement:
    return Placement(
        0, np.array([[0.6, 0, -25 - shift_px], [0, 0.6, -16]], np.float32), np.zeros((5, 2), np.float32), 1
    )


def render(
    make: Callable[[int, int], Iterator[Frame]],
    start: int,
    stop: int,
    total: int,
    *,
    engine: InvertingEngine | None = None,
    cuts: frozenset[int] = frozenset(),
    shift: Scene = lambda index: 0.0,
) -> tuple[list[str], ChunkRenderer]:
    """Hashes of the frames [start, stop) of `total`, rendered as a chunk of its own."""
    cast = Cast({"": Stylist(engine or InvertingEngine(), DrawnMasks(soft_disc), SIZE)})
    renderer = ChunkRenderer(
        cast, lambda index: [placement(shift(index))], cuts, smoothing=1.0, reuse=StillReuse(cast, cuts)
    )
    first, last = first_of_window(max(start - RADIUS_FRAMES, 0)), min(stop + RADIUS_FRAMES, total)
    rendered = renderer.render(make(last - first, first), first, start, stop)
    return [frame.md5() for frame, _, _ in rendered], renderer


def test_a_face_that_stands_still_is_restyled_once_in_a_window() -> None:
    engine, total = InvertingEngine(), 3 * REUSE_FRAMES
    _, renderer = render(still(), 0, total, total, engine=engine)
    assert engine.calls == 3
    assert renderer.stats.num_reused == total - 3
    assert renderer.stats.num_pasted == total


@pytest.mark.parametrize("change", [lambda i: 9.0 * (i % 2), lambda i: 1.5 * i])
def test_what_changes_is_restyled_even_where_it_changes_slowly(change: Scene) -> None:
    engine = InvertingEngine()
    render(still(change), 0, 24, 24, engine=engine)
    assert engine.calls >= 12


def test_a_crop_that_moves_is_restyled() -> None:
    engine = InvertingEngine()
    render(still(noise=0.0), 0, 24, 24, engine=engine, shift=lambda index: 0.4 * index)
    assert engine.calls > 12


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("start", [3, REUSE_FRAMES, 17, 2 * REUSE_FRAMES + 1])
def test_chunks_give_what_the_whole_gives(start: int, batch_size: int) -> None:
    make, cuts = still(lambda i: 5.0 * (i // 7) + 20 * (i >= 15)), frozenset({15})
    engine = InvertingEngine()
    engine.batch_size = batch_size
    whole, _ = render(make, 0, 40, 40, cuts=cuts)
    parts = [render(make, *span, 40, cuts=cuts, engine=engine)[0] for span in ((0, start), (start, 40))]
    assert whole == parts[0] + parts[1]


def test_a_cut_begins_anew() -> None:
    engine = InvertingEngine()
    render(still(), 0, REUSE_FRAMES, REUSE_FRAMES, engine=engine, cuts=frozenset({5}))
    assert engine.calls == 2


def test_a_broken_anchor_is_nobodys_model() -> None:
    engine = InvertingEngine(broken_calls=(0,))
    _, renderer = render(still(), 0, 6, 6, engine=engine)
    assert engine.calls == 6
    assert renderer.stats.num_reused == 0
    assert renderer.stats.num_guarded == 1
