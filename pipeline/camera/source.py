"""Where live pictures come from: a camera, a stream in the network, or a file played at its own rate.

A source yields decoded frames, upright, all of one size; its iterator ends when the source is lost or at its end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..colour import ColourTags
from ..errors import InputError, UnreadableInputError
from ..frames import Frame, planar_layouts
from ..orientation import UPRIGHT
from ..planes import FrameShape, frame_from_av, layout_for

PROTOCOLS = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "tcp", "udp", "srt")
"""Streams that are opened."""

_OPEN_SECS, _READ_SECS = 10.0, 5.0
"""A stream that says nothing for so long is lost."""
_RGB = ColourTags("pc", "gbr", "bt709", "iec61966-2-1")
_STREAM_OPTIONS = {"fflags": "nobuffer", "flags": "low_delay"}


class CameraSource(Protocol):
    """Gives live pictures."""

    @property
    def name(self) -> str:
        """As the user wrote it."""
        ...

    @property
    def is_endless(self) -> bool:
        """When it stops giving pictures, it was lost and may come back; otherwise it is at its end."""
        ...

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """Open it and yield upright frames of one size as they are due, until it ends, is lost, or `stop` is set.

        Raises:
            UnreadableInputError: it cannot be opened.
        """
        ...


class FileSource:
    """A video file, played at its own rate."""

    is_endless = False

    def __init__(self, path: Path) -> None:
        self.name, self._path = str(path), path

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """See CameraSource."""
        from ..decode import iter_frames
        from ..probe import probe

        info = probe(self._path.absolute())
        time_base, started, first = float(info.video.time_base), perf_counter(), None
        for frame in iter_frames(info):
            first = frame.pts if first is None else first
            due_secs = started + (frame.pts - first) * time_base - perf_counter()
            if stop.wait(max(due_secs, 0.0)):
                return
            yield upright(frame)


class StreamSource:
    """A stream in the network, read as it comes."""

    is_endless = True

    def __init__(self, url: str) -> None:
        self.name = url
        self._shape: FrameShape | None = None

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """See CameraSource."""
        import av

        options = _STREAM_OPTIONS | ({"rtsp_transport": "tcp"} if self.name.startswith("rtsp") else {})
        try:
            container = av.open(self.name, options=options, timeout=(_OPEN_SECS, _READ_SECS))
        except (av.FFmpegError, OSError) as error:
            raise UnreadableInputError(f'the stream "{self.name}" cannot be opened: {error}.') from error
        with container:
            if not container.streams.video:
                raise UnreadableInputError(f'the stream "{self.name}" has no picture.')
            try:
                for number, picture in enumerate(container.decode(video=0)):
                    if stop.is_set():
                        return
                    yield frame_from_av(picture, number, self._shape_of(picture))
            except (av.FFmpegError, OSError):  # lost: the reader tells, and opens it again
                return

    def _shape_of(self, picture: Any) -> FrameShape:
        """The first picture's: one of another size, after the stream was lost, is scaled to it."""
        if self._shape is None:
            layout = layout_for(picture.format.name)
            self._shape = FrameShape(picture.width, picture.height, layout, ColourTags(None, None, None, None), UPRIGHT)
        return self._shape


class DeviceSource:
    """A camera of this machine, through OpenCV."""

    is_endless = True

    def __init__(self, device: int | str, size_wh: tuple[int, int] | None, fps: float | None) -> None:
        """Choose a camera.

        Args:
            device: its number, or a path such as /dev/video0.
            size_wh: pixels to ask it for; None takes its own choice.
            fps: frames per second to ask it for.
        """
        self.name, self._device = str(device), device
        self._size_wh, self._fps = size_wh, fps
        self._given_wh: tuple[int, int] | None = None

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """See CameraSource."""
        import cv2

        capture = cv2.VideoCapture(self._device)
        try:
            if not capture.isOpened():
                raise UnreadableInputError(
                    f'the camera "{self.name}" cannot be opened; is it plugged in, free and allowed for this user? '
                    "Others have the numbers 1, 2, ...: --source 1."
                )
            self._configure(capture)
            while not stop.is_set():
                is_there, bgr = capture.read()
                if not is_there:
                    return
                self._given_wh = self._given_wh or (bgr.shape[1], bgr.shape[0])
                if (bgr.shape[1], bgr.shape[0]) != self._given_wh:
                    bgr = cv2.resize(bgr, self._given_wh, interpolation=cv2.INTER_AREA)
                yield frame_of_rgb(np.asarray(bgr[..., ::-1], np.uint8))
        finally:
            capture.release()

    def _configure(self, capture: Any) -> None:
        import cv2

        if self._size_wh is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size_wh[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size_wh[1])
        if self._fps is not None:
            capture.set(cv2.CAP_PROP_FPS, self._fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not those that piled up


def choose_source(text: str, *, size_wh: tuple[int, int] | None = None, fps: float | None = None) -> CameraSource:
    """Tell what `--source` names: a number or /dev/... is a camera, PROTOCOL://... a stream, anything else a file.

    Raises:
        InputError: there is no such file, or the protocol is not read.
    """
    if text.isdigit() or text.startswith("/dev/"):
        return DeviceSource(int(text) if text.isdigit() else text, size_wh, fps)
    protocol, separator, _ = text.partition("://")
    if separator:
        if protocol.lower() not in PROTOCOLS:
            raise InputError(f'"{text}" is no stream that is read here; use one of {", ".join(PROTOCOLS)}.')
        return StreamSource(text)
    if not Path(text).is_file():
        raise UnreadableInputError(
            f'"{text}" is not there; --source takes the number of a camera (0), a file, or a stream (rtsp://...).'
        )
    return FileSource(Path(text))


def upright(frame: Frame) -> Frame:
    """Return a frame whose planes are as displayed, so that it can be recorded without a rotation flag."""
    if frame.orientation == UPRIGHT:
        return frame
    return frame_of_rgb(frame.to_rgb(0, 0, *frame.size_wh), frame.pts)


def mirrored(frame: Frame) -> Frame:
    """Return an upright frame turned left to right, as people know themselves."""
    planes = tuple(np.ascontiguousarray(plane[:, ::-1]) for plane in frame.planes)
    return Frame(planes, frame.layout, frame.colour, frame.pts, frame.orientation)


def frame_of_rgb(rgb: npt.NDArray[np.uint8], pts: int = 0) -> Frame:
    """Return a frame of an HxWx3 uint8 RGB picture."""
    planes = tuple(np.ascontiguousarray(rgb[..., channel]) for channel in (1, 2, 0))
    return Frame(planes, planar_layouts()["gbrp"], _RGB, pts)
