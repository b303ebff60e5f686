"""Decoding on a GPU gives what software gives, or software takes over; on the CPU with a stand-in for the GPU."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from pipeline import cuda_decode
from pipeline.colour import ColourTags
from pipeline.cuda_decode import iter_chunk_on
from pipeline.decode import iter_chunk, iter_frames
from pipeline.errors import UnreadableInputError
from pipeline.frames import Frame
from pipeline.mediainfo import MediaInfo
from pipeline.orientation import UPRIGHT
from pipeline.planes import FrameShape, frame_from_av, layout_for
from pipeline.probe import probe
from tests.pipeline.media import make_video


@pytest.fixture(autouse=True)
def _forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_decode, "_is_exact", {})


@pytest.fixture
def clip(tmp_path: Path) -> tuple[MediaInfo, list[int]]:
    info = probe(make_video(tmp_path / "a.mp4", "-g", "8", num_frames=30))
    return info, [frame.pts for frame in iter_frames(info)]


def _decoded(device: str, clip: tuple[MediaInfo, list[int]], **sound: bool) -> list[str]:
    given = {"is_sound": True, "is_repaired": False} | sound
    return [frame.md5() for frame in iter_chunk_on(device, *clip, 4, 28, **given)]


class _Gpu:
    """Stands in for decoding on a GPU; tells how many frames were asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, fails_after: int = 1000, spoils: bool = False) -> None:
        self.num_asked, self.fails_after, self.spoils = 0, fails_after, spoils
        monkeypatch.setattr(cuda_decode, "_accelerator", lambda device: self)
        monkeypatch.setattr(cuda_decode, "iter_chunk", self.iter_chunk)

    def iter_chunk(self, *args: Any, accelerator: Any = None, **options: Any) -> Iterator[Frame]:
        if accelerator is None:
            yield from iter_chunk(*args, **options)
            return
        for frame in iter_chunk(*args, **options):
            if self.num_asked == self.fails_after:
                raise UnreadableInputError("the decoder gave up")
            self.num_asked += 1
            if self.spoils:
                frame.planes[0][0, 0] ^= 1
            yield frame


def test_a_gpu_that_gives_the_same_decodes_all_frames(
    clip: tuple[MediaInfo, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = _Gpu(monkeypatch)
    assert _decoded("cuda:0", clip) == _decoded("cpu", clip)
    assert gpu.num_asked == 8 + 24
    _decoded("cuda:0", clip)
    assert gpu.num_asked == 8 + 24 + 24  # it was compared once


def test_a_gpu_that_gives_other_samples_is_not_used(
    clip: tuple[MediaInfo, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = _Gpu(monkeypatch, spoils=True)
    assert _decoded("cuda:0", clip) == _decoded("cpu", clip)
    assert gpu.num_asked == 8


@pytest.mark.parametrize("num_frames", [0, 3, 8, 20])
def test_software_takes_over_where_the_gpu_stops(
    num_frames: int, clip: tuple[MediaInfo, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _Gpu(monkeypatch, fails_after=num_frames)
    assert _decoded("cuda:0", clip) == _decoded("cpu", clip)


def test_damaged_and_inexact_videos_are_left_to_software(
    clip: tuple[MediaInfo, list[int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gpu = _Gpu(monkeypatch)
    for sound in ({"is_sound": False}, {"is_repaired": True}):
        assert len(_decoded("cuda:0", clip, **sound)) == 24
    info = probe(make_video(tmp_path / "a.avi", "-c:v", "mpeg4", "-bf", "0", num_frames=30))
    _decoded("cuda:0", (info, [frame.pts for frame in iter_frames(info)]))
    assert gpu.num_asked == 0


def test_a_machine_without_a_gpu_decodes_in_software(
    clip: tuple[MediaInfo, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _decoded("cuda:0", clip) == _decoded("cpu", clip)
    for name, stub in (("is_available", lambda: True), ("synchronize", lambda: None), ("set_device", lambda i: None)):
        monkeypatch.setattr(torch.cuda, name, stub)  # PyTorch would have one, FFmpeg finds none
    if not torch.version.cuda or not Path("/dev/nvidia0").exists():
        assert _decoded("cuda:0", clip) == _decoded("cpu", clip)


@pytest.mark.parametrize(
    ("given", "kept", "bits", "shift"),
    [("nv12", "yuv420p", 8, 0), ("p010le", "yuv420p10le", 10, 6), ("p012le", "yuv420p12le", 12, 4)],
)
@pytest.mark.parametrize("size_wh", [(64, 48), (386, 178)])
def test_a_gpus_formats_become_planes_without_a_changed_bit(
    given: str, kept: str, bits: int, shift: int, size_wh: tuple[int, int]
) -> None:
    (width, height), rng = size_wh, np.random.default_rng(0)
    layout = layout_for(kept)
    planes = [rng.integers(0, 1 << bits, layout.plane_shape(i, width, height)).astype(layout.dtype) for i in range(3)]
    source = av.VideoFrame(width, height, given)
    both = np.stack(planes[1:], -1).reshape(height // 2, width)
    for plane, samples in zip(source.planes, (planes[0], both), strict=True):
        row = plane.line_size // samples.itemsize
        np.frombuffer(plane, layout.dtype).reshape(-1, row)[: len(samples), :width] = samples << shift
    shape = FrameShape(width, height, layout, ColourTags(None, None, None, None), UPRIGHT)
    for _ in range(100):  # a race inside swscale showed in a few of a hundred conversions
        for got, wanted in zip(frame_from_av(source, 0, shape).planes, planes, strict=True):
            assert np.array_equal(got, wanted)


@pytest.mark.gpu
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_real_gpu_decodes_the_same_samples(codec: str, tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "a.mp4", "-c:v", codec, "-g", "8", num_frames=60))
    pts = [frame.pts for frame in iter_frames(info)]
    accelerator = cuda_decode._accelerator("cuda:0")
    assert accelerator is not None
    hardware = [f.md5() for f in islice(iter_chunk(info, pts, 20, 50, accelerator=accelerator), 30)]
    assert hardware == [f.md5() for f in iter_chunk(info, pts, 20, 50)]
