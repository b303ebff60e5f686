import io
import logging
import sys

import pytest

from trainer.progress import PlainProgress, TerminalProgress, clock_time, training_progress


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.secs = 100.0

    def __call__(self) -> float:
        return self.secs


def test_without_a_terminal_a_line_comes_from_time_to_time_and_at_the_end() -> None:
    lines: list[str] = []
    clock = Clock()
    progress = PlainProgress(every_secs=30, write=lines.append, clock=clock)
    progress.start(first_step=10, steps=20, pictures_per_step=4)
    progress.tell({"generator/total": 12.345})
    for step in range(11, 21):
        clock.secs += 8
        progress.advance(step)
    assert lines == [
        "step 14 of 20, 0.50 pictures/s, 0:00:48 left, generator/total 12.3",
        "step 18 of 20, 0.50 pictures/s, 0:00:16 left, generator/total 12.3",
        "step 20 of 20, 0.50 pictures/s, 0:00:00 left, generator/total 12.3",
    ]


def test_speed_is_that_of_the_last_steps() -> None:
    clock = Clock()
    progress = PlainProgress(write=lambda line: None, clock=clock)
    progress.start(first_step=0, steps=1000, pictures_per_step=2)
    assert progress.pictures_per_sec == 0
    for step in range(1, 101):
        clock.secs += 10 if step < 50 else 1
        progress.advance(step)
    assert progress.pictures_per_sec == pytest.approx(2)


def test_a_long_stage_tells_its_advance_and_its_end_and_a_short_one_nothing() -> None:
    lines: list[str] = []
    clock = Clock()
    progress = PlainProgress(every_secs=30, write=lines.append, clock=clock)
    for name, secs in (("Reading pictures", 1), ("Parsing faces", 20)):
        told = progress.stage(name)
        for done in range(1, 4):
            clock.secs += secs
            told(done, 3)
    assert lines == ["Parsing faces: 2 of 3.", "Parsing faces: 3 of 3."]


def test_a_terminal_shows_step_speed_and_losses() -> None:
    from rich.console import Console

    screen = io.StringIO()
    with TerminalProgress(Console(file=screen, force_terminal=True, width=160)) as progress:
        progress.stage("Parsing faces")(1, 2)
        progress.start(first_step=5, steps=50, pictures_per_step=2)
        progress.tell({"generator/total": 2.5})
        progress.advance(6)
    shown = screen.getvalue()
    assert "6/50" in shown
    assert "pictures/s" in shown
    assert "generator/total 2.5" in shown


def test_all_ranks_but_the_first_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with training_progress(is_shown=False) as progress:
        progress.start(first_step=0, steps=1, pictures_per_step=1)
        progress.advance(1)
    assert capsys.readouterr() == ("", "")


def test_log_lines_go_through_the_display_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "__stderr__", terminal)
    handler = logging.StreamHandler(terminal)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with training_progress() as progress:
            progress.start(first_step=0, steps=2, pictures_per_step=1)
            assert handler.stream is not terminal
        assert handler.stream is terminal
    finally:
        root.removeHandler(handler)


@pytest.mark.parametrize(
    ("secs", "text"), [(0.4, "0:00:00"), (59.6, "0:01:00"), (3661, "1:01:01"), (360000, "100:00:00")]
)
def test_durations_are_written_as_hours_minutes_seconds(secs: float, text: str) -> None:
    assert clock_time(secs) == text
