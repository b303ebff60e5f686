"""Colour tags of a video and the arithmetic between its samples and the 8-bit RGB that the networks see.

Tags use ffmpeg's own names (`bt709`, `smpte2084`, `tv`) and None for "unspecified"; they are carried to the output as
they are, and only where a number is needed is a guess made for a missing one. No pixels are stored or moved here.

HDR (PQ and HLG): the networks know SDR pictures, so samples are brought to display light, to BT.709 primaries and
through a soft shoulder into [0, 255], and back by the exact inverse. BT.2408 reference white (203 cd/m2) lands on 230,
the top (255) stands for 406 cd/m2; brighter light, and colours outside BT.709, are clipped in what the networks see
(and in the pixels pasted back), never in the rest of the frame.
"""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .errors import UnsupportedInputError

Floats = npt.NDArray[np.float32]

# Code points of ISO/IEC 23091-4 (H.273), with ffmpeg's names.
_MATRICES = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
    10: "bt2020c", 11: "smpte2085", 12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp",
}  # fmt: skip
_PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020", 10: "smpte428",
    11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
_TRANSFERS = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100", 10: "log316",
    11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084",
    17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
_RANGES = {1: "tv", 2: "pc"}

_LUMA_WEIGHTS = {  # (Kr, Kb), H.273 table 4
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "bt470bg": (0.299, 0.114),
    "smpte170m": (0.299, 0.114),
    "smpte240m": (0.212, 0.087),
    "bt2020nc": (0.2627, 0.0593),
}
_REC709_FROM_REC2020 = np.array(  # ITU-R BT.2087, section 4
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float64
)
_REFERENCE_WHITE_NITS = 203.0  # ITU-R BT.2408
_PEAK, _KNEE = 2.0, 0.5  # in units of reference white, and of SDR light
_SDR_GAMMA = 2.4  # ITU-R BT.1886


@dataclass(frozen=True)
class ColourTags:
    """What a stream says about its colours; None where it says nothing."""

    range: str | None = None
    """`tv` (limited) or `pc` (full)."""
    matrix: str | None = None
    """RGB to YUV matrix, such as `bt709`."""
    primaries: str | None = None
    """Colour primaries, such as `bt2020`."""
    transfer: str | None = None
    """Transfer characteristic, such as `smpte2084` (PQ)."""

    @property
    def is_hdr(self) -> bool:
        """Whether the transfer is PQ or HLG."""
        return self.transfer in ("smpte2084", "arib-std-b67")

    def encoder_options(self) -> dict[str, str]:
        """Return ffmpeg's output options that write these tags; unspecified ones are left out."""
        values = {
            "color_range": self.range,
            "colorspace": self.matrix,
            "color_primaries": self.primaries,
            "color_trc": self.transfer,
        }
        return {option: value for option, value in values.items() if value}


def tags_from_codes(colour_range: int, matrix: int, primaries: int, transfer: int) -> ColourTags:
    """Return the tags for H.273 code points as FFmpeg's libraries report them."""
    return ColourTags(
        _RANGES.get(colour_range), _MATRICES.get(matrix), _PRIMARIES.get(primaries), _TRANSFERS.get(transfer)
    )


def setparams_words(tags: ColourTags) -> str:
    """Return ffmpeg's `setparams` filter that says, without converting anything, that frames have these tags."""
    transfer = {"gamma22": "bt470m", "gamma28": "bt470bg"}.get(tags.transfer or "", tags.transfer)
    return (
        f"setparams=range={tags.range or 'unknown'}:colorspace={tags.matrix or 'unknown'}"
        f":color_primaries={tags.primaries or 'unknown'}:color_trc={transfer or 'unknown'}"
    )


def effective_matrix(tags: ColourTags, height: int) -> str:
    """Return the YUV matrix to calculate with; a missing one is guessed by height, as players do.

    Args:
        tags: What the stream says.
        height: Rows of the frame in pixels; 720 and more are taken for BT.709, fewer for BT.601.

    Raises:
        UnsupportedInputError: The matrix is not a plain luma/chroma one (ICtCp, YCgCo, constant luminance).
    """
    if tags.matrix is None or tags.matrix == "gbr":
        if tags.primaries == "bt2020":
            return "bt2020nc"
        return "bt709" if height >= 720 else "smpte170m"
    if tags.matrix not in _LUMA_WEIGHTS:
        raise UnsupportedInputError(
            f"the colour matrix {tags.matrix!r} is not supported; convert the video to bt709 or bt2020nc first."
        )
    return tags.matrix


@functools.lru_cache(maxsize=32)
def rgb_from_yuv(matrix: str, is_full_range: bool, bit_depth: int) -> Floats:
    """Return the 3x4 transform from (Y, U, V, 1) in sample values to (R, G, B) in [0, 255]."""
    kr, kb = _LUMA_WEIGHTS[matrix]
    kg = 1.0 - kr - kb
    rgb_from_ypbpr = np.array(
        [
            [1.0, 0.0, 2 * (1 - kr)],
            [1.0, -2 * kb * (1 - kb) / kg, -2 * kr * (1 - kr) / kg],
            [1.0, 2 * (1 - kb), 0.0],
        ]
    )
    top = float((1 << bit_depth) - 1)
    step = float(1 << (bit_depth - 8))
    luma_span, chroma_span, black = (top, top, 0.0) if is_full_range else (219 * step, 224 * step, 16 * step)
    linear = 255.0 * rgb_from_ypbpr / [luma_span, chroma_span, chroma_span]
    offset = -linear @ [black, 128 * step, 128 * step]
    return np.column_stack([linear, offset]).astype(np.float32)


