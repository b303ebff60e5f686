"""What benchmarks are made of: sections, tables, figures, results; and the one loop that runs sections in order.

It measures nothing and prints nothing.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from ..errors import PipelineError
from ..progress import Progress

logger = logging.getLogger(__name__)

Cell = str | int | float | bool | None

_FEATURES = {"amx_bf16": "AMX bf16", "amx_int8": "AMX int8", "avx512f": "AVX-512", "avx512_vnni": "VNNI"}
"""Flags of /proc/cpuinfo that decide which arithmetic is fast, and their names."""


@dataclass(frozen=True)
class Table:
    """One table of figures."""

    title: str
    """What it is about, a few words."""
    columns: tuple[str, ...]
    """Heads, with units."""
    rows: tuple[tuple[Cell, ...], ...]
    """Cells in the order of the columns; None where there is nothing to say."""
    note: str = ""
    """How to read it: definitions, direction, sample sizes."""
    decimals: int = 2
    """Digits after the point of its floats."""

    def text(self) -> list[list[str]]:
        """The cells as they are shown."""
        return [[_text(cell, self.decimals) for cell in row] for row in self.rows]


@dataclass(frozen=True)
class Figure:
    """One number that goals, charts and comparisons look up."""

    name: str
    """What it is, parts joined by `/`: `generator/32/openvino fp32/x public`."""
    value: float
    """Median over the rounds, or the only one measured."""
    unit: str
    """`x`, `%`, `ms`, `fps`, `s`, `MB`, `levels`, `dB`, ..."""
    low: float
    """Smallest of the rounds."""
    high: float
    """Largest of the rounds."""
    is_ratio: bool = False
    """It means the same on another machine: a ratio to something measured in the same run, or an error."""
    more_is_better: bool = True
    """Which way is an improvement."""


@dataclass(frozen=True)
class Section:
    """One group of figures and where it is measured."""

    name: str
    """What `--only` takes."""
    title: str
    """Its heading."""
    about: str
    """One sentence: what is measured, on what."""
    source: str
    """`MODULE:FUNCTION` in this package that makes the tables."""
    needs: str | None = None
    """What it cannot be measured without (an option such as `data` or `clips`)."""

    def load(self) -> Callable[[Any], list[Table]]:
        """Import what makes the tables, from what the benchmark's sections share."""
        module, _, name = self.source.partition(":")
        measure: Callable[[Any], list[Table]] = getattr(importlib.import_module("." + module, __package__), name)
        return measure


@dataclass(frozen=True)
class SectionResult:
    """What one section gave."""

    name: str
    """See Section."""
    title: str
    """See Section."""
    about: str
    """See Section."""
    tables: tuple[Table, ...]
    """Its tables; none after a failure."""
    secs: float
    """How long it took."""
    error: str | None = None
    """Why it failed."""
    command: str = ""
    """What makes it again."""
    figures: tuple[Figure, ...] = ()
    """Its numbers by name."""


@dataclass(frozen=True)
class BenchResult:
    """All figures, and on what machine they were made."""

    machine: dict[str, str]
    """Processor, system and versions."""
    settings: dict[str, Any]
    """What was chosen."""
    sections: tuple[SectionResult, ...] = field(default_factory=tuple)
    """In order."""

    @property
    def figures(self) -> dict[str, Figure]:
        """The figures of all sections by name."""
        return {figure.name: figure for section in self.sections for figure in section.figures}

    def to_json(self) -> dict[str, Any]:
        """Everything in plain types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BenchResult:
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError: it is something else.
        """
        return cls(dict(data["machine"]), dict(data["settings"]), tuple(_section(each) for each in data["sections"]))


class Workbench(Protocol):
    """What the sections of one benchmark share."""

    @property
    def progress(self) -> Progress:
        """Is told about the advance."""
        ...

    @property
    def figures(self) -> list[Figure]:
        """What was measured so far."""
        ...


def run_sections(
    sections: Sequence[Section],
    make_bench: Callable[[Path], Workbench],
    command_of: Callable[[Section], str],
    on_section: Callable[[SectionResult], None],
) -> tuple[SectionResult, ...]:
    """Run sections in order; one that fails does not stop the others.

    Args:
        sections: what to measure.
        make_bench: makes what they share, for a folder that is removed afterwards.
        command_of: the command that makes a section again.
        on_section: called after each.
    """
    with tempfile.TemporaryDirectory(prefix="ugatit-bench-") as folder:
        bench, results = make_bench(Path(folder)), []
        for section in sections:
            results.append(_run(section, bench, command_of(section)))
            on_section(results[-1])
    return tuple(results)


def _run(section: Section, bench: Workbench, command: str) -> SectionResult:
    started, num_before = perf_counter(), len(bench.figures)
    tables: tuple[Table, ...] = ()
    error = None
    try:
        tables = tuple(section.load()(bench))
    except Exception as failure:
        logger.debug("Section failed.", exc_info=failure)
        error = f"{type(failure).__name__}: {failure}"
    bench.progress.finish()
    secs, figures = round(perf_counter() - started, 1), tuple(bench.figures[num_before:])
    return SectionResult(section.name, section.title, section.about, tables, secs, error, command, figures)


def check_names(names: Sequence[str], sections: Sequence[Section]) -> tuple[str, ...]:
    """Check the names of sections.

    Raises:
        PipelineError: there is none of that name; the message lists those there are.
    """
    known = [section.name for section in sections]
    for name in names:
        if name not in known:
            raise PipelineError(f'there is no section "{name}"; choose some of {", ".join(known)}.')
    return tuple(names)


def machine() -> dict[str, str]:
    """What the figures depend on besides the program."""
    versions = {name: _version(name) for name in ("torch", "openvino", "numpy", "opencv-python", "av")}
    return {
        "processor": _cpu_field("model name") or platform.processor() or "unknown",
        "features": ", ".join(cpu_features()) or "none known",
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **versions,
    }


def cpu_features() -> tuple[str, ...]:
    """Which fast arithmetic the processor has, as far as the system tells."""
    flags = _cpu_field("flags").split()
    return tuple(name for flag, name in _FEATURES.items() if flag in flags)


def to_markdown(result: BenchResult) -> str:
    """All figures as a document: each section beside its command."""
    told = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    parts = ["# Measured by `bench`", f"Machine: {told}."]
    for section in result.sections:
        parts += [f"## {section.title}", f"    {section.command}", section.about]
        parts += [f"Failed: {section.error}"] if section.error else []
        parts += [block for table in section.tables for block in _markdown(table)]
    return "\n\n".join(parts) + "\n"


def _markdown(table: Table) -> list[str]:
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(row) + " |" for row in table.text()]
    return [f"**{table.title}.**", "\n".join(lines), *([table.note] if table.note else [])]


def _text(cell: Cell, decimals: int) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:.{decimals}f}" if isinstance(cell, float) else str(cell)


def _section(data: Mapping[str, Any]) -> SectionResult:
    tables = tuple(
        Table(**{**table, "columns": tuple(table["columns"]), "rows": tuple(tuple(row) for row in table["rows"])})
        for table in data["tables"]
    )
    figures = tuple(Figure(**figure) for figure in data.get("figures", ()))
    return SectionResult(**{**data, "tables": tables, "figures": figures})


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _cpu_field(name: str) -> str:
    """The first line of that name in /proc/cpuinfo; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith(name))
    except (OSError, StopIteration):
        return ""
