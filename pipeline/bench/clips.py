"""Clips for the benchmark: the demo's moving portrait as a good camera sees it and as bad ones do. The truth is known.

It writes videos without sound; it measures nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from ..demo import FRAME_RATE, SIZE_WH, camera

RGB = npt.NDArray[np.uint8]
Transform = npt.NDArray[np.float64]
Change = Callable[[RGB, np.random.Generator], RGB]

FACE_XY = (225.0, 118.0)
"""Middle of the face in the portrait."""
_FACE_AXES = (40.0, 56.0)
"""Half axes of the oval around it."""
_SMALL = 0.4


def _noisy(picture: RGB, rng: np.random.Generator) -> RGB:
    return _with_noise(picture, 1.0, 8.0, rng)


def _dark(picture: RGB, rng: np.random.Generator) -> RGB:
    return _with_noise(picture, 0.35, 4.0, rng)


def _small(picture: RGB, rng: np.random.Generator) -> RGB:
    size_wh = round(SIZE_WH[0] * _SMALL), round(SIZE_WH[1] * _SMALL)
    return np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _with_noise(picture: RGB, gain: float, sigma: float, rng: np.random.Generator) -> RGB:
    noisy = picture.astype(np.float32) * gain + rng.normal(0, sigma, picture.shape).astype(np.float32)
    return np.asarray(np.clip(np.rint(noisy), 0, 255), np.uint8)


VARIANTS: Mapping[str, Change | None] = {
    "plain": None,
    "noisy": _noisy,
    "dark": _dark,
    "small": _small,
    "still": None,
    "shaky": None,
}
"""The demo; with sensor noise; in low light; at 256x192; standing still; held by a nervous hand."""


def true_transform(variant: str, index: int) -> Transform:
    """Where the portrait lies in a frame: 2x3 from its pixels to those of the frame, exact.

    Args:
        variant: one of VARIANTS.
        index: of the frame.
    """
    if variant == "still":
        return camera(0.0)
    move = camera(index / FRAME_RATE)
    if variant == "shaky":
        move[:, 2] += _shake(index)
    if variant == "small":
        move = move * _SMALL
        move[:, 2] += _SMALL / 2 - 0.5
    return move


def face_oval(variant: str, index: int, grow: float = 1.0) -> npt.NDArray[np.float32]:
    """Where the face is in a frame: HxW float32, 1 in an oval from hairline to chin, `grow` times as large, else 0."""
    move, picture = true_transform(variant, index), draw(variant, index)
    middle, zoom = move[:, :2] @ np.array(FACE_XY) + move[:, 2], float(np.hypot(*move[:, 0])) * grow
    axes = round(_FACE_AXES[0] * zoom), round(_FACE_AXES[1] * zoom)
    angle = float(np.degrees(np.arctan2(move[1, 0], move[0, 0])))
    oval = np.zeros(picture.shape[:2], np.uint8)
    cv2.ellipse(oval, (round(middle[0]), round(middle[1])), axes, angle, 0, 360, 1, -1)
    return np.asarray(oval, np.float32)


def _shake(index: int) -> npt.NDArray[np.float64]:
    """A hand's unrest in pixels: three sines that never meet, up to about 6 px."""
    t = index / FRAME_RATE
    return np.array(
        [
            3 * np.sin(2 * np.pi * 2.3 * t) + 2 * np.sin(2 * np.pi * 5.1 * t + 1) + np.sin(2 * np.pi * 8.7 * t + 2),
            3 * np.sin(2 * np.pi * 1.9 * t + 3) + 2 * np.sin(2 * np.pi * 4.3 * t + 4) + np.sin(2 * np.pi * 9.1 * t),
        ]
    )


def draw(variant: str, index: int) -> RGB:
    """One frame of a clip: HxWx3 uint8 RGB."""
    from skimage.data import astronaut

    portrait: RGB = astronaut()  # type: ignore[no-untyped-call]
    change, move = VARIANTS[variant], true_transform("plain" if variant == "small" else variant, index)
    picture = np.asarray(
        cv2.warpAffine(portrait, move, SIZE_WH, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )
    if variant == "still":  # else every frame would be the same to the last bit
        picture = _with_noise(picture, 1.0, 3.0, np.random.default_rng(index))
    return picture if change is None else change(picture, np.random.default_rng(index))


def make_clip(path: Path, variant: str, num_frames: int) -> Path:
    """Write a clip, visually lossless, and return its path."""
    return write_clip(path, (draw(variant, index) for index in range(num_frames)))


def write_clip(path: Path, pictures: Iterable[RGB], *, frame_rate: int = FRAME_RATE) -> Path:
    """Write pictures of one size as a video without sound, visually lossless."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=frame_rate, options={"crf": "14", "preset": "veryfast"})
        video.pix_fmt = "yuv420p"
        for index, picture in enumerate(pictures):
            if index == 0:
                video.height, video.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, frame_rate)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def make_scene(path: Path, size_wh: tuple[int, int], num_faces: int, num_frames: int) -> Path:
    """Write a clip of the moving portrait in any size, and return its path.

    Args:
        path: where.
        size_wh: width and height, even.
        num_faces: 1, or 4: one portrait in each quarter, each moving for itself.
        num_frames: its length.

    Raises:
        ValueError: another number of faces.
    """
    if num_faces not in (1, 4):
        raise ValueError(f"num_faces is {num_faces}; a scene has 1 or 4.")
    return write_clip(path, (_scene_frame(size_wh, num_faces, index) for index in range(num_frames)))


_NEARER = 1.3, 0.2
"""Zoom, and how far down, of a portrait that has a quarter of the picture: as found in every frame by the detectors."""


def _scene_frame(size_wh: tuple[int, int], num_faces: int, index: int) -> RGB:
    width, height = size_wh
    if num_faces == 1:
        return _portrait_in(size_wh, index)
    rows = []
    for top, bottom in ((0, height // 2), (height // 2, height)):
        cells = ((0, width // 2), (width // 2, width))
        phases = (11 * (i + 2 * (top > 0)) for i in range(2))
        rows.append(
            np.concatenate(
                [
                    _portrait_in((right - left, bottom - top), index + phase, *_NEARER)
                    for (left, right), phase in zip(cells, phases, strict=True)
                ],
                axis=1,
            )
        )
    return np.concatenate(rows)


def _portrait_in(size_wh: tuple[int, int], index: int, zoom: float = 1.0, down: float = 0.0) -> RGB:
    """The demo's picture filling another size: as high as that, in its middle; or nearer and lower, by its height."""
    from skimage.data import astronaut

    portrait: RGB = astronaut()  # type: ignore[no-untyped-call]
    (width, height), scale = size_wh, zoom * size_wh[1] / SIZE_WH[1]
    move = camera(index / FRAME_RATE) * scale
    move[:, 2] += (np.array(size_wh) - scale * np.array(SIZE_WH)) / 2 + np.array([0, down * height])
    return np.asarray(
        cv2.warpAffine(portrait, move, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE),
        np.uint8,
    )


def shortened(clip: Path, path: Path, num_frames: int) -> Path:
    """Write the first frames of a clip as H.264, without sound and visually lossless; return its path.

    Raises:
        FfmpegError: nothing can be decoded.
    """
    from ..ffmpeg import file_url, run_ffmpeg

    if not path.exists():
        options = ["-frames:v", str(num_frames), "-an", "-c:v", "libx264", "-crf", "14", "-preset", "veryfast"]
        run_ffmpeg(["-y", "-i", file_url(clip), *options, "-pix_fmt", "yuv420p", file_url(path)])
    return path
