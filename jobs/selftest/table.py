"""The result of a self-test for people: a table of kills by victim and state, and what must be 0."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table

from .judging import COUNTS
from .trials import TrialResult
from .victims import Victim

_STATES = ("running", "publishing", "idle")


def build_table(result: TrialResult) -> RenderableType:
    """Return two tables: who was killed in the middle of what, and what came of it."""
    return Group(_kills(result), _counts(result))


def _kills(result: TrialResult) -> Table:
    title = f"{len(result.kills)} kills, seed {result.settings.seed}, {result.secs:.0f} s"
    table = Table(title=title, title_justify="left")
    table.add_column("killed")
    for heading in ("times", *(f"while {state}" for state in _STATES)):
        table.add_column(heading, justify="right")
    for victim in Victim:
        states = [one.state for one in result.kills if one.victim == victim]
        counts = (sum(state == wanted for state in states) for wanted in _STATES)
        table.add_row(str(victim), str(len(states)), *map(str, counts))
    return table


def _counts(result: TrialResult) -> Table:
    judged, trials = result.judged, len(result.kills)
    table = Table(title=f"{result.dropped} clips dropped, {judged['results']} results", title_justify="left")
    for heading in ("must be 0", "count", "95 % upper bound"):
        table.add_column(heading, justify="left" if heading == "must be 0" else "right")
    for name in COUNTS:
        bound = f"{3 / trials:.1%} of kills" if trials > 3 and not judged[name] else ""
        table.add_row(name.replace("_", " "), str(judged[name]), bound)
    return table


def explain(result: TrialResult) -> list[str]:
    """Return one line for every thing that is wrong."""
    lines = [f"{name}: {found}" for name in COUNTS for found in result.judged["details"][name]]
    return lines + ([f"the daemon ended with {result.drain_code}, not 0"] if result.drain_code else [])
