"""Held-out pictures, testA/ and testB/: what previews show and metrics measure; no network is trained on them.

Where there are none, previews show training pictures, and nothing is measured.
"""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import TrainingDataError
from .picture_files import Picture, counted, find_pictures, read_picture, reasons
from .transforms import cut_square

MAX_PICTURES = 1000
"""Of each domain; of more, so many are taken at even distances."""
MAX_BYTES = 512 << 20
"""Memory for each domain: from 512 px on it allows fewer."""
NUM_PREVIEWED = 16
"""Training pictures of each domain that stand for held-out ones."""

_log = logging.getLogger(__name__)


class HeldOut:
    """The held-out pictures of both domains, read when they are first asked for.

    Args:
        root: folder with testA/ and testB/, or at least trainA/ and trainB/.
        size_px: side of the square that is cut from the middle of each picture.
        limit: most pictures of each domain; MAX_BYTES may allow fewer.
        is_required: missing test pictures are an error instead of a warning.

    Raises:
        TrainingDataError: pictures are missing that are required.
    """

    def __init__(self, root: Path, size_px: int, *, limit: int = MAX_PICTURES, is_required: bool = False) -> None:
        self.size_px = size_px
        folders = (root / "testA", root / "testB")
        found = [find_pictures(folder) for folder in folders]
        self.has_tests = all(found)
        """Whether there are pictures to measure with; otherwise all are training pictures, fit for previews alone."""
        if not self.has_tests:
            counts = " and ".join(f"'{f}' has {len(paths)}" for f, paths in zip(folders, found, strict=True))
            message = f"There are no held-out pictures of both domains: {counts}. `run.py crop --split 0.1` makes some"
            if is_required:
                raise TrainingDataError(f"{message}, or move some there from trainA and trainB.")
            _log.warning("%s. Previews show training pictures, and nothing is measured.", message)
            found, limit = [find_pictures(root / name) for name in ("trainA", "trainB")], min(limit, NUM_PREVIEWED)
        self._paths_a, self._paths_b = (_evenly(paths, min(limit, MAX_BYTES // (3 * size_px**2))) for paths in found)

    @cached_property
    def _domain_a(self) -> tuple[list[Path], npt.NDArray[np.uint8]]:
        return _read_all(self._paths_a, self.size_px)

    @cached_property
    def _domain_b(self) -> tuple[list[Path], npt.NDArray[np.uint8]]:
        return _read_all(self._paths_b, self.size_px)

    @property
    def pictures_a(self) -> npt.NDArray[np.uint8]:
        """NHWC uint8 RGB."""
        return self._domain_a[1]

    @property
    def pictures_b(self) -> npt.NDArray[np.uint8]:
        """NHWC uint8 RGB."""
        return self._domain_b[1]

    @property
    def names_a(self) -> list[str]:
        """File names of `pictures_a`."""
        return [path.name for path in self._domain_a[0]]

    @property
    def names_b(self) -> list[str]:
        """File names of `pictures_b`."""
        return [path.name for path in self._domain_b[0]]


def _evenly(paths: list[Path], limit: int) -> list[Path]:
    if len(paths) <= limit:
        return paths
    _log.info("Of %d held-out pictures %d are used.", len(paths), limit)
    return [paths[i * len(paths) // limit] for i in range(limit)]


def _read_all(paths: list[Path], size_px: int) -> tuple[list[Path], npt.NDArray[np.uint8]]:
    """The pictures that can be read, and their paths; the others are named in one warning."""
    good: list[Path] = []
    pictures: list[Picture] = []
    errors: list[str] = []
    for path in paths:
        try:
            pictures.append(cut_square(read_picture(path), size_px))
            good.append(path)
        except TrainingDataError as error:
            errors.append(str(error))
    if errors:
        _log.warning(
            "%s left out: %s", counted(len(errors), "held-out picture is", "held-out pictures are"), reasons(errors)
        )
    if not pictures:
        raise TrainingDataError(f"No held-out picture can be read. {reasons(errors)}")
    return good, np.stack(pictures)
