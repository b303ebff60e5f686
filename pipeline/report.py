"""The report beside every output: what went in, what was done, how it came out. Flat JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any


@dataclass
class Report:
    """One conversion. Fields are None where they do not apply (a picture has no jitter)."""

    input: str
    """Path of the source."""
    output: str = ""
    """Path of the result."""
    input_sha256: str = ""
    """Hash of the source's content."""
    style: str = ""
    """Name of the style."""
    style_sha256: str = ""
    """Hash of the style's weights and card."""
    styles: dict[str, str] = field(default_factory=dict)
    """Hash of every style that a face can have: that of `--style` and those of `--style-for`."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Every choice of the user, defaults included."""
    engine: str | None = None
    """What ran the generator."""
    device: str | None = None
    """Where it ran."""
    precision: str | None = None
    """In which arithmetic."""
    engine_max_error: float | None = None
    """Greatest difference to fp32 on a test crop, in levels of 255."""
    engine_mean_error: float | None = None
    """Mean difference to fp32 on a test crop, in levels of 255."""
    engine_psnr_db: float | None = None
    """The same as peak signal to noise ratio, dB."""
    threads: int | None = None
    """CPU threads of the networks, per process."""
    parallel: int | None = None
    """Processes that chunks are rendered in."""
    detector: str | None = None
    """What found the faces."""
    landmarks: str | None = None
    """What placed the landmarks."""
    mask: str | None = None
    """How the masks were made."""
    codec: str | None = None
    """Video encoder; None where the streams were copied."""
    frames: int = 0
    """Frames of the result."""
    faces: int = 0
    """Face instances pasted over all frames."""
    tracks: int = 0
    """Different faces over time that were restyled."""
    track_list: list[dict[str, Any]] = field(default_factory=list)
    """Every face that was found: its number as `--faces` takes it, first and last second, box, style or None."""
    bridged: int = 0
    """Face instances interpolated over a gap in detection."""
    guarded: int = 0
    """Broken crops that were not shown."""
    reused: int = 0
    """Face instances that show again what an earlier one was given (`--reuse-still`)."""
    frames_with_faces: int = 0
    """Frames into which something was pasted."""
    whole_frames: int = 0
    """Frames that were restyled as a whole (`--scope frame`)."""
    chunks_resumed: int = 0
    """Chunks kept from an earlier, interrupted run."""
    stage_secs: dict[str, float] = field(default_factory=dict)
    """Seconds per stage. Decode, generate, blend, paste and encode overlap: `render` is the time that passed, and they
    add up to more; over several processes `render` adds up, too."""
    first_frame_secs: float | None = None
    """Seconds until the encoder had the first frame: of a process's first conversion since the process started, of
    others since they began."""
    elapsed_secs: float = 0.0
    """Seconds for the whole conversion."""
    fps: float = 0.0
    """Frames over elapsed seconds."""
    jitter_in_percent: float | None = None
    """Landmark jitter as detected, % of eye distance."""
    jitter_out_percent: float | None = None
    """Landmark jitter of the placed crops, % of eye distance."""
    warp_error_in: float | None = None
    """Flow-warp error of the source inside the paste mask, grey levels."""
    warp_error_out: float | None = None
    """The same of the result."""
    mask_flicker: float | None = None
    """Change of the paste masks from frame to frame with motion taken out, % of their area."""
    seam_excess: float | None = None
    """Slope of brightness across the masks' borders, result less source, grey levels per pixel."""
    verified: bool = False
    """The result was read back and matches its source in frames, times and streams."""
    verification: dict[str, Any] = field(default_factory=dict)
    """What was compared."""
    dropped: list[str] = field(default_factory=list)
    """Streams that the container cannot hold."""
    warnings: list[str] = field(default_factory=list)
    """What a user should know, one sentence each."""

    def stop_clock(self, started: float) -> None:
        """Note the time since `started` (perf_counter) and what speed that makes."""
        self.elapsed_secs = round(perf_counter() - started, 3)
        self.fps = round(self.frames / max(self.elapsed_secs, 1e-6), 2)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Read what `to_json` gave."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """Return the report as indented JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, default=str) + "\n"
