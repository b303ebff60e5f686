"""The parts of a face a parser tells apart, and the groups of parts that masks are made of.

Holds names only: no probabilities, no pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from .errors import UnknownPartGroupError


class FacePart(IntEnum):
    """The 19 CelebAMask-HQ classes, numbered as zllrunning/face-parsing.PyTorch and its weights number them.

    "Left" and "right" are those of that data set's annotators.
    """

    BACKGROUND = 0
    SKIN = 1
    LEFT_BROW = 2
    RIGHT_BROW = 3
    LEFT_EYE = 4
    RIGHT_EYE = 5
    GLASSES = 6
    LEFT_EAR = 7
    RIGHT_EAR = 8
    EARRING = 9
    NOSE = 10
    MOUTH = 11
    """The inside of an open mouth, teeth and tongue."""
    UPPER_LIP = 12
    LOWER_LIP = 13
    NECK = 14
    NECKLACE = 15
    CLOTH = 16
    HAIR = 17
    HAT = 18


PartGroup = frozenset[FacePart]

BROWS: PartGroup = frozenset({FacePart.LEFT_BROW, FacePart.RIGHT_BROW})
EYES: PartGroup = frozenset({FacePart.LEFT_EYE, FacePart.RIGHT_EYE})
EYEWEAR: PartGroup = frozenset({FacePart.GLASSES})
EARS: PartGroup = frozenset({FacePart.LEFT_EAR, FacePart.RIGHT_EAR, FacePart.EARRING})
MOUTH: PartGroup = frozenset({FacePart.MOUTH, FacePart.UPPER_LIP, FacePart.LOWER_LIP})
HAIR: PartGroup = frozenset({FacePart.HAIR})
HEADWEAR: PartGroup = frozenset({FacePart.HAT})
SKIN: PartGroup = frozenset({FacePart.SKIN, FacePart.NOSE, FacePart.LEFT_EAR, FacePart.RIGHT_EAR, FacePart.NECK})
"""Bare skin wherever it shows: face, nose, ears and neck."""
FACE: PartGroup = frozenset({FacePart.SKIN, FacePart.NOSE}) | BROWS | EYES | EYEWEAR | MOUTH
"""From the hairline to the chin, glasses included, without ears and hair."""
HEAD: PartGroup = FACE | EARS | HAIR
"""Face, ears and hair: the fourteen classes the reference system stylises. A hat stays as filmed."""
COVERED_HEAD: PartGroup = HEAD | HEADWEAR
"""The head with whatever is worn on it."""
NECK: PartGroup = frozenset({FacePart.NECK, FacePart.NECKLACE})
BUST: PartGroup = COVERED_HEAD | NECK
"""The head, what is worn on it, and the neck that it stands on."""

PART_GROUPS: Mapping[str, PartGroup] = MappingProxyType(
    {
        "brows": BROWS,
        "eyes": EYES,
        "eyewear": EYEWEAR,
        "ears": EARS,
        "mouth": MOUTH,
        "hair": HAIR,
        "headwear": HEADWEAR,
        "skin": SKIN,
        "face": FACE,
        "head": HEAD,
        "covered_head": COVERED_HEAD,
        "neck": NECK,
        "bust": BUST,
    }
)
"""Every group by the name that style files and options use."""


OPTIONAL_PARTS: Mapping[str, PartGroup] = MappingProxyType(
    {
        "hair": HAIR,
        "ears": EARS,
        "hat": HEADWEAR,
        "glasses": EYEWEAR,
        "neck": NECK,
        "brows": BROWS,
        "eyes": EYES,
        "mouth": MOUTH,
        "cloth": frozenset({FacePart.CLOTH}),
    }
)
"""What a user can take into a mask or leave out of it, by the words of an option."""


def change_parts(parts: PartGroup, changes: str) -> PartGroup:
    """Take parts into a group or leave them out.

    Args:
        parts: the group to begin with.
        changes: words of OPTIONAL_PARTS with commas between them; a word after `no-` is left out.

    Raises:
        UnknownPartGroupError: there is no such part; the message lists those there are.
    """
    for word in filter(None, (piece.strip() for piece in changes.lower().split(","))):
        name = word.removeprefix("no-")
        if name not in OPTIONAL_PARTS:
            raise UnknownPartGroupError(f"'{word}' is no part; choose from {', '.join(OPTIONAL_PARTS)}.")
        parts = parts - OPTIONAL_PARTS[name] if word.startswith("no-") else parts | OPTIONAL_PARTS[name]
    return parts


def part_group(name: str) -> PartGroup:
    """Look up a group of parts by its name in style files and options.

    Raises:
        UnknownPartGroupError: there is no such group; the message lists those there are.
    """
    try:
        return PART_GROUPS[name]
    except KeyError:
        known = ", ".join(PART_GROUPS)
        raise UnknownPartGroupError(f"'{name}' is no group of face parts; choose one of {known}.") from None
