"""How names, times, sizes and figures are written on the page. Plain text: escaping for HTML is up to the templates."""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path

JOINERS = "\u200c\u200d"
"""Invisible, but part of ordinary names (emoji, Persian); no danger, unlike marks that turn the direction of text."""


def shown_name(name: str | Path) -> str:
    r"""Return a file name as a person can read it: what is not text or not visible as an escape like `\n` or `\xff`."""
    try:
        text = os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a character that no file name has: JSON may say anything
        text = os.fspath(name).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() or c in JOINERS else c.encode("unicode_escape").decode("ascii") for c in text)


def shown_text(text: str) -> str:
    """Return a text of several lines, perhaps with names in it, as a person can read it; line ends stay."""
    return "\n".join(shown_name(line) if line else "" for line in text.replace("\x00", "\\x00").splitlines())


def sentence(text: str) -> str:
    """Return a message as a sentence that stands alone."""
    shown = shown_text(text).strip()
    if not shown:
        return ""
    is_name = "." in shown.split(maxsplit=1)[0][:-1]  # a file's name stays as it is written
    begun = shown if is_name else shown[0].upper() + shown[1:]
    return begun + ("" if shown[-1] in ".!?:" or "\n" in shown else ".")


def duration(secs: float | None) -> str:
    """Return a span of time in its two largest units, like `1 h 05 min`; a dash for None."""
    if secs is None:
        return "–"
    whole = max(0, round(secs))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def ago(secs: float | None) -> str:
    """Return how long ago something was, roughly, as people say it."""
    if secs is None:
        return "never"
    if secs < 5:
        return "just now"
    for unit_secs, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if secs >= unit_secs:
            return f"{int(secs // unit_secs)} {unit} ago"
    return f"{int(secs)} s ago"


def clock(at: float) -> str:
    """Return a time of the wall clock, without the day if it is today; empty for 0."""
    if not at:
        return ""
    then, today = datetime.fromtimestamp(at), datetime.fromtimestamp(time.time())
    return then.strftime("%H:%M:%S" if then.date() == today.date() else "%Y-%m-%d %H:%M")


def machine_time(at: float) -> str:
    """Return a time as HTML's `datetime` attribute and JSON want it, with its offset."""
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def size(count_bytes: int | None) -> str:
    """Return a size in a unit that leaves three digits, like `3.4 MB`; a dash for None."""
    if count_bytes is None:
        return "–"
    if count_bytes < 1000:
        return f"{count_bytes} B"
    value = float(count_bytes)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def count(number: int) -> str:
    """Return a number with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f")


def rate(fps: float | None) -> str:
    """Return frames per second with as many digits as mean something; a dash for None."""
    if fps is None:
        return "–"
    return f"{fps:.0f} fps" if fps >= 100 else f"{fps:.1f} fps" if fps >= 1 else f"{fps:.2f} fps"


def plural(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"
