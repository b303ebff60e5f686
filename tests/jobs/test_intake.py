"""How files arrive, and that each becomes one job, once it is complete (rows 17, 18, 21, 27, 32, 37, 38)."""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.job import JobKind, JobState, Link
from tests.jobs.watched import SETTLE_SECS, Watched


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with Watched(tmp_path) as watched:
        yield watched


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# Every way to arrive


def write_slowly(watched: Watched) -> None:
    with (watched.path / "clip.mp4").open("wb") as file:
        for _ in range(8):
            file.write(b"part")
            file.flush()
            watched.run_for(SETTLE_SECS / 2)


def upload_with_breaks(watched: Watched) -> None:
    for part in range(3):
        with (watched.path / "clip.mp4").open("ab") as file:
            file.write(b"part" * (2 if part < 2 else 4))
        watched.run_for(SETTLE_SECS / 2)


def copy(watched: Watched) -> None:
    shutil.copyfile(watched.root / "source.mp4", watched.path / "clip.mp4")


def move(watched: Watched) -> None:
    os.rename(watched.root / "source.mp4", watched.path / "clip.mp4")


def link(watched: Watched) -> None:
    os.link(watched.root / "source.mp4", watched.path / "clip.mp4")


def rsync(watched: Watched) -> None:
    hidden = watched.path / ".clip.mp4.Xy12Ab"
    shutil.copyfile(watched.root / "source.mp4", hidden)
    watched.run_for(SETTLE_SECS * 2)
    os.rename(hidden, watched.path / "clip.mp4")


def download(watched: Watched) -> None:
    part = watched.path / "clip.mp4.part"
    shutil.copyfile(watched.root / "source.mp4", part)
    watched.run_for(SETTLE_SECS * 2)
    os.rename(part, watched.path / "clip.mp4")


def write_through_a_map(watched: Watched) -> None:
    import mmap

    path = watched.path / "clip.mp4"
    path.write_bytes(bytes(32))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 32) as memory:
        watched.run_for(SETTLE_SECS * 2)
        memory[:] = b"part" * 8
        memory.flush()


@pytest.mark.parametrize(
    "arrive", [write_slowly, upload_with_breaks, copy, move, link, rsync, download, write_through_a_map]
)
@pytest.mark.parametrize("poll", ["auto", "always"])
def test_however_a_file_arrives_it_becomes_one_job_when_it_is_whole(tmp_path: Path, arrive: object, poll: str) -> None:
    (tmp_path / "source.mp4").write_bytes(b"part" * 8)
    with Watched(tmp_path, poll=poll) as watched:
        arrive(watched)  # type: ignore[operator]
        watched.settle()
        (job,) = watched.jobs(JobState.QUEUED)
        assert job.relative == Path("clip.mp4")
        assert job.fingerprint == sha256(b"part" * 8)
        assert watched.states() == {"clip.mp4": "queued"}


def test_a_tree_of_folders_arrives_with_its_files(watched: Watched) -> None:
    watched.run_for(0.1)
    for name in ("a/b/c/clip.mp4", "a/b/other.mkv", "picture.png"):
        watched.drop(name)
    watched.settle()
    assert watched.states() == {"a/b/c/clip.mp4": "queued", "a/b/other.mkv": "queued", "picture.png": "queued"}


def test_a_folder_that_is_moved_in_is_found(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "trip").mkdir()
    (tmp_path / "trip/1.jpg").write_bytes(b"1")
    (tmp_path / "trip/2.jpg").write_bytes(b"2")
    os.rename(tmp_path / "trip", watched.path / "trip")
    watched.settle()
    (job,) = watched.jobs()
    assert (job.kind, job.state, job.relative) == (JobKind.FOLDER, JobState.QUEUED, Path("trip"))


