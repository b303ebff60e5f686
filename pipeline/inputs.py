"""From the command line's inputs to a list of conversions: search folders, choose output names, refuse clashes."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError, OutputExistsError, UnreadableInputError
from .publish import STATE_FOLDER
from .work import work_root

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".3gp")
)
"""What is taken for a video when a folder is searched; a file that is named itself may have any name."""

PICTURE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"))
"""What is taken for a picture."""

_MAX_NAME_BYTES = 255
"""Longest file name of the usual file systems."""


@dataclass(frozen=True)
class Item:
    """One conversion: a file in, a file out."""

    source: Path
    """Absolute path of the input."""
    output: Path
    """Absolute path of the result; a video's container may still change its suffix."""
    report: Path
    """Absolute path of the JSON report."""
    stem: str
    """Name without suffix that no other output of the call has."""
    work: Path
    """The folder that holds work folders, on the file system of the output."""
    is_picture: bool
    """A picture, not a video."""
    sha256: str | None = None
    """Hash that the input's content must have; None takes any."""


@dataclass(frozen=True)
class Inputs:
    """What the command line named."""

    items: tuple[Item, ...]
    """Conversions in order."""
    errors: tuple[tuple[str, InputError], ...]
    """Inputs that cannot even be looked at, with the reason."""


def is_picture(path: Path) -> bool:
    """Tell by its suffix whether a file is a picture."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def collect(inputs: Sequence[str], output: Path) -> Inputs:
    """Make the list of conversions.

    Args:
        inputs: files and folders as the user named them.
        output: the output folder; with a single input file it may be the output file itself.

    Returns:
        One item per file. A folder's tree is kept below the output folder; what is neither video nor picture there,
        or hidden, or temporary, is left out.
    """
    output, pairs = _absolute(output), list[tuple[Path, Path]]()
    errors: list[tuple[str, InputError]] = []
    single = _single_file(inputs, output)
    if single is not None:
        return Inputs((_item(single, output, output.parent, by_stem=True),), ())
    for name in inputs:
        path = _absolute(name)
        if not name or not os.path.exists(path):  # pathlib's `exists` raises for names that are too long
            errors.append((name, UnreadableInputError(f'"{name}" does not exist, or cannot be reached.')))
        elif path.is_dir():
            found = list(_search(path, output))
            if not found:
                errors.append((name, InputError(f'"{name}" holds no video and no picture.')))
            pairs += [(file, output / file.relative_to(path)) for file in found]
        else:
            pairs.append((path, output / path.name))
    pairs = list(dict.fromkeys(pairs))  # a file that is named twice is converted once
    return Inputs(items_of(pairs, output), tuple(errors))


def items_of(pairs: Sequence[tuple[Path, Path]], root: Path) -> tuple[Item, ...]:
    """Make conversions of pairs of a source and a target below the output folder `root`, all paths absolute."""
    taken = Counter(target.with_suffix("") for _, target in pairs)
    return tuple(_item(source, target, root, by_stem=taken[target.with_suffix("")] == 1) for source, target in pairs)


def check_clashes(items: Sequence[Item]) -> dict[Item, OutputExistsError]:
    """Find items whose output is an input of the same call, their own or another, or another item's output already."""
    clashes, owners = {}, dict[Path, Path]()
    sources = {os.path.realpath(item.source) for item in items}
    for item in items:
        if os.path.realpath(item.output) in sources:
            clashes[item] = OutputExistsError(
                f'"{item.source}" would become "{item.output}", which is an input itself; choose another --output.'
            )
        elif item.output in owners:
            clashes[item] = OutputExistsError(
                f'"{item.source}" and "{owners[item.output]}" would both become "{item.output}"; '
                "convert one of them into another --output."
            )
        owners.setdefault(item.output, item.source)
    return clashes


def _absolute(name: str | Path) -> Path:
    return Path(os.path.abspath(name))


def _single_file(inputs: Sequence[str], output: Path) -> Path | None:
    """The only input, where the output names a file rather than a folder."""
    if len(inputs) != 1 or os.path.isdir(output) or output.suffix.lower() not in VIDEO_SUFFIXES | PICTURE_SUFFIXES:
        return None
    path = _absolute(inputs[0])
    return path if os.path.isfile(path) else None


def _item(source: Path, target: Path, root: Path, *, by_stem: bool) -> Item:
    stem = target.stem if by_stem else target.name
    report = target.with_name(name_of(stem, ".report.json"))
    return Item(source, target, report, stem, work_root(root), is_picture(source))


def name_of(stem: str, ending: str) -> str:
    """Join a stem and an ending; where that is too long for a file name, the stem's end becomes a hash of it."""
    room = _MAX_NAME_BYTES - len(os.fsencode(ending))
    encoded = os.fsencode(stem)
    if len(encoded) > room:
        mark = "~" + hashlib.sha256(encoded).hexdigest()[:8]
        stem = encoded[: room - len(mark)].decode("utf-8", "ignore") + mark
    return stem + ending


def _search(folder: Path, output: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        is_hidden = any(part.startswith(".") or part == STATE_FOLDER for part in relative.parts)
        is_ours = output != folder and output in path.parents
        is_media = path.suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES
        if is_media and not is_hidden and not is_ours and os.path.isfile(path):
            yield path
