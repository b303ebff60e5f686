"""Crops that are cut by tensors are those that OpenCV cuts, within a level."""

import cv2
import numpy as np
import pytest

from pipeline import device_warp
from pipeline.colour import ColourTags
from pipeline.crops import cut, cut_all
from pipeline.device_warp import cut_on
from pipeline.frames import Frame, planar_layouts
from pipeline.plane_views import CropWish, crop_planes

SIZE_PX = 96


def frame(pix_fmt: str = "yuv420p", width: int = 640, height: int = 360, seed: int = 0) -> Frame:
    """A frame of soft noise with edges, in all its planes."""
    layout, rng = planar_layouts()[pix_fmt], np.random.default_rng(seed)
    planes = []
    for index in range(layout.num_planes):
        rows, columns = layout.plane_shape(index, width, height)
        noise = cv2.GaussianBlur(rng.normal(0, 1, (rows, columns)).astype(np.float32), (0, 0), 2.5)
        noise[rows // 3 : rows // 2] += 0.3
        plane = np.clip(noise / np.abs(noise).max() * 0.45 + 0.5, 0, 1) * ((1 << layout.bit_depth) - 1)
        planes.append(np.rint(plane).astype(layout.dtype))
    return Frame(tuple(planes), layout, ColourTags("tv", "bt709", None, None), 0)


def place(scale: float, x: float = 300, y: float = 170, degrees: float = 17) -> np.ndarray:
    """The 2x3 that puts (x, y) in the middle of the crop."""
    turn = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([linear, SIZE_PX / 2 - linear @ [x, y]]).astype(np.float32)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv422p", "yuv444p", "yuv410p", "gray"])
@pytest.mark.parametrize("scale", [0.2, 0.34, 0.5, 0.8, 1.0, 2.3])
def test_crops_are_the_same_within_a_level(pix_fmt: str, scale: float) -> None:
    source = frame(pix_fmt)
    shifts = source.layout.chroma_shift_x, source.layout.chroma_shift_y
    wanted = crop_planes(source.planes, place(scale), SIZE_PX, shifts)
    [got] = cut_on("cpu", [CropWish(source.planes, place(scale), SIZE_PX, shifts)])
    step = 1 << (source.layout.bit_depth - 8)
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.dtype == np.float32
        difference = np.abs(ours - theirs)
        assert difference.max() <= 1.5 * step
        assert difference.mean() <= 0.34 * step  # OpenCV rounds once more, 0.25 on average, or twice


@pytest.mark.parametrize(("x", "y"), [(-20, 10), (640, 360), (5, 355), (2000, 2000)])
@pytest.mark.parametrize("scale", [0.3, 0.8])
def test_beyond_the_frame_its_edges_repeat(x: float, y: float, scale: float) -> None:
    source = frame()
    wanted = crop_planes(source.planes, place(scale, x, y), SIZE_PX, (1, 1))
    [got] = cut_on("cpu", [CropWish(source.planes, place(scale, x, y), SIZE_PX, (1, 1))])
    for ours, theirs in zip(got, wanted, strict=True):
        assert np.abs(ours - theirs).max() <= 1


def test_many_crops_of_several_frames_come_back_in_order() -> None:
    frames = [frame(seed=seed) for seed in range(3)]
    wishes = [CropWish(f.planes, place(s, x), SIZE_PX, (1, 1)) for f in frames for s, x in ((0.5, 200), (1.0, 400))]
    together = cut_on("cpu", wishes)
    for wish, planes in zip(wishes, together, strict=True):
        [alone] = cut_on("cpu", [wish])
        assert all(np.array_equal(a, b) for a, b in zip(planes, alone, strict=True))


def test_on_a_cuda_device_the_faces_of_all_frames_are_cut_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def on_cpu(device: str, wishes: list[CropWish]) -> list[list[np.ndarray]]:
        asked.append((device, len(wishes)))
        return cut_on("cpu", wishes)

    monkeypatch.setattr(device_warp, "cut_on", on_cpu)
    faces = [(frame(seed=seed), place(0.7, x)) for seed, x in ((0, 200), (0, 400), (1, 300))]
    got = cut_all(faces, SIZE_PX, "cuda:1")
    assert asked == [("cuda:1", 3)]
    for ours, (source, where) in zip(got, faces, strict=True):
        assert np.abs(ours.astype(int) - cut(source, where, SIZE_PX)).mean() < 0.5
    assert np.array_equal(cut_all(faces[:1], SIZE_PX)[0], cut(*faces[0], SIZE_PX))
    assert cut_all([], SIZE_PX, "cuda:1") == []
    assert len(asked) == 1


@pytest.mark.gpu
def test_a_gpu_cuts_what_the_cpu_cuts() -> None:
    faces = [(frame(fmt), place(scale)) for fmt in ("yuv420p", "yuv420p10le") for scale in (0.2, 0.5, 1.0)]
    for ours, (source, where) in zip(cut_all(faces, SIZE_PX, "cuda:0"), faces, strict=True):
        assert np.abs(ours.astype(int) - cut(source, where, SIZE_PX)).max() <= 4
