"""What each video encoder can hold: pixel formats, containers, quality scale, presets. A table and nothing else."""

from dataclasses import dataclass

from .errors import UnsupportedInputError
from .frames import PixelLayout, planar_layouts


def _formats(*patterns: str, depths: tuple[int, ...]) -> dict[str, str]:
    names = (pattern + ("" if depth == 8 else f"{depth}le") for pattern in patterns for depth in depths)
    return {name: name for name in names}


@dataclass(frozen=True)
class Codec:
    """One encoder of the ffmpeg program."""

    encoder: str
    """Name for `-c:v` and `--codec`."""
    codec: str
    """Name of what it writes, such as `h264`."""
    suffixes: tuple[str, ...]
    """Output suffixes whose container holds it, the best first."""
    pix_fmts: dict[str, str]
    """Frame layout to the format the encoder is given."""
    quality_option: str | None
    """Option for `--crf`; None for a lossless encoder."""
    default_crf: int
    """A value at which a viewer sees no difference."""
    preset_option: str | None
    """Option for `--preset`."""
    default_preset: str
    """Preset used when none is asked for."""
    needs_even: bool
    """Whether subsampled pictures must have even sides."""
    extra: tuple[tuple[str, str], ...] = ()
    """Further options."""


_WITH_SOUND = (".mp4", ".mov", ".m4v", ".mkv", ".ts")
_YUV = ("yuv420p", "yuv422p", "yuv444p")
_NVENC_8_BIT = {"yuv420p": "yuv420p", "yuv444p": "yuv444p"}
_NVENC_EXTRA = (("rc", "vbr"), ("b:v", "0"))

CODECS = {
    codec.encoder: codec
    for codec in (
        Codec(
            "libx264", "h264", (*_WITH_SOUND, ".avi", ".flv"),
            _formats(*_YUV, "gray", depths=(8, 10)), "crf", 17, "preset", "veryfast", needs_even=True,
        ),
        Codec(
            "libx265", "hevc", _WITH_SOUND,
            _formats(*_YUV, "gray", "gbrp", depths=(8, 10, 12)), "crf", 19, "preset", "fast", needs_even=True,
        ),
        Codec(
            "libvpx-vp9", "vp9", (".webm", ".mkv", ".mp4"),
            _formats(*_YUV, "yuv440p", "gbrp", depths=(8, 10, 12)) | _formats("yuva420p", depths=(8,)),
            "crf", 22, "cpu-used", "4", needs_even=False,
            extra=(("b:v", "0"), ("deadline", "good"), ("row-mt", "1")),
        ),
        Codec(
            "libsvtav1", "av1", (".mp4", ".webm", ".mkv"),
            _formats("yuv420p", depths=(8, 10)), "crf", 22, "preset", "8", needs_even=False,
        ),
        Codec(
            "ffv1", "ffv1", (".mkv",),
            {name: name for name in planar_layouts()} | {"gbrp": "bgr0", "gbrap": "bgra"},
            None, 0, None, "", needs_even=False,
            extra=(("level", "3"), ("g", "1"), ("slices", "4"), ("slicecrc", "1")),
        ),
        Codec(
            "h264_nvenc", "h264", _WITH_SOUND, _NVENC_8_BIT, "cq", 19, "preset", "p5", needs_even=True,
            extra=_NVENC_EXTRA,
        ),
        Codec(
            "hevc_nvenc", "hevc", _WITH_SOUND, _NVENC_8_BIT | {"yuv420p10le": "p010le"},
            "cq", 21, "preset", "p5", needs_even=True, extra=_NVENC_EXTRA,
        ),
        Codec(
            "av1_nvenc", "av1", (".mp4", ".webm", ".mkv"), {"yuv420p": "yuv420p", "yuv420p10le": "p010le"},
            "cq", 24, "preset", "p5", needs_even=True, extra=_NVENC_EXTRA,
        ),
    )
}  # fmt: skip
"""The encoders that can be asked for, by name."""


def best_layout(codec: Codec, layout: PixelLayout, size_wh: tuple[int, int], usable: tuple[str, ...]) -> PixelLayout:
    """Return the layout among the codec's that loses least of `layout`.

    Args:
        codec: Row of the table.
        layout: What frames have.
        size_wh: Width and height; an encoder that needs even sides gets odd ones without subsampling.
        usable: Formats the installed program takes; empty when unknown.

    Raises:
        UnsupportedInputError: Nothing fits.
    """
    known = planar_layouts()
    candidates = [
        known[name]
        for name, given in codec.pix_fmts.items()
        if (not usable or given in usable) and not (codec.needs_even and _is_odd(known[name], size_wh))
    ]
    if not candidates:
        raise UnsupportedInputError(
            f"{codec.encoder} cannot hold pictures of {size_wh[0]} x {size_wh[1]} pixels; choose another --codec."
        )
    return min(candidates, key=lambda candidate: _loss(layout, candidate))


def _is_odd(layout: PixelLayout, size_wh: tuple[int, int]) -> bool:
    shifts = layout.chroma_shift_x, layout.chroma_shift_y
    return any(size % (1 << shift) for size, shift in zip(size_wh, shifts, strict=True))


def _loss(source: PixelLayout, target: PixelLayout) -> tuple[int, ...]:
    """Order formats by what is lost: colour, alpha, bits, chroma resolution; then by what is added in vain."""
    lost_chroma = sum(max(0, b - a) for a, b in zip(_shifts(source), _shifts(target), strict=True))
    vain_chroma = sum(max(0, a - b) for a, b in zip(_shifts(source), _shifts(target), strict=True))
    return (
        int(target.kind == "gray" and source.kind != "gray"),
        int(source.has_alpha and not target.has_alpha),
        max(0, source.bit_depth - target.bit_depth),
        lost_chroma,
        int(source.kind != target.kind),
        int(target.has_alpha and not source.has_alpha),
        max(0, target.bit_depth - source.bit_depth),
        vain_chroma,
    )


def _shifts(layout: PixelLayout) -> tuple[int, int]:
    return layout.chroma_shift_x, layout.chroma_shift_y
