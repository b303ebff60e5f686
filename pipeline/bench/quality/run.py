"""The quality benchmark: figures that anyone can make again, on clips and pictures drawn on the fly.

Holds what its sections share (settings, conversions). What is measured stands in the sections' own files; printing is
the command's job.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...progress import Progress, SilentProgress
from ...report import Report
from ...settings import ConvertSettings
from ...studio import Studio
from ..conversion import converted
from ..sections import BenchResult, Figure, Section, SectionResult, machine, run_sections

SECTIONS: tuple[Section, ...] = (
    Section(
        "steadiness",
        "Steadiness",
        "How still crops and pixels stand where the face stands still, with smoothing off and on, on moving portraits "
        "whose true motion is known.",
        source="quality.steadiness:measure",
    ),
    Section(
        "seam",
        "Seams",
        "How much sharper the border of a restyled head is than what was there before, for every `--blend`.",
        source="quality.seam:measure",
    ),
    Section(
        "occluders",
        "Things before the face",
        "Whether a hand, a microphone and a cloth that pass before the demo's face stay as filmed.",
        source="quality.occluders:measure",
    ),
    Section("scope", "Scopes", "What `--scope` costs and changes, on the demo clip.", source="quality.scope:measure"),
    Section(
        "detection",
        "Detection",
        "Which faces the detectors find, by size, rotation and light: one portrait, tinted, turned, scaled, in front "
        "of scikit-image's pictures without faces.",
        source="quality.detectors:measure",
    ),
    Section(
        "ids",
        "Several faces",
        "Whether faces that meet keep their ids, in drawn clips with known truth.",
        source="quality.ids:measure",
    ),
    Section(
        "masks",
        "Masks on held-out pictures",
        "How well the face parsers and the drawn mask agree with labels, on the pictures that no recipe trains on.",
        needs="data",
        source="quality.masks:measure",
    ),
    Section(
        "detection-data",
        "Detection of held-out people",
        "As above with people cut out of the pictures that no recipe trains on.",
        needs="data",
        source="quality.detectors:measure_held_out",
    ),
    Section(
        "clips",
        "Clips",
        "Speed, faces and steadiness on clips of your own.",
        needs="clips",
        source="quality.own:measure",
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


class Bench:
    """What the sections work with: a folder, a way to tell their advance, and conversions."""

    def __init__(self, settings: BenchSettings, folder: Path, progress: Progress | None = None) -> None:
        self.settings = settings
        self.folder = folder
        self.progress = progress or SilentProgress()
        self.figures: list[Figure] = []
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
        report = converted(clip, self.studio(overwrite=True, resume=False, **choices), self.folder / "out")
        return report, Path(report.output)

    @cached_property
    def demo_clip(self) -> Path:
        """The demo clip, as long as the settings say."""
        from ..clips import make_clip

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
    sections = settings.sections()
    results = run_sections(sections, lambda folder: Bench(settings, folder, progress), _command_of, on_section)
    return BenchResult(machine(), _plain(settings), results)


def _plain(settings: BenchSettings) -> dict[str, Any]:
    """The settings without this machine's paths."""
    return asdict(settings) | {
        "data": None if settings.data is None else settings.data.name,
        "clips": [clip.name for clip in settings.clips],
    }


def _command_of(section: Section) -> str:
    options = {"data": " --data DATA", "clips": " --clips CLIP..."}
    return f"python run.py bench --quality --only {section.name}" + options.get(section.needs or "", "")
