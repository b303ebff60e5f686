"""The quality benchmark: figures that anyone can make again, on clips and pictures drawn on the fly.

Holds what the sections share (settings, tables, conversions) and runs them one after the other. What is measured stands
in the sections' own files; printing is cli_bench.py's job.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

from .errors import InputError, PipelineError
from .inputs import collect
from .progress import Progress, SilentProgress
from .report import Report
from .settings import ConvertSettings
from .studio import Studio

logger = logging.getLogger(__name__)

Cell = str | int | float | bool | None


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
class Section:
    """One group of figures and where it is measured."""

    name: str
    """What `--only` takes."""
    title: str
    """Its heading."""
    about: str
    """One sentence: what is measured, on what."""
    needs: str | None = None
    """Option without which it is left out: `data` or `clips`."""
    source: str = ""
    """`MODULE:FUNCTION` in this room that makes the tables; by default `bench_NAME:measure`."""

    def measure(self, bench: Bench) -> list[Table]:
        """Make the tables."""
        module, _, function = (self.source or f"bench_{self.name}:measure").partition(":")
        tables: list[Table] = getattr(importlib.import_module("." + module, __package__), function)(bench)
        return tables


SECTIONS: tuple[Section, ...] = (
    Section(
        "steadiness",
        "Steadiness",
        "How still crops and pixels stand where the face stands still, with smoothing off and on, on moving portraits "
        "whose true motion is known.",
    ),
    Section(
        "seam",
        "Seams",
        "How much sharper the border of a restyled head is than what was there before, for every `--blend`.",
    ),
    Section(
        "occluders",
        "Things before the face",
        "Whether a hand, a microphone and a cloth that pass before the demo's face stay as filmed.",
    ),
    Section("scope", "Scopes", "What `--scope` costs and changes, on the demo clip."),
    Section(
        "detection",
        "Detection",
        "Which faces the detectors find, by size, rotation and light: one portrait, tinted, turned, scaled, in front "
        "of scikit-image's pictures without faces.",
        source="bench_detectors:measure",
    ),
    Section("ids", "Several faces", "Whether faces that meet keep their ids, in drawn clips with known truth."),
    Section(
        "masks",
        "Masks on held-out pictures",
        "How well the face parsers and the drawn mask agree with labels, on the pictures that no recipe trains on.",
        needs="data",
    ),
    Section(
        "detection-data",
        "Detection of held-out people",
        "As above with people cut out of the pictures that no recipe trains on.",
        needs="data",
        source="bench_detectors:measure_held_out",
    ),
    Section(
        "clips",
        "Clips",
        "Speed, faces and steadiness on clips of your own.",
        needs="clips",
        source="bench_own:measure",
    ),
)
"""Every section in the order of the document."""


@dataclass(frozen=True)
class BenchSettings:
    """What a user can choose for a benchmark."""

    data: Path | None = None
    """Folder of labelled faces, laid out as docs/figures.md says; None leaves those sections out."""
    clips: tuple[Path, ...] = ()
    """Videos to measure."""
    only: tuple[str, ...] = ()
    """Names of the sections wanted; none is all."""
    frames: int = 50
    """Length of the clips that are made."""
    style: str = ConvertSettings.style
    """Style that is measured."""
    device: str = ConvertSettings.device
    """Where the generator runs."""

    def sections(self) -> tuple[Section, ...]:
        """The sections that are wanted and possible.

        Raises:
            InputError: one that was named needs an option that was not given.
        """
        given = {"data": self.data is not None, "clips": bool(self.clips)}
        wanted = [section for section in SECTIONS if not self.only or section.name in self.only]
        for section in wanted:
            if self.only and section.needs is not None and not given[section.needs]:
                raise InputError(f'the section "{section.name}" needs --{section.needs}.')
        return tuple(section for section in wanted if section.needs is None or given[section.needs])


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


@dataclass(frozen=True)
class BenchResult:
    """All figures, and on what machine they were made."""

    machine: dict[str, str]
    """Processor, system and versions."""
    settings: dict[str, Any]
    """What was chosen."""
    sections: tuple[SectionResult, ...] = field(default_factory=tuple)
    """In order."""

    def to_json(self) -> dict[str, Any]:
        """Everything in plain types."""
        return asdict(self)


class Bench:
    """What the sections work with: a folder, a way to tell their advance, and conversions."""

    def __init__(self, settings: BenchSettings, folder: Path, progress: Progress | None = None) -> None:
        self.settings = settings
        self.folder = folder
        self.progress = progress or SilentProgress()
        self._studios: dict[ConvertSettings, Studio] = {}

    def studio(self, **choices: Any) -> Studio:
        """The tools of a conversion with these choices; the same choices share them.

        Args:
            choices: fields of ConvertSettings that differ from the defaults.
        """
        settings = ConvertSettings(**{"style": self.settings.style, "device": self.settings.device, **choices})
        if settings not in self._studios:
            studio = self._studios[settings] = Studio(settings)
            alike = next(
                (s for s in self._studios.values() if s is not studio and s.style_names == studio.style_names), None
            )
            if alike is not None:  # engines are dear to load, and the choices here do not change them
                studio.styles, studio.engines = alike.styles, alike.engines
        return self._studios[settings]

    def convert(self, clip: Path, **choices: Any) -> Report:
        """Convert a clip and return its report; the result is thrown away.

        Args:
            clip: a video.
            choices: fields of ConvertSettings that differ from the defaults.
        """
        report, _ = self.convert_to(clip, **choices)
        return report

    def convert_to(self, clip: Path, **choices: Any) -> tuple[Report, Path]:
        """Convert a clip; return its report and the result, which the next conversion of this clip replaces."""
        from .publisher import FilePublisher
        from .video import convert_video

        out = self.folder / "out"
        out.mkdir(exist_ok=True)
        found = collect([str(clip)], out)
        if found.errors:
            raise found.errors[0][1]
        [item] = found.items
        studio = self.studio(overwrite=True, resume=False, **choices)
        report = convert_video(item, studio, SilentProgress(), FilePublisher(item.report, overwrite=True))
        return report, Path(report.output)

    @cached_property
    def demo_clip(self) -> Path:
        """The demo clip, as long as the settings say."""
        from .bench_clips import make_clip

        return make_clip(self.folder / "demo.mp4", "plain", self.settings.frames)


def run_bench(
    settings: BenchSettings,
    progress: Progress,
    on_section: Callable[[SectionResult], None] = lambda result: None,
) -> BenchResult:
    """Run the chosen sections in order; one that fails does not stop the others.

    Args:
        settings: what to measure.
        progress: is told about the advance.
        on_section: called after each.

    Raises:
        InputError: a named section lacks its option.
    """
    sections, results = settings.sections(), []
    with tempfile.TemporaryDirectory(prefix="ugatit-bench-") as folder:
        bench = Bench(settings, Path(folder), progress)
        for section in sections:
            result = _run(section, bench)
            progress.finish()
            results.append(result)
            on_section(result)
    return BenchResult(machine(), _plain(settings), tuple(results))


def _run(section: Section, bench: Bench) -> SectionResult:
    started = perf_counter()
    tables: tuple[Table, ...] = ()
    error = None
    try:
        tables = tuple(section.measure(bench))
    except Exception as failure:
        logger.debug("Section failed.", exc_info=failure)
        error = f"{type(failure).__name__}: {failure}"
    secs = round(perf_counter() - started, 1)
    return SectionResult(section.name, section.title, section.about, tables, secs, error)


def machine() -> dict[str, str]:
    """What the figures depend on besides the program."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "numpy", "opencv-python", "av")}
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _plain(settings: BenchSettings) -> dict[str, Any]:
    """The settings without this machine's paths."""
    return asdict(settings) | {
        "data": None if settings.data is None else settings.data.name,
        "clips": [clip.name for clip in settings.clips],
    }


def command_of(section: SectionResult) -> str:
    """The command that makes one section again."""
    if section.name == "training":
        return "python run.py bench --training"
    needs = next((s.needs for s in SECTIONS if s.name == section.name), None)
    options = {"data": " --data DATA", "clips": " --clips CLIP..."}
    return f"python run.py bench --quality --only {section.name}" + options.get(needs or "", "")


def to_markdown(result: BenchResult) -> str:
    """All figures as a document: each section beside its command."""
    told = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    parts = [f"Machine: {told}."]
    for section in result.sections:
        parts += [f"## {section.title}", f"    {command_of(section)}", section.about]
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


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Check the names of sections.

    Raises:
        PipelineError: there is none of that name; the message lists those there are.
    """
    known = [section.name for section in SECTIONS]
    for name in names:
        if name not in known:
            raise PipelineError(f'there is no section "{name}"; choose some of {", ".join(known)}.')
    return tuple(names)
