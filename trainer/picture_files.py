"""Find pictures in folders and read them as they are displayed: any format, orientation, depth and transparency.

Decodes with Pillow, and with OpenCV what Pillow does not know. Resizes nothing and knows no domains.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import TrainingDataError

Picture = npt.NDArray[np.uint8]
"""HxWx3 uint8 RGB."""

_PHOTOGRAPHS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".dib", ".tif", ".tiff", ".gif")
_RARE = (".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico", ".psd", ".pcx", ".hdr", ".pic", ".ras", ".sr")
SUFFIXES = frozenset(_PHOTOGRAPHS + _RARE)
"""Suffixes of files that are taken for pictures, lower case; what a file is, its content decides."""

Progress = Callable[[int, int], None]
"""Told how many are done, and of how many."""

_NUM_NAMED = 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckedPicture:
    """A picture that was read once from beginning to end."""

    path: Path
    sha256: str
    """Of the file's bytes."""
    width: int
    """As displayed."""
    height: int


def find_pictures(folder: Path) -> list[Path]:
    """List the pictures in a folder and its subfolders, sorted by name; hidden files and folders are left out."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name) for name in names if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        ]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def read_picture(path: Path) -> Picture:
    """Read a picture as it is displayed.

    Transparent pixels lie on white, 16 bits become 8, grey and palettes become RGB, of an animation it is the first
    frame, and the EXIF orientation is applied.

    Returns:
        HxWx3 uint8 RGB.

    Raises:
        TrainingDataError: the file is missing, damaged, cut off or no picture.
    """
    with _quiet_decoders():
        return _decode(path, _read_bytes(path))


def check_pictures(
    paths: Sequence[Path], *, index: Path | None = None, progress: Progress | None = None
) -> tuple[list[CheckedPicture], dict[Path, str]]:
    """Read every picture once, or know from an earlier check that it can be read.

    Args:
        paths: the pictures.
        index: a JSON file that keeps what was found, so that the next check reads only what is new or was changed.
        progress: told after each picture.

    Returns:
        The pictures that can be read, in order, and why the others cannot.
    """
    known = _load_index(index)
    good: list[CheckedPicture] = []
    bad: dict[Path, str] = {}
    with _quiet_decoders(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        checks = pool.map(lambda path: _checked(path, known), paths)
        for number, (path, result) in enumerate(zip(paths, checks, strict=True), 1):
            if isinstance(result, CheckedPicture):
                good.append(result)
            else:
                bad[path] = result
            if progress:
                progress(number, len(paths))
    if index:
        _save_index(index, known, good)
    return good, bad


def write_whole(path: Path, data: bytes) -> None:
    """Write a file of the cache so that it appears whole or not at all; its folder is made.

    Raises:
        OSError: as the system tells it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def named(paths: Sequence[Path]) -> str:
    """Names of files in quotes for a message; of many only the first."""
    more = len(paths) - _NUM_NAMED
    return ", ".join(f"'{path}'" for path in paths[:_NUM_NAMED]) + (f" and {more} more" if more > 0 else "")


def reasons(sentences: Sequence[str]) -> str:
    """Reasons why files cannot be read, as a text for a message; of many only the first."""
    more = len(sentences) - _NUM_NAMED
    return " ".join(sentences[:_NUM_NAMED]) + (f" And {more} more." if more > 0 else "")


def counted(number: int, singular: str, plural: str) -> str:
    """A number with the words that it asks for."""
    return f"{number} {singular if number == 1 else plural}"


@contextmanager
def _quiet_decoders() -> Iterator[None]:
    """Silence what Pillow warns of and logs about damaged files: those that cannot be read are told by name."""
    pillow_log = logging.getLogger("PIL")
    level = pillow_log.level
    pillow_log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        pillow_log.setLevel(level)


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TrainingDataError(f"'{path}' cannot be read: {error.strerror}.") from error
    if not data:
        raise TrainingDataError(f"'{path}' is empty.")
    return data


def _decode(path: Path, data: bytes) -> Picture:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return _to_rgb(image)
    except UnidentifiedImageError as error:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if decoded is None:
            raise TrainingDataError(f"'{path}' is no picture, or damaged at its beginning.") from error
        return np.ascontiguousarray(decoded[..., ::-1], dtype=np.uint8)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise anything on damaged data: OSError, SyntaxError, struct.error ...
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise TrainingDataError(f"'{path}' is damaged or cut off: {reason}.") from error


def _to_rgb(image: Image.Image) -> Picture:
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        return np.repeat(_to_8_bit(np.asarray(upright))[..., None], 3, axis=2)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.array(upright.convert("RGB"))


def _to_8_bit(grey: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Scale samples of 16 or 32 bits; floating-point ones are in [0, 1] unless they go beyond."""
    if grey.dtype.kind == "f":
        top = 1.0 if grey.max() <= 1 else 255.0
    else:
        top = 65535.0 if grey.max() > 255 or grey.dtype.itemsize == 2 else 255.0
    return np.rint(grey.astype(np.float64).clip(0, top) * (255 / top)).astype(np.uint8)


def _checked(path: Path, known: dict[str, dict[str, Any]]) -> CheckedPicture | str:
    """What an index knows of a picture, else what reading it gives, or why it cannot be read."""
    try:
        entry = known.get(str(path.resolve()))
        if entry and entry["stamp"] == _stamp(path):
            return CheckedPicture(path, entry["sha256"], entry["width"], entry["height"])
        data = _read_bytes(path)
        height, width = _decode(path, data).shape[:2]
        return CheckedPicture(path, hashlib.sha256(data).hexdigest(), width, height)
    except (TrainingDataError, OSError) as error:
        return str(error)


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _load_index(index: Path | None) -> dict[str, dict[str, Any]]:
    """An index that is missing or damaged is an empty one."""
    try:
        known = json.loads(index.read_text(encoding="utf-8")) if index else {}
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _save_index(index: Path, known: dict[str, dict[str, Any]], good: Sequence[CheckedPicture]) -> None:
    for picture in good:
        entry = asdict(picture) | {"stamp": _stamp(picture.path)}
        del entry["path"]
        known[str(picture.path.resolve())] = entry
    try:
        write_whole(index, json.dumps(known).encode())
    except OSError as error:
        _log.warning("The index of pictures '%s' cannot be written (%s); the next run checks again.", index, error)
