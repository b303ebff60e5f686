"""Clips that can be checked: every frame carries the clip's number and its own as a row of black and white blocks.

The blocks stand at the upper and the lower edge, away from the middle, where the rehearsal style restyles "a face".
read_frames.py, which shares nothing with this file, reads them again.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

WIDTH_PX, HEIGHT_PX = 160, 128
NUM_BLOCKS = 20
STRIP_PX = 16
FRAME_RATE = 25
MAX_FRAMES = 1 << (NUM_BLOCKS - 2)
_SOUND_RATE = 48_000

Picture = npt.NDArray[np.uint8]


def gray_bits(number: int, num_bits: int) -> list[bool]:
    """Return a number in Gray code, highest bit first: from one frame to the next a single block changes."""
    code = number ^ (number >> 1)
    return [bool(code >> bit & 1) for bit in reversed(range(num_bits))]


def _strip(bits: list[bool]) -> Picture:
    return np.repeat(np.repeat(np.array([bits], np.uint8) * 255, STRIP_PX, 0), WIDTH_PX // NUM_BLOCKS, 1)


def draw_frame(clip: int, frame: int, num_frames: int) -> Picture:
    """Draw one frame.

    Args:
        clip: number of the clip, below 2 ** 19.
        frame: number of the frame, from 0.
        num_frames: length of the clip; the last frame says that it is the last.

    Returns:
        HxWx3 uint8 RGB: bright, with some texture in the middle.
    """
    y, x = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX]
    tone = 205 + 20 * np.sin(x / 9 + clip) + 20 * np.cos(y / 7 + frame / 10)
    picture = np.repeat(tone.astype(np.uint8)[..., None], 3, axis=2)
    is_last = frame == num_frames - 1
    picture[:STRIP_PX] = _strip([*gray_bits(clip, NUM_BLOCKS - 1), False])[..., None]
    picture[-STRIP_PX:] = _strip([*gray_bits(frame, NUM_BLOCKS - 1), is_last])[..., None]
    return picture


def write_clip(path: Path, clip: int, num_frames: int = 40, *, has_sound: bool = True) -> Path:
    """Write a clip of `num_frames` frames at 25 frames a second, with a tone; a key frame every 10 frames."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "ultrafast", "g": "10"})
        (video.width, video.height), video.pix_fmt = (WIDTH_PX, HEIGHT_PX), "yuv420p"
        audio = container.add_stream("aac", rate=_SOUND_RATE, layout="mono") if has_sound else None
        for frame in range(num_frames):
            picture = av.VideoFrame.from_ndarray(draw_frame(clip, frame, num_frames), format="rgb24")
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if audio is not None:
            _write_tone(container, audio, num_frames * _SOUND_RATE // FRAME_RATE, 220 + clip % 660)
    return path


def _write_tone(container: av.container.OutputContainer, audio: av.AudioStream, num_samples: int, hertz: int) -> None:
    tone = np.sin(np.arange(num_samples) * (2 * np.pi * hertz / _SOUND_RATE)).astype(np.float32) * 0.2
    for start in range(0, num_samples, 1024):
        sound = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
        sound.sample_rate, sound.pts = _SOUND_RATE, start
        container.mux(audio.encode(sound))
    container.mux(audio.encode(None))


def write_picture(path: Path, clip: int, frame: int = 0, num_frames: int = 1) -> Path:
    """Write one frame as a picture file; the suffix chooses the format."""
    from PIL import Image

    Image.fromarray(draw_frame(clip, frame, num_frames)).save(path)
    return path
