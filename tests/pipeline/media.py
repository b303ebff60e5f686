"""Small media made on the fly with the ffmpeg program found, and the whole way from a source to its copy."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np

from pipeline.colour import ColourTags
from pipeline.decode import DecodeReport, iter_frames
from pipeline.encode import EncodeSettings, VideoEncoder, plan_encoding
from pipeline.ffmpeg import file_url
from pipeline.frames import Frame, planar_layouts
from pipeline.mediainfo import MediaInfo
from pipeline.mux import MuxReport, mux
from pipeline.probe import probe
from pipeline.verify import VerifyReport, verify

VFR = "settb=1/90000,setpts=45000*{late}+3003*N+177*mod(N*N\\,7)"
"""Filter for uneven stamps that no frame rate explains; `late` half seconds after 0."""


def ffmpeg(out: Path, *arguments: str) -> Path:
    """Run the bundled ffmpeg and return its output file: sources are the same whatever program is under test."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *arguments, file_url(out)]
    subprocess.run(command, check=True, timeout=60)
    return out


def picture_source(size: str = "96x64", num_frames: int = 10, rate: int = 25) -> list[str]:
    """Input arguments: a moving test picture that is different in every corner."""
    return ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={num_frames / rate:.6f}"]


def sound_source(secs: float = 0.4, tone: int = 440) -> list[str]:
    """Input arguments: a sine tone."""
    return ["-f", "lavfi", "-i", f"sine=f={tone}:d={secs}"]


def make_video(
    out: Path, *options: str, size: str = "96x64", num_frames: int = 10, rate: int = 25, has_sound: bool = False
) -> Path:
    """Write a small video; `options` are ffmpeg's output options."""
    sound = sound_source(num_frames / rate) if has_sound else []
    return ffmpeg(out, *picture_source(size, num_frames, rate), *sound, *options)


def make_vfr(out: Path, *options: str, late: int = 0, num_frames: int = 12, codec: str = "libx264") -> Path:
    """Write a video with uneven stamps, the first one `late` half seconds after 0."""
    filters = VFR.format(late=late)
    timing = ("-vf", filters, "-copyts", "-fps_mode", "passthrough", "-enc_time_base", "1:90000")
    return make_video(out, *timing, "-c:v", codec, *options, num_frames=num_frames)


def blank_frame(
    pix_fmt: str, width: int, height: int, *, tags: ColourTags | None = None, pts: int = 0, **more: Any
) -> Frame:
    """A frame of mid-grey samples."""
    layout = planar_layouts()[pix_fmt]
    middle = 1 << (layout.bit_depth - 1)
    shapes = (layout.plane_shape(index, width, height) for index in range(layout.num_planes))
    planes = tuple(np.full(shape, middle, layout.dtype) for shape in shapes)
    return Frame(planes, layout, tags or ColourTags(), pts, **more)


def smooth_picture(width: int, height: int) -> np.ndarray:
    """HxWx3 float32 RGB without hard edges, different in every corner."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    red = 60 + 120 * x / width + 15 * np.sin(y / 17)
    green = 80 + 90 * y / height
    blue = 100 + 40 * np.sin(x / 23) + 30 * y / height
    return np.stack([red, green, blue], axis=-1).astype(np.float32)


@dataclass
class Conversion:
    """A source, its copy made of chunks, and what every step said."""

    source: MediaInfo
    frames: list[Frame]
    output: MediaInfo
    output_frames: list[Frame]
    decoded: DecodeReport
    muxed: MuxReport
    verified: VerifyReport

    def stamps(self) -> tuple[list[Fraction], list[Fraction]]:
        """Seconds of every frame, in the source and in the output."""
        pairs = (self.source, self.frames), (self.output, self.output_frames)
        source, output = ([frame.pts * info.video.time_base for frame in frames] for info, frames in pairs)
        return source, output


def encode_chunks(
    info: MediaInfo, frames: Sequence[Frame], folder: Path, *, codec: str = "libx264", num_chunks: int = 2, **more: Any
) -> list[Path]:
    """Encode frames in a few chunks."""
    plan = plan_encoding(info, EncodeSettings(codec, **more))
    chunks = []
    for number in range(num_chunks):
        chunk = folder / f"chunk{number}{plan.chunk_suffix}"
        with VideoEncoder(chunk, info, plan) as encoder:
            for frame in frames[len(frames) * number // num_chunks : len(frames) * (number + 1) // num_chunks]:
                encoder.write(frame)
        chunks.append(chunk)
    return chunks


def convert(
    source: Path,
    out: Path,
    *,
    codec: str = "libx264",
    num_chunks: int = 2,
    change: Callable[[Frame], None] = lambda frame: None,
    **more: Any,
) -> Conversion:
    """Take a video apart and put it together again, as the pipeline does."""
    info, decoded = probe(source), DecodeReport()
    frames = list(iter_frames(info, report=decoded))
    for frame in frames:
        change(frame)
    chunks = encode_chunks(info, frames, out.parent, codec=codec, num_chunks=num_chunks, **more)
    colour = plan_encoding(info, EncodeSettings(codec)).colour
    pts = [frame.pts for frame in frames]
    muxed = mux(chunks, info, out, pts=pts, colour=colour)
    verified = verify(out, info, pts)
    made = probe(out)
    return Conversion(info, frames, made, list(iter_frames(made, strict=True)), decoded, muxed, verified)


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """Stamp in seconds and content of every packet of the streams of one kind."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(streams) if p.size and p.pts is not None]