def test_what_lay_there_before_is_taken_too(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/clip.mp4").write_bytes(b"x")
    with Watched(tmp_path) as watched:
        watched.settle()
        assert watched.states() == {"clip.mp4": "queued"}


# Completeness


def test_a_file_that_somebody_holds_open_for_writing_is_waited_for_however_still_it_is(watched: Watched) -> None:
    with (watched.path / "clip.mp4").open("wb") as file:
        file.write(b"first half, ")
        file.flush()
        watched.run_for(SETTLE_SECS * 5)
        assert watched.states() == {"clip.mp4": "settling"}
        file.write(b"second half")
    watched.settle()
    (job,) = watched.jobs(JobState.QUEUED)
    assert job.fingerprint == sha256(b"first half, second half")


def test_a_folder_is_settled_as_a_whole(watched: Watched) -> None:
    for number in range(5):
        watched.drop(f"trip/{number}.jpg")
        watched.run_for(SETTLE_SECS * 0.7)
        assert JobState.QUEUED not in {job.state for job in watched.jobs()}
    watched.settle()
    (job,) = watched.jobs()
    assert job.stamp is not None
    assert job.stamp.size_bytes == 5 * len("trip/0.jpg")


def test_a_folder_with_an_open_picture_is_waited_for(watched: Watched) -> None:
    watched.drop("trip/1.jpg")
    with (watched.path / "trip/2.jpg").open("wb"):
        watched.run_for(SETTLE_SECS * 4)
        assert watched.states() == {"trip": "settling"}
    watched.settle()
    assert watched.states() == {"trip": "queued"}


def test_times_in_the_future_or_long_ago_do_not_matter(watched: Watched) -> None:
    for name, secs in (("future.mp4", 4e9), ("past.mp4", 0)):
        os.utime(watched.drop(name), (secs, secs))
    began = time.monotonic()
    watched.settle()
    assert SETTLE_SECS <= time.monotonic() - began < 5.0
    assert watched.states() == {"future.mp4": "queued", "past.mp4": "queued"}


def test_a_file_that_goes_on_growing_between_looks_is_not_hashed_in_between(watched: Watched) -> None:
    path = watched.drop("clip.mp4", b"")
    early = []
    for _ in range(10):
        with path.open("ab") as file:
            file.write(b"more")
        watched.run_for(SETTLE_SECS * 0.6)
        early += [job for job in watched.jobs() if job.state is not JobState.SETTLING]
    assert early == []
    watched.settle()
    assert watched.jobs()[0].fingerprint == sha256(b"more" * 10)


# What is taken, and as what


@pytest.mark.parametrize(
    "name",
    [
        b"-rf.mp4",
        b"new\nline.mp4",
        b"%03d.mp4",
        b"$(touch x).mp4",
        b"\xff\xfe.mp4",
        b"http:x.mp4",
        b"y" * 251 + b".mp4",
    ],
)
def test_files_with_hostile_names_become_jobs(watched: Watched, name: bytes) -> None:
    watched.drop(os.fsdecode(name))
    watched.settle()
    (job,) = watched.jobs(JobState.QUEUED)
    assert os.fsencode(job.relative) == name
    assert job.fingerprint == sha256(name)


def test_links_and_pipes_are_said_once_and_nothing_waits_for_them(
    watched: Watched, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (watched.path / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    os.mkfifo(watched.path / "pi\npe.mp4")
    watched.drop("clip.mp4")
    watched.settle()
    watched.look()
    assert watched.states() == {"clip.mp4": "queued"}
    told = [line for line in caplog.messages if "left out" in line]
    assert len(told) == 2
    assert any('"pi\\x0ape.mp4"' in line for line in told)


def test_results_in_the_watch_folder_are_not_taken_for_sources(tmp_path: Path) -> None:
    with Watched(tmp_path) as watched:
        watched.intake.stop()
        inner = watched.path / "results"
        inner.mkdir()
        watched.output = inner
        watched.config = watched.configured()
        watched.restart()
        watched.drop("clip.mp4")
        watched.drop("results/clip.mp4")
        watched.drop("results/.ugatit/work/chunk.mp4")
        watched.settle()
        assert watched.states() == {"clip.mp4": "queued"}


def test_the_folder_of_a_style_chooses_it_and_is_no_part_of_the_name(watched: Watched) -> None:
    watched.drop("sketch/trip/clip.mp4")
    watched.drop("plain/clip.mp4", b"another")
    watched.settle()
    styles = {str(job.relative): job.treatment.convert["style"] for job in watched.jobs(JobState.QUEUED)}
    assert styles == {"trip/clip.mp4": "sketch", "plain/clip.mp4": "toon"}


def test_a_sidecar_counts_also_when_it_comes_after_its_source(watched: Watched) -> None:
    watched.drop("clip.mp4")
    watched.look()
    watched.drop("clip.mp4.toml", b'style = "sketch"\n')
    watched.settle()
    (job,) = watched.jobs()
    assert (job.state, job.treatment.convert["style"]) == (JobState.QUEUED, "sketch")


def test_a_sidecar_that_comes_at_the_last_moment_counts(tmp_path: Path) -> None:
    with Watched(tmp_path, poll="always", rescan_secs=3600.0) as watched:
        watched.drop("clip.mp4")
        watched.look()
        watched.drop("clip.mp4.toml", b'style = "sketch"\n')
        watched.run(lambda: watched.intake.is_quiet)
        (job,) = watched.jobs(JobState.QUEUED)
        assert job.treatment.convert["style"] == "sketch"


def test_a_wrong_sidecar_fails_its_source_and_says_where(watched: Watched) -> None:
    watched.drop("clip.mp4.toml", b'style = "nonsense"\n')
    watched.drop("clip.mp4")
    watched.drop("other.mp4")
    watched.settle()
    assert watched.states() == {"clip.mp4": "failed", "other.mp4": "queued"}
    (job,) = watched.jobs(JobState.FAILED)
    assert "clip.mp4.toml, line 1" in job.reason
    assert "nonsense" in job.reason


def test_a_sidecar_that_is_put_right_in_time_does_no_harm(watched: Watched) -> None:
    watched.drop("clip.mp4.toml", b'style = "non')
    watched.drop("clip.mp4")
    watched.look()
    watched.drop("clip.mp4.toml", b'style = "sketch"\n')
    watched.settle()
    assert watched.states() == {"clip.mp4": "queued"}


# Twice


def test_the_same_content_under_two_names_is_one_job_and_a_link(watched: Watched) -> None:
    watched.drop("one.mp4", b"same")
    watched.settle()
    watched.drop("two.mp4", b"same")
    watched.settle()
    assert watched.states() == {"one.mp4": "queued"}
    (other,) = watched.store.links(pending=False)
    assert isinstance(other, Link)
    assert other.relative == Path("two.mp4")


def test_a_second_look_changes_nothing(watched: Watched) -> None:
    watched.drop("clip.mp4")
    watched.drop("trip/1.jpg")
    watched.settle()
    before = watched.store.moves()
    for _ in range(3):
        watched.look()
    assert watched.store.moves() == before


def test_a_thousand_files_at_once_become_a_thousand_jobs(watched: Watched) -> None:
    for number in range(1000):
        watched.drop(f"{number}.mp4")
    watched.run(lambda: watched.store.counts()[JobState.QUEUED] == 1000, 60.0)
    assert len(watched.states()) == 1000
    watched.run(lambda: watched.intake.is_quiet)
