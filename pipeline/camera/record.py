"""Record live frames as they come, through the ffmpeg program; what is slow here costs recorded frames, never time.

The file is there from the first frame on and grows; it plays up to its last seconds even when the process is killed.
"""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ..colour import setparams_words
from ..errors import PipelineError, UnsupportedInputError
from ..feed import FfmpegFeed
from ..ffmpeg import ffmpeg_version, graph_url
from ..frames import Frame

SUFFIXES = (".mp4", ".mov", ".mkv")
"""Containers that play up to where they were cut off."""
TIME_BASE = 90_000
"""Stamps a second."""

_CRF, _PRESET = 20, "veryfast"
_MAX_WAITING = 4
"""Frames that may wait for the encoder; a live picture has no time for more."""


def check_suffix(path: Path) -> None:
    """Refuse a name for a recording that says another container.

    Raises:
        UnsupportedInputError: it does.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UnsupportedInputError(f'"{path.name}" cannot be recorded; --record takes {", ".join(SUFFIXES)}.')


class Recorder:
    """Encodes frames in a thread of its own. Use as a context manager; leaving it completes the file.

    Args:
        path: the file; it is replaced.
        like: a frame of the size and format that all will have.
    """

    def __init__(self, path: Path, like: Frame) -> None:
        self.num_frames = 0
        """Frames recorded."""
        self.num_missed = 0
        """Frames that the encoder had no time for."""
        self._last_pts = -1
        self._waiting: queue.Queue[tuple[bytes, int] | None] = queue.Queue(_MAX_WAITING)
        self._error: PipelineError | None = None
        self._feed = FfmpegFeed(_arguments(path, like))
        self._stream = self._add_stream(like)
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    def write(self, frame: Frame, time_secs: float) -> None:
        """Take a frame that was captured so long after the first; leave it out where the encoder is behind.

        Raises:
            FfmpegError, OutOfSpaceError: the encoder has died.
        """
        if self._error is not None:
            raise self._error
        pts = max(round(time_secs * TIME_BASE), self._last_pts + 1)
        try:
            self._waiting.put_nowait((b"".join(np.ascontiguousarray(plane).tobytes() for plane in frame.planes), pts))
        except queue.Full:
            self.num_missed += 1
            return
        self._last_pts = pts

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.put(None)
        self._thread.join()
        # Whatever ended the session, what was recorded is completed: it cannot be filmed again.
        self._feed.__exit__(None, None, None)
        if self._error is not None and kind is None:
            raise self._error

    def _write(self) -> None:
        import av

        while (waiting := self._waiting.get()) is not None:
            if self._error is not None:
                continue
            data, pts = waiting
            packet = av.Packet(data)
            packet.stream, packet.time_base = self._stream, self._stream.time_base
            packet.pts = packet.dts = pts
            packet.is_keyframe = True
            try:
                self._feed.mux(packet)
            except PipelineError as error:
                self._error = error
            else:
                self.num_frames += 1

    def _add_stream(self, like: Frame) -> Any:
        from fractions import Fraction

        stream = self._feed.container.add_stream("rawvideo")
        stream.width, stream.height = like.coded_wh
        stream.pix_fmt = like.layout.pix_fmt
        stream.time_base = stream.codec_context.time_base = Fraction(1, TIME_BASE)
        return stream


def _arguments(path: Path, like: Frame) -> Any:
    import ffmpeg

    chain = [setparams_words(like.colour)]
    if like.layout.kind == "rgb":
        chain += ["scale=out_color_matrix=bt709:out_range=tv"]
    chain += ["crop=trunc(iw/2)*2:trunc(ih/2)*2", "format=yuv420p"]
    # Fragments of a second: a file that was cut off lacks no more than that.
    fragments = {} if path.suffix.lower() == ".mkv" else {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    return ffmpeg.output(
        ffmpeg.input("pipe:0", format="nut")["v:0"],
        graph_url(path),
        format={".mkv": "matroska", ".mov": "mov"}.get(path.suffix.lower(), "mp4"),
        vf=",".join(chain),
        vcodec="libx264",
        crf=_CRF,
        preset=_PRESET,
        force_key_frames="expr:gte(t,n_forced)",
        fps_mode="passthrough",
        enc_time_base="demux" if ffmpeg_version() >= (6, 1) else "-1",
        **fragments,
    ).overwrite_output()
