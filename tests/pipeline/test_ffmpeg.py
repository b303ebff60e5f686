"""The ffmpeg program: found or missed clearly, never hanging, never outliving us, its last words told."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import ffmpeg as program
from pipeline.errors import FfmpegError, OutOfSpaceError
from pipeline.ffmpeg import (
    FfmpegProcess,
    available_encoders,
    compile_arguments,
    encoder_pixel_formats,
    ffmpeg_program,
    ffmpeg_version,
    file_url,
    parse_version,
    raise_for_failure,
    run_ffmpeg,
)

ENDLESS = ["-re", "-f", "lavfi", "-i", "testsrc2", "-f", "null", "-"]


@pytest.fixture
def fresh_lookup() -> Iterator[None]:
    """Forget what was found, before and after."""
    for cached in (ffmpeg_program, ffmpeg_version, available_encoders):
        cached.cache_clear()
    yield
    for cached in (ffmpeg_program, ffmpeg_version, available_encoders):
        cached.cache_clear()


def shim(folder: Path, script: str) -> Path:
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(is_true: object, secs: float = 10) -> bool:
    deadline = time.monotonic() + secs
    while time.monotonic() < deadline:
        if is_true():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


@pytest.mark.usefixtures("fresh_lookup")
def test_the_program_named_by_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UGATIT_FFMPEG", str(shim(tmp_path, "echo ffmpeg version 5.1.9-0+deb12u1")))
    assert ffmpeg_program() == str(tmp_path / "ffmpeg")
    assert ffmpeg_version() == (5, 1)


@pytest.mark.usefixtures("fresh_lookup")
def test_a_wrong_name_in_the_environment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UGATIT_FFMPEG", "/nowhere/ffmpeg")
    with pytest.raises(FfmpegError, match="UGATIT_FFMPEG names '/nowhere/ffmpeg'"):
        ffmpeg_program()


@pytest.mark.usefixtures("fresh_lookup")
@pytest.mark.parametrize(
    ("script", "is_taken"),
    [
        (None, False),
        ("echo ffmpeg version 7.1.2 Copyright", True),
        ("echo ffmpeg version 5.1.9-0+deb12u1", False),
        ("exit 127", False),
    ],
)
def test_a_system_program_comes_before_the_bundled_one_unless_it_is_old_or_broken(
    script: str | None, is_taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UGATIT_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    if script:
        shim(tmp_path, script)
    assert (ffmpeg_program() == str(tmp_path / "ffmpeg")) == is_taken
    assert is_taken or "imageio_ffmpeg" in ffmpeg_program()


@pytest.mark.usefixtures("fresh_lookup")
def test_an_old_program_is_better_than_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UGATIT_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    shim(tmp_path, "echo ffmpeg version 5.1.9-0+deb12u1")
    assert ffmpeg_program() == str(tmp_path / "ffmpeg")


@pytest.mark.usefixtures("fresh_lookup")
def test_no_program_at_all_is_one_sentence_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UGATIT_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(FfmpegError, match="pip install imageio-ffmpeg"):
        ffmpeg_program()


@pytest.mark.usefixtures("fresh_lookup")
def test_a_program_that_does_not_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UGATIT_FFMPEG", str(shim(tmp_path, "exit 3")))
    with pytest.raises(FfmpegError, match="does not run"):
        ffmpeg_version()


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        ("ffmpeg version 5.1.9-0+deb12u1 Copyright", (5, 1)),
        ("ffmpeg version n9.0.2-17-g2a571b6068-20260930", (9, 0)),
        ("ffmpeg version N-118193-g5f38c82536", (99, 0)),
        ("ffmpeg version 2025-01-05-git-19c95ecbff", (99, 0)),
    ],
)
def test_versions_are_read_in_all_their_spellings(banner: str, version: tuple[int, int]) -> None:
    assert parse_version(banner) == version


def test_encoders_and_their_formats_are_listed() -> None:
    assert {"libx264", "ffv1", "aac", "mov_text"} <= available_encoders()
    assert "yuv420p" in encoder_pixel_formats("libx264")
    assert encoder_pixel_formats("no-such-encoder") == ()


def test_names_become_absolute_file_urls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert file_url("http:x.mp4") == f"file:{tmp_path}/http:x.mp4"
    assert file_url(Path("-rf")) == f"file:{tmp_path}/-rf"


def test_further_arguments_stand_before_the_output() -> None:
    import ffmpeg

    output = ffmpeg.output(ffmpeg.input("a.mp4")["v:0"], "b.mp4", **{"c:v": "copy"})
    extra = ("-metadata", "a=1", "-metadata", "b=2")
    assert compile_arguments(output, extra) == ["-i", "a.mp4", "-map", "0:v:0", "-c:v", "copy", *extra, "b.mp4"]


def test_a_failure_ends_with_the_programs_last_lines(tmp_path: Path) -> None:
    with pytest.raises(FfmpegError, match=r"exit code \d+(.|\n)*No such file or directory"):
        run_ffmpeg(["-i", file_url(tmp_path / "missing.mp4"), "-f", "null", "-"])


@pytest.mark.usefixtures("fresh_lookup")
def test_ten_megabytes_of_stderr_block_nothing_and_only_the_tail_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = "yes 'a warning that nobody asked for' | head -c 10000000 >&2; echo the end >&2"
    monkeypatch.setenv("UGATIT_FFMPEG", str(shim(tmp_path, noise)))
    said = run_ffmpeg(["-i", "x"], timeout_secs=30)
    assert len(said) <= 65536
    assert said.endswith("the end\n")


@pytest.mark.usefixtures("fresh_lookup")
def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UGATIT_FFMPEG", str(shim(tmp_path, f"sleep 100 & echo $! > {tmp_path}/child; sleep 100")))
    with pytest.raises(FfmpegError, match=r"did not end within 0\.5 s"):
        run_ffmpeg(["-i", "x"], timeout_secs=0.5)
    child = int((tmp_path / "child").read_text())
    assert wait_for(lambda: not is_alive(child))


def test_a_killed_program_is_a_failure_that_names_the_signal() -> None:
    process = FfmpegProcess(ENDLESS)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(FfmpegError, match="killed by SIGKILL"):
        process.wait(10)
    process.close()


def test_closing_ends_a_running_program() -> None:
    process = FfmpegProcess(ENDLESS)
    assert process.is_running()
    process.close()
    assert not process.is_running()


@pytest.mark.parametrize("line", ["x.mkv: No space left on device", "Error: Disk quota exceeded"])
def test_a_full_disk_has_an_error_of_its_own(line: str) -> None:
    with pytest.raises(OutOfSpaceError, match="disk is full"):
        raise_for_failure(1, f"frame= 1\n{line}\n")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the death signal is a Linux one")
@pytest.mark.parametrize("path", [os.environ.get("PATH", ""), "/nowhere"], ids=["setpriv", "prctl"])
def test_the_program_dies_with_a_parent_that_is_killed(path: str) -> None:
    started = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import os, time; from pipeline.ffmpeg import *; ffmpeg_program(); os.environ['PATH'] = {path!r}; "
            f"print(FfmpegProcess({ENDLESS}).pid, flush=True); time.sleep(100)",
        ],
        stdout=subprocess.PIPE,
        cwd=Path(program.__file__).parents[1],
    )
    with started:
        assert started.stdout is not None
        pid = int(started.stdout.readline())
        assert wait_for(lambda: is_alive(pid))
        time.sleep(0.3)  # the program that arms the death signal runs first
        started.kill()
        started.wait()
    assert wait_for(lambda: not is_alive(pid))
