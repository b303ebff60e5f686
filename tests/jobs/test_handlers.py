"""Jobs get converted, and whatever goes wrong is sorted by its type."""

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs.errors import Draining, LostClaimError, OddSourceError, OutputTakenError, StoreError
from jobs.fingerprints import fingerprint
from jobs.handlers import Handler, Verdict, check_choices, kind_of, sort_error, thumbnails
from jobs.job import Job, JobKind, JobState, Treatment
from pipeline.errors import (
    FfmpegError,
    OutOfSpaceError,
    OutputError,
    QuotaError,
    SourceChangedError,
    UnreadableInputError,
    UnsupportedInputError,
)
from pipeline.progress import SilentProgress
from pipeline.publish import sha256_of
from tests.pipeline.clips import write_stripes

ROOT = Path(__file__).parents[2]
CHOICES = check_choices({"style": "rehearsal", "chunk_secs": 0.5})


@dataclass
class Renamer:
    """Publishes by a rename and keeps what it was told."""

    rehash: bool = True
    checked: list[Path] = field(default_factory=list)
    published: list[Path] = field(default_factory=list)
    reports: list[Any] = field(default_factory=list)

    def check(self, final: Path) -> None:
        self.checked.append(final)

    def publish(self, finished: Path, final: Path, report: Any) -> Path:
        report.output = str(final)
        self.published.append(finished.rename(final))
        self.reports.append(report)
        return final


def job_of(source: Path, kind: JobKind = JobKind.VIDEO, **treatment: Any) -> Job:
    """A job that a worker has just claimed."""
    output = source.parent.parent / "out"
    output.mkdir(exist_ok=True)
    return Job(
        7,
        JobState.RUNNING,
        kind,
        str(source.parent),
        source,
        Path(source.name),
        output,
        Treatment(**{"convert": CHOICES, "min_free_bytes": 0, **treatment}),
        "hash",
        fingerprint=None if kind == JobKind.FOLDER or not source.is_file() else sha256_of(source),
    )


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A watch folder."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def clip(inbox: Path) -> Path:
    """A video in it."""
    return write_stripes(inbox / "clip.mp4", 20)


def run(job: Job, publisher: Renamer | None = None, progress: SilentProgress | None = None, **more: Any) -> Renamer:
    publisher = publisher or Renamer()
    Handler(CHOICES)(job, progress or SilentProgress(), publisher, **more)
    return publisher


def test_importing_it_is_cheap() -> None:
    code = "import sys, jobs.handlers; sys.exit(bool({'torch', 'cv2', 'av', 'numpy', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_video_is_converted_in_its_jobs_work_folder(clip: Path) -> None:
    job = job_of(clip)
    seen = []

    class Look(SilentProgress):
        def checkpoint(self) -> None:
            seen.extend(job.work_folder.glob("*/*"))

    publisher = run(job, progress=Look())
    assert publisher.published == publisher.checked == [job.output_folder / "clip.mp4"]
    assert publisher.reports[0].frames == 20
    assert any(path.name.startswith("chunk-") for path in seen)
    assert not job.work_folder.exists()
    assert [p.name for p in job.output_folder.iterdir() if p.name != ".ugatit"] == ["clip.mp4"]


def test_a_handler_loads_its_studio_once(clip: Path) -> None:
    handler, job = Handler(CHOICES), job_of(clip)
    handler(job, SilentProgress(), Renamer())
    studio = handler._studio
    handler(replace(job, relative=Path("again.mp4")), SilentProgress(), Renamer())
    assert studio is not None
    assert handler._studio is studio


def test_a_picture_and_a_folder_of_pictures_are_converted(inbox: Path) -> None:
    (inbox / "photos").mkdir()
    for path in (inbox / "one.png", inbox / "photos" / "two.png"):
        Image.new("RGB", (96, 64), (250, 60, 0)).save(path)
    single, folder = job_of(inbox / "one.png", JobKind.PICTURE), job_of(inbox / "photos", JobKind.FOLDER)
    assert run(single).published == [single.output_folder / "one.png"]
    assert run(folder).published == [folder.output_folder / "photos"]
    assert (folder.output_folder / "photos" / "two.png").exists()


def test_a_folder_is_held_to_its_fingerprint_and_to_the_pictures_that_count_for_it(inbox: Path) -> None:
    photos = inbox / "style" / "photos"
    for name in ("b.png", "a/c.png", "a.png", "@eaDir/thumb.png", ".hidden.png"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (96, 64), (250, len(name), 0)).save(photos / name)
    job = replace(job_of(photos, JobKind.FOLDER), folder=str(inbox), relative=Path("photos"))
    found = fingerprint(inbox, "style/photos", JobKind.FOLDER, lambda name: kind_of(Path(name)))
    assert found is not None
    job = replace(job, output_folder=inbox.parent / "results", fingerprint=found.sha256)
    job.output_folder.mkdir()
    assert run(job).reports[0].input_sha256 == found.sha256
    made = job.output_folder / "photos"
    assert sorted(str(p.relative_to(made)) for p in made.rglob("*.png")) == ["a.png", "a/c.png", "b.png"]
    with pytest.raises(SourceChangedError, match="after they had been accepted"):
        run(replace(job, relative=Path("again"), fingerprint="0" * 64))


