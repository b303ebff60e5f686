"""Memory is bounded, and does not grow with the length of a clip: ten minutes need what one minute needs."""

import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import pytest

from jobs.process_tree import descendants
from pipeline import demo

from .media import ffmpeg

ROOT = Path(__file__).parents[2]
FRAME_RATE = 25
MAX_BYTES = 1200 * 10**6


def write_clip(path: Path, size_wh: tuple[int, int], num_frames: int) -> Path:
    """The moving astronaut at 25 frames per second."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "ultrafast", "g": "10"})
        (video.width, video.height), video.pix_fmt = size_wh, "yuv420p"
        for i in range(num_frames):
            picture = cv2.resize(demo.draw_frame(i / FRAME_RATE), size_wh, interpolation=cv2.INTER_CUBIC)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
    return path


@dataclass(frozen=True)
class Peak:
    """Greatest resident sizes of a conversion, libraries' files included."""

    own_bytes: int
    """The program and its processes that render."""
    encoder_bytes: int
    """The largest ffmpeg."""

    def __str__(self) -> str:
        return f"{self.own_bytes / 10**6:.0f} MB, and {self.encoder_bytes / 10**6:.0f} MB of ffmpeg"


def peak(clip: Path, out: Path, *options: str) -> Peak:
    """Convert in a process of its own and watch it and all below it."""
    command = [sys.executable, "run.py", "convert", str(clip), "-o", str(out), "--overwrite", *options]
    highest: dict[int, tuple[bool, int]] = {}
    with subprocess.Popen(command, cwd=ROOT) as process:
        while process.poll() is None:
            for pid in (process.pid, *descendants(process.pid)):
                with suppress(OSError, StopIteration):
                    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                    high = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))
                    highest[pid] = "python" not in lines[0], high
            time.sleep(0.05)
    assert process.returncode == 0
    own = sum(high for is_encoder, high in highest.values() if not is_encoder)
    return Peak(own, max(high for is_encoder, high in highest.values() if is_encoder))


@pytest.mark.slow
def test_ten_minutes_need_no_more_memory_than_one(style_file: Path, tmp_path: Path) -> None:
    minute = write_clip(tmp_path / "minute.mp4", (1280, 720), 60 * FRAME_RATE)
    ten = ffmpeg(tmp_path / "ten.mp4", "-stream_loop", "9", "-i", str(minute), "-c", "copy")
    short, long = (peak(clip, tmp_path / "out", "--style", str(style_file)) for clip in (minute, ten))
    print(f"peak RSS: {short} for 1 minute, {long} for 10 minutes")
    assert long.own_bytes < 1.15 * short.own_bytes
    assert long.encoder_bytes < 1.15 * short.encoder_bytes


@pytest.mark.slow
def test_1080p_with_a_built_in_style_needs_no_more_than_1200_mb(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", (1920, 1080), 100)
    found = peak(clip, tmp_path / "out", "--device", "cpu")
    print(f"peak RSS at 1080p: {found}")
    assert found.own_bytes < MAX_BYTES


@pytest.mark.slow
def test_4k_frames_wait_in_smaller_numbers(style_file: Path, tmp_path: Path) -> None:
    small, large = (
        peak(write_clip(tmp_path / f"{size[0]}.mp4", size, 50), tmp_path / "out", "--style", str(style_file))
        for size in ((1920, 1080), (3840, 2160))
    )
    print(f"peak RSS: {small} at 1080p, {large} at 4K")
    assert large.own_bytes - small.own_bytes < 500 * 10**6
