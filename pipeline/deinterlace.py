"""Weave two fields into one whole picture: FFmpeg's bwdif, one frame out for one frame in, stamps unchanged."""

from collections.abc import Iterator
from typing import Any

from .mediainfo import MediaInfo


class Deinterlacer:
    """A filter graph that passes progressive frames and deinterlaces the others.

    Args:
        info: What `probe` found about the video whose pictures come in.
    """

    def __init__(self, info: MediaInfo) -> None:
        from av import VideoFormat
        from av.filter import Graph

        self._graph = Graph()
        self._time_base = info.video.time_base
        source = self._graph.add_buffer(
            width=info.video.width,
            height=info.video.height,
            format=VideoFormat(info.video.pix_fmt, info.video.width, info.video.height),
            time_base=info.video.time_base,
        )
        weave = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
        sink = self._graph.add("buffersink")
        source.link_to(weave)
        weave.link_to(sink)
        self._graph.configure()

    def push(self, picture: Any) -> Iterator[Any]:
        """Take a picture in, yield those that are ready (it runs one behind)."""
        self._graph.push(picture)
        yield from self._ready()

    def flush(self) -> Iterator[Any]:
        """Yield what is left."""
        self._graph.push(None)
        yield from self._ready()

    def _ready(self) -> Iterator[Any]:
        import av

        while True:
            try:
                picture: Any = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            if picture.pts is not None:
                picture.pts = round(picture.pts * picture.time_base / self._time_base)
            yield picture
