"""Static HDR metadata (SMPTE ST 2086 and CTA-861.3) from FFmpeg's side data to the words of the encoders."""

import struct
from dataclasses import dataclass
from fractions import Fraction

Point = tuple[Fraction, Fraction]


@dataclass(frozen=True)
class MasteringDisplay:
    """The display that the film was graded on."""

    red: Point
    """CIE 1931 x and y."""
    green: Point
    """CIE 1931 x and y."""
    blue: Point
    """CIE 1931 x and y."""
    white: Point
    """CIE 1931 x and y."""
    min_nits: Fraction
    """Darkest cd/m2."""
    max_nits: Fraction
    """Brightest cd/m2."""

    def x265_words(self) -> str:
        """Return the value of x265's `master-display`: chromaticities in 1/50000, luminances in 1/10000."""
        points = "".join(
            f"{name}({_scaled(x, 50000)},{_scaled(y, 50000)})"
            for name, (x, y) in (("G", self.green), ("B", self.blue), ("R", self.red), ("WP", self.white))
        )
        return f"{points}L({_scaled(self.max_nits, 10000)},{_scaled(self.min_nits, 10000)})"

    def svtav1_words(self) -> str:
        """Return the value of SVT-AV1's `mastering-display`: decimal chromaticities and luminances."""
        points = "".join(
            f"{name}({float(x):.5f},{float(y):.5f})"
            for name, (x, y) in (("G", self.green), ("B", self.blue), ("R", self.red), ("WP", self.white))
        )
        return f"{points}L({float(self.max_nits):.4f},{float(self.min_nits):.4f})"


@dataclass(frozen=True)
class HdrMetadata:
    """What an HDR stream says about its light."""

    mastering: MasteringDisplay | None
    """Grading display; None when not given."""
    max_cll_nits: int
    """Brightest pixel of the film; 0 is unknown."""
    max_fall_nits: int
    """Brightest frame average of the film; 0 is unknown."""
    has_dynamic: bool
    """Whether there is per-scene metadata (HDR10+, Dolby Vision), which is not kept."""


def parse_hdr_metadata(mastering: bytes | None, light: bytes | None, *, has_dynamic: bool) -> HdrMetadata | None:
    """Read FFmpeg's AVMasteringDisplayMetadata and AVContentLightMetadata; None when there is nothing.

    Args:
        mastering: Ten AVRationals (primaries R, G, B, white, min, max luminance) and two flags.
        light: Two unsigned ints, MaxCLL and MaxFALL.
        has_dynamic: Whether per-scene metadata was seen.
    """
    if mastering is None and light is None and not has_dynamic:
        return None
    cll, fall = struct.unpack("=2I", light[:8]) if light else (0, 0)
    return HdrMetadata(_parse_mastering(mastering) if mastering else None, cll, fall, has_dynamic)


def _parse_mastering(data: bytes) -> MasteringDisplay | None:
    numbers = struct.unpack("=20i2i", data[:88])
    has_primaries, has_luminance = numbers[20:]
    if not (has_primaries and has_luminance) or 0 in numbers[1:20:2]:
        return None
    values = [Fraction(numbers[i], numbers[i + 1]) for i in range(0, 20, 2)]
    red, green, blue, white = ((values[i], values[i + 1]) for i in range(0, 8, 2))
    return MasteringDisplay(red, green, blue, white, values[8], values[9])


def _scaled(value: Fraction, scale: int) -> int:
    return round(value * scale)
