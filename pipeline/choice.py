"""Which faces are restyled and in which style: what `--faces` and `--style-for` say, taken apart.

Faces are counted from 1 in the order in which they first appear, from left to right where several appear at once:
the order of the tracks. Reading words only; tracks are chosen in plan.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

FACES_SYNTAX = "all|largest|N|only:N,N"
"""How `--faces` is written, for messages and `--help`."""

STYLE_FOR_SYNTAX = "NUMBER=STYLE"
"""How `--style-for` is written."""

NO_STYLE = "none"
"""The style of a face that is left alone."""

_ONLY = re.compile(r"(?:only:)?\s*(#?\d+(?:\s*,\s*#?\d+)*)\s*,?", re.IGNORECASE)


@dataclass(frozen=True)
class FaceChoice:
    """What `--faces` asks for; all faces where both fields are empty."""

    at_once: int | None = None
    """No more faces than so many in any frame, the largest."""
    numbers: frozenset[int] = frozenset()
    """These faces and no others, counted from 1."""


def parse_faces(text: str) -> FaceChoice:
    """Read a choice of faces.

    Args:
        text: "all"; "largest"; a number, which is how many of the largest at once; or the numbers of single faces:
            "only:2", "only:1,3", for short "1,3" or "#2".

    Raises:
        ValueError: it is none of these; the message says what would be.
    """
    word = text.strip().lower()
    if word == "all":
        return FaceChoice()
    if word == "largest":
        return FaceChoice(at_once=1)
    if word.isdecimal() and int(word) > 0:
        return FaceChoice(at_once=int(word))
    match = _ONLY.fullmatch(word)
    numbers = frozenset(int(part.strip(" #")) for part in match[1].split(",")) if match else frozenset()
    if not numbers or 0 in numbers:
        raise ValueError(
            f'"{text}" is no choice of faces. Use "all", "largest", a number N for the N largest at once, or '
            '"only:1,3" for faces by their numbers, which `faces INPUT` shows.'
        )
    return FaceChoice(numbers=numbers)


def parse_style_for(texts: Sequence[str]) -> dict[int, str]:
    """Read which face has which style.

    Args:
        texts: each "NUMBER=STYLE"; STYLE is a name, a file, or NO_STYLE.

    Returns:
        Style by number of the face.

    Raises:
        ValueError: one is written otherwise, or a face is named twice.
    """
    styles: dict[int, str] = {}
    for text in texts:
        number, _, style = text.partition("=")
        digits = number.strip().lstrip("#")
        if not (digits.isdecimal() and int(digits) > 0 and style.strip()):
            raise ValueError(
                f'"{text}" gives no face a style. Write the number of a face and its style, like "1=toon", or '
                f'"2={NO_STYLE}" to leave that face alone; `faces INPUT` shows the numbers.'
            )
        if int(digits) in styles:
            raise ValueError(f'face {int(digits)} is given two styles, "{styles[int(digits)]}" and "{style.strip()}".')
        styles[int(digits)] = style.strip()
    return styles
