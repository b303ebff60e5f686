"""What is found out about a style by trying it, kept in the user's cache folder from one start to the next."""

from __future__ import annotations

import hashlib

from model import Engine, Style
from model.openvino_cache import read_cached, write_cached

from .whole_frame import keeps_source_colours

_VERSION = 1
"""To be raised when `keeps_source_colours` decides otherwise."""


def keeps_colours(style: Style, engine: Engine) -> bool:
    """Whether a style draws things in their own colours, see `keeps_source_colours`; tried once per engine."""
    seen = f"colours {_VERSION} {style.sha256} {style.card.crop_size_px} {engine.name} {engine.precision}"
    key = f"trait-{hashlib.sha256(seen.encode()).hexdigest()[:40]}"
    kept = read_cached(key)
    if kept in (b"0", b"1"):
        return kept == b"1"
    found = keeps_source_colours(engine, style.card.crop_size_px)
    write_cached(key, b"1" if found else b"0")
    return found
