"""Make a data set of aligned faces from videos, pictures and folders: what is cut, and what of it is kept.

Faces are found and cut by the very code that `convert` uses, so a style trained on the crops meets in `convert` what it
learnt from. One bad input does not harm the rest.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from alignment.faces import Face
from alignment.templates import TEMPLATES

from ..canvas import PictureCanvas
from ..casting import still_analysis
from ..decode import DecodeReport, iter_frames
from ..errors import BatchError, InputError, PipelineError
from ..face_spans import Candidate, CropShape, SpanConfig, cut_candidate, iter_candidates
from ..finder import FaceFinder
from ..inputs import Item, collect
from ..mediainfo import MediaInfo
from ..prefetch import prefetch
from ..probe import probe
from ..progress import Progress
from ..stills import read_picture
from ..studio import Studio
from .likeness import SeenFaces, describe
from .quality import complaint, measure
from .settings import FaceSetSettings
from .sheet import LeftOutFaces, evenly, write_sheet
from .split import Neighbourhood, Splitter, picture_run, video_blocks
from .table import KEPT, path_text
from .writing import FaceFolder, Layout, Source, open_face_folder

logger = logging.getLogger(__name__)

_DECODE_AHEAD_FRAMES = 8


@dataclass(frozen=True)
class SourceOutcome:
    """How one input fared."""

    input: str
    """As the user named it, or the path of a file in a folder that was named."""
    decisions: Counter[str] = field(default_factory=Counter)
    """How many of its faces met which decision."""
    is_known: bool = False
    """It was cut into this folder before and left alone now."""
    notes: tuple[str, ...] = ()
    """What was wrong with it although it could be read, as sentences."""
    error: Exception | None = None
    """Why it failed."""


@dataclass(frozen=True)
class FaceSetReport:
    """What a call of `crop` did."""

    outcomes: list[SourceOutcome]
    """One per input."""
    folders: dict[str, int]
    """Crops now in each folder of the layout, earlier ones included."""
    table: Path
    """CSV of all faces."""
    sheet: Path | None
    """Contact sheet; None where there is nothing to show."""

    @property
    def decisions(self) -> Counter[str]:
        """How many faces met which decision, over all inputs of this call."""
        return sum((outcome.decisions for outcome in self.outcomes), Counter[str]())


def make_face_set(inputs: Sequence[str], output: Path, settings: FaceSetSettings, progress: Progress) -> FaceSetReport:
    """Cut the faces of files and folders into a folder.

    Args:
        inputs: as the user named them.
        output: the folder; crops that are in it already stay, and count when duplicates are looked for.
        settings: the user's choices.
        progress: is told about the advance.

    Raises:
        AlignmentError: detector or landmarks cannot be loaded.
        OutputError: the folder cannot be used.
    """
    found = collect(inputs, output)
    outcomes = [SourceOutcome(name, error=error) for name, error in found.errors]
    finder = Studio(settings.search).finder
    layout, shape = Layout("" if settings.split is None else settings.domain), shape_of(settings)
    with open_face_folder(output.absolute(), layout, shape, overwrite=settings.overwrite) as folder:
        maker = _Maker(settings, finder, folder, progress)
        maker.remember(found.items)
        outcomes += maker.run(found.items)
        return FaceSetReport(
            outcomes,
            {name: folder.num_in(name) for name in layout.folders},
            folder.root / layout.table,
            write_sheet(folder, maker.left_out),
        )


def shape_of(settings: FaceSetSettings) -> CropShape:
    """Return how the crops of a data set are cut."""
    return CropShape(TEMPLATES[settings.template], settings.size_px)


class _Maker:
    """Looks through the inputs one after the other and decides."""

    def __init__(self, settings: FaceSetSettings, finder: FaceFinder, folder: FaceFolder, progress: Progress) -> None:
        self._settings = settings
        self._shape = shape_of(settings)
        self._finder = finder
        self._folder = folder
        self._progress = progress
        self._seen = SeenFaces(settings.dedupe)
        self._splitter = Splitter(settings.split or 0.0, *(folder.num_in(name) for name in folder.layout.folders))
        self.left_out = LeftOutFaces()

    def remember(self, items: Sequence[Item]) -> None:
        """Let the crops that are there count as seen."""
        if self._settings.dedupe <= 0:
            return
        renewed = [path_text(item.source) for item in items] if self._settings.overwrite else []
        for crop in self._folder.crops_there(besides=renewed):
            self._seen.add(describe(crop, self._shape.template))

    def run(self, items: Sequence[Item]) -> list[SourceOutcome]:
        """Look through all inputs; publish each as soon as it is clear what is kept of it."""
        outcomes: list[SourceOutcome] = []
        waiting: dict[int, Source] = {}
        for index, (item, place) in enumerate(zip(items, self._places(items), strict=True)):
            outcome, source = self._tried(item, place, f"{index + 1}/{len(items)}")
            if source is not None and self._settings.limit is None:
                outcome = self._published(outcome, source)
            elif source is not None:
                waiting[index] = source
            outcomes.append(outcome)
        self._choose(list(waiting.values()))
        for index, source in waiting.items():
            outcomes[index] = self._published(outcomes[index], source)
        return outcomes

    def _tried(self, item: Item, place: Neighbourhood | None, number: str) -> tuple[SourceOutcome, Source | None]:
        """Look through one input; where it fails there is no source, and nothing of it stays."""
        outcome = SourceOutcome(str(item.source))
        if self._folder.holds(path_text(item.source)) and not self._settings.overwrite:
            return replace(outcome, is_known=True), None
        num_seen = len(self._seen)
        try:
            return outcome, self._look_through(item, place, number)
        except Exception as error:
            logger.debug("Cropping failed.", exc_info=error)
            self._seen.forget_after(num_seen)
            return replace(outcome, error=error), None
        finally:
            self._progress.finish()

    def _published(self, outcome: SourceOutcome, source: Source) -> SourceOutcome:
        try:
            rows = self._folder.publish(source, self._splitter)
        except (OSError, PipelineError) as error:
            logger.debug("Publishing failed.", exc_info=error)
            self._folder.discard(source)
            return replace(outcome, error=error)
        return replace(outcome, decisions=Counter(row.decision for row in rows), notes=tuple(source.notes))

    def _places(self, items: Sequence[Item]) -> list[Neighbourhood | None]:
        """The neighbourhoods of the pictures; None for videos, whose length is not known yet."""
        share, num_pictures = self._settings.split or 0.0, sum(item.is_picture for item in items)
        positions = iter(range(num_pictures))
        return [picture_run(next(positions), num_pictures, share) if item.is_picture else None for item in items]

    def _look_through(self, item: Item, place: Neighbourhood | None, number: str) -> Source:
        if place is None:
            source, candidates = self._video(item, number)
        else:
            source, candidates = self._folder.begin(item.source, place), self._picture(item, number)
        try:
            for candidate in candidates:
                self._decide(source, candidate)
        except Exception:
            self._folder.discard(source)
            raise
        return source

    def _picture(self, item: Item, number: str) -> Iterator[Candidate]:
        self._progress.start(item.source.name, f"cropping {number}", 1)
        canvas, shape = PictureCanvas(read_picture(item.source).rgb), self._shape
        tracks = still_analysis(self._finder.find(canvas), self._finder.detector.name).tracks
        for track in tracks:
            face = Face(track.boxes[0], track.landmarks[0], float(track.scores[0]))
            yield cut_candidate(canvas, face, shape, track.track_id + 1, measure(canvas, face, shape.template))
        self._progress.advance(1, len(tracks))

    def _video(self, item: Item, number: str) -> tuple[Source, Iterator[Candidate]]:
        info, settings = probe(item.source), self._settings
        secs, rate = float(info.duration_secs or 0), float(info.video.avg_frame_rate or 0)
        place = video_blocks(path_text(item.source), secs or None, settings.split or 0.0, settings.every_secs)
        source = self._folder.begin(item.source, place)
        self._progress.start(item.source.name, f"cropping {number}", round(secs * rate) or None)
        return source, self._faces_of(info, source)

    def _faces_of(self, info: MediaInfo, source: Source) -> Iterator[Candidate]:
        search, report = self._settings.search, DecodeReport()
        config = SpanConfig(self._settings.every_secs, search.detect_every, search.min_track_secs)
        decoded = iter_frames(info, report=report, strict=search.strict)
        with closing(prefetch(decoded, _DECODE_AHEAD_FRAMES)) as frames:
            yield from iter_candidates(
                frames,
                info.video.time_base,
                self._finder,
                self._shape,
                self._settings.limits,
                config,
                on_frame=lambda faces: self._progress.advance(1, faces),
            )
        source.notes += report.warnings()

    def _decide(self, source: Source, candidate: Candidate) -> None:
        """Keep a crop or leave it out."""
        reason = "brief" if candidate.is_brief else complaint(candidate.measures, self._settings.limits)
        if reason is None:
            descriptor = describe(candidate.crop, self._shape.template)
            if not self._seen.is_known(descriptor):
                self._seen.add(descriptor)
                self._folder.stage(source, candidate)
                return
            reason = "duplicate"
        self._folder.leave_out(source, candidate, reason)
        self.left_out.offer(reason, candidate.crop, candidate.measures)

    def _choose(self, sources: Sequence[Source]) -> None:
        """Leave out all but `limit` crops, evenly spread over everything that could be kept."""
        kept = [(source, index) for source in sources for index in source.staged]
        chosen = set(evenly(len(kept), self._settings.limit or 0))
        for position, (source, index) in enumerate(kept):
            if position not in chosen:
                source.decide_against(index, "limit")


def raise_failures(report: FaceSetReport) -> None:
    """Tell of what failed, once everything else is done.

    Raises:
        BatchError: some inputs failed, or the folder is without a single crop.
    """
    failures = [outcome.error for outcome in report.outcomes if outcome.error is not None]
    if failures:
        num_inputs = len(report.outcomes)
        raise BatchError(f"{len(failures)} of {num_inputs} inputs failed." if num_inputs > 1 else "", failures)
    if not any(report.folders.values()):
        reasons = ", ".join(f"{count} {word}" for word, count in sorted(report.decisions.items()) if word != KEPT)
        error = InputError(f'no face was kept ({reasons}): see "{report.table}", and loosen the limits.')
        raise BatchError(str(error), [error])
