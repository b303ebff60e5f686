"""From the command line's inputs to a list of conversions: search folders, choose output names, refuse clashes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError, OutputExistsError, UnreadableInputError
from .publish import STATE_FOLDER

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".3gp")
)
"""What is taken for a video when a folder is searched; a file that is named itself may have any name."""

PICTURE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"))
"""What is taken for a picture."""

_TEMPORARY_SUFFIXES = (".part", ".partial", ".tmp", ".crdownload", ".download")


@dataclass(frozen=True)
class Item:
    """One conversion: a file in, a file out."""

    source: Path
    """Absolute path of the input."""
    output: Path
    """Absolute path of the result; a video's container may still change its suffix."""
    report: Path
    """Absolute path of the JSON report."""
    root: Path
    """The output folder that holds the work in progress."""
    is_picture: bool
    """A picture, not a video."""


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
    output, pairs, errors = _absolute(output), [], []
    single = _single_file(inputs, output)
    if single is not None:
        return Inputs((_item(single, output, output.parent, by_stem=True),), ())
    for name in inputs:
        path = _absolute(name)
        if path.is_dir():
            found = list(_search(path, output))
            if not found:
                errors.append((name, InputError(f'"{name}" holds no video and no picture.')))
            pairs += [(file, output / file.relative_to(path)) for file in found]
        elif not path.exists():
            errors.append((name, UnreadableInputError(f'"{name}" does not exist.')))
        else:
            pairs.append((path, output / path.name))
    taken = Counter(target.with_suffix("") for _, target in pairs)
    items = tuple(_item(source, target, output, by_stem=taken[target.with_suffix("")] == 1) for source, target in pairs)
    return Inputs(items, tuple(errors))


def check_clashes(items: Sequence[Item]) -> dict[Item, OutputExistsError]:
    """Find items whose output another item of the same call has already, or is its own input."""
    clashes, owners = {}, dict[Path, Path]()
    for item in items:
        if item.output == item.source:
            clashes[item] = OutputExistsError(f'"{item.source}" would be its own output; choose another --output.')
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
    if len(inputs) != 1 or output.is_dir() or output.suffix.lower() not in VIDEO_SUFFIXES | PICTURE_SUFFIXES:
        return None
    path = _absolute(inputs[0])
    return path if path.is_file() else None


def _item(source: Path, target: Path, root: Path, *, by_stem: bool) -> Item:
    stem = target.stem if by_stem else target.name
    return Item(source, target, target.with_name(stem + ".report.json"), root, is_picture(source))


def _search(folder: Path, output: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        is_hidden = any(part.startswith(".") or part == STATE_FOLDER for part in relative.parts)
        is_ours = output != folder and output in path.parents
        is_media = path.suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES and not path.name.endswith(
            _TEMPORARY_SUFFIXES
        )
        if is_media and not is_hidden and not is_ours and path.is_file():
            yield path
