"""On which line of a TOML file a key stands: the standard library's parser does not tell.

Works on text that the parser has accepted. Reads nothing from disk.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from typing import Any

KeyPath = tuple[str | int, ...]
"""The way to a value: names of tables and keys, and the number of a table in an array (`[[folder]]`), from 0."""


def locate(text: str) -> dict[KeyPath, int]:
    """Return the line, counted from 1, on which each table and each of its keys begins."""
    lines: dict[KeyPath, int] = {}
    counts: Counter[str] = Counter()
    prefix: KeyPath = ()
    for number, statement in _statements(text):
        content = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            prefix = _table(content, counts)
            lines[prefix] = number
        else:
            lines |= {(*prefix, name): number for name in content}
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Cut into headers and assignments: a statement is whole as soon as it can be parsed alone."""
    begun, pieces = 0, list[str]()
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        pieces.append(line)
        begun = begun or number
        statement = "\n".join(pieces)
        if _is_whole(statement):
            if statement.strip() and not statement.lstrip().startswith("#"):
                yield begun, statement
            begun, pieces = 0, []


def _is_whole(statement: str) -> bool:
    try:
        tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _table(header: dict[str, Any], counts: Counter[str]) -> KeyPath:
    """The way to the table that a header opens."""
    name, content = next(iter(header.items()))
    if not isinstance(content, list):
        return (name,)
    counts[name] += 1
    return (name, counts[name] - 1)
