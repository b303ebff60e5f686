"""A sidecar, `clip.mp4.toml` beside `clip.mp4`: what one source gets that its watch folder says otherwise.

Whoever can drop files into a watch folder can write one, so it can choose how the source is converted and what
becomes of it, but names no program to run, no weights to load and no limit. Nothing is merged here.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from .config_values import is_style_file, read_source, refusal
from .handlers import default_choices
from .options import OPTIONS

SUFFIX = ".toml"
"""What a source's whole name is followed by."""

MAX_BYTES = 8192
"""A larger file is no sidecar: reading TOML made to be slow takes a tenth of a second up to here."""

FORBIDDEN_CHOICES = frozenset(
    {"device", "threads", "parallel", "cluster", "overwrite", "resume", "chunk_secs"}
    | {"face_like_weights", "detector_weights", "parser_weights"}
)
"""Choices of convert that belong to whoever runs the daemon."""


def sidecar_of(source: Path) -> Path:
    """Return where a source's sidecar would lie."""
    return source.with_name(source.name + SUFFIX)


def read_sidecar(path: Path) -> dict[str, Any]:
    """Return the values of a sidecar by name, checked; relative paths in it start from its folder.

    Raises:
        WatchConfigError: it cannot be read, or says something that it may not; the message names line and key.
    """
    _refuse_special(path)
    source = read_source(path, MAX_BYTES)
    allowed = {option.name for option in OPTIONS if option.is_in_sidecars}
    allowed |= default_choices().keys() - FORBIDDEN_CHOICES
    for key in source.content:
        if key not in allowed and key in {option.name for option in OPTIONS} | FORBIDDEN_CHOICES:
            raise source.error((key,), f"`{key}` cannot stand in a sidecar; it belongs into watch.toml.")
    for key in ("style", "style_for"):
        if any(is_style_file(style) for style in _styles(source.content.get(key, ()))):
            raise source.error((key,), f"`{key}` names a file; in a sidecar styles go by their names.")
    return source.checked(source.content, (), allowed)


def _styles(value: Any) -> list[str]:
    """The styles in a value of `style` or `style_for` that is not checked yet."""
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [str(text).rpartition("=")[2] for text in texts]


def _refuse_special(path: Path) -> None:
    """A pipe would be waited for without end, and a link may lead anywhere."""
    try:
        mode = os.lstat(path).st_mode
    except OSError as error:
        raise refusal(f'{path.name}: "{path}" cannot be read: {error.strerror}.') from error
    if not stat.S_ISREG(mode):
        raise refusal(f'{path.name}: "{path}" is no regular file.')
