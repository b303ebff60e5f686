"""A result is never seen without its report, and neither is lost when the other cannot be placed."""

import json
from pathlib import Path

import pytest

from pipeline import publisher
from pipeline.errors import OutputExistsError
from pipeline.publisher import FilePublisher
from pipeline.report import Report


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A finished result in its work folder."""
    path = tmp_path / "work" / "finished.mp4"
    path.parent.mkdir()
    path.write_bytes(b"result")
    return path


def test_the_report_is_there_before_the_result_is(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def publish(part: Path, final: Path, *, overwrite: bool) -> None:
        seen.append((json.loads((tmp_path / "clip.report.json").read_text())["output"], final.exists()))

    monkeypatch.setattr(publisher, "publish", publish)
    FilePublisher(tmp_path / "clip.report.json", overwrite=False).publish(finished, tmp_path / "clip.mp4", Report("in"))
    assert seen == [(str(tmp_path / "clip.mp4"), False)]


def test_publishing_returns_the_name_and_leaves_nothing_else(finished: Path, tmp_path: Path) -> None:
    ours, report = FilePublisher(tmp_path / "clip.report.json", overwrite=False), Report("in")
    assert ours.publish(finished, tmp_path / "clip.mp4", report) == tmp_path / "clip.mp4"
    assert report.output == str(tmp_path / "clip.mp4")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["clip.mp4", "clip.report.json", "work"]


def _fail_late(monkeypatch: pytest.MonkeyPatch) -> None:
    def publish(part: Path, final: Path, *, overwrite: bool) -> None:
        raise OutputExistsError("just now")

    monkeypatch.setattr(publisher, "publish", publish)


def test_without_a_result_there_is_no_report_either(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fail_late(monkeypatch)
    with pytest.raises(OutputExistsError):
        FilePublisher(tmp_path / "r.json", overwrite=False).publish(finished, tmp_path / "clip.mp4", Report("in"))
    assert not (tmp_path / "r.json").exists()


def test_the_report_of_somebody_who_was_faster_stays(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fail_late(monkeypatch)
    (tmp_path / "r.json").write_text("theirs")
    with pytest.raises(OutputExistsError):
        FilePublisher(tmp_path / "r.json", overwrite=False).publish(finished, tmp_path / "clip.mp4", Report("in"))
    assert (tmp_path / "r.json").read_text() == "theirs"


def test_a_name_that_is_taken_is_refused_before_the_report_is_touched(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"theirs")
    (tmp_path / "r.json").write_text("theirs")
    ours = FilePublisher(tmp_path / "r.json", overwrite=False)
    for attempt in (
        lambda: ours.check(tmp_path / "clip.mp4"),
        lambda: ours.publish(finished, tmp_path / "clip.mp4", Report("in")),
    ):
        with pytest.raises(OutputExistsError, match="--overwrite"):
            attempt()
    assert (tmp_path / "clip.mp4").read_bytes() == b"theirs"
    assert (tmp_path / "r.json").read_text() == "theirs"
