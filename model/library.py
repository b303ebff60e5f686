"""Finds styles by name: the built-in ones and those in the user's own folder.

A style's name here is its file's name without `.safetensors`. What is inside the files: `style.py`.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from .config import GeneratorConfig
from .errors import StyleFormatError, StyleNotFoundError
from .style import SUFFIX, Style, StyleCard, read_header, read_style

logger = logging.getLogger(__name__)

USER_FOLDER_VARIABLE = "UGATIT_STYLE_DIR"
"""Environment variable that names a folder with more styles; one of the same name wins over a built-in one."""

_BUILT_IN_FOLDER = Path(__file__).with_name("weights")


@dataclass(frozen=True)
class StyleInfo:
    """One line of the list of styles."""

    name: str
    """What `load_style` takes."""
    path: Path
    """Its file."""
    is_built_in: bool
    """It comes with the program."""
    config: GeneratorConfig
    """Architecture of the generator."""
    card: StyleCard
    """What it is and how to cut crops for it."""


def load_style(path_or_name: str | os.PathLike[str]) -> Style:
    """Load a style by name, or from a file.

    Args:
        path_or_name: a name that `list_styles` shows, or the path of a style file.

    Raises:
        StyleNotFoundError: neither such a name nor such a file.
        StyleFormatError: the file is damaged, of another kind, or of a newer version.
    """
    return read_style(find_style(path_or_name))


def find_style(path_or_name: str | os.PathLike[str]) -> Path:
    """Path of the file that `load_style` would read.

    Raises:
        StyleNotFoundError: neither such a name nor such a file.
    """
    known = _style_files()
    if isinstance(path_or_name, str) and path_or_name in known:
        return known[path_or_name]
    path = Path(path_or_name)
    if path.exists():
        return path
    names = ", ".join(sorted(known)) or "none"
    raise StyleNotFoundError(
        f"no style {str(path_or_name)!r}: there is no such file, and the known names are: "
        f"{names}. More are found in the folder that {USER_FOLDER_VARIABLE} names."
    )


def list_styles() -> list[StyleInfo]:
    """All styles that can be loaded by name, sorted by it; a damaged file is left out with a warning."""
    infos = []
    for name, path in sorted(_style_files().items()):
        try:
            header = read_header(path)
        except (StyleFormatError, OSError) as error:
            logger.warning("Left out of the list: %s", error)
            continue
        infos.append(StyleInfo(name, path, path.parent == _BUILT_IN_FOLDER, header.config, header.card))
    return infos


def _style_files() -> dict[str, Path]:
    folders = [_BUILT_IN_FOLDER]
    user_folder = os.environ.get(USER_FOLDER_VARIABLE)
    if user_folder:
        folders.append(Path(user_folder).expanduser())
    return {path.stem: path for folder in folders for path in sorted(folder.glob(f"*{SUFFIX}"))}
