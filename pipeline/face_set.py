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

import cv2
import numpy as np

from alignment.faces import Face
from alignment.templates import TEMPLATES

from .canvas import PictureCanvas
from .casting import still_analysis
from .crop_settings import FaceSetSettings
from .decode import iter_frames
from .errors import InputError
from .face_likeness import SeenFaces, describe
from .face_quality import complaint, measure
from .face_set_sheet import MAX_KEPT, LeftOutFaces, Thumbnail, caption_of, draw_sheet, evenly, thumbnail
from .face_set_split import Neighbourhood, picture_run, video_blocks
from .face_set_writing import KEPT, FaceFolder, Layout, Row, Source, open_face_folder, text_of
from .face_spans import Candidate, CropShape, SpanConfig, cut_candidate, iter_candidates
from .finder import FaceFinder
from .inputs import Item, collect
from .prefetch import prefetch
from .probe import probe
from .progress import Progress
from .publish import out_of_space_told, publish
from .stills import read_picture
from .studio import Studio

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
    finder = Studio(settings.search).finder
    with open_face_folder(
        output.absolute(),
        Layout("" if settings.split is None else settings.domain),
        share=settings.split or 0.0,
        overwrite=settings.overwrite,
    ) as folder:
        maker = _Maker(settings, finder, folder, progress)
        maker.remember(found.items)
        outcomes = [SourceOutcome(name, error=error) for name, error in found.errors]
        outcomes += maker.run(found.items)
        return maker.conclude(outcomes)


