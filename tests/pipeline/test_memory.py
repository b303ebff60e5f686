"""Memory does not grow with the length of a clip: ten minutes need what one minute needs."""

import os
import subprocess
import sys
from pathlib import Path

import av
import cv2
import pytest

from pipeline import demo

from .media import ffmpeg

ROOT = Path(__file__).parents[2]
FRAME_RATE = 25


def write_minute(path: Path) -> Path:
    """One minute of the moving astronaut in 1280x720 at 25 frames per second."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "ultrafast", "g": "10"})
        video.width, video.height, video.pix_fmt = 1280, 720, "yuv420p"
        for i in range(60 * FRAME_RATE):
            picture = cv2.resize(demo.draw_frame(i / FRAME_RATE), (1280, 720), interpolation=cv2.INTER_CUBIC)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
    return path


def peak_rss_bytes(clip: Path, out: Path, style: Path) -> int:
    """Convert in a process of its own and return its greatest resident size."""
    command = [sys.executable, "run.py", "convert", str(clip), "-o", str(out), "--style", str(style)]
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


@pytest.mark.slow
def test_ten_minutes_need_no_more_memory_than_one(style_file: Path, tmp_path: Path) -> None:
    minute = write_minute(tmp_path / "minute.mp4")
    ten = ffmpeg(tmp_path / "ten.mp4", "-stream_loop", "9", "-i", str(minute), "-c", "copy")
    short, long = (peak_rss_bytes(clip, tmp_path / "out", style_file) for clip in (minute, ten))
    print(f"peak RSS: {short / 2**20:.0f} MiB for 1 minute, {long / 2**20:.0f} MiB for 10 minutes: {long / short:.3f}")
    assert long < 1.15 * short
