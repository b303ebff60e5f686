"""Everything that is loaded once and used for every input: style, engine, detector, landmarks, masks."""

from __future__ import annotations

import importlib.metadata
import os
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from alignment.detectors import build_detector
from alignment.landmarks import BUILT_IN_WEIGHTS, build_landmark_predictor
from alignment.templates import TEMPLATES, CropTemplate
from model import Engine, Style, StyleFormatError, load_engine, load_style

from .finder import FaceFinder
from .masks import MaskMaker, build_mask_maker
from .publish import sha256_of
from .report import Report
from .settings import ConvertSettings
from .stylist import Stylist


def _sha256_or_none(path: Path) -> str | None:
    return sha256_of(path) if path.exists() else None


def _program_version() -> str:
    try:
        return importlib.metadata.version("ugatit-pipeline")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


class Studio:
    """Loads each part when it is first asked for and keeps it."""

    def __init__(self, settings: ConvertSettings) -> None:
        self.settings = settings

    def load(self) -> None:
        """Load what every input needs, so that what is missing ends the whole call, once and before any work.

        Raises:
            ModelError, AlignmentError, FaceSegError: something cannot be loaded.
        """
        self.stylist  # noqa: B018
        if not self.settings.aligned:
            self.finder  # noqa: B018

    @cached_property
    def style(self) -> Style:
        """The style of `--style`."""
        return load_style(self.settings.style)

    @cached_property
    def template(self) -> CropTemplate:
        """How the style's crops are cut.

        Raises:
            StyleFormatError: the style names a template that this version does not know.
        """
        name = self.style.card.template
        if name not in TEMPLATES:
            raise StyleFormatError(
                f'the style "{self.style.name}" is made for crops of the kind "{name}"; known here: '
                f"{', '.join(TEMPLATES)}."
            )
        return TEMPLATES[name]

    @cached_property
    def engine(self) -> Engine:
        """What runs the generator."""
        return load_engine(self.style, device=self.settings.device, precision=self.settings.precision)

    @cached_property
    def finder(self) -> FaceFinder:
        """Detector and landmarks."""
        settings, device = self.settings, self.engine.device
        detector = build_detector(settings.detector, weights=_path(settings.detector_weights), device=device)
        return FaceFinder(detector, build_landmark_predictor(settings.landmarks, device=device))

    def job_of(self, source_sha256: str, output: Path) -> str:
        """Identity of a conversion: whatever changes a pixel changes it, so that a resumed run never mixes.

        Args:
            source_sha256: hash of the input's content.
            output: where the result goes.
        """
        return self.settings.fingerprint(
            program=_program_version(),
            source=source_sha256,
            style=self.style.sha256,
            engine=[self.engine.name, str(self.engine.device), self.engine.precision],
            detector=None if self.settings.aligned else self.finder.detector.name,
            landmarks=_sha256_or_none(BUILT_IN_WEIGHTS),
            mask=self.mask_name,
            output=os.fsencode(output).hex(),
        )

    def new_report(self, source: Path) -> Report:
        """Begin the report on one input: what goes in, and with which choices."""
        return Report(
            input=str(source),
            input_sha256=sha256_of(source),
            style=self.style.name,
            style_sha256=self.style.sha256,
            settings=asdict(self.settings),
        )

    def describe(self, report: Report) -> None:
        """Write into a report what did the work."""
        engine = self.engine
        report.engine, report.device, report.precision = engine.name, str(engine.device), engine.precision
        report.engine_max_error = engine.max_error
        if not self.settings.aligned:
            report.detector, report.mask = self.finder.detector.name, self.mask_name
            report.landmarks = f"{self.finder.landmarker.num_landmarks} points"

    @cached_property
    def _masks(self) -> tuple[str, MaskMaker]:
        return build_mask_maker(
            self.settings.mask,
            group=self.style.card.mask_group,
            parser_weights=_path(self.settings.parser_weights),
            device=self.engine.device,
        )

    @property
    def mask_name(self) -> str:
        """How masks are made."""
        return self._masks[0]

    @cached_property
    def stylist(self) -> Stylist:
        """Generator and masks together."""
        return Stylist(self.engine, self._masks[1], self.style.card.crop_size_px)
