"""When jobs may start: windows of local time such as `22:00-06:00` or `mon-fri 20:00-07:00, sat,sun 00:00-24:00`.

Reads and compares wall-clock times as a clock on the wall shows them, so a window opens and closes by that clock also
in the nights when it is put back or forward. Nothing is waited for here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Names of days as they are written, Monday first."""

_MINUTES_A_DAY = 24 * 60
_WINDOW = re.compile(
    r"\s*(?:(?P<days>[a-z][a-z\s,-]*?)\s+)?(?P<start>\d{1,2}:\d{2})\s*-\s*(?P<end>\d{1,2}:\d{2})\s*(?:[,;]\s*|$)"
)


@dataclass(frozen=True)
class Window:
    """A span of time that comes back every week on some days."""

    days: frozenset[int]
    """Days on which it begins; 0 is Monday."""
    start_minute: int
    """Minute of the day at which it opens."""
    end_minute: int
    """Minute at which it closes, counted from the same midnight; above 1440 where it closes on the next day."""

    def holds(self, now: datetime) -> bool:
        """Tell whether a local time lies inside."""
        minute = now.hour * 60 + now.minute
        today, yesterday = now.weekday(), (now.weekday() - 1) % 7
        if today in self.days and self.start_minute <= minute < self.end_minute:
            return True
        return yesterday in self.days and minute < self.end_minute - _MINUTES_A_DAY


@dataclass(frozen=True)
class Schedule:
    """Windows in which jobs may start."""

    windows: tuple[Window, ...]
    """At least one; they may overlap."""

    def is_open(self, now: datetime) -> bool:
        """Tell whether a job may start at a local time."""
        return any(window.holds(now) for window in self.windows)

    def next_opening(self, now: datetime) -> datetime:
        """Return the local time at which a job may start next; `now` itself while it is open."""
        if self.is_open(now):
            return now
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        starts = (
            midnight + timedelta(days=day, minutes=window.start_minute)
            for day in range(8)
            for window in self.windows
            if (now.weekday() + day) % 7 in window.days
        )
        return min(start for start in starts if start > now)


def parse_schedule(text: str) -> Schedule:
    """Read a schedule.

    Args:
        text: windows, separated by commas: `HH:MM-HH:MM` for every day, or days before it, `mon-fri`, `sat,sun`. A
            window whose end is not after its start closes on the next day; 24:00 is the end of a day.

    Raises:
        ValueError: it is written otherwise; the message names the part that is wrong.
    """
    windows, place, lowered = list[Window](), 0, text.lower()
    while place < len(lowered):
        match = _WINDOW.match(lowered, place)
        if match is None:
            raise ValueError(
                f'"{text[place:].strip()}" is no window of time; write it like "22:00-06:00" or '
                '"mon-fri 20:00-07:00, sat,sun 00:00-24:00".'
            )
        windows.append(_window(match))
        place = match.end()
    if not windows:
        raise ValueError('an empty schedule would never let a job start; write it like "22:00-06:00".')
    return Schedule(tuple(windows))


def told(schedule: Schedule, now: datetime) -> str:
    """Say when jobs may start next, like `jobs start again on Tue at 22:00`; empty while they may."""
    opening = schedule.next_opening(now)
    return "" if opening == now else f"jobs start again on {DAYS[opening.weekday()].title()} at {opening:%H:%M}"


def _window(match: re.Match[str]) -> Window:
    start, end = _minute(match["start"]), _minute(match["end"])
    if start in (end, _MINUTES_A_DAY):
        raise ValueError(f'"{match[0].strip(" ,;")}" is no span of time; the whole day is "00:00-24:00".')
    days = _days(match["days"]) if match["days"] else frozenset(range(7))
    return Window(days, start, end if end > start else end + _MINUTES_A_DAY)


def _minute(text: str) -> int:
    hours, minutes = map(int, text.split(":"))
    total = hours * 60 + minutes
    if minutes > 59 or total > _MINUTES_A_DAY:
        raise ValueError(f'"{text}" is no time of day; times go from 00:00 to 24:00.')
    return total


def _days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in filter(None, re.split(r"[\s,]+", re.sub(r"\s*-\s*", "-", text))):
        first, _, last = part.partition("-")
        begin, end = _day(first), _day(last or first)
        days |= {(begin + step) % 7 for step in range((end - begin) % 7 + 1)}
    return frozenset(days)


def _day(text: str) -> int:
    if text[:3] not in DAYS or not _NAMES[DAYS.index(text[:3])].startswith(text):
        raise ValueError(f'"{text}" is no day; days are {", ".join(DAYS)}.')
    return DAYS.index(text[:3])


_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
