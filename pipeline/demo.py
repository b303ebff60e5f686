"""The demo clip: a moving, sounding video made from scikit-image's portrait of an astronaut. It needs no download."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]

SIZE_WH = (640, 480)
"""Picture size of the clip in pixels."""
FRAME_RATE = 25
"""Frames per second."""
DURATION_SECS = 4
"""Length of the clip."""
_SAMPLE_RATE = 48_000


def make_clip(path: Path) -> None:
    """Write the demo clip: slow zoom, pan and rotation over the portrait, with a small tune."""
    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": "16", "preset": "veryfast"})
        video.width, video.height = SIZE_WH
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=_SAMPLE_RATE)
        audio.layout = "mono"
        for i in range(FRAME_RATE * DURATION_SECS):
            frame = av.VideoFrame.from_ndarray(draw_frame(i / FRAME_RATE), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, FRAME_RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for sound in _sound_frames(tune()):
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))


def draw_frame(at_secs: float) -> RGB:
    """The picture at a time: HxWx3 uint8 RGB of SIZE_WH."""
    from skimage.data import astronaut

    portrait: RGB = astronaut()  # type: ignore[no-untyped-call]

    return np.asarray(
        cv2.warpAffine(portrait, camera(at_secs), SIZE_WH, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE),
        np.uint8,
    )


def camera(at_secs: float) -> npt.NDArray[np.float64]:
    """Where the portrait lies in the picture at a time: 2x3 from pixels of the portrait to pixels of the picture."""
    width, height = SIZE_WH
    phase = 2 * np.pi * at_secs / DURATION_SECS
    zoom = 1.65 + 0.18 * np.sin(phase)
    angle = 6.0 * np.sin(phase + 0.7)
    look_at = np.array([240.0 + 12 * np.cos(phase), 154.0 + 5 * np.sin(2 * phase)])  # (x, y), below the face
    move = cv2.getRotationMatrix2D((float(look_at[0]), float(look_at[1])), angle, zoom)
    move[:, 2] += np.array([width / 2, height / 2]) - look_at
    return np.asarray(move, np.float64)


def tune() -> npt.NDArray[np.float32]:
    """A short scale of soft notes, float32 in [-1, 1] at 48 kHz, as long as the clip."""
    notes_hz = (261.6, 329.6, 392.0, 523.3, 392.0, 329.6, 293.7, 261.6)
    samples = _SAMPLE_RATE * DURATION_SECS // len(notes_hz)
    t = np.arange(samples) / _SAMPLE_RATE
    shape = np.exp(-3.0 * t) * np.minimum(t / 0.01, 1.0)
    return np.concatenate([0.3 * shape * np.sin(2 * np.pi * hz * t) for hz in notes_hz]).astype(np.float32)


def _sound_frames(samples: npt.NDArray[np.float32]) -> list[av.AudioFrame]:
    frames, block = [], 1024
    for start in range(0, len(samples), block):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + block], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = _SAMPLE_RATE, start, Fraction(1, _SAMPLE_RATE)
        frames.append(frame)
    return frames


def write_before_after(source: Path, result: Path, path: Path, at_secs: tuple[float, ...] = (0.4, 1.6, 2.8)) -> None:
    """Write one PNG: frames of the source in the upper row, the same frames of the result below."""
    rows = [np.concatenate([_frame_at(video, t) for t in at_secs], axis=1) for video in (source, result)]
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def _frame_at(path: Path, at_secs: float) -> RGB:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= at_secs:
                return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    raise ValueError(f"{path} ends before {at_secs} s")
