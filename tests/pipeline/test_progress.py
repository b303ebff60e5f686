"""The display for people does not get in the way of what is printed."""

import pytest

from pipeline.progress import TerminalProgress


def test_the_line_of_a_finished_stage_is_wiped_before_anything_else_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the captured stderr for a terminal
    monkeypatch.setenv("TERM", "xterm")
    with TerminalProgress() as progress:
        progress.start("holiday.mp4", "restyling", 3)
        progress.advance(1, faces=2)
        progress.finish()
        told = capsys.readouterr().err
    assert "restyling holiday.mp4" in told
    assert told.endswith("\r\x1b[2K")
