"""On which line of a TOML file a key stands: the standard library's parser does not tell.

Works on text that the parser has accepted, in time that grows with its length. Reads nothing from disk.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from typing import Any

KeyPath = tuple[str | int, ...]
"""The way to a value: names of tables and keys, and the number of a table in an array (`[[folder]]`), from 0."""

_TOKEN = re.compile(
    r"""
      (?P<text> \"{3} (?: \\. | [^\\] )*? \"{3,5} | '{3} .*? '{3,5} | " (?: \\. | [^"\\\n] )* " | ' [^'\n]* ' )
    | (?P<comment> \# [^\n]* )
    | (?P<open> [\[{] )
    | (?P<close> [\]}] )
    | (?P<end> \n )
    | (?P<other> [^"'\#\[\]{}\n]+ )
    """,
    re.VERBOSE | re.DOTALL,
)


def locate(text: str) -> dict[KeyPath, int]:
    """Return the line, counted from 1, on which each table and each of its keys begins."""
    lines: dict[KeyPath, int] = {}
    counts: Counter[str] = Counter()
    prefix: KeyPath = ()
    for number, statement in _statements(text.replace("\r\n", "\n")):
        content = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            prefix = _table(content, counts)
            lines[prefix] = number
        else:
            lines |= {(*prefix, name): number for name in content}
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Cut into headers and assignments: they end with a line, unless a bracket or a text is still open there."""
    begun, line, depth = 0, 1, 0
    start = 0
    for token in _TOKEN.finditer(text + "\n"):
        kind = token.lastgroup
        if kind == "end" and depth == 0:
            if begun:
                yield begun, text[start : token.start()]
            begun, start = 0, token.end()
        elif kind not in ("end", "comment") and token[0].strip():
            begun = begun or line
        depth += (kind == "open") - (kind == "close")
        line += token[0].count("\n")


def _table(header: dict[str, Any], counts: Counter[str]) -> KeyPath:
    """The way to the table that a header opens."""
    name, content = next(iter(header.items()))
    if not isinstance(content, list):
        return (name,)
    counts[name] += 1
    return (name, counts[name] - 1)
