"""A moving, talking face for end-to-end tests, and a tiny style to restyle it with."""

from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import torch
from skimage.data import astronaut

from model import GeneratorConfig, Style, StyleCard, build_generator
from pipeline import demo
from pipeline.decode import iter_frames
from pipeline.probe import probe

SIZE_WH = (320, 240)


def write_style(path: Path) -> Path:
    """A style of 64 px with random weights: fast, and it changes every pixel."""
    torch.manual_seed(0)
    config = GeneratorConfig(base_channels=8, num_blocks=1, image_size_px=64)
    Style("tiny", StyleCard(crop_size_px=64, licence="MIT"), config, build_generator(config).eval()).save(path)
    return path


def face_picture(index: int) -> npt.NDArray[np.uint8]:
    """Frame `index` of the demo clip at half size, 240x320x3 RGB."""
    picture = demo.draw_frame(index / demo.FRAME_RATE)
    return np.asarray(cv2.resize(picture, SIZE_WH, interpolation=cv2.INTER_AREA), np.uint8)


def faceless_picture(index: int) -> npt.NDArray[np.uint8]:
    """A moving part of the astronaut's suit."""
    moved = np.roll(astronaut()[300:500, :320], index, axis=1)
    return np.asarray(cv2.resize(moved, SIZE_WH), np.uint8)


def write_clip(path: Path, num_frames: int = 30, *, has_face: bool = True) -> Path:
    """A clip with the demo's tune; a key frame every 10 frames."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=demo.FRAME_RATE, options={"preset": "ultrafast", "g": "10"})
        (video.width, video.height), video.pix_fmt = SIZE_WH, "yuv420p"
        audio = container.add_stream("aac", rate=48_000)
        audio.layout = "mono"
        for i in range(num_frames):
            picture = face_picture(i) if has_face else faceless_picture(i)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        for sound in demo._sound_frames(demo.tune()[: 48_000 * num_frames // demo.FRAME_RATE]):
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    return path


def frame_hashes(path: Path) -> list[str]:
    """MD5 of every decoded frame."""
    return [frame.md5() for frame in iter_frames(probe(path))]


def stamps_secs(path: Path) -> list[float]:
    """Time of every frame."""
    info = probe(path)
    return [float(frame.pts * info.video.time_base) for frame in iter_frames(info)]


def write_stripes(path: Path, num_frames: int = 25, size_wh: tuple[int, int] = (96, 64)) -> Path:
    """A small clip of moving stripes without sound: no face, quickly made; a key frame every 5 frames."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "5"})
        (video.width, video.height), video.pix_fmt = size_wh, "yuv420p"
        x = np.arange(size_wh[0])
        for i in range(num_frames):
            row = np.where((x + i) // 8 % 2, 200, 40).astype(np.uint8)
            picture = np.repeat(np.tile(row, (size_wh[1], 1))[..., None], 3, axis=2)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
    return path
