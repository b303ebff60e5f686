"""Restyle live pictures: take the newest frame, restyle its faces at once, show and record it, and tell how late it is.

The causal counterpart of video.py: nothing looks ahead, nothing queues, and who cannot keep up misses frames.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ..choice import parse_faces
from ..publish import write_text
from ..studio import Studio
from .faces import LiveFaces
from .reader import LiveFrame, NewestFrame
from .record import Recorder
from .source import CameraSource, mirrored
from .style import LiveStyle
from .window import Window

logger = logging.getLogger(__name__)

_WAIT_SECS = 0.1
"""How long a request to stop may go unheard."""
_RECENT_FRAMES = 30
"""Frames over which the speed on the screen is taken."""
_MOST_LATENCIES = 200_000
"""Latencies kept for the report: about two hours."""


@dataclass(frozen=True)
class CameraChoices:
    """What a user can choose beside the settings of a conversion."""

    record: Path | None = None
    """Video that is written."""
    report: Path | None = None
    """JSON that is written at the end."""
    mirror: bool = False
    """Turn pictures left to right."""
    duration_secs: float | None = None
    """End by itself after so long."""
    reconnect_secs: float = 60.0
    """Open a lost source again for so long."""


@dataclass
class CameraReport:
    """A session before the camera."""

    source: str
    """As the user named it."""
    style: str = ""
    """Name of the style."""
    engine: str = ""
    """What ran the generator."""
    device: str = ""
    """Where it ran."""
    precision: str = ""
    """In which arithmetic."""
    size_wh: tuple[int, int] | None = None
    """Pixels of the frames."""
    secs: float = 0.0
    """From the first frame to the last."""
    captured: int = 0
    """Frames that the source gave."""
    shown: int = 0
    """Frames that were restyled and shown or recorded."""
    missed: int = 0
    """Frames that a newer one replaced before their turn."""
    faces: int = 0
    """Face instances pasted."""
    guarded: int = 0
    """Broken crops that were not shown."""
    fps: float = 0.0
    """Shown frames a second."""
    source_fps: float = 0.0
    """Captured frames a second."""
    latency_ms: dict[str, float] = field(default_factory=dict)
    """From the capture of a frame until it is finished: p50, p95, p99 and max."""
    reconnects: int = 0
    """How often a lost source came back."""
    record: str | None = None
    """The recording."""
    recorded: int = 0
    """Frames in it."""
    record_missed: int = 0
    """Frames that the encoder had no time for."""
    stage_ms: dict[str, float] = field(default_factory=dict)
    """Mean milliseconds a frame."""
    stopped_by: str = ""
    """end (of the file), duration, key, signal, or lost (the source)."""


class Camera:
    """One session.

    Args:
        source: where pictures come from.
        studio: the tools, for one style.
        choices: see there.
        window: where they are shown; None shows nothing.
        stop: set from outside to end the session.
        on_status: called with a line about speed and latency, about once a second.
    """

    def __init__(
        self,
        source: CameraSource,
        studio: Studio,
        choices: CameraChoices,
        *,
        window: Window | None,
        stop: threading.Event,
        on_status: Callable[[str], None] = lambda line: None,
    ) -> None:
        settings = studio.settings
        self.report = CameraReport(source.name, studio.style.name, record=str(choices.record or "") or None)
        engine = studio.engine
        self.report.engine, self.report.device, self.report.precision = engine.name, engine.device, engine.precision
        self._source, self._choices, self._window, self._stop = source, choices, window, stop
        self._on_status = on_status
        self._faces = LiveFaces(
            studio.finder,
            studio.crop_spec(settings.style),
            parse_faces(settings.faces),
            detect_every=settings.detect_every,
            strength=settings.strength,
            smoothing=settings.smoothing,
        )
        self._style = LiveStyle(studio.stylist, smoothing=settings.smoothing)
        self._is_mirrored, self._is_restyled = choices.mirror, True
        self._latencies_ms: deque[float] = deque(maxlen=_MOST_LATENCIES)
        self._ends: deque[float] = deque(maxlen=_RECENT_FRAMES)
        self._first_secs: float | None = None
        self._told_secs = 0.0
        self._stage_secs: dict[str, float] = {}
        self._recorder: Recorder | None = None

    def run(self) -> CameraReport:
        """Go on until the end, a key, a request, or the loss of the source.

        Raises:
            UnreadableInputError: the source cannot be opened, or is lost for good; what was recorded is complete.
            FfmpegError, OutOfSpaceError: nothing more can be recorded.
        """
        reader = NewestFrame(self._source, self._choices.reconnect_secs)
        try:
            with reader, ExitStack() as outputs:
                self._loop(reader, outputs)
        except Exception:
            self.report.stopped_by = self.report.stopped_by or "lost"
            raise
        finally:
            self._conclude(reader)
        return self.report

    def _loop(self, reader: NewestFrame, outputs: ExitStack) -> None:
        while not (reason := self._reason_to_stop(reader)):
            live = reader.take(_WAIT_SECS)
            if live is None:
                continue
            frame = mirrored(live.frame) if self._is_mirrored else live.frame
            if self._first_secs is None:
                self._first_secs = live.captured_secs
                self.report.size_wh = frame.size_wh
                if self._choices.record is not None:
                    self._recorder = outputs.enter_context(Recorder(self._choices.record, frame))
            time_secs = live.captured_secs - self._first_secs
            self._restyle(LiveFrame(frame, live.captured_secs), time_secs)
            before = perf_counter()
            if self._recorder is not None:
                self._recorder.write(frame, time_secs)
            self._show(LiveFrame(frame, live.captured_secs))
            self._spend("output", before)
        self.report.stopped_by = reason

    def _reason_to_stop(self, reader: NewestFrame) -> str:
        if self.report.stopped_by:
            return self.report.stopped_by
        if self._stop.is_set():
            return "signal"
        limit, first = self._choices.duration_secs, self._first_secs
        if limit is not None and first is not None and perf_counter() - first >= limit:
            return "duration"
        return "end" if reader.is_over and not self._source.is_endless else ""

    def _restyle(self, live: LiveFrame, time_secs: float) -> None:
        before = perf_counter()
        placements = self._faces.update(live.frame, time_secs)
        before = self._spend("find", before)
        self._style.restyle(live.frame, placements if self._is_restyled else [], is_cut=self._faces.is_cut)
        self._spend("restyle", before)
        self.report.shown += 1

    def _show(self, live: LiveFrame) -> None:
        now = perf_counter()
        self._ends.append(now)
        latency_ms = 1000 * (now - live.captured_secs)
        self._latencies_ms.append(latency_ms)
        span = self._ends[-1] - self._ends[0]
        speed = (len(self._ends) - 1) / span if span > 0 else 0.0
        status = f"{speed:.1f} fps, {latency_ms:.0f} ms behind"
        if self._window is not None:
            asked = self._window.show(live.frame, status)
            if asked == "quit":
                self.report.stopped_by = "key"
            elif asked == "mirror":
                self._is_mirrored = not self._is_mirrored
            elif asked == "style":
                self._is_restyled = not self._is_restyled
        if now - self._told_secs >= 1:
            self._told_secs = now
            self._on_status(status)

    def _spend(self, stage: str, since: float) -> float:
        now = perf_counter()
        self._stage_secs[stage] = self._stage_secs.get(stage, 0.0) + now - since
        return now

    def _conclude(self, reader: NewestFrame) -> None:
        report, stats = self.report, self._style.stats
        report.captured, report.missed, report.reconnects = (
            reader.num_captured,
            reader.num_missed,
            reader.num_reconnects,
        )
        report.faces, report.guarded = stats.num_pasted, stats.num_guarded
        if self._recorder is not None:
            report.recorded, report.record_missed = self._recorder.num_frames, self._recorder.num_missed
        if self._first_secs is not None and self._ends:
            report.secs = round(self._ends[-1] - self._first_secs, 3)
            report.fps = round(report.shown / max(report.secs, 1e-6), 2)
            report.source_fps = round(report.captured / max(report.secs, 1e-6), 2)
            found = np.percentile(np.array(self._latencies_ms), (50, 95, 99, 100))
            report.latency_ms = dict(
                zip(("p50", "p95", "p99", "max"), (round(float(v), 1) for v in found), strict=True)
            )
            stages = self._stage_secs | {f"restyle: {name}": secs for name, secs in stats.stage_secs.items()}
            report.stage_ms = {name: round(1000 * secs / report.shown, 2) for name, secs in stages.items()}
        if self._choices.report is not None:
            write_text(self._choices.report, to_json(report))


def to_json(report: CameraReport) -> str:
    """The report as indented JSON."""
    content: dict[str, Any] = asdict(report)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
