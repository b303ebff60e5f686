"""Windows of local time in which jobs may start."""

from datetime import datetime

import pytest

from jobs.schedule import parse_schedule, told

# 2026-11-23 is a Monday.
MONDAY = datetime(2026, 11, 23)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """A time in the week of MONDAY; day 0 is Monday."""
    return MONDAY.replace(day=MONDAY.day + day, hour=hour, minute=minute)


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        (at(0, 21, 59), False),
        (at(0, 22), True),
        (at(1, 0), True),
        (at(1, 5, 59), True),
        (at(1, 6), False),
        (at(1, 12), False),
    ],
)
def test_a_window_over_midnight_opens_in_the_evening_and_closes_in_the_morning(when: datetime, is_open: bool) -> None:
    assert parse_schedule("22:00-06:00").is_open(when) is is_open


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        (at(0, 6), False),  # Sunday's night is no window of mon-fri, and Sunday ended at 24:00
        (at(0, 20), True),
        (at(4, 23), True),
        (at(5, 6, 59), True),
        (at(5, 12), True),
        (at(6, 23, 59), True),
        (at(2, 12), False),
    ],
)
def test_days_are_those_on_which_a_window_begins(when: datetime, is_open: bool) -> None:
    assert parse_schedule("mon-fri 20:00-07:00, sat,sun 00:00-24:00").is_open(when) is is_open


def test_a_window_of_one_day_ends_in_the_next_morning_and_not_on_others() -> None:
    night = parse_schedule("fri 20:00-07:00")
    assert night.is_open(at(5, 6))
    assert not night.is_open(at(4, 6))


def test_the_next_opening_is_the_nearest_start_of_any_window() -> None:
    schedule = parse_schedule("mon 09:00-10:00, wed 08:30-09:00")
    assert schedule.next_opening(at(0, 9, 30)) == at(0, 9, 30)
    assert schedule.next_opening(at(0, 10)) == at(2, 8, 30)
    assert schedule.next_opening(at(2, 9)) == datetime(2026, 11, 30, 9)


def test_a_schedule_of_one_window_a_week_is_found_from_just_after_it() -> None:
    assert parse_schedule("mon 09:00-10:00").next_opening(at(0, 10)) == datetime(2026, 11, 30, 9)


@pytest.mark.parametrize(
    "text", ["fri-mon 10:00-11:00", "FRI - MON 10:00 - 11:00", "friday,sat,sun,mon 10:00-11:00", "fri-mon 10:00-11:00,"]
)
def test_days_may_wrap_around_the_week_and_be_spelt_freely(text: str) -> None:
    schedule = parse_schedule(text)
    assert [schedule.is_open(at(day, 10)) for day in range(7)] == [True, False, False, False, True, True, True]


@pytest.mark.parametrize("night", [datetime(2026, 3, 29, 2, 30), datetime(2026, 10, 25, 2, 30)])
def test_nights_of_changed_clocks_are_read_from_the_wall_like_any_other(night: datetime) -> None:
    assert parse_schedule("22:00-06:00").is_open(night)
    assert parse_schedule("03:00-04:00").next_opening(night) == night.replace(hour=3, minute=0)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("22-06", '"22-06"'),
        ("25:00-26:00", '"25:00"'),
        ("10:60-11:00", '"10:60"'),
        ("mon-fry 10:00-12:00", '"fry"'),
        ("22:00-06:00, weekends", '"weekends"'),
        ("10:00-10:00", '"10:00-10:00"'),
        ("24:00-06:00", '"24:00-06:00"'),
        ("", "empty"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_words_that_are_wrong(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse_schedule(text)


def test_a_closed_schedule_tells_when_it_opens() -> None:
    schedule = parse_schedule("mon 09:00-10:00")
    assert told(schedule, at(0, 10)) == "jobs start again on Mon at 09:00"
    assert told(schedule, at(0, 9, 30)) == ""
