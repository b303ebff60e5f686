"""Everything that is loaded once and used for every input: styles, engines, detector, landmarks, masks."""

from __future__ import annotations

import time
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignment.detectors import build_detector
from alignment.identity import FaceEmbedder, SFaceEmbedder
from alignment.landmarks import build_landmark_predictor
from alignment.templates import TEMPLATES
from model import Engine, Style, StyleFormatError, load_engine, load_style
from model.devices import choose_device

from .budget import Budget, apply_budget, decide_budget, num_gpus
from .cast import Cast
from .choice import NO_STYLE, parse_style_for
from .compiling import CpuCompiler
from .errors import UnsuitableStyleError
from .finder import FaceFinder
from .job_identity import file_hashes, job_identity
from .masks import build_mask_maker
from .plan import CropSpec
from .process_start import started_at
from .report import Report
from .resident import give_back_libraries
from .settings import REHEARSAL, ConvertSettings
from .style_traits import keeps_colours
from .stylist import Stylist
from .views import MaskMaker
from .whole_frame import WholeFrame

if TYPE_CHECKING:
    from .runners import ChunkRunner
    from .search import FaceSearch


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def build_studio(settings: ConvertSettings, budget: Budget | None = None, *, is_sequential: bool = False) -> Studio:
    """Return what converts with these settings: with networks, or for `--style rehearsal` without any.

    Args:
        settings: the user's choices.
        budget: the share of this machine that it may use; None decides it by the settings.
        is_sequential: pictures come one at a time, and each is wanted as soon as may be.
    """
    budget = budget or _budget_for(settings, is_sequential=is_sequential)
    if settings.style == REHEARSAL:
        from .rehearsal import RehearsalStudio

        return RehearsalStudio(settings, budget)
    return Studio(settings, budget)


def _budget_for(settings: ConvertSettings, *, is_sequential: bool) -> Budget:
    return decide_budget(
        threads=settings.threads,
        parallel=settings.parallel,
        num_gpus=num_gpus(settings.device),
        is_sequential=is_sequential,
    )


