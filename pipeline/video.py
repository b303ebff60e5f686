"""Convert one video: probe, analyse, render the missing chunks, join, verify, publish. The order of things is here."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter, time
from typing import Any

from .analyse import AnalyseConfig, analyse
from .analysis import Analysis
from .casting import plan_faces
from .chunk_render import DECODE_AHEAD_FRAMES, VideoWork
from .chunks import Chunk, plan_chunks, total_stats
from .codecs import CODECS
from .compare import beside_wh
from .decode import DecodeReport, iter_frames
from .encode import EncodePlan, EncodeSettings, choose_codec, choose_suffix, plan_encoding
from .errors import ChunkError, UnsupportedInputError, VerificationError
from .inputs import Item, name_of
from .mux import MuxReport, copy_streams, mux
from .plan import Plan
from .prefetch import prefetch
from .probe import probe
from .progress import Progress
from .publisher import Publisher
from .report import Report
from .source import Source, watched
from .studio import Studio
from .verify import VerifyReport, verify
from .work import work_folder

logger = logging.getLogger(__name__)


def convert_video(item: Item, studio: Studio, progress: Progress, publisher: Publisher) -> Report:
    """Convert one video, publish it and its report.

    Raises:
        InputError: the video cannot be read, or not without spoiling it.
        SourceChangedError: somebody wrote to it meanwhile.
        OutputExistsError: something has the output's name already.
        FfmpegError, VerificationError, OutOfSpaceError: see there; finished chunks are kept for the next run.
    """
    with watched(item.source, item.sha256) as source:
        return _Conversion(item, source, studio, progress, publisher).run()


class _Conversion:
    """One video on its way."""

    def __init__(self, item: Item, source: Source, studio: Studio, progress: Progress, publisher: Publisher) -> None:
        self.item = item
        self.source = source
        self.studio = studio
        self.settings = studio.settings
        self.progress = progress
        self.publisher = publisher
        self.started = perf_counter()
        self.waited_since = studio.waited_since()
        self.info = probe(item.source)
        self.report = studio.new_report(item.source, source.read_hash(progress))

    def run(self) -> Report:
        """Do everything in order."""
        output, encoding = self._choose_output()
        self.publisher.check(output)
        job = self.studio.job_of(self.report.input_sha256, output)
        with work_folder(self.item.work, job, resume=self.settings.resume) as folder:
            analysis = self._analysis(folder)
            plan = self._plan(analysis)
            finished = folder / f"finished{output.suffix}"
            # Copying would carry damage and broken stamps along.
            is_restyled = bool(plan.tracks) or self.studio.whole is not None
            may_copy = not (is_restyled or analysis.warnings or self.settings.compare != "none")
            if not (may_copy and self._copy(finished, analysis)):
                chunks = self._render(analysis, plan, folder, encoding)
                with _rendered_again_if_wrong(folder):
                    self._join(chunks, analysis, encoding, finished)
                    self._verify(finished, analysis)
            self._check_source()
            self.report.stop_clock(self.started)
            self.publisher.publish(finished, output, self.report)
        return self.report

    def _choose_output(self) -> tuple[Path, EncodePlan]:
        """Name and encoding of the result: the source's container, or the one that the user named, where it can be."""
        settings, asked = self.settings, self.item.output
        suffix = asked.suffix.lower()
        if suffix == self.item.source.suffix.lower():
            suffix, why = choose_suffix(self.info, settings.codec)
            self.report.warnings += [why] if why else []
        codec = choose_codec(self.info, suffix) if settings.codec == "auto" else settings.codec
        if codec in CODECS and suffix not in CODECS[codec].suffixes:
            holders = ", ".join(CODECS[codec].suffixes)
            raise UnsupportedInputError(
                f'"{asked.name}" cannot hold {codec} video; name an output ending in {holders}.'
            )
        encode = EncodeSettings(codec, settings.crf, settings.preset, threads=self.studio.budget.encoder_threads)
        plan = plan_encoding(self.info, encode, size_wh=self._coded_wh())
        self.report.warnings += plan.warnings
        output = asked if suffix == asked.suffix.lower() else asked.with_name(name_of(self.item.stem, suffix))
        return output, plan

    def _coded_wh(self) -> tuple[int, int] | None:
        """Size of the result's planes where it is not the source's."""
        return beside_wh(self.info.video.frame_shape) if self.settings.compare == "side" else None

    def _join(self, chunks: Sequence[Chunk], analysis: Analysis, encoding: EncodePlan, finished: Path) -> None:
        before = perf_counter()
        paths = [chunk.path for chunk in chunks]
        self.progress.start(self.item.source.name, "joining", analysis.num_frames)
        muxed = mux(
            paths,
            self.info,
            finished,
            pts=analysis.pts.tolist(),
            colour=encoding.colour,
            on_picture=self.progress.advance,
        )
        self._note_mux(muxed)
        self.report.stage_secs["mux"] = perf_counter() - before

    def _copy(self, finished: Path, analysis: Analysis) -> bool:
        """No face: encode nothing again; False where the copy would show other frames (an edit list in another box)."""
        muxed = copy_streams(self.info, finished)
        try:
            self._note_verified(self._compared(finished, analysis, is_copy=True))
        except VerificationError as error:
            logger.info("The streams cannot be copied: %s", error)
            return False
        self.report.warnings.append("The streams were copied as they are.")
        self._note_mux(muxed)
        return True

    def _verify(self, finished: Path, analysis: Analysis) -> None:
        """Compare the result with its source."""
        before = perf_counter()
        self._note_verified(self._compared(finished, analysis, size_wh=self._coded_wh()))
        self.report.stage_secs["verify"] = perf_counter() - before

    def _compared(self, finished: Path, analysis: Analysis, **how: Any) -> VerifyReport:
        self.progress.start(self.item.source.name, "checking", analysis.num_frames)
        return verify(finished, self.info, analysis.pts.tolist(), on_picture=self.progress.advance, **how)

    def _note_verified(self, found: VerifyReport) -> None:
        self.report.verification, self.report.verified = asdict(found), True

    def _check_source(self) -> None:
        """Refuse a result whose source was written to while it was read."""
        self.source.check()
        if self.publisher.rehash:
            self.source.check_content(self.report.input_sha256, self.progress)

    def _note_mux(self, muxed: MuxReport) -> None:
        self.report.dropped += muxed.dropped
        self.report.warnings += [*muxed.warnings, *(f"Converted: {what}." for what in muxed.converted)]
        self.report.warnings += [f"Left out: {what}." for what in muxed.dropped]

    def _analysis(self, folder: Path) -> Analysis:
        """Pass 1, or what an earlier run left of it."""
        path = folder / "analysis.npz"
        if path.exists():
            try:
                analysis = Analysis.load(path)
            except ValueError as error:
                logger.warning("Analysing again: %s.", error)
            else:
                self._note_analysis(analysis)
                return analysis
        before = perf_counter()
        analysis = self._analyse()
        analysis.save(path)
        self.progress.checkpoint()
        self.report.stage_secs["analyse"] = perf_counter() - before
        self._note_analysis(analysis)
        return analysis

    def _analyse(self) -> Analysis:
        from .search import NUM_SAMPLES  # brings the reader of pictures, which few videos need

        decoded, settings = DecodeReport(), self.settings
        video, info = self.info.video, self.info
        expected = (
            round(info.duration_secs * video.avg_frame_rate) if info.duration_secs and video.avg_frame_rate else None
        )
        config = AnalyseConfig(
            settings.detect_every,
            settings.min_track_secs,
            settings.max_gap_secs,
            num_samples=NUM_SAMPLES if settings.face_like else 0,
        )
        self.progress.start(self.item.source.name, "looking at", expected)
        frames = iter_frames(self.info, report=decoded, strict=settings.strict)
        with closing(prefetch(frames, DECODE_AHEAD_FRAMES)) as ahead:
            analysis = analyse(
                ahead,
                self.info.video.time_base,
                self.studio.finder,
                config,
                on_frame=lambda faces: self.progress.advance(1, faces),
            )
        return replace(analysis, is_repaired=decoded.num_repaired_pts > 0, warnings=tuple(decoded.warnings()))

    def _note_analysis(self, analysis: Analysis) -> None:
        self.report.warnings += analysis.warnings
        self.report.frames = analysis.num_frames

    def _plan(self, analysis: Analysis) -> Plan:
        report = self.report
        plan = plan_faces(analysis, self.studio, report)
        report.bridged = plan.num_bridged
        report.jitter_in_percent, report.jitter_out_percent = plan.jitter_in_percent, plan.jitter_out_percent
        self.studio.describe(report)
        return plan

    def _rendered(self, frames: int, faces: int) -> None:
        if self.report.first_frame_secs is None:  # a runner elsewhere tells frames late, but may know when it was
            self.report.first_frame_secs = round((self.studio.first_frame_at or time()) - self.waited_since, 3)
        self.progress.advance(frames, faces)

    def _render(self, analysis: Analysis, plan: Plan, folder: Path, encoding: EncodePlan) -> list[Chunk]:
        """Pass 2: the chunks that are missing."""
        chunks = plan_chunks(analysis.times_secs, self.settings.chunk_secs, folder, encoding.chunk_suffix)
        missing = [chunk for chunk in chunks if not chunk.is_finished]
        self.report.codec = encoding.codec.encoder
        self.report.chunks_resumed = len(chunks) - len(missing)
        self.progress.start(self.item.source.name, "restyling", analysis.num_frames)
        self.progress.advance(analysis.num_frames - sum(chunk.num_frames for chunk in missing))
        work = VideoWork(self.info, analysis, plan, encoding, self.settings)
        self.studio.runner.run(work, missing, self._rendered, lambda chunk: self.progress.checkpoint())
        stats, sums = total_stats(chunks)
        report = self.report
        report.faces, report.guarded, report.frames_with_faces = (
            stats.num_pasted,
            stats.num_guarded,
            stats.num_frames_pasted,
        )
        report.whole_frames, report.reused = stats.num_whole, stats.num_reused
        report.stage_secs |= {stage: round(secs, 3) for stage, secs in stats.stage_secs.items()}
        report.warp_error_in, report.warp_error_out = sums.means()
        report.mask_flicker, report.seam_excess = sums.mean_mask_flicker, sums.mean_seam_excess
        return chunks


@contextmanager
def _rendered_again_if_wrong(folder: Path) -> Iterator[None]:
    """Forget the finished chunks if they cannot be joined, or give a wrong result: that must not come with a resume."""
    try:
        yield
    except (VerificationError, ChunkError) as error:
        for finished_mark in folder.glob("chunk-*.json"):
            finished_mark.unlink()
        raise type(error)(f"{error} Nothing was published; the next run renders everything again.") from error