@functools.lru_cache(maxsize=32)
def yuv_from_rgb(matrix: str, is_full_range: bool, bit_depth: int) -> Floats:
    """Return the 3x4 transform from (R, G, B, 1) in [0, 255] to (Y, U, V) in sample values."""
    forward = rgb_from_yuv(matrix, is_full_range, bit_depth).astype(np.float64)
    linear = np.linalg.inv(forward[:, :3])
    return np.column_stack([linear, -linear @ forward[:, 3]]).astype(np.float32)


def sdr_from_hdr(rgb: Floats, tags: ColourTags) -> Floats:
    """Return the SDR picture the networks see of an HDR one.

    Args:
        rgb: HxWx3 float32, R'G'B' signal scaled to [0, 255].
        tags: The stream's tags; the transfer decides the curve, BT.2020 primaries are brought to BT.709.

    Returns:
        HxWx3 float32 in [0, 255], gamma-coded.
    """
    light = _lookup(rgb, _light_from_signal(_transfer(tags)))
    if tags.primaries == "bt2020":
        light = _mix(light, _REC709_FROM_REC2020)
    return _lookup(np.sqrt(np.clip(light, 0.0, _PEAK) / _PEAK) * np.float32(255.0), _sdr_from_root_light())


def hdr_from_sdr(rgb: Floats, tags: ColourTags) -> Floats:
    """Return the HDR signal of an SDR picture: the inverse of `sdr_from_hdr`, same shapes and ranges."""
    light = _lookup(rgb, _light_from_sdr())
    if tags.primaries == "bt2020":
        light = _mix(light, np.linalg.inv(_REC709_FROM_REC2020))
    curve = _light_from_signal(_transfer(tags))
    signal = np.linspace(0.0, 255.0, len(curve))
    return np.interp(light, curve, signal).astype(np.float32)


def _transfer(tags: ColourTags) -> str:
    if tags.transfer is None or not tags.is_hdr:
        raise ValueError(f"transfer {tags.transfer!r} is not an HDR one.")
    return tags.transfer


def _lookup(values: Floats, table: Floats) -> Floats:
    """Return `table` read at `values` in [0, 255], nearest of its 65,536 entries."""
    index = np.clip(values * np.float32((len(table) - 1) / 255.0) + np.float32(0.5), 0, len(table) - 1)
    return np.asarray(table[index.astype(np.uint16)])


def _mix(light: Floats, matrix: npt.NDArray[np.floating]) -> Floats:
    return np.asarray(cv2.transform(light, matrix.astype(np.float32)), np.float32)


@functools.cache
def _light_from_signal(transfer: str) -> Floats:
    """Return display light, in units of reference white, for 65,536 steps of the signal."""
    signal = np.linspace(0.0, 1.0, 65536)
    nits = _pq_nits(signal) if transfer == "smpte2084" else _hlg_nits(signal)
    return np.asarray(nits / _REFERENCE_WHITE_NITS, np.float32)


def _pq_nits(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return cd/m2 for a PQ signal in [0, 1] (SMPTE ST 2084)."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = signal ** (1 / m2)
    return np.asarray(10000.0 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1))


def _hlg_nits(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return cd/m2 on a 1000 cd/m2 display for an HLG signal in [0, 1] (ITU-R BT.2100, system gamma per channel)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return np.asarray(1000.0 * scene**1.2)


@functools.cache
def _sdr_from_root_light() -> Floats:
    """Return SDR values in [0, 255] over the square root of light / peak (denser in the shadows than light itself)."""
    light = np.linspace(0.0, 1.0, 65536) ** 2 * _PEAK
    return np.asarray(255.0 * _shoulder(light) ** (1 / _SDR_GAMMA), np.float32)


@functools.cache
def _light_from_sdr() -> Floats:
    sdr_light = np.linspace(0.0, 1.0, 65536) ** _SDR_GAMMA
    light = np.linspace(0.0, _PEAK, 65536)
    return np.interp(sdr_light, _shoulder(light), light).astype(np.float32)


def _shoulder(light: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return SDR light in [0, 1]: the light itself up to the knee, then a curve that reaches 1 at the peak.

    The curve is Reinhard's extended operator (Reinhard et al. 2002, equation 4), started at the knee with slope 1.
    """
    span = (_PEAK - _KNEE) / (1 - _KNEE)
    above = np.maximum(light - _KNEE, 0.0) / (1 - _KNEE)
    return np.asarray(
        np.where(light <= _KNEE, light, _KNEE + (1 - _KNEE) * above * (1 + above / span**2) / (1 + above))
    )
