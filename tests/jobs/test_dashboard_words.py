"""How the status page writes names, times, sizes and figures."""

import os

import pytest

from jobs.dashboard import words
from jobs.dashboard.figures import figures
from jobs.job import JobKind


@pytest.mark.parametrize(
    ("secs", "shown"),
    [(None, "–"), (-3, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (3660, "1 h 01 min"),
     (90000, "1 d 1 h")],
)  # fmt: skip
def test_a_span_of_time_has_its_two_largest_units(secs: float | None, shown: str) -> None:
    assert words.duration(secs) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [(None, "–"), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_999, "1.0 MB"), (48_000_000, "48 MB"),
     (12_400_000_000, "12 GB"), (5 * 10**15, "5000 TB")],
)  # fmt: skip
def test_a_size_has_a_unit_that_leaves_few_digits(size: int | None, shown: str) -> None:
    assert words.size(size) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [("clip.mp4", "clip.mp4"), ("a\tb\x7f", r"a\tb\x7f"), (os.fsdecode(b"\xff\xfe"), r"\xff\xfe"),
     ("\ud800", r"\ud800"), ("a\u2028b\u200fc", r"a\u2028b\u200fc"), ("naïve 家族", "naïve 家族")],
)  # fmt: skip
def test_a_name_is_shown_with_everything_that_one_would_not_see(name: str, shown: str) -> None:
    assert words.shown_name(name) == shown


def test_a_reason_keeps_its_lines_and_becomes_a_sentence() -> None:
    assert words.sentence("it broke\nat \x1b[0m") == "It broke\nat \\x1b[0m"
    assert words.sentence("it broke") == "It broke."
    assert words.sentence("clip.mp4.toml, line 1: `crf` is 99") == "clip.mp4.toml, line 1: `crf` is 99."
    assert words.sentence("") == ""


def test_a_report_of_whatever_shape_gives_only_figures_that_are_numbers() -> None:
    odd = {"frames": "many", "faces": None, "fps": True, "elapsed_secs": [], "jitter_in_percent": 1.0, "tracks": 2}
    assert [figure.text for figure in figures(odd)] == ["2 people"]
    assert figures({"jitter_in_percent": 1.0, "jitter_out_percent": 2.0}) == ()
    assert [figure.text for figure in figures({"frames": 1, "jitter_in_percent": 2.0, "jitter_out_percent": 0})] == [
        "1 frame",
        "99.0× steadier",
    ]


def test_of_a_folder_pictures_are_counted_and_of_a_picture_nothing_that_takes_time() -> None:
    report = {"frames": 3, "faces": 4, "fps": 2.0, "elapsed_secs": 1.5}
    assert [figure.text for figure in figures(report, JobKind.FOLDER)] == ["3 pictures", "4 faces", "in 2 s"]
    assert [figure.text for figure in figures(report | {"frames": 1}, JobKind.PICTURE)] == ["4 faces", "in 2 s"]
