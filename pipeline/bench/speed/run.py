"""The benchmark of speed: every stage and the whole, on this machine, against the limits of this machine, in one run.

Holds what its sections share: choices, clips, studios, figures. What is measured stands in the sections' own files;
printing is the command's job.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...errors import InputError
from ...progress import Progress, SilentProgress
from ...settings import ConvertSettings
from ..sections import BenchResult, Figure, Section, SectionResult, machine, run_sections
from ..training import Measure, MeasureJobs
from .effort import DEFAULT, Effort, Scene
from .race import Spread

SECTIONS: tuple[Section, ...] = (
    Section(
        "limits",
        "What this machine can do",
        "Large products and the generator's own convolution in every arithmetic, copying memory, ffmpeg alone on the "
        "same clip.",
        source="speed.limits:measure",
    ),
    Section(
        "stages",
        "Stages",
        "Every stage of a conversion alone, on frames that are in memory, without the generator.",
        source="speed.stages:measure",
    ),
    Section(
        "generator",
        "Generator",
        "One crop at a time through the public implementation's generator and through every engine, round by round.",
        source="speed.generator:measure",
    ),
    Section(
        "nvidia",
        "NVIDIA GPU",
        "The generator in batches that stay on the GPU, and the ways on and off it: cutting, decoding, encoding.",
        needs="cuda",
        source="speed.cuda:measure",
    ),
    Section(
        "whole",
        "Whole conversions",
        "Converting clips, everything included, against the plain loop around the public implementation and against "
        "ffmpeg's own transcode with the same settings.",
        source="speed.whole:measure",
    ),
    Section(
        "start",
        "Start",
        "From the start of a process to the first restyled frame, with an empty cache and with a full one.",
        source="speed.start:measure",
    ),
    Section(
        "memory",
        "Memory",
        "Most memory of a conversion in a process of its own, the encoder and all other children included.",
        source="speed.memory:measure",
    ),
    Section(
        "training",
        "Training step",
        "One step of all six networks against plain transcriptions of the public ones.",
        needs="training",
        source="speed.extra:measure_training",
    ),
    Section(
        "jobs",
        "Watching folders",
        "What the watch costs beside the conversions.",
        needs="jobs",
        source="speed.extra:measure_jobs",
    ),
    Section(
        "goals",
        "Goals",
        "What this project has set itself, and what was measured here.",
        source="speed.goals:measure",
    ),
)
"""Every section in the order of the document."""


@dataclass(frozen=True)
class SpeedSettings:
    """What a user can choose for a benchmark of speed."""

    effort: Effort = DEFAULT
    """How much is measured."""
    only: tuple[str, ...] = ()
    """Names of the sections wanted; none is all that the effort holds."""
    clips: tuple[Path, ...] = ()
    """Videos that are converted in place of the made ones in the section `whole`."""
    style: str = ConvertSettings.style
    """Style that is measured."""
    device: str = ConvertSettings.device
    """Where the networks run."""
    measure_training: Measure | None = None
    """Measures training steps; None leaves them out."""
    measure_jobs: MeasureJobs | None = None
    """Measures what watching costs; None leaves it out."""

    def sections(self) -> tuple[Section, ...]:
        """The sections that are wanted and possible.

        Raises:
            InputError: one that was named cannot be measured from here.
        """
        is_cuda = _is_cuda(self.device)
        possible = {"training": self.measure_training is not None, "jobs": self.measure_jobs is not None}
        possible["cuda"] = is_cuda
        usual = {"training": self.effort.has_training, "jobs": self.effort.has_jobs, "cuda": is_cuda}
        chosen = []
        for section in SECTIONS:
            is_possible = section.needs is None or possible[section.needs]
            if section.name in self.only and not is_possible:
                where = "on an NVIDIA GPU" if section.needs == "cuda" else "from the command line"
                raise InputError(f'the section "{section.name}" is measured {where} only.')
            is_usual = not self.only and (section.needs is None or usual[section.needs])
            if is_possible and (section.name in self.only or is_usual):
                chosen.append(section)
        return tuple(chosen)


class SpeedBench:
    """What the sections work with."""

    def __init__(self, settings: SpeedSettings, folder: Path, progress: Progress | None = None) -> None:
        self.settings = settings
        self.effort = settings.effort
        self.folder = folder
        self.progress = progress or SilentProgress()
        self.figures: list[Figure] = []
        self._clips: dict[tuple[Scene, int], Path] = {}

    def note(
        self, name: str, value: Spread | float, unit: str, *, is_ratio: bool = False, more_is_better: bool = True
    ) -> Spread:
        """Keep a figure under a name (see Figure) and return it."""
        spread = value if isinstance(value, Spread) else Spread(value, value, value)
        self.figures.append(
            Figure(name, spread.value, unit, spread.low, spread.high, is_ratio=is_ratio, more_is_better=more_is_better)
        )
        return spread

    def clip(self, scene: Scene, num_frames: int) -> Path:
        """A clip of a scene; the same one is made once."""
        from ..clips import make_scene

        key = scene, num_frames
        if key not in self._clips:
            path = self.folder / f"{scene.size}-{scene.num_faces}-{num_frames}.mp4"
            self._clips[key] = make_scene(path, scene.size_wh, scene.num_faces, num_frames)
        return self._clips[key]

    @cached_property
    def device(self) -> str:
        """Where the networks run: `cpu`, `cuda`, ..."""
        from model.devices import choose_device

        return str(choose_device(self.settings.device))

    @cached_property
    def styles(self) -> dict[int, str]:
        """By base channels a style as `--style` takes it: the one that is measured, and the same twice as wide."""
        from model import load_style

        from .styles import widened

        style = load_style(self.settings.style)
        wide = widened(style)
        path = self.folder / f"{wide.name}.safetensors"
        wide.save(path)
        return {style.config.base_channels: self.settings.style, wide.config.base_channels: str(path)}


def run_speed(
    settings: SpeedSettings,
    progress: Progress,
    on_section: Callable[[SectionResult], None] = lambda result: None,
) -> BenchResult:
    """Run the chosen sections in order; one that fails does not stop the others.

    Args:
        settings: what to measure.
        progress: is told about the advance.
        on_section: called after each.

    Raises:
        InputError: a named section cannot be measured from here.
    """
    sections = settings.sections()
    results = run_sections(
        sections,
        lambda folder: SpeedBench(settings, folder, progress),
        lambda section: _command_of(section, settings),
        on_section,
    )
    told = {
        "effort": settings.effort.name,
        "style": settings.style,
        "clips": [clip.name for clip in settings.clips],
        "device": settings.device,
    }
    return BenchResult(_machine(settings), told, results)


def _is_cuda(device: str) -> bool:
    from model.devices import choose_device

    return choose_device(device).type == "cuda"


def _machine(settings: SpeedSettings) -> dict[str, str]:
    import torch

    from model.devices import choose_device

    device = choose_device(settings.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return machine() | {"device": name, "threads": str(torch.get_num_threads())}


def _command_of(section: Section, settings: SpeedSettings) -> str:
    effort = "" if settings.effort.name == "default" else f" --{settings.effort.name}"
    return f"python run.py bench{effort} --only {section.name}"