@pytest.mark.parametrize("error", [Draining("stop"), LostClaimError("gone")])
def test_what_the_workers_progress_raises_comes_through_and_finished_chunks_stay(clip: Path, error: Exception) -> None:
    class StopAtTheFirstChunk(SilentProgress):
        count = 0

        def checkpoint(self) -> None:
            self.count += 1
            if self.count == 2:
                raise error

    job, publisher = job_of(clip), Renamer()
    with pytest.raises(type(error)):
        run(job, publisher, StopAtTheFirstChunk())
    assert not publisher.published
    assert len(list(job.work_folder.glob("*/chunk-*.json"))) == 1


def test_drained_in_the_first_pass_it_leaves_at_once(clip: Path) -> None:
    class StopAtOnce(SilentProgress):
        def advance(self, frames: int = 1, faces: int = 0) -> None:
            raise Draining("stop")

    with pytest.raises(Draining):
        run(job_of(clip), progress=StopAtOnce())


def test_a_source_with_other_content_than_was_accepted_is_not_converted(clip: Path) -> None:
    job, publisher = job_of(clip), Renamer()
    write_stripes(clip, 21)
    with pytest.raises(SourceChangedError):
        run(job, publisher)
    assert not publisher.published


def test_a_change_in_the_middle_that_keeps_size_and_time_is_noticed(clip: Path) -> None:
    class Tamper(SilentProgress):
        def checkpoint(self) -> None:
            status = clip.stat()
            data = bytearray(clip.read_bytes())
            data[-1] ^= 1
            clip.write_bytes(data)
            os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))
            self.checkpoint = lambda: None  # type: ignore[method-assign]

    publisher = Renamer()
    with pytest.raises(SourceChangedError):
        run(job_of(clip), publisher, Tamper())
    assert not publisher.published


def test_a_source_that_is_gone_is_told_so(inbox: Path) -> None:
    with pytest.raises(SourceChangedError, match="is gone"):
        run(job_of(inbox / "clip.mp4"))
    with pytest.raises(SourceChangedError, match="is gone"):
        run(job_of(inbox / "photos", JobKind.FOLDER))


@pytest.mark.parametrize("name", ["zeros.mp4", "zeros.jpg"])
def test_room_that_a_copying_program_took_is_waited_for(inbox: Path, name: str) -> None:
    (inbox / name).write_bytes(bytes(100_000))
    kind = kind_of(Path(name))
    assert kind is not None
    with pytest.raises(UnreadableInputError):
        run(job_of(inbox / name, kind))


def test_a_text_that_calls_itself_a_picture_is_not_waited_for(inbox: Path) -> None:
    (inbox / "note.jpg").write_text("no picture")
    with pytest.raises(UnsupportedInputError):
        run(job_of(inbox / "note.jpg", JobKind.PICTURE))


def test_a_video_above_the_quota_is_refused_before_any_work(clip: Path) -> None:
    size = 96 * 64 * 0.8
    assert run(job_of(clip, max_pixel_secs=size * 1.1)).published
    publisher = Renamer()
    with pytest.raises(QuotaError, match="max_minutes_at_1080p"):
        run(job_of(clip, max_pixel_secs=size * 0.9), publisher)
    assert not publisher.checked


def test_nothing_is_begun_without_room_or_a_folder_for_results(clip: Path) -> None:
    with pytest.raises(OutOfSpaceError, match="must stay free"):
        run(job_of(clip, min_free_bytes=1 << 60))
    with pytest.raises(OutputError, match="not there"):
        run(replace(job_of(clip), output_folder=clip.parent.parent / "unmounted"))
    assert not (clip.parent.parent / "unmounted").exists()


def test_thumbnails_are_there_when_the_result_is(clip: Path, tmp_path: Path) -> None:
    Handler(CHOICES, tmp_path / "thumbs")(job_of(clip), SilentProgress(), Renamer())
    assert sorted(p.name for p in (tmp_path / "thumbs").iterdir()) == ["7-after.jpg", "7-before.jpg"]
    assert (tmp_path / "thumbs" / "7-after.jpg").read_bytes() != (tmp_path / "thumbs" / "7-before.jpg").read_bytes()


def test_thumbnails_that_cannot_be_made_harm_nothing(clip: Path, tmp_path: Path) -> None:
    thumbnails(replace(job_of(clip), output=tmp_path / "missing.mp4"), tmp_path / "thumbs")
    assert not list((tmp_path / "thumbs").iterdir())


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Draining("stop"), Verdict("drain", reason="stop")),
        (LostClaimError("gone"), Verdict("lost", reason="gone")),
        (OutputTakenError("taken"), Verdict("fail", reason="taken")),
        (OddSourceError("link"), Verdict("fail", reason="link")),
        (StoreError("full"), Verdict("retry", reason="full")),
        (SourceChangedError("new"), Verdict("changed", reason="new")),
        (UnreadableInputError("cut"), Verdict("wait", reason="cut")),
        (QuotaError("large"), Verdict("fail", reason="large")),
        (FfmpegError("died"), Verdict("retry", reason="died")),
        (OutOfSpaceError("full"), Verdict("block", "disk", "full")),
        (ZeroDivisionError("division by zero"), Verdict("retry", reason="ZeroDivisionError: division by zero")),
        (RuntimeError(), Verdict("retry", reason="RuntimeError")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_gets_its_verdict(error: Exception, verdict: Verdict) -> None:
    assert sort_error(error) == verdict


def test_kinds_go_by_the_suffix() -> None:
    names = ("a.MP4", "a.mkv", "a.JPG", "a.txt", "mp4", "a.mp4.part")
    assert [kind_of(Path(name)) for name in names] == [
        JobKind.VIDEO,
        JobKind.VIDEO,
        JobKind.PICTURE,
        None,
        None,
        None,
    ]
