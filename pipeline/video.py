"""Convert one video: probe, analyse, render the missing chunks, join, verify, publish. The order of things is here."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter

from .analyse import AnalyseConfig, analyse
from .analysis import Analysis
from .chunks import Chunk, plan_chunks, save_stats, total_stats
from .compare import beside
from .decode import Decoder
from .encode import EncodeSettings, VideoEncoder, choose_codec
from .errors import PipelineError, UnreadableInputError
from .frames import Frame
from .inputs import Item
from .mux import copy_streams, mux
from .plan import Plan, make_plan
from .prefetch import prefetch
from .probe import MediaInfo, probe
from .progress import Progress
from .publish import check_absent, publish, sha256_of, work_folder, write_text
from .render import ChunkRenderer
from .report import Report
from .studio import Studio
from .temporal import RADIUS_FRAMES
from .verify import verify

logger = logging.getLogger(__name__)

DECODE_AHEAD_FRAMES = 8
"""Decoded frames that may wait for the next stage."""


def convert_video(item: Item, studio: Studio, progress: Progress) -> Report:
    """Convert one video, publish it and its report.

    Raises:
        InputError: the video cannot be read, or not without spoiling it.
        OutputExistsError: something has the output's name already.
        FfmpegError, VerificationError, OutOfSpaceError: see there; finished chunks are kept for the next run.
    """
    return _Conversion(item, studio, progress).run()


class _Conversion:
    """One video on its way."""

    def __init__(self, item: Item, studio: Studio, progress: Progress) -> None:
        self.item = item
        self.studio = studio
        self.settings = studio.settings
        self.progress = progress
        self.started = perf_counter()
        self.info = probe(item.source)
        self.before = _stamp(item.source)
        self.report = Report(
            input=str(item.source),
            input_sha256=sha256_of(item.source),
            style=studio.style.name,
            style_sha256=studio.style.sha256,
            settings=asdict(studio.settings),
            warnings=list(self.info.warnings),
        )

    def run(self) -> Report:
        """Do everything in order."""
        encoding, output = choose_codec(self.info, self.item.output, self.settings)
        check_absent(output, overwrite=self.settings.overwrite)
        self.report.output = str(output)
        job = self.settings.fingerprint(
            source=self.report.input_sha256, style=self.report.style_sha256, output=str(output)
        )
        with work_folder(self.item.root, job, resume=self.settings.resume) as folder:
            analysis = self._analysis(folder)
            plan = self._plan(analysis)
            finished = folder / f"finished{output.suffix}"
            if plan.by_frame or self.settings.compare != "none":
                self._render(analysis, plan, folder, encoding, finished)
            else:
                self.report.warnings.append("No face was found; the streams were copied as they are.")
                self._note_mux(copy_streams(self.info, finished))
            self._check(finished, analysis)
            publish(finished, output, overwrite=self.settings.overwrite)
        self.report.elapsed_secs = round(perf_counter() - self.started, 3)
        self.report.fps = round(self.report.frames / max(self.report.elapsed_secs, 1e-6), 2)
        write_text(self.item.report, self.report.to_json())
        return self.report
