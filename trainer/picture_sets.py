"""Sets of pictures as users lay them out: trainA/ and trainB/, and pairs in A/ and B/; what is missing is told.

Reads no pixels itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from .config import TrainConfig
from .errors import TrainingDataError
from .picture_files import CheckedPicture, counted, find_pictures, named

Unreadable = dict[Path, str]
"""Why pictures cannot be read: sentences that name them."""

Check = Callable[[list[Path]], list[CheckedPicture]]
"""Gives the pictures that can be read, in order."""

MIN_PICTURES = 2
"""Of each domain. With one picture a discriminator learns that picture, and nothing of a domain."""

_ASPECT_TOLERANCE = 0.02
_ADVICE = "`run.py crop` makes such folders from videos and pictures."

_log = logging.getLogger(__name__)


def find_domains(root: Path, check: Check) -> tuple[list[CheckedPicture], list[CheckedPicture]]:
    """Find the training pictures of both domains.

    Raises:
        TrainingDataError: a folder is missing, or holds too few pictures that can be read.
    """
    folders = (root / "trainA", root / "trainB")
    if not root.is_dir():
        raise TrainingDataError(
            f"There is no folder '{root}': name one that holds trainA/ (photographs) and trainB/ (the style). {_ADVICE}"
        )
    found = [find_pictures(folder) for folder in folders]
    if not all(found):
        raise TrainingDataError(f"{_counts(folders, found)} Both domains need pictures.{_hint(root)} {_ADVICE}")
    a, b = (check(paths) for paths in found)
    if min(len(a), len(b)) < MIN_PICTURES:
        raise TrainingDataError(
            f"{_counts(folders, (a, b), ' that can be read')} A domain needs at least {MIN_PICTURES} different "
            f"pictures, and a good style some hundreds: add pictures. {_ADVICE}"
        )
    return a, b


def find_pairs(config: TrainConfig, check: Check) -> list[tuple[CheckedPicture, CheckedPicture]]:
    """Find the pairs of a supervised warm start: pictures of equal names, suffixes aside, and equal shape.

    Raises:
        TrainingDataError: the config wants pairs and there are none.
    """
    if not config.run.pair_steps:
        return []
    if config.data.pairs is None:
        raise TrainingDataError(
            f"The first {config.run.pair_steps} steps shall be supervised, but no folder of pairs is named: "
            f"add --pairs, or set --pair-steps 0."
        )
    root = Path(config.data.pairs)
    a, b = ({_stem(picture.path, root / side): picture for picture in _checked(root / side, check)} for side in "AB")
    pairs = [(a[name], b[name]) for name in sorted(a.keys() & b.keys()) if _is_alike(a[name], b[name])]
    if not pairs:
        raise TrainingDataError(
            f"There are no pairs in '{root}': its A/ has {len(a)} pictures and its B/ {len(b)}, and no two have "
            f"the same name and shape. Give the two pictures of a pair one name."
        )
    _warn_of_singles([*a.values(), *b.values()], pairs)
    return pairs


def _checked(folder: Path, check: Check) -> list[CheckedPicture]:
    return check(find_pictures(folder))


def _stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _is_alike(a: CheckedPicture, b: CheckedPicture) -> bool:
    """Whether two pictures have one shape, sizes aside, so that both can be cut alike."""
    return abs(a.width * b.height / (a.height * b.width) - 1) < _ASPECT_TOLERANCE


def _warn_of_singles(
    pictures: Sequence[CheckedPicture], pairs: Sequence[tuple[CheckedPicture, CheckedPicture]]
) -> None:
    paired = {picture.path for pair in pairs for picture in pair}
    singles = [picture.path for picture in pictures if picture.path not in paired]
    if singles:
        _log.warning(
            "%s in no pair, for want of another of the same name and shape: %s.",
            counted(len(singles), "picture is", "pictures are"),
            named(singles),
        )


def _counts(folders: Sequence[Path], found: Sequence[Sequence[object]], which: str = "") -> str:
    """How many pictures each folder has, as a sentence."""
    held = [f"holds {counted(len(pictures), 'picture', 'pictures')}{which}" for pictures in found]
    texts = [
        f"'{folder}' {text if folder.is_dir() else 'does not exist'}"
        for folder, text in zip(folders, held, strict=True)
    ]
    return f"{' and '.join(texts)} (subfolders included)."


def _hint(root: Path) -> str:
    """What there is instead, if that may help."""
    others = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return f" There are the folders {', '.join(f'{name}/' for name in others[:8])}." if others else ""