class Studio:
    """Loads each part when it is first asked for and keeps it."""

    def __init__(self, settings: ConvertSettings, budget: Budget | None = None) -> None:
        self.settings = settings
        self._budget = budget
        self._waiting_since: float | None = started_at()
        self.first_frame_at: float | None = None
        """When the first frame of the conversion at hand reached an encoder, seconds since the epoch."""
        self._masks_of: dict[str, MaskMaker] = {}

    def load(self) -> None:
        """Load what every input needs, so that what is missing ends the whole call, once and before any work.

        Raises:
            ModelError, AlignmentError, FaceSegError: something cannot be loaded.
        """
        apply_budget(self.budget)
        self.cast  # noqa: B018
        if not self.settings.aligned:
            self.finder, self.whole  # noqa: B018
        if self.settings.cluster is not None:
            self.runner  # noqa: B018 (a wrong address is told before any work)
        if self.engine.device == "cpu":
            give_back_libraries()

    @cached_property
    def budget(self) -> Budget:
        """How the machine is split."""
        return self._budget or _budget_for(self.settings, is_sequential=False)

    def waited_since(self) -> float:
        """Tell since when the user waits for the conversion that begins: for the first, since this process started."""
        since, self._waiting_since, self.first_frame_at = self._waiting_since, None, None
        return since or time.time()

    def attend(self, source: Path) -> None:
        """Be told which video's chunks are rendered next."""

    @cached_property
    def runner(self) -> ChunkRunner:
        """Where the chunks of videos are rendered; `close` gives it back."""
        from .runners import build_runner

        return build_runner(self)

    def close(self) -> None:
        """Give back what was taken outside this process: other processes, a cluster."""
        if "runner" in self.__dict__:
            self.runner.close()
            del self.runner

    @cached_property
    def style_names(self) -> tuple[str, ...]:
        """Every style that a face can have, as the user named it; that of `--style` first."""
        others = parse_style_for(self.settings.style_for).values()
        return tuple(dict.fromkeys([self.settings.style, *(name for name in others if name.lower() != NO_STYLE)]))

    @cached_property
    def styles(self) -> dict[str, Style]:
        """The loaded style of each of `style_names`."""
        return {name: load_style(name) for name in self.style_names}

    @property
    def style(self) -> Style:
        """The style of `--style`."""
        return self.styles[self.settings.style]

    def crop_spec(self, name: str) -> CropSpec:
        """Tell how the crops of one of `style_names` are cut.

        Raises:
            StyleFormatError: the style names a template that this version does not know.
        """
        card = self.styles[name].card
        if card.template not in TEMPLATES:
            raise StyleFormatError(
                f'the style "{self.styles[name].name}" is made for crops of the kind "{card.template}"; known here: '
                f"{', '.join(TEMPLATES)}."
            )
        return CropSpec(name, TEMPLATES[card.template], card.crop_size_px)

    @cached_property
    def engines(self) -> dict[str, Engine]:
        """What runs the generator of each style."""
        settings = self.settings
        return {
            name: load_engine(
                style,
                device=settings.device,
                precision=settings.precision,
                engine=settings.engine,
                threads=self.budget.engine_threads,
                streams=self.budget.streams,
            )
            for name, style in self.styles.items()
        }

    @property
    def engine(self) -> Engine:
        """What runs the generator of `--style`."""
        return self.engines[self.settings.style]

    @cached_property
    def finder(self) -> FaceFinder:
        """Detector and landmarks."""
        settings, device = self.settings, str(choose_device(self.settings.device))
        compiler = self._compiler(device, threads=1, streams=1)  # the two run at the same time, and are small
        detector = build_detector(
            settings.detector,
            weights=_path(settings.detector_weights),
            device=device,
            compile_network=compiler,
        )
        return FaceFinder(
            detector, build_landmark_predictor(settings.landmarks, device=device, compile_network=compiler)
        )

    def _compiler(self, device: str, *, threads: int, streams: int) -> CpuCompiler | None:
        """What makes the networks of other rooms fast on a CPU; None on other devices, and for `--engine torch`."""
        if device != "cpu" or self.settings.engine in ("torch", "compiled"):
            return None
        return CpuCompiler(threads, streams)

    @cached_property
    def embedder(self) -> FaceEmbedder:
        """What tells people apart for `--face-like`."""
        return SFaceEmbedder(_path(self.settings.face_like_weights))

    @cached_property
    def search(self) -> FaceSearch | None:
        """The people of `--face-like`; None where nobody is looked for.

        Raises:
            AlignmentError: the weights are not here.
            InputError: a picture cannot be read or shows no face.
        """
        if not self.settings.face_like:
            return None
        from .search import FaceSearch, read_reference

        embedder = self.embedder  # first: without its weights the pictures need not be read
        references = [read_reference(Path(path), self.finder) for path in self.settings.face_like]
        return FaceSearch(embedder, references, self.settings.face_like_score)

    def job_of(self, source_sha256: str, output: Path) -> str:
        """Identity of a conversion: whatever changes a pixel changes it, so that a resumed run never mixes.

        Args:
            source_sha256: hash of the input's content.
            output: where the result goes.
        """
        return job_identity(self, self._hashes, source_sha256, output)

    def new_report(self, source: Path, source_sha256: str) -> Report:
        """Begin the report on one input: what goes in, and with which choices."""
        return Report(
            input=str(source),
            input_sha256=source_sha256,
            style=self.style.name,
            style_sha256=self.style.sha256,
            styles={name: style.sha256 for name, style in self.styles.items()},
            settings=asdict(self.settings),
        )

    def describe(self, report: Report) -> None:
        """Write into a report what did the work."""
        engine = self.engine
        report.engine, report.device, report.precision = engine.name, str(engine.device), engine.precision
        report.engine_max_error, report.engine_psnr_db = engine.max_error, engine.psnr_db
        report.engine_mean_error = getattr(engine, "mean_error", None)
        report.threads, report.parallel = self.budget.engine_threads, self.budget.num_processes
        if not self.settings.aligned:
            report.detector, report.mask = self.finder.detector.name, self.mask_name
            report.landmarks = f"{self.finder.landmarker.num_landmarks} points"

    def _masks(self, group: str) -> MaskMaker:
        if group not in self._masks_of:
            self._masks_of[group] = build_mask_maker(
                self.settings.mask,
                group=group,
                parts=self.settings.parts,
                parser_weights=_path(self.settings.parser_weights),
                device=self.engine.device,
                compile_network=self._compiler(
                    self.engine.device, threads=self.budget.engine_threads, streams=self.budget.streams
                ),
            )
        return self._masks_of[group]

    @cached_property
    def _hashes(self) -> dict[str, Any]:
        """Hashes of the files besides the styles that decide what is found and shown, read once for all inputs."""
        return file_hashes(self.settings, is_parsed=self.mask_name == "parser")

    @property
    def mask_name(self) -> str:
        """How masks are made."""
        return self._masks(self._group_of(self.style)).name

    def _group_of(self, style: Style) -> str:
        """Which parts of a style's crops are shown: those that its card names, unless only faces are wanted."""
        return "face" if self.settings.scope == "face" else style.card.mask_group

    @cached_property
    def stylists(self) -> dict[str, Stylist]:
        """For each style its generator and its masks together."""
        return {
            name: Stylist(
                self.engines[name],
                self._masks(self._group_of(style)),
                self.crop_spec(name).size_px,
                keeps_colours=not self.settings.aligned and keeps_colours(style, self.engines[name]),
                blend=self.settings.blend,
            )
            for name, style in self.styles.items()
        }

    @property
    def stylist(self) -> Stylist:
        """That of `--style`."""
        return self.stylists[self.settings.style]

    @cached_property
    def cast(self) -> Cast:
        """All stylists, each for the faces of its style."""
        return Cast(self.stylists)

    @cached_property
    def whole(self) -> WholeFrame | None:
        """What restyles whole frames; None unless `--scope frame` asks for it.

        Raises:
            UnsuitableStyleError: the style's generator takes pictures of one size only.
        """
        if self.settings.scope != "frame":
            return None
        if self.style.config.head_size is None:
            size_px = self.style.config.image_size_px
            raise UnsuitableStyleError(
                f'the style "{self.style.name}" has a full head and takes pictures of {size_px}x{size_px} only, so it '
                "cannot restyle whole frames; choose another --style, or --scope head."
            )
        return WholeFrame(self.engine, keeps_colours=self.stylist.keeps_colours)
