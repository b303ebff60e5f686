"""Rows 33, 35, 36: what is cut off, empty, or no video, fails with its reason; nothing of it is ever "done"."""

from pathlib import Path

import pytest

from jobs.selftest.media import write_clip
from tests.faults.watching import Watch
from tests.pipeline.media import ffmpeg, make_video, sound_source

CUTS = [(suffix, percent) for suffix in (".mp4", ".mkv", ".webm", ".avi") for percent in (10, 50, 90)]


def test_row_33_cut_off_files_of_every_container_fail_and_say_why(shared: Watch, tmp_path: Path) -> None:
    shared.ensure_running()
    for suffix, percent in CUTS:
        codec = ("-c:v", "libvpx-vp9", "-cpu-used", "8") if suffix == ".webm" else ("-c:v", "libx264")
        content = make_video(tmp_path / f"whole{suffix}", *codec, num_frames=30).read_bytes()
        (shared.inbox / f"cut{percent}{suffix}").write_bytes(content[: len(content) * percent // 100])
    names = [f"cut{percent}{suffix}" for suffix, percent in CUTS]
    shared.until(lambda: all(shared.state(name) == "failed" for name in names), "all cut files failed")
    assert all(shared.job(name)["reason"] for name in names)


def test_row_35_what_is_no_video_fails_for_good_and_one_frame_is_a_video(shared: Watch, tmp_path: Path) -> None:
    shared.ensure_running()
    (shared.inbox / "empty.mp4").touch()
    (shared.inbox / "text.mp4").write_text("Dear diary")
    ffmpeg(shared.inbox / "sound.mp4", *sound_source())
    write_clip(tmp_path / "one.mp4", 8000, 1).rename(shared.inbox / "one-frame.mp4")
    bad = ["empty.mp4", "text.mp4", "sound.mp4"]
    shared.until(lambda: all(shared.state(name) == "failed" for name in bad), "all of these failed")
    assert all(shared.job(name)["exceptions"] == 0 for name in bad)  # none was tried again for nothing
    shared.until_state("one-frame.mp4", "done")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("concat.mp4", "ffconcat version 1.0\nfile secret.mp4\n"),
        ("playlist.mp4", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n"),
        ("drawing.mp4", '<svg xmlns="http://www.w3.org/2000/svg"><image href="secret.mp4"/></svg>'),
        ("subtitle.mp4", "1\n00:00:00,000 --> 00:00:01,000\nHello\n"),
    ],
)
def test_row_36_a_list_of_files_is_not_followed(shared: Watch, name: str, content: str) -> None:
    shared.ensure_running()
    (shared.inbox / name).write_text(content)
    shared.until_state(name, "failed")