class _Maker:
    """Looks through the inputs one after the other and decides."""

    def __init__(self, settings: FaceSetSettings, finder: FaceFinder, folder: FaceFolder, progress: Progress) -> None:
        self._settings = settings
        self._shape = CropShape(TEMPLATES[settings.template], settings.size_px)
        self._finder = finder
        self._folder = folder
        self._progress = progress
        self._seen = SeenFaces(settings.dedupe)
        self._left_out = LeftOutFaces()

    def remember(self, items: Sequence[Item]) -> None:
        """Let the crops that are there count as seen."""
        if self._settings.dedupe <= 0:
            return
        renewed = [text_of(item.source) for item in items] if self._settings.overwrite else []
        for crop in self._folder.crops_there(besides=renewed):
            self._seen.add(describe(crop, self._shape.template))

    def run(self, items: Sequence[Item]) -> list[SourceOutcome]:
        """Look through all inputs; publish each as soon as it is clear what is kept of it."""
        outcomes: list[SourceOutcome] = []
        waiting: list[tuple[int, Source]] = []
        places = self._places(items)
        for position, item in enumerate(items):
            try:
                outcome, source = self._look_through(item, places[position], f"{position + 1}/{len(items)}")
                if source is not None and self._settings.limit is None:
                    outcome = replace(outcome, decisions=_count(self._folder.publish(source)))
                elif source is not None:
                    waiting.append((position, source))
            except Exception as error:
                logger.debug("Cropping failed.", exc_info=error)
                outcome = SourceOutcome(str(item.source), error=error)
            finally:
                self._progress.finish()
            outcomes.append(outcome)
        self._choose([source for _, source in waiting])
        for position, source in waiting:
            outcomes[position] = replace(outcomes[position], decisions=_count(self._folder.publish(source)))
        return outcomes

    def _places(self, items: Sequence[Item]) -> list[Neighbourhood | None]:
        """The neighbourhoods of the pictures; None for videos, whose length is not known yet."""
        share, num_pictures = self._settings.split or 0.0, sum(item.is_picture for item in items)
        positions = iter(range(num_pictures))
        return [picture_run(next(positions), num_pictures, share) if item.is_picture else None for item in items]

    def _look_through(
        self, item: Item, place: Neighbourhood | None, number: str
    ) -> tuple[SourceOutcome, Source | None]:
        outcome = SourceOutcome(str(item.source))
        if self._folder.holds(text_of(item.source)) and not self._settings.overwrite:
            return replace(outcome, is_known=True), None
        if place is None:
            source, candidates = self._video(item, number)
        else:
            source, candidates = self._folder.begin(item.source, place), self._picture(item, number)
        num_seen = len(self._seen)
        try:
            for candidate in candidates:
                self._decide(source, candidate)
        except Exception:
            self._seen.forget_after(num_seen)
            self._folder.discard(source)
            raise
        return outcome, source

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
        share, name = settings.split or 0.0, text_of(item.source)
        place = video_blocks(name, float(info.duration_secs or 0) or None, share, settings.every_secs)
        rate = info.video.avg_frame_rate
        total = round(info.duration_secs * rate) if info.duration_secs and rate else None
        self._progress.start(item.source.name, f"cropping {number}", total)
        config = SpanConfig(settings.every_secs, settings.search.detect_every, settings.search.min_track_secs)

        def candidates() -> Iterator[Candidate]:
            with closing(prefetch(iter_frames(info, strict=settings.search.strict), _DECODE_AHEAD_FRAMES)) as frames:
                yield from iter_candidates(
                    frames,
                    info.video.time_base,
                    self._finder,
                    self._shape,
                    settings.limits,
                    config,
                    on_frame=lambda faces: self._progress.advance(1, faces),
                )

        return self._folder.begin(item.source, place), candidates()

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
        self._left_out.offer(reason, candidate.crop, candidate.measures)

    def _choose(self, sources: Sequence[Source]) -> None:
        """Leave out all but `limit` crops, evenly spread over everything that could be kept."""
        kept = [(source, index) for source in sources for index in source.staged]
        chosen = set(evenly(len(kept), self._settings.limit or 0))
        for position, (source, index) in enumerate(kept):
            if position not in chosen:
                source.staged.pop(index).unlink(missing_ok=True)
                source.rows[index] = replace(source.rows[index], decision="limit")

    def conclude(self, outcomes: list[SourceOutcome]) -> FaceSetReport:
        """Draw the contact sheet and sum up."""
        folder = self._folder
        kept = [row for row in folder.rows if row.file]
        folders = dict.fromkeys(folder.layout.folders, 0)
        folders.update(Counter(Path(row.file).parts[0] for row in kept))
        sheet = folder.root / folder.layout.sheet if kept or self._left_out.counts else None
        if sheet is not None:
            self._write_sheet(sheet, kept)
        return FaceSetReport(outcomes, folders, folder.root / folder.layout.table, sheet)

    def _write_sheet(self, path: Path, kept: Sequence[Row]) -> None:
        shown = [self._thumbnail(kept[index]) for index in evenly(len(kept), MAX_KEPT)]
        heading = f"{len(kept)} kept (below each: size in pixels, blur, yaw)"
        examples = {
            f"left out as {reason}: {self._left_out.counts[reason]}": pictures
            for reason, pictures in sorted(self._left_out.examples.items())
        }
        sheet = draw_sheet([item for item in shown if item is not None], heading, examples)
        part = path.with_name(f".{path.name}.part")
        with out_of_space_told(path):
            part.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
            publish(part, path, overwrite=True)

    def _thumbnail(self, row: Row) -> Thumbnail | None:
        picture = cv2.imread(str(self._folder.root / row.file))
        if picture is None:  # removed by hand
            return None
        caption = caption_of(float(row.size_px), float(row.blur), float(row.yaw))
        return thumbnail(np.ascontiguousarray(picture[..., ::-1], np.uint8), caption)


def _count(rows: Sequence[Row]) -> Counter[str]:
    return Counter(row.decision for row in rows)


def check_any_kept(report: FaceSetReport) -> None:
    """Tell of a call that left the folder without a single crop.

    Raises:
        InputError: there is none, with what happened to the faces.
    """
    if any(report.folders.values()) or any(outcome.error for outcome in report.outcomes):
        return
    reasons = ", ".join(f"{count} {word}" for word, count in sorted(report.decisions.items()) if word != KEPT)
    raise InputError(f"no face was kept ({reasons or 'no input'}); see {report.table}, and loosen the limits.")
